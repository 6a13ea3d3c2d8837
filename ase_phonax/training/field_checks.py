"""Units and signs of electric fields, tested against the labels of molecules in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import InputError
from ..models.fields import ATOMIC_UNIT, DEBYE
from .consistency import BOHR, CORRELATION, HARTREE, compare

if TYPE_CHECKING:
    from .labels.frames import Frame

CHARGED = 0.5  # e; noise of the sum of forces is below that in fields whose effect on forces is not lost in it
# Factor by which changes of the energy differ from dipoles times fields -> what was likely done.
LIKELY_FIELDS = {
    -1.0: "fields, or dipoles, of the opposite sign",
    ATOMIC_UNIT: "fields in atomic units",
    1 / ATOMIC_UNIT: "fields multiplied by an atomic unit once too often",
    DEBYE: "dipoles in Debye",
    BOHR: "dipoles in e bohr",
    1 / BOHR: "energies and fields in atomic units, dipoles in eÅ",
    1 / HARTREE: "energies in Hartree",
    0.1: "fields in V/nm",
}
CONVERT = "convert to eV, eÅ and V/Å; a dipole points from negative to positive charge, a field pushes positive charge"


def check_neutral(frames: Sequence[Frame]) -> None:
    """Refuse forces in fields that add up to those on a charge: a field pushes a neutral molecule nowhere."""
    groups: dict[bytes, list[tuple[Frame, np.ndarray, np.ndarray]]] = {}
    for frame in frames:
        if frame.field is not None and frame.forces is not None:
            own = frame, frame.field, np.asarray(frame.forces).sum(0)
            groups.setdefault(np.sort(frame.atoms.numbers).tobytes(), []).append(own)
    for group in groups.values():
        fields, sums = (np.concatenate([own[k] for own in group]) for k in (1, 2))
        charge = float(sums @ fields / (fields @ fields))
        if abs(charge) > CHARGED and abs(sums @ fields) > CORRELATION * np.sqrt((sums @ sums) * (fields @ fields)):
            frame = group[0][0]
            raise InputError(
                f"{frame.origin or 'a frame'} ({frame.atoms.get_chemical_formula()}): its forces add up to those of the"
                f" field on a charge of {charge:.3g} e",
                "the dipole of an ion depends on the origin, and a model of neutral molecules cannot learn its forces",
                "leave out ions; of a neutral molecule, check the units of the field (V/Å) and of the forces (eV/Å)",
            )


def pairs_in_fields(frames: Sequence[Frame]) -> Iterator[tuple[Frame, Frame, np.ndarray]]:
    """Frames of the same atoms at the same positions, two at a time, and the change (3,) of the field [V/Å]."""
    groups: dict[tuple[bytes, bytes], list[Frame]] = {}
    for frame in frames:
        positions = np.round(frame.atoms.positions, 6) + 0.0
        groups.setdefault((frame.atoms.numbers.tobytes(), positions.tobytes()), []).append(frame)
    for a, b in (pair for group in groups.values() for pair in pairwise(group)):
        before, after = (np.zeros(3) if frame.field is None else frame.field for frame in (a, b))
        yield a, b, after - before


def check_dipoles(frames: Sequence[Frame]) -> None:
    """Refuse dipoles that are not minus the slope of the energy: one structure in two fields must obey dE = -mu.dF."""
    known = [frame for frame in frames if frame.energy is not None and frame.dipole is not None]
    changes: list[float] = []
    works: list[float] = []
    for a, b, moved in pairs_in_fields(known):
        assert a.energy is not None
        assert b.energy is not None
        assert a.dipole is not None
        assert b.dipole is not None
        changes.append(b.energy - a.energy)
        works.append(-0.5 * float((a.dipole + b.dipole) @ moved))
    what = "changes of the energy and dipoles times changes of the field"
    compare(changes, works, what, known, LIKELY_FIELDS, CONVERT)
