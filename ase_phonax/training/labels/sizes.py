"""Labels of a size that nothing has: one of them would rule every average."""

from collections.abc import Sequence

import numpy as np

from ...base.errors import InputError
from ..target import Target
from ..targets import TARGETS
from .frames import Frame

ENOUGH_ALIKE = 3  # frames, for a median


def check_sizes(frames: Sequence[Frame]) -> None:
    """Refuse single labels that nothing has (`targets.Limits`), and cells that cannot be.

    Raises:
        InputError: naming the frame.
    """
    for frame in frames:
        _check_cell(frame)
    for target in TARGETS:
        if np.isfinite(target.limits.largest):
            _check_largest(target, frames)
        if np.isfinite(target.limits.farthest):
            _check_farthest(target, frames)


def _check_largest(target: Target, frames: Sequence[Frame]) -> None:
    known = [(frame, np.asarray(value)) for frame in frames if (value := target.of(frame)) is not None]
    sizes = [float(np.abs(value).max(initial=0.0)) for _, value in known]
    limit = target.limits.largest
    if not known or (target.limits.many_are_a_unit and np.median(sizes) >= limit):
        return
    for (frame, value), size in zip(known, sizes, strict=True):
        n = max(1, len(frame.atoms))
        if target.extensive and size > limit * n:
            raise _absurd(frame, f"the {target.words} {float(value):.4g} {target.unit} of {n} atoms")
        if not target.extensive and size > limit:
            raise _absurd(frame, f"{target.singular} of {size:.4g} {target.unit}")


def _check_farthest(target: Target, frames: Sequence[Frame]) -> None:
    groups: dict[bytes, list[Frame]] = {}
    for frame in frames:
        if target.of(frame) is not None and len(frame.atoms):
            groups.setdefault(np.sort(frame.atoms.numbers).tobytes(), []).append(frame)
    for group in groups.values():
        values = np.array([target.of(frame) for frame in group], float) / len(group[0].atoms)
        apart = np.abs(values - np.median(values))
        worst = int(apart.argmax())
        if len(group) >= ENOUGH_ALIKE and apart[worst] > target.limits.farthest:
            size = f"{target.singular} of {values[worst]:.6g} {target.unit}/atom"
            middle = f"{np.median(values):.6g} is the median of {len(group)} frames of the same composition"
            raise _absurd(group[worst], f"{size}, and {middle}")


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
