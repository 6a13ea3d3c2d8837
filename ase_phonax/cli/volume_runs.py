"""What the commands `gruneisen` and `qha` share: options, the crystal they start from, what they write."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import loading, options
from .phonons import MAX_SUPERCELL_ATOMS, MIN_LENGTH, SYMPREC
from .progress import Stopwatch, progress_bar

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

    from ..crystals import SpaceGroup
    from ..relaxation import RelaxationReport
    from ..volumes import VolumePoint
    from .tables import Table

STRUCTURES_FILE = "volumes.extxyz"


@dataclass(frozen=True)
class Reference:
    """The crystal whose volume counts as one.

    Attributes:
        atoms: relaxed, calculator attached.
        n_atoms_given: in the file, before reduction to the primitive cell.
        space_group: found in the file.
        relaxation: what the relaxation did.
        matrix: (3, 3) supercell of every volume.
    """

    atoms: Atoms
    calc: Any
    dtype: str
    n_atoms_given: int
    space_group: SpaceGroup
    relaxation: RelaxationReport
    matrix: np.ndarray

    @property
    def formula(self) -> str:
        """Reduced formula, metals first."""
        return self.atoms.get_chemical_formula("metal", empirical=True)

    @property
    def tolerances(self) -> dict[str, float]:
        """How tightly volumes relax: differences count, but single precision has its noise."""
        from .. import relaxation
        from ..volumes import points

        if self.dtype == "float32":
            return {"fmax": relaxation.FMAX, "smax": relaxation.SMAX}
        return {"fmax": points.FMAX, "smax": points.SMAX}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Structure, model, cell and supercell."""
    options.add_structure(parser, "STRUCTURE", "file of any format ASE reads (POSCAR, CIF, extxyz, ...)")
    options.add_model(parser)
    structure = parser.add_argument_group("structure")
    structure.add_argument(
        "--keep-cell", action="store_true", help="keep the cell as it is (default: reduce it to a primitive cell)"
    )
    structure.add_argument(
        "--keep-volume",
        action="store_true",
        help="the volume of the file is the one that counts (default: relax it); atoms and shape relax anyway",
    )
    cells = parser.add_argument_group("supercell").add_mutually_exclusive_group()
    cells.add_argument(
        "--supercell",
        metavar="N",
        nargs="+",
        type=options.integer,
        help="repeats along the three vectors of the primitive cell, or the nine integers of a matrix, row by row,"
        " in phonopy's sense (columns count cell vectors)",
    )
    cells.add_argument(
        "--min-length",
        metavar="Å",
        type=options.positive,
        default=MIN_LENGTH,
        help="otherwise: fewest repeats that bring opposite faces this far apart (default: %(default)g)",
    )


def read_crystal(arguments: argparse.Namespace) -> tuple[Atoms, int, SpaceGroup]:
    """The structure, primitive unless told otherwise; the atoms given; the space group."""
    from ..crystals import as_supercell_matrix, get_space_group, reduce_to_primitive, require_crystal

    given = loading.read_structure(arguments.structure)
    require_crystal(given)
    atoms = given.copy() if arguments.keep_cell else reduce_to_primitive(given, SYMPREC)
    atoms.set_constraint()
    if arguments.supercell:
        _refuse_enormous(len(atoms), as_supercell_matrix(arguments.supercell))
    return atoms, len(given), get_space_group(given, SYMPREC)


def relaxed_reference(
    arguments: argparse.Namespace, crystal: tuple[Atoms, int, SpaceGroup], watch: Stopwatch
) -> Reference:
    """The crystal at the volume that counts as one, and the supercell of all volumes."""
    from ..crystals import as_supercell_matrix, supercell_for_height
    from ..relaxation import relax

    atoms, n_atoms_given, group = crystal
    with watch.section("model"), progress_bar("loading the model"):
        calc = loading.load_calculator(arguments.model, arguments.dtype)
    with watch.section("relaxation"), progress_bar("relaxation") as progress:
        relaxed, report = relax(
            atoms,
            calc,
            fix_volume=arguments.keep_volume,
            symprec=SYMPREC,
            callback=lambda step, force, stress: progress(step, 0),
        )
    if arguments.supercell:
        matrix = as_supercell_matrix(arguments.supercell)
    else:
        matrix = supercell_for_height(relaxed.cell[:], arguments.min_length)
    _refuse_enormous(len(relaxed), matrix)
    return Reference(relaxed, calc, arguments.dtype, n_atoms_given, group, report, matrix)


def compute_volumes(reference: Reference, ratios: Sequence[float], watch: Stopwatch) -> tuple[VolumePoint, ...]:
    """Relaxation and force constants at each volume."""
    from ..volumes import phonons_at_volumes

    with watch.section("volumes"), progress_bar("volumes") as progress:
        return phonons_at_volumes(
            reference.atoms,
            reference.calc,
            reference.matrix,
            ratios,
            symprec=SYMPREC,
            progress=progress,
            **reference.tolerances,
        )


def summary(reference: Reference, points: Sequence[VolumePoint], arguments: argparse.Namespace) -> dict[str, Any]:
    """What both commands tell programs: built-in types only."""
    from .. import __version__

    return {
        "version": __version__,
        "model": reference.calc.potential.name,
        "dtype": arguments.dtype,
        "structure_file": arguments.structure,
        "formula": reference.formula,
        "space_group": reference.space_group.international,
        "space_group_number": reference.space_group.number,
        "n_atoms_given": reference.n_atoms_given,
        "n_atoms_primitive": len(reference.atoms),
        "supercell_matrix": reference.matrix.tolist(),
        "kept_volume": arguments.keep_volume,
        "volume": float(reference.atoms.cell.volume),
        "volume_change": reference.relaxation.volume_change,
        "volumes": [
            {
                "ratio": point.ratio,
                "volume": point.volume,
                "energy": point.energy,
                "max_force": point.relaxation.max_force,
                "relaxation_steps": point.relaxation.n_steps,
                "min_frequency_thz": point.frequencies.minimum_thz,
                "max_frequency_thz": point.frequencies.maximum_thz,
                "imaginary_modes": point.frequencies.imaginary,
            }
            for point in points
        ],
    }


def describe(text: Table, reference: Reference, points: Sequence[VolumePoint]) -> None:
    """The same for people."""
    from .tables import matrix_in_words

    text.group("structure")
    n_atoms = len(reference.atoms)
    reduced = f"reduced from {reference.n_atoms_given} atoms to {n_atoms}" if reference.n_atoms_given > n_atoms else ""
    text.row("cell", reduced or f"{n_atoms} atom{'s' * (n_atoms > 1)} as given")
    report = reference.relaxation
    change = f"volume {100 * report.volume_change:+.2f} %" if report.volume_change else "volume kept"
    text.row("relaxation", f"{report.n_steps} steps, symmetry kept, {change}")
    text.row("reference volume", f"{reference.atoms.cell.volume:.4f} Å³")
    n_supercell = len(points[0].phonopy.supercell)
    text.row("supercell", f"{matrix_in_words(reference.matrix.tolist())}, {n_supercell} atoms, at every volume")
    text.group("volumes (atoms and shape of the cell relaxed at each)")
    for point in points:
        state = f"imaginary: {point.instability}" if point.frequencies.imaginary else "stable"
        text.row(point.name, f"{point.energy:.6f} eV   up to {point.frequencies.maximum_thz:.3f} THz   {state}")


def finished(text: Table, contents: dict[str, Any], output: Path) -> str:
    """Notes, seconds and files at the end of a table, and the table."""
    if contents["warnings"]:
        text.group("notes")
        for note in contents["warnings"]:
            text.paragraph(f"- {note}")
    text.group("seconds")
    text.paragraph(", ".join(f"{name.replace('_', ' ')} {time:.1f}" for name, time in contents["timings_s"].items()))
    text.group(f"results in {output}")
    text.paragraph(", ".join(contents["files"]))
    return str(text)


def title(reference: Reference) -> str:
    """Above a picture."""
    from .. import figures

    return "    ".join(
        (
            figures.formula_in_mathtext(reference.formula),
            figures.space_group_in_mathtext(reference.space_group.international),
            figures.as_plain_text(reference.calc.potential.name),
        )
    )


def write_shared(folder: Path, points: Sequence[VolumePoint], contents: dict[str, Any]) -> None:
    """The relaxed structures, one frame for each volume, and summary.json."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    frames = []
    for point in points:
        frame = point.atoms.copy()
        names = ("energy", "forces", "stress")
        frame.calc = SinglePointCalculator(
            frame, **{name: point.atoms.calc.get_property(name, point.atoms) for name in names}
        )
        frame.info["volume_ratio"] = point.ratio
        frames.append(frame)
    write(folder / STRUCTURES_FILE, frames, format="extxyz")
    text = json.dumps(contents, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def _refuse_enormous(n_atoms: int, matrix: Any) -> None:
    import numpy as np

    from ..errors import SupercellError

    total = n_atoms * round(float(np.linalg.det(matrix)))
    if total > MAX_SUPERCELL_ATOMS:
        raise SupercellError(
            f"the supercell {matrix.tolist()} has {total} atoms",
            f"above {MAX_SUPERCELL_ATOMS} setting it up takes phonopy hours, and it is needed at every volume",
            "take a smaller one; `ase-phonax phonons` prints whether it suffices",
        )
