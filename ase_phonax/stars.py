"""Stars of wave vectors: D(q) at one member gives it at all, by the space group and time reversal.

An operation f -> W f + t takes atom i of the home cell to atom g(i) in the cell S_i. Force constants are
the same there up to the rotation P of the vectors, so that in the lattice phase of docs/conventions.md

    D_gi,gj(q) = exp[2 pi i q.(S_j - S_i)] P D_ij(W^T q) P^T,        D(-q) = D(q)*.

Operations are used only where the atoms obey them to rounding: a structure that is symmetric within a
looser tolerance keeps all its wave vectors, and nothing is symmetrised that was not symmetric.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from .crystals import get_operations
from .little_groups import LittleGroup, complete, irreducible_displacements

EXACT = 1e-8  # [Å] times third derivatives of about 30 eV/Å³: 1e-8 of the constants
# q is compared in steps of 1/_GRID. Fractions of supercells are whole steps, so that q and q - 1 never round
# to different ones.
_GRID = 2**12 * 3**4 * 5**2 * 7 * 11


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


def exact_operations(atoms: Atoms, symprec: float) -> Operations:
    """Operations that spglib finds within symprec [Å] and that the atoms obey to EXACT."""
    scaled = np.linalg.solve(atoms.cell.array.T, atoms.positions.T).T
    columns, home = atoms.cell.array.T, np.arange(len(atoms))
    kept: list[tuple] = []
    for rotation, translation in zip(*get_operations(atoms, symprec), strict=True):
        difference = (scaled @ rotation.T + translation)[:, None] - scaled[None]
        cells = np.rint(difference)
        images = np.linalg.norm((difference - cells) @ columns.T, axis=2).argmin(axis=1)
        cells, left = cells[home, images], (difference - cells)[home, images]
        # What all atoms share is an inaccuracy of spglib's translation.
        off = np.abs((left - left.mean(axis=0)) @ columns.T).max()
        cartesian = columns @ rotation @ np.linalg.inv(columns)
        skew = np.abs(cartesian @ cartesian.T - np.eye(3)).max() * np.abs(columns).max()
        if max(off, skew) < EXACT and len(set(images)) == len(atoms):
            kept.append((rotation, cartesian, images, cells.astype(int)))
    return Operations(*(np.array(part) for part in zip(*kept, strict=True)))


class Stars:
    """Lattice dynamical matrices of one crystal, computed once for each star of wave vectors."""

    def __init__(self, operations: Operations):
        self.operations = operations
        # All operations, then all of them with time reversal.
        self._back = np.concatenate([operations.rotations, -operations.rotations]).transpose(0, 2, 1)
        self._identity = int(np.argmax((operations.rotations == np.eye(3)).all(axis=(1, 2))))
        self._known: dict[tuple[int, ...], int] = {}
        self._matrices: list[np.ndarray] = []

    def __len__(self) -> int:
        """How many stars have been met."""
        return len(self._matrices)

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
        known = dict(self._known)
        members, new = [], []
        for q in qpoints:
            keys = list(map(tuple, (np.rint(self._back @ q * _GRID).astype(np.int64) % _GRID).tolist()))
            found = next((k for k, key in enumerate(keys) if key in known), None)
            if found is None:
                found = self._identity
                known[keys[found]] = len(known)
                new.append(q)
            members.append((known[keys[found]], found))
        if new:
            groups = [self._little_group(q) for q in new]
            displacements = [irreducible_displacements(group) for group in groups]
            products = compute(np.array(new), displacements)
            self._matrices.extend(complete(*parts) for parts in zip(products, displacements, groups, strict=True))
            self._known = known  # only now: an interrupted computation leaves nothing half known
        return np.array([self._unfold(q, *member) for q, member in zip(qpoints, members, strict=True)])

    def _little_group(self, q: np.ndarray) -> LittleGroup:
        """What leaves D(q) as it is, as unitary matrices of displacements."""
        operations, n_operations = self.operations, len(self.operations.rotations)
        n = operations.images.shape[1]
        moved = self._back @ q - q
        members = np.flatnonzero(np.abs(moved - np.rint(moved)).max(axis=1) < 0.5 / _GRID)
        matrices = np.zeros((len(members), 3 * n, 3 * n), complex)
        for row, member in enumerate(members):
            g = member % n_operations
            phases = np.exp(-2j * np.pi * operations.cells[g] @ q)
            for i, (image, phase) in enumerate(zip(operations.images[g], phases, strict=True)):
                matrices[row, 3 * image : 3 * image + 3, 3 * i : 3 * i + 3] = phase * operations.cartesian[g]
        return LittleGroup(matrices, members >= n_operations)

    def _unfold(self, q: np.ndarray, star: int, found: int) -> np.ndarray:
        """The matrix at q from that of its star, by the operation (or the one after time reversal) found."""
        operations = self.operations
        g = found % len(operations.rotations)
        matrix = self._matrices[star].conj() if found >= len(operations.rotations) else self._matrices[star]
        phase = np.repeat(np.exp(2j * np.pi * operations.cells[g] @ q), 3)
        # The phase belongs to the atoms moved: apply it before they are put in their places.
        return _moved(matrix, operations, g, phase)


def rotated(dynamical: np.ndarray, index: int, operations: Operations) -> np.ndarray:
    """D(W^-T q) in phonopy's convention from D(q), for one operation: there no phase is left over."""
    return _moved(dynamical, operations, index, np.ones(len(dynamical)))


def _moved(matrix: np.ndarray, operations: Operations, g: int, phase: np.ndarray) -> np.ndarray:
    n = operations.images.shape[1]
    p = operations.cartesian[g]
    turned = np.einsum("ab,ibjc,dc->iajd", p, matrix.reshape(n, 3, n, 3), p, optimize=True).reshape(3 * n, 3 * n)
    places = (3 * operations.images[g][:, None] + np.arange(3)).ravel()
    result = np.empty_like(turned)
    result[np.ix_(places, places)] = phase.conj()[:, None] * turned * phase
    return result
