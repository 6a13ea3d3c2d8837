"""What the commands `gruneisen` and `qha` share: options, the crystal they start from, what they write."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import loading, options
from .config import add_config
from .crystal import add_structure_options, add_supercell_options, find_supercell, read_crystal
from .model_facts import model_facts
from .output import write_summary
from .progress import Stopwatch, progress_bar
from .provenance import provenance, read_files
from .summary_units import units_of

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

    from ..phonons.volumes import VolumePoint
    from ..structures.relaxation import RelaxationReport
    from .crystal import Crystal
    from .tables import Table

STRUCTURES_FILE = "volumes.extxyz"


@dataclass(frozen=True)
class Reference:
    """The crystal whose volume counts as one.

    Attributes:
        crystal: as read.
        atoms: relaxed, calculator attached.
        calc: the calculator.
        relaxation: what the relaxation did.
        matrix: (3, 3) supercell of every volume.
    """

    crystal: Crystal
    atoms: Atoms
    calc: Any
    relaxation: RelaxationReport
    matrix: np.ndarray

    @property
    def formula(self) -> str:
        """Of a formula unit."""
        from ..structures.formulas import crystal_formula

        return crystal_formula(self.atoms)

    @property
    def formula_units(self) -> int:
        """How many formula units the primitive cell holds."""
        return int(self.atoms.symbols.formula.reduce()[1])


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Structure, model, cell and supercell."""
    structure = add_structure_options(parser)
    structure.add_argument(
        "--keep-volume",
        action="store_true",
        help="the volume of the file is the one that counts (default: relax it); atoms and shape relax anyway",
    )
    add_supercell_options(parser)


def add_last_options(parser: argparse.ArgumentParser, suffix: str) -> None:
    """Output, reporting, configuration file."""
    options.add_output(parser, suffix)
    options.add_reporting(parser)
    add_config(parser)


def read_solid(arguments: argparse.Namespace) -> Crystal:
    """The structure, primitive unless told otherwise.

    Raises:
        StructureError: not a crystal, or a layer with vacuum.
    """
    from ..base.errors import StructureError

    crystal = read_crystal(arguments, lambda: 0.0)  # a layer is refused whatever the potential reaches
    if not all(crystal.repeated):
        raise StructureError(
            "the structure is a layer with vacuum",
            "the volume of its cell is mostly vacuum, and nothing depends on that",
            "give a crystal that fills space",
        )
    return crystal


def relaxed_reference(arguments: argparse.Namespace, crystal: Crystal, watch: Stopwatch) -> Reference:
    """The crystal at the volume that counts as one, and the supercell of all volumes."""
    from ..structures.relaxation import relax

    with watch.section("model"), progress_bar("loading the model"):
        calc = loading.load_calculator(arguments.model, arguments.dtype)
    with watch.section("relaxation"), progress_bar("relaxation") as progress:
        atoms, report = relax(
            crystal.atoms,
            calc,
            fix_volume=arguments.keep_volume,
            symprec=arguments.symprec,
            callback=lambda step, force, stress: progress(step, 0),
        )
    with watch.section("supercell"):
        matrix, _ = find_supercell(crystal, atoms, calc, arguments)
    return Reference(crystal, atoms, calc, report, matrix)


def compute_volumes(
    arguments: argparse.Namespace, reference: Reference, ratios: Sequence[float], watch: Stopwatch
) -> tuple[VolumePoint, ...]:
    """Relaxation and force constants at each volume."""
    from ..phonons.volumes import phonons_at_volumes, points
    from ..structures import relaxation

    # Differences count, but forces in single precision have their noise.
    room = relaxation if arguments.dtype == "float32" else points
    with watch.section("volumes"), progress_bar("volumes") as progress:
        return phonons_at_volumes(
            reference.atoms,
            reference.calc,
            reference.matrix,
            ratios,
            symprec=arguments.symprec,
            fmax=room.FMAX,
            smax=room.SMAX,
            progress=progress,
        )


def _supercell_errors(reference: Reference, points: Sequence[VolumePoint], tolerance_thz: float) -> dict[str, Any]:
    """How far frequencies interpolated from the supercell are from exact ones, nearest to the reference volume."""
    import numpy as np

    from ..phonons.supercell import checks, constants

    phonopy = min(points, key=lambda point: abs(point.ratio - 1)).phonopy
    qpoints = checks.PROBES
    exact = reference.calc.get_dynamical_matrix(constants.crystal_atoms(phonopy.primitive), qpoints)
    errors = constants.interpolation_errors(phonopy, exact, qpoints)
    rms = float(np.sqrt(np.mean(errors**2)))
    return {
        "supercell_meets_tolerance": rms <= tolerance_thz,
        "supercell_tolerance_thz": tolerance_thz,
        "interpolation_error_thz": rms,
        "interpolation_error_max_thz": float(np.abs(errors).max()),
        "interpolation_error_max_qpoint": qpoints[np.abs(errors).max(axis=1).argmax()].tolist(),
    }


def summary(reference: Reference, points: Sequence[VolumePoint], arguments: argparse.Namespace) -> dict[str, Any]:
    """What both commands tell programs: built-in types only."""
    from .. import __version__
    from ..models.registry import DEFAULT

    return {
        "version": __version__,
        **model_facts(reference.calc.potential, arguments.model),
        "dtype": arguments.dtype,
        "structure_file": arguments.structure,
        "formula": reference.formula,
        "space_group": reference.crystal.space_group.international,
        "space_group_number": reference.crystal.space_group.number,
        "n_atoms_given": reference.crystal.n_atoms_given,
        "n_atoms_primitive": len(reference.atoms),
        "formula_units_per_cell": reference.formula_units,
        "supercell_matrix": reference.matrix.tolist(),
        **_supercell_errors(reference, points, arguments.tolerance),
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
                "imaginary_modes": point.imaginary,
                "imaginary_in_supercell_only": point.artefact,
            }
            for point in points
        ],
        "provenance": provenance(arguments, read_files(arguments), arguments.model or DEFAULT),
    }


def describe(text: Table, reference: Reference, points: Sequence[VolumePoint], contents: dict[str, Any]) -> None:
    """The same for people.

    Args:
        contents: of summary.json; "ratios_added" in it are volumes that nobody asked for.
    """
    from .tables import interpolation_in_words, matrix_in_words, vector_in_words

    text.group("structure")
    n_atoms, n_given = len(reference.atoms), reference.crystal.n_atoms_given
    given = f"{n_atoms} atom{'s' * (n_atoms > 1)} as given"
    text.row("cell", f"reduced from {n_given} atoms to {n_atoms}" if n_given > n_atoms else given)
    report = reference.relaxation
    change = f"volume {100 * report.volume_change:+.2f} %" if report.volume_change else "volume kept"
    text.row("relaxation", f"{report.n_steps} steps, symmetry kept, {change}")
    text.row("reference volume", f"{reference.atoms.cell.volume:.4f} Å³")
    n_supercell = len(points[0].phonopy.supercell)
    text.row("supercell", f"{matrix_in_words(reference.matrix.tolist())}, {n_supercell} atoms, at every volume")
    error, worst = contents["interpolation_error_thz"], contents["interpolation_error_max_thz"]
    words = interpolation_in_words(
        error,
        worst,
        contents["supercell_tolerance_thz"],
        max(point.frequencies.maximum_thz for point in points),
        vector_in_words(contents["interpolation_error_max_qpoint"]),
    )
    text.row("its error", f"{error:.2g} THz RMS, {worst:.2g} THz at most, against exact D(q)   {words}")
    text.group("volumes (atoms and shape of the cell relaxed at each)")
    for point in points:
        state = f"imaginary: {point.instability}" if point.imaginary else "stable"
        state += "; imaginary in this supercell only" if point.artefact else ""
        state += "; added" if point.ratio in contents.get("ratios_added", ()) else ""
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
    from ..phonons import pictures

    space_group = reference.crystal.space_group.international
    return pictures.crystal_title(reference.formula, space_group, reference.calc.potential.name)


def write_shared(folder: Path, points: Sequence[VolumePoint], contents: dict[str, Any]) -> None:
    """The relaxed structures, one frame for each volume, and summary.json, to which the units are added."""
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
    contents["units"] = units_of(contents)
    write_summary(contents, folder)
