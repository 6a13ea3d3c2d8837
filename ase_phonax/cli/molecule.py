"""`ase-phonax molecule`: normal modes, their symmetry, and what a spectrometer will see."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..studies.model_facts import model_facts
from ..studies.output import atomic_directory, output_directory, write_summary, writing
from ..studies.summary_units import units_of
from . import arguments as skeleton
from . import loading, options
from .molecule_table import molecule_table
from .progress import Stopwatch, progress_bar, without_progress
from .provenance import provenance, read_files

if TYPE_CHECKING:
    from ase import Atoms

    from ..molecules.normal_modes import NormalModes
    from ..molecules.stationary import Side
    from ..structures.relaxation import RelaxationReport

SUFFIX = "molecule"
FILES = (
    *("summary.json", "vibrations.json", "relaxed.extxyz", "modes.molden", "sticks.png", "sticks.pdf"),
    *("mode_*.extxyz", "follow_*.extxyz"),
)

_DESCRIPTION = """\
Relax a molecule, compute its exact Hessian, and print its normal modes: wavenumbers, irreducible
representations of the point group, infrared and Raman activity, and its thermochemistry as an ideal gas.
Translations and rotations are projected out by their own vectors: six of them, five for a linear molecule,
three for a single atom. Atoms fixed in the file, or left out of --atoms, stay where they are; then nothing
is projected out and there is no symmetry.
"""

_EPILOG = """\
files written to the output folder:
  summary.json         what is printed, for programs
  relaxed.extxyz       the structure the modes belong to
  vibrations.json      ASE VibrationsData: VibrationsData.read("vibrations.json")
  modes.molden         all modes, for Molden, Jmol, Avogadro and others
  sticks.png, .pdf     where lines are allowed: infrared, Raman, silent
  mode_N.extxyz        with --animate: one period of a mode
  follow_N_*.extxyz    with --follow: where the molecule comes to rest on both sides of a saddle point

Wavenumbers are in cm⁻¹, imaginary ones marked with an i (negative in files). Exit codes: see
`ase-phonax --help`.
"""


def add_parser(commands: Any) -> None:
    """Register the command, under its earlier name as well."""
    parser = commands.add_parser(
        "molecule",
        aliases=["hessian"],
        help="normal modes of a molecule, their symmetry and activity",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("structure", metavar="MOLECULE", help="file of any format ASE reads (xyz, mol, sdf, ...)")
    skeleton.add_model(parser, "the one for molecules that ships")
    structure = parser.add_argument_group("structure")
    structure.add_argument("--no-relax", action="store_true", help="take the structure as it is; forces are reported")
    structure.add_argument("--no-cell", action="store_true", help="a molecule in a box: forget the box")
    skeleton.add_options(parser, skeleton.IsotopeOptions)
    structure.add_argument(
        "--atoms", metavar="N", nargs="+", type=_atom_range, help="only these move, counted from 1: 1 2 5-8"
    )
    symmetry = parser.add_argument_group("symmetry")
    symmetry.add_argument(
        "--tolerance",
        metavar="Å",
        type=options.positive,
        default=0.02,
        help="largest distance between an atom and the image of another (default: %(default)s)",
    )
    modes = parser.add_argument_group("modes")
    modes.add_argument(
        "--animate",
        metavar="MODE",
        nargs="+",
        type=options.positive_integer,
        default=[],
        help="write one period of these modes, counted from 1 in ascending frequency",
    )
    modes.add_argument(
        "--follow",
        metavar="MODE",
        nargs="?",
        const=1,
        type=options.positive_integer,
        help="slide down both sides of a saddle point along this imaginary mode (1 unless another is named)",
    )
    gas = parser.add_argument_group("ideal gas")
    gas.add_argument("--temperature", metavar="K", type=options.positive, default=298.15, help="default: %(default)s")
    gas.add_argument("--pressure", metavar="Pa", type=options.positive, default=101325.0, help="default: %(default)s")
    gas.add_argument(
        "--spin",
        metavar="S",
        type=float,
        help="total electronic spin (default: 0, or 1/2 for an odd number of electrons)",
    )
    skeleton.add_output(parser, SUFFIX)
    skeleton.add_reporting(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write and print."""
    output = arguments.output = output_directory(arguments.structure, arguments.output, SUFFIX)
    with Stopwatch.logging_to(arguments.log) as watch, without_progress(arguments.quiet):
        with loading.collected_warnings() as notes:
            with watch.section("structure"):
                loading.check_model(arguments.model)
                atoms = _structure(arguments)
            with atomic_directory(output, overwrite=arguments.overwrite, own_files=FILES) as folder:
                summary = _computed(arguments, atoms, folder, watch, notes)
        watch.note("results", {"folder": str(output), **summary})
        if not arguments.quiet:
            print(molecule_table(summary, output))
    return 0


def _computed(
    arguments: argparse.Namespace, atoms: Atoms, folder: Path, watch: Stopwatch, notes: list[str]
) -> dict[str, Any]:
    """The contents of summary.json, which lies in the folder with all other files."""
    from ..molecules.stationary import stationary_modes

    with watch.section("model"), progress_bar("loading the model"):
        calc = loading.load_calculator(arguments.model or _default_model(), arguments.dtype)
    _check(atoms, calc)
    with watch.section("modes"), progress_bar("relaxation") as relaxing:
        modes, report = stationary_modes(
            atoms,
            calc,
            relaxed=not arguments.no_relax,
            callback=lambda step, force, stress: relaxing(step, 0),
            progress=relaxing.under("Hessian"),
            indices=arguments.atoms,
            tolerance=arguments.tolerance,
        )
    sides = None
    if arguments.follow is not None:
        with watch.section("following"):
            sides = _follow(modes, calc, arguments.follow)
    with watch.section("files"), progress_bar("pictures and files"), writing(arguments.output):
        summary = _summary(calc, modes, report, arguments, notes, sides)
        summary["timings_s"] = watch.rounded()
        summary["units"] = units_of(summary)
        _write(folder, modes, calc, summary, arguments, sides)
    return summary


def _default_model() -> str:
    from ..models.registry import FOR_MOLECULES

    return FOR_MOLECULES


def _atom_range(text: str) -> list[int]:
    """ "5-8" as [4, 5, 6, 7]."""
    first, _, last = text.partition("-")
    start = options.positive_integer(first)
    end = options.positive_integer(last) if last else start
    if end < start:
        raise argparse.ArgumentTypeError(f"{text!r} runs backwards: ranges are like 5-8")
    return list(range(start - 1, end))


def _structure(arguments: argparse.Namespace) -> Atoms:
    """The molecule of the command line, with its isotopes.

    Raises:
        StructureError: it cannot be read.
        InputError: an isotope or an atom that is not there.
    """
    from ..base.errors import InputError
    from ..structures.species import set_isotopes

    atoms = loading.read_structure(arguments.structure)
    if arguments.no_cell:
        atoms.set_cell(None)
        atoms.pbc = False
    set_isotopes(atoms, arguments.mass)
    if arguments.atoms is not None:
        arguments.atoms = sorted({k for part in arguments.atoms for k in part})
        if arguments.atoms[-1] >= len(atoms):
            raise InputError(
                f"--atoms names atom {arguments.atoms[-1] + 1} of {len(atoms)}",
                "there is none to move",
                f"give numbers from 1 to {len(atoms)}",
            )
    return atoms


def _check(atoms: Atoms, calc: Any) -> None:
    """Before the relaxation, which would spoil what this is about."""
    from ..base.errors import UnstableWarning
    from ..molecules.normal_modes import check_molecule

    check_molecule(atoms, float(calc.potential.cutoff))
    n_electrons = int(atoms.numbers.sum())
    if n_electrons % 2:
        warnings.warn(
            f"{n_electrons} electrons, an odd number: a radical, or an ion whose charge is not in the file. The model "
            "knows neither spin nor charge; few were trained on such molecules.",
            UnstableWarning,
            stacklevel=2,
        )


def _follow(modes: NormalModes, calc: Any, mode: int) -> tuple[Side, Side]:
    from ..molecules.stationary import follow_imaginary

    with progress_bar("following") as progress:
        return follow_imaginary(modes, calc, mode, callback=lambda step, force, stress: progress(step, 0))


def _summary(
    calc: Any,
    modes: NormalModes,
    report: RelaxationReport,
    arguments: argparse.Namespace,
    notes: list[str],
    sides: tuple[Side, Side] | None,
) -> dict[str, Any]:
    from .. import __version__
    from ..molecules.point_groups import find_point_group
    from ..molecules.thermochemistry import gas_properties

    group = modes.point_group
    summary: dict[str, Any] = {
        "version": __version__,
        **model_facts(calc.potential, arguments.model),
        "formula": modes.atoms.get_chemical_formula(),
        "n_atoms": len(modes.atoms),
        "relaxed": not arguments.no_relax,
        "energy": report.energy,
        "max_force": report.max_force,
        "unrelaxed_max_force": report.initial_max_force,
        "held_force": report.held_force,
        "relaxation_steps": report.n_steps,
        "wavenumbers_cm1": modes.wavenumbers.tolist(),
        "imaginary_modes": len(modes.imaginary),
        "imaginary": modes.imaginary,
        "whole_body_motions": len(modes.whole_body_cm1),
        "whole_body_cm1": modes.whole_body_cm1.tolist(),
        "warnings": notes,
        "provenance": provenance(arguments, read_files(arguments), arguments.model or _default_model()),
    }
    if group is not None:
        gas = gas_properties(modes, report.energy, arguments.temperature, arguments.pressure, arguments.spin)
        summary |= {
            "point_group": group.symbol,
            "symmetry_deviation": group.deviation,
            "symmetry_tolerance": group.tolerance,
            "other_point_groups": [{"tolerance": t, "point_group": s} for t, s in group.neighbours],
            "representation": modes.representation,
            "sets": [
                {
                    "modes": s.modes,
                    "wavenumbers_cm1": s.wavenumbers,
                    "label": s.label,
                    "infrared": s.infrared,
                    "raman": s.raman,
                    "purity": s.purity,
                }
                for s in modes.sets
            ],
            "ideal_gas": gas.__dict__,
        }
    if sides is not None:
        summary["followed"] = [
            {"energy_from_saddle": s.energy, "point_group": find_point_group(s.atoms).symbol} for s in sides
        ]
    return summary


def _write(
    folder: Path,
    modes: NormalModes,
    calc: Any,
    summary: dict[str, Any],
    arguments: argparse.Namespace,
    sides: tuple[Side, Side] | None,
) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write
    from ase.io.jsonio import write_json

    from ..base.drawing import save_figure
    from ..molecules import mode_files
    from ..molecules.pictures import draw_sticks

    plain = modes.atoms.copy()
    plain.calc = calc
    forces = plain.get_forces(apply_constraint=False)
    plain.calc = SinglePointCalculator(plain, energy=summary["energy"], forces=forces)
    write(folder / "relaxed.extxyz", plain, format="extxyz")
    write_json(folder / "vibrations.json", modes.vibrations)
    mode_files.write_molden(modes, folder / "modes.molden")
    if modes.sets:
        save_figure(draw_sticks(modes), folder / "sticks")
    for mode in arguments.animate:
        mode_files.write_mode(modes, mode, folder / f"mode_{mode}.extxyz")
    for name, side in zip(("plus", "minus"), sides or (), strict=False):
        rested = side.atoms.copy()
        rested.calc = SinglePointCalculator(
            rested, energy=side.report.energy, forces=side.atoms.get_forces(apply_constraint=False)
        )
        write(folder / f"follow_{arguments.follow}_{name}.extxyz", rested, format="extxyz")
    write_summary(summary, folder)
