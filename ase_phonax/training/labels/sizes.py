"""Labels of a size that nothing has: one of them would rule every average."""

from collections.abc import Sequence

import numpy as np

from ...base.errors import InputError
from .frames import Frame

# With all electrons the heaviest atom that there is has -1.5e6 eV.
LARGEST_ENERGY = 3e6  # eV/atom
# From the median of frames of the same composition. Nothing that holds together differs by that much.
FARTHEST_ENERGY = 1e3  # eV/atom
ENOUGH_ALIKE = 3  # frames, for a median
LARGEST_FORCE = 1e4  # eV/Å: of atoms that all but coincide
LARGEST_SINGLE_STRESS = 300.0  # eV/Å³, 48 TPa


def check_sizes(frames: Sequence[Frame]) -> None:
    """Refuse single labels that nothing has, and cells that cannot be.

    Raises:
        InputError: naming the frame.
    """
    for frame in frames:
        _check_cell(frame)
        n = max(1, len(frame.atoms))
        if frame.energy is not None and abs(frame.energy) > LARGEST_ENERGY * n:
            raise _absurd(frame, f"the energy {frame.energy:.4g} eV of {n} atoms")
        if frame.forces is not None and np.abs(frame.forces).max(initial=0.0) > LARGEST_FORCE:
            raise _absurd(frame, f"a force of {np.abs(frame.forces).max():.4g} eV/Å")
        if frame.stress is not None and np.abs(frame.stress).max() > LARGEST_SINGLE_STRESS * _units(frames):
            raise _absurd(frame, f"a stress of {np.abs(frame.stress).max():.4g} eV/Å³")
    groups: dict[bytes, list[Frame]] = {}
    for frame in frames:
        if frame.energy is not None and len(frame.atoms):
            groups.setdefault(np.sort(frame.atoms.numbers).tobytes(), []).append(frame)
    for group in groups.values():
        energies = np.array([frame.energy for frame in group], float) / len(group[0].atoms)
        apart = np.abs(energies - np.median(energies))
        worst = int(apart.argmax())
        if len(group) >= ENOUGH_ALIKE and apart[worst] > FARTHEST_ENERGY:
            raise _absurd(
                group[worst],
                f"an energy of {energies[worst]:.6g} eV/atom, and {np.median(energies):.6g} is the median of"
                f" {len(group)} frames of the same composition",
            )


def _units(frames: Sequence[Frame]) -> float:
    """Many large stresses are in another unit, which is another error: 1602 kbar to an eV/Å³."""
    sizes = [np.abs(frame.stress).max() for frame in frames if frame.stress is not None]
    return 1.0 if np.median(sizes) < LARGEST_SINGLE_STRESS else np.inf


def _check_cell(frame: Frame) -> None:
    atoms = frame.atoms
    missing = atoms.pbc & ~atoms.cell.array.any(axis=1)
    flat = atoms.pbc.all() and abs(np.linalg.det(atoms.cell.array)) < 1e-6
    if missing.any() or flat:
        raise InputError(
            f"{frame.origin or 'a frame'} is periodic (pbc {atoms.pbc.tolist()}) and has the cell "
            f"{atoms.cell.array.tolist()}",
            "periodic images would coincide, and a stress has no volume to refer to",
            'give the cell (Lattice="..." in extxyz), or set pbc to false and remove the stress',
        )


def _absurd(frame: Frame, what: str) -> InputError:
    return InputError(
        f"{frame.origin or 'a frame'} ({frame.atoms.get_chemical_formula()}) has {what}",
        "nothing has that: this one label would rule the loss and the reference energies",
        "remove the frame, whose calculation has failed, or check its units",
    )
