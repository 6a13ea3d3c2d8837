"""Stars of triplets of wave vectors: Phi(q1, q2, q3) of a few gives that of all that fit a supercell.

The three may be exchanged with their axes; an operation f -> W f + t that takes atom i to g(i) in the cell S_i turns
all three at once, and time reversal conjugates. In the lattice phase, as for D(q) (`stars`),

    Phi_gi,gj,gk(q1, q2, q3) = exp[2 pi i (q1.S_i + q2.S_j + q3.S_k)] P P P Phi_ijk(W^T q1, W^T q2, W^T q3).

What leaves a triplet as it is averages its Phi, so that the whole obeys permutations and the space group to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from .stars import Operations, wave_vector_keys

# The places of the first, second and third wave vector of a triplet among those of its representative.
_ORDERS = np.array(list(permutations(range(3))))


@dataclass(frozen=True, eq=False)
class TripletStars:
    """Stars of all triplets of a set of wave vectors that is closed under sums, as those of a supercell are.

    Attributes:
        qpoints: (n_q, 3) reduced.
        thirds: (n_q, n_q) which wave vector closes a triplet with the first and the second.
        chosen: (n_operations,) the operations, and after them those with time reversal, that keep the set.
        back: (n_operations, n_q) the wave vector that each operation takes to a wave vector.
        triplets: (stars, 3) a representative of each star.
        members: of each star (members, 4): first and second wave vector, operation, order; those that lead to one
            pair of wave vectors stand for the same matrix.
    """

    qpoints: np.ndarray
    thirds: np.ndarray
    chosen: np.ndarray
    back: np.ndarray
    triplets: np.ndarray
    members: list[np.ndarray]

    @classmethod
    def of(cls, qpoints: np.ndarray, operations: Operations) -> TripletStars:
        """Stars of all triplets of wave vectors (n_q, 3) that are closed under sums."""
        places = {key: number for number, key in enumerate(wave_vector_keys(qpoints))}
        n_q = len(qpoints)
        sums = -(qpoints[:, None] + qpoints).reshape(-1, 3)
        thirds = np.array([places[key] for key in wave_vector_keys(sums)]).reshape(n_q, n_q)
        turns = np.concatenate([operations.rotations, -operations.rotations]).transpose(0, 2, 1)
        chosen, back = [], []
        for number, turn in enumerate(turns):
            found = [places.get(key) for key in wave_vector_keys(qpoints @ turn.T)]
            if None not in found:
                chosen.append(number)
                back.append(found)
        return cls._sorted(qpoints, thirds, np.array(chosen), np.array(back))

    @classmethod
    def _sorted(cls, qpoints: np.ndarray, thirds: np.ndarray, chosen: np.ndarray, back: np.ndarray) -> TripletStars:
        n_q, n_operations = len(qpoints), len(chosen)
        forth = np.argsort(back, axis=1)
        star_of = np.full((n_q, n_q), -1)
        triplets: list[np.ndarray] = []
        members: list[np.ndarray] = []
        operation, order = (z.ravel() for z in np.indices((n_operations, len(_ORDERS))))
        for first in range(n_q):
            for second in range(n_q):
                if star_of[first, second] >= 0:
                    continue
                triplet = np.array([first, second, thirds[first, second]])
                images = forth[:, triplet][:, _ORDERS].reshape(-1, 3)  # by operation, then by order
                star_of[images[:, 0], images[:, 1]] = len(triplets)
                triplets.append(triplet)
                members.append(np.stack([images[:, 0], images[:, 1], operation, order], 1))
        return cls(qpoints, thirds, chosen, back, np.array(triplets), members)

    def __len__(self) -> int:
        return len(self.triplets)

    def unfolded(self, matrices: np.ndarray, operations: Operations) -> np.ndarray:
        """Phi of all pairs of wave vectors, the third closing them, from those of representatives.

        Args:
            matrices: (stars, 3n, 3n, 3n).

        Returns:
            (n_q, n_q, 3n, 3n, 3n) complex.
        """
        n_q, size = len(self.qpoints), matrices.shape[1]
        result = np.zeros((n_q, n_q, size, size, size), complex)
        counts = np.zeros((n_q, n_q))
        stars = np.repeat(np.arange(len(self)), [len(own) for own in self.members])
        first, second, operation, order = np.concatenate(self.members).T
        np.add.at(counts, (first, second), 1)
        kinds = operation * len(_ORDERS) + order
        by_kind = np.argsort(kinds, kind="stable")
        for some in np.split(by_kind, np.flatnonzero(np.diff(kinds[by_kind])) + 1):
            q = self.qpoints[np.stack([first[some], second[some], self.thirds[first[some], second[some]]])]
            axes = _ORDERS[order[some[0]]]
            own = matrices[stars[some]].transpose(0, *(1 + axes))
            result[first[some], second[some]] += _moved(own, operations, int(self.chosen[operation[some[0]]]), q)
        return result / counts[:, :, None, None, None]


def _moved(matrices: np.ndarray, operations: Operations, number: int, q: np.ndarray) -> np.ndarray:
    """Matrices (m, 3n, 3n, 3n) turned by one operation, or by one with time reversal, to wave vectors (3, m, 3)."""
    reverse, g = divmod(number, len(operations.rotations))
    n = operations.images.shape[1]
    p = operations.cartesian[g]
    result = (matrices.conj() if reverse else matrices).reshape(-1, n, 3, n, 3, n, 3)
    result = np.einsum("xa,yb,zc,miajbkc->mixjykz", p, p, p, result, optimize=True)
    one, two, three = np.exp(2j * np.pi * q @ operations.cells[g].T)  # each (m, n)
    phases = one[:, :, None, None] * two[:, None, :, None] * three[:, None, None]
    result *= phases[:, :, None, :, None, :, None]
    back = np.argsort(operations.images[g])
    return result[:, back][:, :, :, back][..., back, :].reshape(matrices.shape)


def compute_all(
    qpoints: np.ndarray, operations: Operations, compute: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Phi of all pairs of a closed set of wave vectors (n_q, 3): (n_q, n_q, 3n, 3n, 3n).

    Args:
        compute: wave vectors and triplets (m, 3) of their indices -> (m, 3n, 3n, 3n).
    """
    stars = TripletStars.of(qpoints, operations)
    return stars.unfolded(compute(qpoints, stars.triplets), operations)
