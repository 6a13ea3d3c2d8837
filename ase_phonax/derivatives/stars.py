"""Stars of wave vectors: D(q) at one member gives it at all, by the space group and time reversal.

An operation f -> W f + t takes atom i of the home cell to atom g(i) in the cell S_i. Force constants are
the same there up to the rotation P of the vectors, so that in the lattice phase of docs/conventions.md

    D_gi,gj(q) = exp[2 pi i q.(S_j - S_i)] P D_ij(W^T q) P^T,        D(-q) = D(q)*.

Operations are used only where the atoms obey them to rounding: a structure that is symmetric within a
looser tolerance keeps all its wave vectors, and nothing is symmetrised that was not symmetric.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from ase import Atoms

from ..structures.space_groups import get_operations
from .little_groups import LittleGroup, averaged, complete, irreducible_displacements

EXACT = 1e-8  # [Å] times third derivatives of about 30 eV/Å³: 1e-8 of the constants
# q is compared in steps of 1/_GRID. Fractions of supercells are whole steps, so that q and q - 1 never round
# to different ones.
_GRID = 2**12 * 3**4 * 5**2 * 7 * 11
# Pairs of atoms worked on together, for all operations or wave vectors: some 10 MB.
_PAIRS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Operations:
    """Operations of a crystal that hold to rounding; the identity is always among them.

    Attributes:
        rotations: (n_operations, 3, 3) W of reduced positions.
        cartesian: (n_operations, 3, 3) P of vectors.
        images: (n_operations, n_atoms) g(i).
        cells: (n_operations, n_atoms, 3) S_i.
    """

    rotations: np.ndarray
    cartesian: np.ndarray
    images: np.ndarray
    cells: np.ndarray

    @property
    def proper(self) -> "Operations":
        """Those that are rotations, without reflections and inversions."""
        kept = np.linalg.det(self.cartesian) > 0
        return Operations(self.rotations[kept], self.cartesian[kept], self.images[kept], self.cells[kept])


def exact_operations(atoms: Atoms, symprec: float) -> Operations:
    """Operations that spglib finds within symprec [Å] and that the atoms obey to EXACT."""
    return obeyed_operations(atoms, *get_operations(atoms, symprec))


def obeyed_operations(atoms: Atoms, rotations: np.ndarray, translations: np.ndarray) -> Operations:
    """Those operations f -> W f + t, (n, 3, 3) and (n, 3), that the atoms obey to EXACT."""
    n, columns = len(atoms), atoms.cell.array.T
    scaled = np.linalg.solve(columns, atoms.positions.T).T
    cartesian = columns @ rotations @ np.linalg.inv(columns)
    skew = np.abs(cartesian @ cartesian.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2)) * np.abs(columns).max()
    moved = scaled @ rotations.swapaxes(1, 2) + translations[:, None]
    kept, images, cells = [], [], []
    at_once = max(1, _PAIRS_AT_ONCE // n**2)
    for begin in range(0, len(moved), at_once):
        difference = moved[begin : begin + at_once, :, None] - scaled  # (operations, n, n, 3)
        whole = np.rint(difference)
        left = ((difference - whole).reshape(-1, 3) @ columns.T).reshape(whole.shape)
        nearest = np.einsum("gijx,gijx->gij", left, left).argmin(axis=2)
        here = np.arange(len(nearest))[:, None], np.arange(n), nearest
        # What all atoms share is an inaccuracy of spglib's translation.
        off = np.abs(left[here] - left[here].mean(axis=1, keepdims=True)).max(axis=(1, 2))
        distinct = (np.sort(nearest, axis=1) == np.arange(n)).all(axis=1)
        kept.append((np.maximum(off, skew[begin : begin + at_once]) < EXACT) & distinct)
        images.append(nearest)
        cells.append(whole[here].astype(int))
    obeyed = np.concatenate(kept)
    return Operations(
        rotations[obeyed], cartesian[obeyed], np.concatenate(images)[obeyed], np.concatenate(cells)[obeyed]
    )


class Stars:
    """Lattice dynamical matrices of one crystal, computed once for each star of wave vectors.

    Several threads may ask at once: what is known of a wave vector stands by itself, the matrix of one member of its
    star and the operation that leads from there, and is added when it is complete. A star that two threads meet at
    once is computed twice.
    """

    def __init__(self, operations: Operations):
        self.operations = operations
        # All operations, then all of them with time reversal.
        self._back = np.concatenate([operations.rotations, -operations.rotations]).transpose(0, 2, 1)
        self._forth = np.rint(np.linalg.inv(self._back))
        self._known: dict[tuple[int, ...], tuple[np.ndarray, int]] = {}

    def __len__(self) -> int:
        """How many stars have been met."""
        return len({id(matrix) for matrix, _ in list(self._known.values())})

    def lattice_matrices(
        self, qpoints: np.ndarray, compute: Callable[[np.ndarray, list[np.ndarray]], list[np.ndarray]]
    ) -> np.ndarray:
        """Matrices of any q-points, those of stars not met before computed.

        Args:
            qpoints: (n_q, 3) reduced.
            compute: q-points and for each of them displacements (3n, c) -> products (3n, c) of
                sum over R of Phi(R) exp(2 pi i q.R) with them [eV/Å²].

        Returns:
            (n_q, 3n, 3n) [eV/Å²].
        """
        qpoints = np.asarray(qpoints, float)
        keys = wave_vector_keys(qpoints)
        known = {key: self._known[key] for key in keys if key in self._known}
        new: list[np.ndarray] = []
        places: dict[tuple[int, ...], tuple[int, int]] = {}  # members of new stars: which star, which operation
        for q, key in zip(qpoints, keys, strict=True):
            if key not in known and key not in places:
                # All members of a new star, each with the first operation that leads back to q.
                star = wave_vector_keys(self._forth @ q)
                places.update(
                    zip(reversed(star), zip(repeat(len(new)), reversed(range(len(star))), strict=False), strict=True)
                )
                new.append(q)
        if new:
            groups = [self._little_group(q) for q in new]
            displacements = [irreducible_displacements(group) for group in groups]
            products = compute(np.array(new), [some.columns for some in displacements])
            matrices = [complete(*parts) for parts in zip(products, displacements, groups, strict=True)]
            computed = {key: (matrices[star], g) for key, (star, g) in places.items()}
            self._known.update(computed)  # only now: an interrupted computation leaves nothing half known
            known.update(computed)
        n = self.operations.images.shape[1]
        result = np.empty((len(qpoints), 3 * n, 3 * n), complex)
        at_once = max(1, _PAIRS_AT_ONCE // n**2)
        for begin in range(0, len(qpoints), at_once):
            some = slice(begin, begin + at_once)
            stars, members = zip(*(known[key] for key in keys[some]), strict=True)
            result[some] = self._unfold(qpoints[some], np.array(stars), np.array(members))
        return result

    def obeying(self, q: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The part of a matrix (3n, 3n) at q that all operations leave as it is."""
        return averaged(matrix, self._little_group(q))

    def _little_group(self, q: np.ndarray) -> LittleGroup:
        """The operations that leave D(q) as it is."""
        operations, n_operations = self.operations, len(self.operations.rotations)
        moved = self._back @ q - q
        members = np.flatnonzero(np.abs(moved - np.rint(moved)).max(axis=1) < 0.5 / _GRID)
        g = members % n_operations
        phases = np.exp(-2j * np.pi * operations.cells[g] @ q)
        return LittleGroup(operations.images[g], operations.cartesian[g], phases, members >= n_operations)

    def _unfold(self, qpoints: np.ndarray, matrices: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Matrices at q-points from those of their stars, by the operations (or those after time reversal) given."""
        operations = self.operations
        reverse, g = np.divmod(members, len(operations.rotations))
        matrices = np.where(reverse[:, None, None], matrices.conj(), matrices)
        # The phases belong to the atoms moved: apply them before they are put in their places.
        phases = np.exp(2j * np.pi * (operations.cells[g] @ qpoints[:, :, None])[..., 0])
        return _moved(matrices, operations, g, phases)


def wave_vector_keys(qpoints: np.ndarray) -> list[tuple[int, ...]]:
    """Keys of wave vectors (n, 3), equal where these differ by a reciprocal lattice vector."""
    return list(map(tuple, (np.rint(qpoints * _GRID).astype(np.int64) % _GRID).tolist()))


def rotated(dynamical: np.ndarray, index: int, operations: Operations) -> np.ndarray:
    """D(W^-T q) in phonopy's convention from D(q), for one operation: there no phase is left over."""
    return _moved(dynamical[None], operations, np.array([index]), np.ones((1, len(dynamical) // 3)))[0]


def _moved(matrices: np.ndarray, operations: Operations, g: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """p_i* p_j P D_ij P^T in the places of the images: (q, 3n, 3n) from matrices and phases p (q, n)."""
    n_q, n = phases.shape
    p = operations.cartesian[g].astype(complex)
    left = (p[:, None] @ matrices.reshape(n_q, n, 3, -1)).reshape(n_q, -1, 3) @ p.swapaxes(1, 2)
    left = left.reshape(n_q, n, 3, n, 3)
    left *= (phases.conj()[:, :, None] * phases[:, None])[:, :, None, :, None]
    result = np.empty_like(left)
    images = operations.images[g]
    result[np.arange(n_q)[:, None, None], images[:, :, None], :, images[:, None]] = left.swapaxes(2, 3)
    return result.reshape(matrices.shape)
