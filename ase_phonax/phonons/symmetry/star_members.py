"""One member of a star of wave vectors speaks for all: labels that do not depend on which one is named.

An operation {g|τ} of the crystal turns the modes at q into those at q g⁻¹, and what acts on them from {R|t} into
{g R g⁻¹ | g t + τ - g R g⁻¹ τ}, with the same characters. Time reversal leads to -q, with their conjugates. So the
modes of every member can be named at one of them, and B1 stays B1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

_DIGITS = 5  # of reduced coordinates: members nearer than this are one
_STEPS = np.array(list(product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True)
class StarMember:
    """A member of a star, and what leads to it from the wave vector asked for.

    Attributes:
        qpoint: (3,) in the first Brillouin zone, reduced coordinates.
        rotation, translation: (3, 3) and (3,) of an operation that leads there, up to a reciprocal lattice vector.
        reversed: time reversal follows.
    """

    qpoint: NDArray[np.float64]
    rotation: NDArray[np.int64]
    translation: NDArray[np.float64]
    reversed: bool

    def moved(
        self, rotations: NDArray[np.int64], translations: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Operations (n, 3, 3) and (n, 3) of the wave vector asked for, as they are at this member."""
        g = self.rotation
        there = np.rint(g @ rotations @ np.linalg.inv(g)).astype(np.int64)
        return there, translations @ g.T + self.translation - there @ self.translation


def star_members(
    q: NDArray[np.float64],
    rotations: NDArray[np.int64],
    translations: NDArray[np.float64],
    cell: NDArray[np.float64],
    standard: NDArray[np.float64],
) -> list[StarMember]:
    """All members of the star of q and of -q, in one order whichever of them is given.

    Those whose components along the standard axes are positive come first, and then the smaller first component.
    Wave vectors on the surface of the zone count with all equivalents there.

    Args:
        q: (3,) reduced coordinates.
        rotations, translations: (n, 3, 3) and (n, 3) of the space group, reduced.
        cell: (3, 3) primitive vectors in rows [Å].
        standard: (3, 3) P of the standard setting, x_standard = P x + p.
    """
    reciprocal = np.linalg.inv(cell).T
    _, reduction = minkowski_reduce(reciprocal)
    members: dict[tuple[float, ...], StarMember] = {}
    for rotation, translation in zip(rotations, translations, strict=True):
        turned = q @ np.rint(np.linalg.inv(rotation))
        for back in (False, True):
            for point in _shortest(-turned if back else turned, reciprocal, reduction):
                along = np.round(point @ np.linalg.inv(standard), _DIGITS) + 0.0
                key = (float(np.sum(along < 0)), *along.tolist())
                members.setdefault(key, StarMember(point, rotation, translation, back))
    return [members[key] for key in sorted(members)]


def _shortest(q: NDArray, reciprocal: NDArray, reduction: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, 3) q plus reciprocal lattice vectors, where that is shortest; `reduction` @ reciprocal is reduced."""
    inside = q @ np.linalg.inv(reduction)
    candidates = (inside - np.rint(inside) + _STEPS) @ reduction
    lengths = np.linalg.norm(candidates @ reciprocal, axis=1)
    # 1e-5 of a reciprocal vector: coordinates are typed with as many digits.
    return candidates[lengths < lengths.min() + 1e-5 * np.linalg.norm(reciprocal, axis=1).min()]
