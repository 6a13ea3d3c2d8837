"""A structure brought to a stationary point of the potential, its space group kept.

Phonons are second derivatives at a point where the first ones vanish. With the symmetry imposed a
crystal takes few steps, cannot slide down an unstable mode, and stays the crystal that was asked for:
an unstable one is a result of the phonons, not something to be relaxed away unseen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.optimize.cellawarebfgs import CellAwareBFGS

from ..base.errors import RelaxationError, StructureError, UnstableWarning, check_calculator
from .checks import check_structure
from .layers import layer_constraint
from .space_groups import SPGLIB_ERROR, SYMPREC, SpaceGroup, get_space_group, no_space_group

FMAX = 1e-4  # [eV/Å]
SMAX = 1e-4  # [eV] volume times stress per atom, the scale of ASE's cell filters; tighter than 1e-4 eV/Å³
MAX_STEPS = 500
LONGEST_STEP = 0.1  # [Å], and strain: FixSymmetry warns above 0.15 and raises above 0.25
STEPS_BEFORE_FRESH_START = 150  # then the Hessian estimate is more likely the problem than the help
LARGE_VOLUME_CHANGE = 0.08  # functionals, which potentials imitate, are mostly within 5 % of experiment
LARGE_FORCE = 1e-2  # [eV/Å] of a structure taken as it is

Callback = Callable[[int, float, float], None]


@dataclass(frozen=True)
class RelaxationReport:
    """What a relaxation did.

    Attributes:
        n_steps: optimizer steps taken; 0 where the structure was relaxed already.
        energy: at the end [eV].
        initial_max_force: largest force on an atom before, as far as constraints let it move [eV/Å].
        initial_max_stress: largest entry of the stress before [eV/Å³]; None without periodicity, or where the cell is
            held and the calculator gives none.
        max_force: after.
        max_stress: after; with `fix_cell` whatever remains, with `fix_volume` mostly pressure.
        volume_change: relative.
        symmetrised_by: largest distance an atom was moved to make the symmetry exact, before the first step [Å].
        space_group_before: as found in the structure given; None where symmetry was not imposed.
        space_group_after: as found in the result.
        held_force: largest force that constraints hold at the end [eV/Å]; 0 without constraints. Second derivatives
            of all atoms are then not those of a stationary point.
    """

    n_steps: int
    energy: float
    initial_max_force: float
    initial_max_stress: float | None
    max_force: float
    max_stress: float | None
    volume_change: float
    symmetrised_by: float
    space_group_before: SpaceGroup | None
    space_group_after: SpaceGroup | None
    held_force: float = 0.0


def relax(
    atoms: Atoms,
    calc: Any,
    *,
    fix_cell: bool = False,
    fix_volume: bool = False,
    vacuum_axis: int | None = None,
    fmax: float = FMAX,
    smax: float = SMAX,
    max_steps: int = MAX_STEPS,
    symprec: float = SYMPREC,
    callback: Callback | None = None,
) -> tuple[Atoms, RelaxationReport]:
    """The nearest stationary point with the same space group.

    A crystal is made exactly symmetric (within `symprec`) and kept so; its cell relaxes with it. Where
    the structure is not periodic in three directions the cell is fixed and no symmetry imposed; where
    it carries constraints, those are kept instead of the symmetry.

    Args:
        atoms: structure to start from; not changed.
        calc: ASE calculator with energy and forces, and stress unless the cell is fixed.
        fix_cell: move atoms only.
        fix_volume: move atoms and the shape of the cell; the pressure that remains is part of the result.
        vacuum_axis: cell vector of a layer that stays as it is, with the plane of the others (`layers`).
        fmax: largest force on an atom at the end [eV/Å].
        smax: largest volume x stress / n_atoms at the end [eV], as ASE's cell filters scale it.
        max_steps: optimizer steps before giving up.
        symprec: distance below which positions count as equal [Å].
        callback: called as callback(step, max_force, max_stress) at every step [eV/Å, eV/Å³].

    Returns:
        relaxed copy with the calculator attached and the constraints it came with, and the report.

    Raises:
        StructureError: no energy can be computed for it; `fix_volume` without periodicity in three directions; or
            vectors so long that spglib fails.
        InputError: no calculator.
        RelaxationError: not stationary after `max_steps`; the values reached are in the message.
    """
    check_structure(atoms)
    check_calculator(calc, "get_forces")
    relaxed = atoms.copy()
    relaxed.calc = calc
    periodic = bool(all(relaxed.pbc))
    if fix_volume and not periodic:
        raise StructureError(
            f"the structure has pbc {relaxed.pbc.tolist()} and its volume is to be kept",
            "only a cell that repeats in three directions has a volume",
            "set atoms.pbc = True for a crystal, or leave out fix_volume",
        )
    held = "cell" if fix_cell or not periodic else "volume" if fix_volume else "nothing"
    initial_force, initial_stress = largest_force(relaxed), _known_stress(relaxed, held)
    symmetric = periodic and not atoms.constraints
    before = get_space_group(relaxed, symprec) if symmetric else None
    if symmetric:
        try:
            relaxed.set_constraint(FixSymmetry(relaxed, symprec=symprec))
        except SPGLIB_ERROR as error:
            raise no_space_group(atoms, symprec, error) from error
    symmetrised_by = _largest_shift(atoms, relaxed) if symmetric else 0.0
    if vacuum_axis is not None:
        relaxed.set_constraint([*relaxed.constraints, layer_constraint(relaxed.cell[:], vacuum_axis)])

    n_steps, converged = _optimize(relaxed, held, fmax, smax, max_steps, callback)
    relaxed.set_constraint(atoms.constraints)
    if not converged:
        raise _not_converged(relaxed, n_steps, fmax, smax)
    _check_result(relaxed)
    after = get_space_group(relaxed, symprec) if symmetric else None
    volume_change = float(relaxed.cell.volume / atoms.cell.volume - 1) if periodic else 0.0
    _warn_of_surprises(before, after, volume_change)
    return relaxed, RelaxationReport(
        n_steps=n_steps,
        energy=float(relaxed.get_potential_energy()),
        initial_max_force=initial_force,
        initial_max_stress=initial_stress,
        max_force=largest_force(relaxed),
        max_stress=_known_stress(relaxed, held),
        volume_change=volume_change,
        symmetrised_by=symmetrised_by,
        space_group_before=before,
        space_group_after=after,
        held_force=held_force(relaxed),
    )


def report_unrelaxed(atoms: Atoms, calc: Any, symprec: float = SYMPREC) -> tuple[Atoms, RelaxationReport]:
    """A structure left as it is, and the same report on it, with a warning where it is far from stationary.

    Args:
        atoms: structure; not changed.
        calc: ASE calculator with energy and forces; the stress of a crystal is reported where there is one.
        symprec: distance below which positions count as equal [Å].
    """
    check_structure(atoms)
    check_calculator(calc, "get_forces")
    same = atoms.copy()
    same.calc = calc
    periodic = bool(all(same.pbc))
    force, stress = largest_force(same), _known_stress(same, "cell")
    group = get_space_group(same, symprec) if periodic else None
    if force > LARGE_FORCE:
        warnings.warn(
            f"The structure is not relaxed: the largest force is {force:.3g} eV/Å, and frequencies away from a"
            " stationary point are shifted and may turn imaginary for no physical reason.",
            UnstableWarning,
            stacklevel=2,
        )
    report = RelaxationReport(
        0, float(same.get_potential_energy()), force, stress, force, stress, 0.0, 0.0, group, group, held_force(same)
    )
    return same, report


def largest_force(atoms: Atoms) -> float:
    """Largest norm of a force on an atom, as far as constraints let it move [eV/Å]."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def held_force(atoms: Atoms) -> float:
    """Largest norm of a force, or part of one, that constraints hold [eV/Å]."""
    if not atoms.constraints:
        return 0.0
    held = atoms.get_forces(apply_constraint=False) - atoms.get_forces()
    return float(np.linalg.norm(held, axis=1).max())


def largest_stress(atoms: Atoms) -> float:
    """Largest absolute entry of the stress tensor, whatever the constraints [eV/Å³]."""
    return float(np.abs(atoms.get_stress(apply_constraint=False)).max())


def _known_stress(atoms: Atoms, held: str) -> float | None:
    """The largest stress of a crystal; None where it is not given, and the cell is held."""
    if not all(atoms.pbc):
        return None
    try:
        return largest_stress(atoms)
    except NotImplementedError:  # ASE's error of what a calculator does not give
        if held != "cell":
            raise
        return None


class _ShapeBFGS(CellAwareBFGS):
    """Ends when the stress is a pure pressure: ASE's own would wait for the pressure to vanish as well."""

    def gradient_converged(self, gradient: Any) -> bool:
        strained: Any = self.atoms
        stress = strained.atoms.get_stress(voigt=False)
        deviator = stress - np.trace(stress) / 3 * np.eye(3)
        forces = np.linalg.norm(strained.atoms.get_forces(), axis=1)
        return bool(forces.max() < self.fmax and np.abs(deviator).max() < self.smax)


def _optimize(
    atoms: Atoms, held: str, fmax: float, smax: float, max_steps: int, callback: Callback | None
) -> tuple[int, bool]:
    """Steps taken and whether the last one was stationary; `atoms` are moved."""
    n_steps = 0
    no_log: Any = None  # ASE annotates text and files only
    while True:
        if held == "cell":
            optimizer: Any = BFGS(atoms, logfile=no_log, maxstep=LONGEST_STEP)
            limits = {"fmax": fmax}
        else:
            # The elastic start Hessian needs cell variables that are plain strains: exp_cell_factor 1.
            strained: Any = FrechetCellFilter(atoms, exp_cell_factor=1.0, constant_volume=held == "volume")
            kind = _ShapeBFGS if held == "volume" else CellAwareBFGS
            optimizer = kind(strained, logfile=no_log, maxstep=LONGEST_STEP)
            limits = {"fmax": fmax, "smax": smax * len(atoms) / atoms.cell.volume}
        done = n_steps
        optimizer.attach(lambda done=done, opt=optimizer: _watch(atoms, done + opt.nsteps, held, callback))
        budget = min(STEPS_BEFORE_FRESH_START, max_steps - n_steps)
        converged = bool(optimizer.run(**limits, steps=budget))
        n_steps += optimizer.nsteps
        if converged or n_steps >= max_steps:
            return n_steps, converged


def _watch(atoms: Atoms, step: int, held: str, callback: Callback | None) -> None:
    force = largest_force(atoms)
    if not np.isfinite(force):
        raise RelaxationError(
            f"forces are not finite at step {step} of the relaxation",
            "the structure has left the region where the potential means anything",
            "start from a more reasonable structure, or use another model",
        )
    if callback is not None:
        callback(step, force, 0.0 if held == "cell" else largest_stress(atoms))


def _largest_shift(before: Atoms, after: Atoms) -> float:
    """Largest displacement of an atom, the affine part of a changed cell left aside [Å]."""
    shift = after.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)
    return float(np.linalg.norm((shift - np.rint(shift)) @ before.cell[:], axis=1).max())


def _check_result(atoms: Atoms) -> None:
    try:
        check_structure(atoms)
    except StructureError as error:
        raise RelaxationError(
            f"the relaxation ended in a collapsed structure: {error.what}",
            "the potential has an unphysical hole there",
            "start from a more reasonable structure, or use another model",
        ) from error


def _not_converged(atoms: Atoms, n_steps: int, fmax: float, smax: float) -> RelaxationError:
    reached = f"largest force {largest_force(atoms):.3g} eV/Å (wanted {fmax:g})"
    if all(atoms.pbc):
        limit = smax * len(atoms) / atoms.cell.volume
        reached += (
            f", largest stress {largest_stress(atoms):.3g} eV/Å³ (wanted {limit:.2g} unless cell or volume are fixed)"
        )
    return RelaxationError(
        f"the structure did not relax in {n_steps} steps: {reached}",
        "away from a stationary point frequencies are shifted and may turn imaginary for no physical reason",
        "allow more steps, start from a better structure, or skip relaxation (`no_relax=True`) and read the forces",
    )


def _warn_of_surprises(before: SpaceGroup | None, after: SpaceGroup | None, volume_change: float) -> None:
    if before != after:
        warnings.warn(
            f"The relaxation took the structure from space group {before} to {after}.", UnstableWarning, stacklevel=3
        )
    if abs(volume_change) > LARGE_VOLUME_CHANGE:
        warnings.warn(
            f"The volume changed by {100 * volume_change:+.0f} % in the relaxation: the potential may be wrong for this"
            " structure. Compare with another model, such as a larger one (`ase-phonax models`).",
            UnstableWarning,
            stacklevel=3,
        )
