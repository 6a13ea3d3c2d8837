"""`ase-phonax hessian`: the vibrations of a molecule from its exact Hessian."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import loading, options
from .output import atomic_directory, writing
from .progress import Stopwatch, progress_bar

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from ase.vibrations import VibrationsData

    from ..relaxation import RelaxationReport

SUFFIX = "hessian"
FILES = ("summary.json", "vibrations.json", "relaxed.extxyz")

_DESCRIPTION = """\
Relax a molecule, compute its exact Hessian, and write and print its vibrations. Translations and
rotations are recognised by their shape and projected out: six of them, five for a linear molecule, three
for a single atom. Atoms fixed in the file stay fixed, and then nothing is projected out.
"""

_EPILOG = """\
files written to the output folder:
  summary.json       frequencies and what else is printed, for programs
  vibrations.json    ASE VibrationsData: VibrationsData.read("vibrations.json")
  relaxed.extxyz     the structure they belong to

Wavenumbers are in cm⁻¹, imaginary ones marked with an i (negative in summary.json). Exit codes: see
`ase-phonax --help`.
"""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "hessian",
        help="vibrations of a molecule",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_structure(parser, "MOLECULE", "file of any format ASE reads (xyz, mol, POSCAR, ...)")
    options.add_model(parser)
    structure = parser.add_argument_group("structure")
    structure.add_argument("--no-relax", action="store_true", help="take the structure as it is; forces are reported")
    options.add_output(parser, SUFFIX)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write and print."""
    watch = Stopwatch()
    output = options.output_directory(arguments.structure, arguments.output, SUFFIX)
    with loading.collected_warnings() as notes:
        with watch.section("structure"):
            atoms = loading.read_structure(arguments.structure)
        with atomic_directory(output, overwrite=arguments.overwrite, own_files=FILES) as folder:
            with watch.section("model"), progress_bar("loading the model"):
                calc = loading.load_calculator(arguments.model, arguments.dtype)
            with watch.section("relaxation"):
                atoms, report = _relaxed(atoms, calc, arguments.no_relax)
            with watch.section("hessian"), progress_bar("Hessian") as progress:
                vibrations = calc.get_vibrations(atoms, progress=progress)
            wavenumbers, n_removed = free_wavenumbers(vibrations)
            summary = _summary(calc, atoms, report, wavenumbers, n_removed, notes)
            summary["relaxed"] = not arguments.no_relax
            summary["timings_s"] = watch.rounded()
            with writing(output):
                _write(folder, atoms, vibrations, summary)
    print(_table(summary, output))
    return 0


def free_wavenumbers(vibrations: VibrationsData) -> tuple[np.ndarray, int]:
    """Wavenumbers of the vibrations alone, whole-body motions projected out.

    Translations, and rotations where no direction is periodic, span a known space of mass-weighted
    displacements; the Hessian is diagonalised in its complement. So a soft vibration is never taken for
    a rotation, nor a rotation of a badly relaxed molecule for a vibration.

    Args:
        vibrations: Hessian [eV/Å²] of all atoms, or of some (then nothing is projected out).

    Returns:
        (n_vibrations,) ascending [1/cm], imaginary as negative; and how many motions were removed.
    """
    import numpy as np

    from ..units import CM1_PER_THZ, THZ_PER_SQRT_EV_A2_AMU

    atoms, moving = vibrations.get_atoms(), vibrations.get_indices()
    hessian = vibrations.get_hessian_2d()
    roots = np.repeat(np.sqrt(atoms.get_masses()[moving]), 3)
    weighted = (hessian + hessian.T) / (2 * np.outer(roots, roots))
    n_removed, basis = 0, np.eye(len(roots))
    if len(moving) == len(atoms):
        motions, singular_values, _ = np.linalg.svd(_whole_body_motions(atoms) * roots[:, None])
        n_removed = int(np.sum(singular_values > 1e-6 * singular_values[0]))
        basis = motions[:, n_removed:]
    eigenvalues = np.linalg.eigvalsh(basis.T @ weighted @ basis)
    scale = THZ_PER_SQRT_EV_A2_AMU * CM1_PER_THZ
    return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * scale, n_removed


def _whole_body_motions(atoms: Atoms) -> np.ndarray:
    """(3 n_atoms, 3 or 6) displacements: translations, and rotations about the centre of mass."""
    import numpy as np

    axes = np.eye(3)
    motions = [np.tile(axis, (len(atoms), 1)) for axis in axes]
    if not any(atoms.pbc):
        arms = atoms.positions - atoms.get_center_of_mass()
        motions += [np.cross(axis, arms) for axis in axes]
    return np.array(motions).reshape(len(motions), -1).T


def _relaxed(atoms: Atoms, calc: Any, no_relax: bool) -> tuple[Atoms, RelaxationReport]:
    from ..relaxation import relax, report_unrelaxed

    with progress_bar("forces" if no_relax else "relaxation") as progress:
        if no_relax:
            return report_unrelaxed(atoms, calc)
        return relax(atoms, calc, fix_cell=True, callback=lambda step, force, stress: progress(step, 0))


def _summary(
    calc: Any, atoms: Atoms, report: RelaxationReport, wavenumbers: np.ndarray, n_removed: int, notes: list[str]
) -> dict[str, Any]:
    from .. import __version__
    from ..units import CM1_PER_THZ, MEV_PER_THZ

    real = wavenumbers[wavenumbers > 0]
    return {
        "version": __version__,
        "model": calc.potential.name,
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "periodic": bool(any(atoms.pbc)),
        "energy": report.energy,
        "max_force": report.max_force,
        "unrelaxed_max_force": report.initial_max_force,
        "relaxation_steps": report.n_steps,
        "wavenumbers_cm1": wavenumbers.tolist(),
        "whole_body_motions": n_removed,
        "imaginary_modes": int((wavenumbers < 0).sum()),
        "zero_point_energy": float(real.sum()) / CM1_PER_THZ * MEV_PER_THZ / 2000,
        "warnings": notes,
    }


def _write(folder: Path, atoms: Atoms, vibrations: VibrationsData, summary: dict[str, Any]) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write
    from ase.io.jsonio import write_json

    plain = atoms.copy()
    plain.calc = SinglePointCalculator(plain, energy=summary["energy"], forces=atoms.get_forces(apply_constraint=False))
    write(folder / "relaxed.extxyz", plain, format="extxyz")
    write_json(folder / "vibrations.json", vibrations)
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def _table(summary: dict[str, Any], output: Path) -> str:
    from .tables import Table

    text = Table(f"{summary['formula']}   {summary['model']}")
    text.group("structure")
    steps = f"{summary['relaxation_steps']} steps" if summary["relaxed"] else "none, as asked"
    text.row("relaxation", steps)
    text.row("largest force", f"{summary['max_force']:.1e} eV/Å (before: {summary['unrelaxed_max_force']:.1e})")
    if summary["periodic"]:
        text.row("periodicity", "the cell is periodic: these are its vibrations at Γ, the cell fixed")
    text.group("vibrations (1/cm)")
    values = [f"{-x:.1f}i" if x < 0 else f"{x:.1f}" for x in summary["wavenumbers_cm1"]]
    text.row("wavenumbers", "  ".join(values) or "none")
    text.row("whole-body motions", f"{summary['whole_body_motions']} projected out")
    text.row("zero-point energy", f"{summary['zero_point_energy']:.4f} eV")
    if summary["imaginary_modes"]:
        text.row("stability", f"{summary['imaginary_modes']} imaginary: not a minimum of the energy")
    for note in summary["warnings"]:
        text.row("note", note)
    text.group(f"results in {output}")
    text.paragraph(", ".join(FILES))
    return str(text)
