"""`ase-phonax phonons`: from a structure file to bands, densities of states and heat."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import loading, options
from .output import atomic_directory, writing
from .progress import Stopwatch, progress_bar

if TYPE_CHECKING:
    from ase import Atoms

    from .phonon_results import Crystal, PhononResults

SYMPREC = 1e-3  # [Å] files round coordinates to about this; the relaxation then makes the symmetry exact
MIN_LENGTH = 12.0  # [Å]
MAX_SUPERCELL_ATOMS = 10_000  # phonopy itself takes hours to set up larger ones
SUFFIX = "phonons"

_DESCRIPTION = """\
Relax a crystal with its symmetry kept, compute exact force constants, and write bands, densities of
states and thermal properties. Nothing is displaced and nothing is symmetrised afterwards; what that
costs in accuracy is checked and printed.
"""

_EPILOG = """\
files written to the output folder:
  summary.json                 everything printed, for programs
  bands.png, bands.pdf         bands beside densities of states
  band.yaml                    bands in phonopy's format
  total_dos.dat                density of states
  projected_dos.dat            its projection on each atom
  thermal_properties.yaml      free energy, entropy, heat capacity, 0 to 1000 K
  phonopy_params.yaml          all of it, for `phonopy-load` and phonopy.load()
  force_constants.hdf5         the force constants alone [eV/Å²]
  relaxed.extxyz               the structure they belong to

Frequencies are in THz, imaginary ones negative. A crystal with imaginary modes is a result: the exit
code is 0 and the table says so. Exit codes: see `ase-phonax --help`.
"""


@dataclass(frozen=True)
class PhononOptions:
    """What the command line asked for.

    Attributes:
        structure: name of the file, as ASE's reader takes it.
        output: folder for the results.
        overwrite: replace earlier results there.
        model: name or file; None for the first registered one.
        dtype: "float64" or "float32".
        supercell: 1, 3 or 9 integers; None to choose by `min_length`.
        min_length: smallest perpendicular height of the supercell chosen [Å].
        keep_cell: do not reduce to the primitive cell.
        relax: relax before anything else.
        fix_cell: relax the atoms only.
        path: special points; None for seekpath's standard path.
    """

    structure: str
    output: Path
    overwrite: bool
    model: str | None
    dtype: str
    supercell: tuple[int, ...] | None
    min_length: float
    keep_cell: bool
    relax: bool
    fix_cell: bool
    path: str | None

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> PhononOptions:
        """The options of a parsed command line."""
        return cls(
            structure=arguments.structure,
            output=options.output_directory(arguments.structure, arguments.output, SUFFIX),
            overwrite=arguments.overwrite,
            model=arguments.model,
            dtype=arguments.dtype,
            supercell=tuple(arguments.supercell) if arguments.supercell else None,
            min_length=arguments.min_length,
            keep_cell=arguments.keep_cell,
            relax=not arguments.no_relax,
            fix_cell=arguments.fix_cell,
            path=arguments.path,
        )


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "phonons",
        help="phonons of a crystal",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_structure(parser, "STRUCTURE", "file of any format ASE reads (POSCAR, CIF, extxyz, ...)")
    options.add_model(parser)
    structure = parser.add_argument_group("structure")
    structure.add_argument(
        "--keep-cell", action="store_true", help="keep the cell as it is (default: reduce it to a primitive cell)"
    )
    structure.add_argument("--no-relax", action="store_true", help="take the structure as it is; forces are reported")
    structure.add_argument("--fix-cell", action="store_true", help="relax the atoms, not the cell")
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
    bands = parser.add_argument_group("bands")
    bands.add_argument(
        "--path",
        metavar="POINTS",
        help="special points of ASE for the lattice, such as GXWLG or GX,KG (default: the standard path by seekpath)",
    )
    options.add_output(parser, SUFFIX)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write and print."""
    chosen = PhononOptions.from_arguments(arguments)
    watch = Stopwatch()
    with watch.section("imports"):
        from .phonon_results import FILES, table, write_results

    with loading.collected_warnings() as notes:
        with watch.section("structure"):
            crystal = _read_crystal(chosen)
        with atomic_directory(chosen.output, overwrite=chosen.overwrite, own_files=FILES) as folder:
            results = _compute(chosen, crystal, watch, notes)
            with watch.section("files"), writing(chosen.output):
                write_results(results, folder)
    print(table(results, chosen.output))
    return 0


def _read_crystal(chosen: PhononOptions) -> Crystal:
    """The structure, primitive unless told otherwise; every option that depends on it is tried here."""
    from ..band_paths import named_path
    from ..crystals import as_supercell_matrix, get_space_group, reduce_to_primitive, require_crystal
    from .phonon_results import Crystal

    given = loading.read_structure(chosen.structure)
    require_crystal(given)
    group = get_space_group(given, SYMPREC)
    atoms = given.copy() if chosen.keep_cell else reduce_to_primitive(given, SYMPREC)
    had_constraints = bool(given.constraints)
    atoms.set_constraint()
    if chosen.supercell is not None:
        _refuse_enormous(len(atoms), as_supercell_matrix(chosen.supercell))
    if chosen.path is not None:
        named_path(chosen.path, atoms.cell[:])
    return Crystal(atoms, len(given), group, had_constraints)


def _compute(chosen: PhononOptions, crystal: Crystal, watch: Stopwatch, notes: list[str]) -> PhononResults:
    from .. import densities, force_constants, phonons
    from ..crystals import as_supercell_matrix, supercell_for_height
    from ..force_constants import crystal_atoms
    from .phonon_results import PhononResults

    with watch.section("model"), progress_bar("loading the model"):
        calc = loading.load_calculator(chosen.model, chosen.dtype)
    with watch.section("relaxation"):
        atoms, relaxation = _relaxed(crystal.atoms, calc, chosen)
    if chosen.supercell is None:
        matrix = supercell_for_height(atoms.cell[:], chosen.min_length)
    else:
        matrix = as_supercell_matrix(chosen.supercell)
    _refuse_enormous(len(atoms), matrix)
    with watch.section("force_constants"), progress_bar("force constants") as progress:
        phonopy = phonons.get_phonopy(atoms, calc, matrix, symprec=SYMPREC, progress=progress)
    with watch.section("checks"), progress_bar("checks") as progress:
        primitive = crystal_atoms(phonopy.primitive)
        checks = force_constants.checks(phonopy, lambda q: calc.get_dynamical_matrix(primitive, q, progress=progress))
    with watch.section("bands"), progress_bar("bands"):
        bands = phonons.get_band_structure(phonopy, chosen.path)
    with watch.section("densities"), progress_bar("densities of states"):
        densities.get_mesh(phonopy)
        thermal = densities.get_thermal_properties(phonopy)
        frequencies = densities.get_frequency_range(phonopy)
        mesh_numbers = densities.sampled_mesh(phonopy).mesh_numbers
        total, projected = densities.get_densities(phonopy)
    return PhononResults(
        options=chosen,
        crystal=crystal,
        atoms=atoms,
        model=calc.potential.name,
        relaxation=relaxation,
        phonopy=phonopy,
        checks=checks,
        bands=bands,
        total_dos=total,
        projected_dos=projected,
        mesh_numbers=tuple(int(n) for n in mesh_numbers),
        thermal=thermal,
        frequencies=frequencies,
        watch=watch,
        notes=notes,
    )


def _refuse_enormous(n_atoms: int, matrix: Any) -> None:
    import numpy as np

    from ..errors import SupercellError

    total = n_atoms * round(float(np.linalg.det(matrix)))
    if total > MAX_SUPERCELL_ATOMS:
        raise SupercellError(
            f"the supercell {matrix.tolist()} has {total} atoms",
            f"above {MAX_SUPERCELL_ATOMS} setting it up takes phonopy hours, and constants fade long before its edge",
            "take a smaller one: the interpolation error that is printed says whether it suffices",
        )


def _relaxed(atoms: Atoms, calc: Any, chosen: PhononOptions) -> tuple[Atoms, Any]:
    """The relaxed structure with its report; or the structure as it is, and the forces on it."""
    from ..relaxation import relax, report_unrelaxed

    with progress_bar("relaxation" if chosen.relax else "forces") as progress:
        if not chosen.relax:
            return report_unrelaxed(atoms, calc, SYMPREC)
        return relax(
            atoms,
            calc,
            fix_cell=chosen.fix_cell,
            symprec=SYMPREC,
            callback=lambda step, force, stress: progress(step, 0),
        )
