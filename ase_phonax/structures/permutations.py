"""Which atom each space-group operation of a supercell takes to which: composed, not searched.

phonopy finds these permutations with one search over all pairs of atoms for each operation, and a
supercell of N cells has N times the operations of its primitive cell. Here the pure translations are
integers modulo N, the operations of one rotation differ by a translation, and so one search for each
rotation is enough. docs/upstream.md has the times and the patch proposed to phonopy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

INTEGER = 0.1  # how far a translation in units of the supercell's N-th part may lie from an integer


def operation_permutations(
    positions: NDArray[np.float64],
    rotations: NDArray[np.int64],
    translations: NDArray[np.float64],
    lattice: NDArray[np.float64],
    symprec: float,
    types: ArrayLike | None,
) -> NDArray[np.int64] | None:
    """perm[k, i]: the atom that operation k takes atom i to.

    Args:
        positions: (n, 3) reduced.
        rotations, translations: (n_operations, 3, 3) and (n_operations, 3), x -> W x + t, reduced; a set closed
            under its pure translations, as spglib gives it.
        lattice: (3, 3) vectors in columns [Å].
        symprec: distance below which positions count as equal [Å].
        types: (n,) atoms of different type are never exchanged; None where all are of one.

    Returns:
        (n_operations, n); None where the operations or positions do not allow it (positions off by more than
        symprec, translations that are no group): the slow search then has to decide.
    """
    n = len(positions)
    kinds = np.zeros(n, int) if types is None else np.unique(np.asarray(types), return_inverse=True)[1].ravel()
    codes = (rotations.reshape(-1, 9) + 8) @ 17 ** np.arange(9)
    pure = np.flatnonzero(codes == (np.eye(3, dtype=int).ravel() + 8) @ 17 ** np.arange(9))
    shifts = _Translations.build(translations[pure], positions, kinds, lattice, symprec) if len(pure) else None
    if shifts is None:
        return None
    result = np.empty((len(rotations), n), np.int64)
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        first = members[0]
        image = positions @ rotations[first].T + translations[first]
        permutation = _nearest(positions, image, kinds, lattice, symprec)
        steps = shifts.find(translations[members] - translations[first])
        if permutation is None or steps is None:
            return None
        result[members] = shifts.permutations[np.ix_(steps, permutation)]
    return result


class _Translations:
    """The pure translations of a supercell as integers modulo their number, and what they do to its atoms."""

    def __init__(self, keys: NDArray[np.int64], order: NDArray[np.int64], permutations: NDArray[np.int64]):
        self._keys, self._order, self.permutations = keys, order, permutations

    @classmethod
    def build(cls, translations, positions, kinds, lattice, symprec) -> _Translations | None:
        size = len(translations)
        own = _integers(translations, size)
        if own is None:
            return None
        order = np.argsort(_key(own, size))
        self = cls(_key(own, size)[order], order, np.empty((size, len(positions)), np.int64))
        # Every atom is one translation of the representative of its orbit.
        rest = np.ones(len(positions), bool)
        sums = self._find(_key(own[:, None] + own[None], size))
        if sums is None:
            return None
        while rest.any():
            representative = int(np.argmax(rest))
            orbit = np.flatnonzero(rest & (kinds == kinds[representative]))
            difference = (positions[orbit] - positions[representative]) * size
            keys = _key(np.rint(difference).astype(np.int64), size)
            # Integer alone is not enough: the second atom of a basis may lie at an integer that is no translation.
            close = np.abs((difference - np.rint(difference)) / size @ lattice.T).max(axis=1) < symprec
            close &= np.isin(keys, self._keys)
            orbit, elements = orbit[close], self._find(keys[close])
            if elements is None or len(orbit) != size:
                return None
            atoms = np.empty(size, np.int64)
            atoms[elements] = orbit
            self.permutations[:, orbit] = atoms[sums[:, elements]]
            rest[orbit] = False
        return self

    def find(self, translations: NDArray[np.float64]) -> NDArray[np.int64] | None:
        """Indices of these translations; None if one is missing."""
        integers = _integers(translations, len(self._keys))
        return None if integers is None else self._find(_key(integers, len(self._keys)))

    def _find(self, keys: NDArray[np.int64]) -> NDArray[np.int64] | None:
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return self._order[places] if np.array_equal(self._keys[places], keys) else None


def _integers(translations: NDArray[np.float64], size: int) -> NDArray[np.int64] | None:
    scaled = translations * size
    integers = np.rint(scaled)
    return integers.astype(np.int64) if np.abs(scaled - integers).max() < INTEGER else None


def _key(integers: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return (integers % size) @ np.array([size * size, size, 1])


def _nearest(positions, image, kinds, lattice, symprec) -> NDArray[np.int64] | None:
    """perm with positions[perm] = image modulo the lattice, within symprec; None if there is none."""
    permutation = np.empty(len(positions), np.int64)
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        tree = cKDTree(_wrapped(positions[mine]), boxsize=1.0)
        permutation[mine] = mine[tree.query(_wrapped(image[mine]))[1]]
    difference = positions[permutation] - image
    distances = np.linalg.norm((difference - np.rint(difference)) @ lattice.T, axis=1)
    fits = distances.max() < symprec and len(np.unique(permutation)) == len(permutation)
    return permutation if fits else None


def _wrapped(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = positions - np.floor(positions)
    inside[inside >= 1.0] = 0.0  # -1e-17 - floor(-1e-17) is 1
    return inside
