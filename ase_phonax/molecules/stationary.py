"""A molecule brought to a stationary point, as closely as its Hessian can; and what lies beside a saddle point."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import NDArray

from ..base.errors import InputError, RelaxationError, StructureError, UnstableWarning
from ..base.units import CM1_PER_THZ, THZ_PER_SQRT_EV_A2_AMU
from ..structures.relaxation import Callback, RelaxationReport, held_force, largest_force, relax, report_unrelaxed
from .calculators import ModelCalculator, reach_of
from .defaults import TOLERANCE
from .normal_modes import NormalModes, check_molecule, held_but, normal_modes, refuse_field

if TYPE_CHECKING:
    from ..base.progress import Progress

FMAX = 1e-3  # [eV/Å] left to the optimizer; the Hessian does the rest in one or two steps
ENOUGH = 1e-8  # [eV/Å] rotations are then below 0.1 cm⁻¹ in any molecule
STEPS, LONGEST = 4, 0.05  # of Newton's method; a longer one [Å] leaves the neighbourhood in which it is right
FLAT_CM1 = 1.0  # along what is softer than this Newton's steps mean nothing
NOT_ROUNDING = 1e-6  # [eV/Å] left after Newton's steps: worth a word
BONDED, APART = 1.2, 1.5  # times the sum of covalent radii: nearer than one, farther than the other
MAX_NAMED = 4  # bonds in a warning
FOLLOWED_BY = 0.1  # [Å] largest displacement along a mode before the molecule slides down


@dataclass(frozen=True)
class Side:
    """Where a molecule comes to rest on one side of a saddle point.

    Attributes:
        atoms: relaxed, with its calculator.
        energy: relative to the saddle point [eV].
        report: of the relaxation.
    """

    atoms: Atoms
    energy: float
    report: RelaxationReport


def stationary_modes(
    atoms: Atoms,
    calc: ModelCalculator,
    *,
    relaxed: bool = True,
    indices: Sequence[int] | None = None,
    callback: Callback | None = None,
    progress: Progress | None = None,
    tolerance: float = TOLERANCE,
) -> tuple[NormalModes, RelaxationReport]:
    """Relax a molecule, and compute its normal modes there.

    The optimizer stops at 1e-3 eV/Å; Newton's method goes on from there with the exact Hessian until forces are
    rounding, which is when rotations have no frequency. It keeps the kind of stationary point: a molecule that
    symmetry holds on a saddle point stays there, and its imaginary modes say so.

    Args:
        atoms: one molecule; not changed.
        calc: `PhonaxCalculator`.
        relaxed: False takes the geometry as it is, with a warning where it is far from stationary.
        indices: atoms that move, in relaxation and modes; the others stay where they are. All but those held by
            FixAtoms unless given.
        callback: of the relaxation, called with (step, max_force, max_stress).
        progress: of each Hessian, called with (done, total) columns.
        tolerance: of the point group [Å].

    Raises:
        StructureError, InputError: as `normal_modes`.
        RelaxationError: no stationary point was reached.
    """
    refuse_field(calc)  # before anything is relaxed
    start = held_but(atoms, indices)
    if not relaxed:
        same, report = report_unrelaxed(start, calc)
        return normal_modes(same, calc, progress=progress, tolerance=tolerance), report
    cutoff = reach_of(calc)
    check_molecule(start, cutoff)
    there, report = relax(start, calc, fix_cell=True, fmax=FMAX, callback=callback)
    _check_still_one(start, there, cutoff)
    modes = normal_modes(there, calc, progress=progress, tolerance=tolerance)
    force = largest_force(there)
    for _ in range(STEPS):
        step = _newton_step(modes, there.get_forces())
        if force <= ENOUGH or not 0 < np.linalg.norm(step, axis=1).max() <= LONGEST:
            break
        moved = there.copy()
        moved.positions += step
        moved.calc = calc
        if (new := largest_force(moved)) >= force:
            break
        there, force = moved, new
        modes = normal_modes(there, calc, progress=progress, tolerance=tolerance)
    if force > NOT_ROUNDING:
        warnings.warn(
            f"The largest force that is left is {force:.1e} eV/Å, and not rounding: where the energy is flat, Newton's "
            "steps are too long to be trusted. Soft modes are uncertain.",
            UnstableWarning,
            stacklevel=2,
        )
    energy = float(there.get_potential_energy())
    return modes, replace(report, max_force=force, energy=energy, held_force=held_force(there))


def _check_still_one(before: Atoms, after: Atoms, cutoff: float | None) -> None:
    """Warn where a relaxed molecule is not the one that was given, as far as its bonds say.

    Raises:
        RelaxationError: it came apart.
    """
    try:
        check_molecule(after, cutoff)
    except StructureError as error:
        raise RelaxationError(
            f"the molecule came apart while it was relaxed: {error.what}",
            "what is left has no modes of one molecule",
            "look at the structure: the model may not know such bonds; `no_relax=True` takes it as it is",
        ) from error
    # What was bonded and is far apart now, and the reverse: a bond that is merely long is no news.
    broken, formed = _bonds(before, BONDED) - _bonds(after, APART), _bonds(after, BONDED) - _bonds(before, APART)
    named = [f"{symbol}{k + 1}" for k, symbol in enumerate(after.symbols)]
    changes = [f"{named[i]}–{named[j]} broke" for i, j in sorted(broken)]
    changes += [f"{named[i]}–{named[j]} formed" for i, j in sorted(formed)]
    if changes:
        more = f" and {len(changes) - MAX_NAMED} more" if len(changes) > MAX_NAMED else ""
        warnings.warn(
            f"Bonds changed in the relaxation (atoms counted from 1): {', '.join(changes[:MAX_NAMED])}{more}. "
            "It may be another molecule than the one given.",
            UnstableWarning,
            stacklevel=3,
        )


def _bonds(atoms: Atoms, factor: float) -> set[tuple[int, int]]:
    """Pairs nearer than a multiple of the sum of their covalent radii."""
    i, j = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=factor))
    return {(int(a), int(b)) for a, b in zip(i, j, strict=True) if a < b}


def follow_imaginary(
    modes: NormalModes, calc: ModelCalculator, mode: int = 1, *, callback: Callback | None = None
) -> tuple[Side, Side]:
    """Displace a molecule along a mode of negative curvature, both ways, and relax it.

    Args:
        modes: at a saddle point.
        calc: `PhonaxCalculator`.
        mode: counted from 1.
        callback: of each relaxation.

    Raises:
        InputError: the mode is not imaginary.
        RelaxationError: a side leads nowhere.
    """
    if mode not in modes.imaginary:
        real = f"{modes.wavenumbers[mode - 1]:.1f} cm⁻¹" if 1 <= mode <= len(modes.wavenumbers) else "not there"
        raise InputError(
            f"mode {mode} is {real}, not imaginary",
            "from a minimum there is nothing to slide down to",
            f"name one of the imaginary modes: {', '.join(map(str, modes.imaginary))}"
            if modes.imaginary
            else "leave it out: this molecule is at a minimum, all its modes are real",
        )
    start = modes.atoms
    start.calc = calc
    saddle = start.get_potential_energy()
    pattern = modes.displacements[mode - 1]
    pattern = pattern * FOLLOWED_BY / np.linalg.norm(pattern, axis=1).max()
    sides = []
    for sign in (1, -1):
        moved = start.copy()
        moved.positions += sign * pattern
        rested, report = relax(moved, calc, fix_cell=True, callback=callback)
        sides.append(Side(rested, report.energy - saddle, report))
    return sides[0], sides[1]


def _newton_step(modes: NormalModes, forces: NDArray) -> NDArray:
    """(n_atoms, 3) displacements at which forces along all modes but flat ones would vanish [Å]."""
    curvatures = np.sign(modes.wavenumbers) * (modes.wavenumbers / (CM1_PER_THZ * THZ_PER_SQRT_EV_A2_AMU)) ** 2
    steep = np.abs(modes.wavenumbers) > FLAT_CM1
    along = np.einsum("kia,ia->k", modes.displacements, forces)
    return np.einsum("k,kia->ia", np.where(steep, along / np.where(steep, curvatures, 1.0), 0.0), modes.displacements)
