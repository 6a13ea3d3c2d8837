"""Few displacements instead of all: what the little group of a wave vector makes of a matrix.

D(q) commutes with the operations that leave q where it is, time reversal among them. From its product
with one displacement follow those with all its images, so that only so many displacements are needed
that their images span the rest. phonopy reduces displaced supercells with the site symmetries; this is the
same idea at one wave vector.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Directions of an atom count as spanned from this eigenvalue of the sum of u* u^T on, u unit displacements; of a few
# candidates for the rotations of a site, of the mean over these.
EVEN = 0.05
_DIRECTIONS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [1, 2, 3]], float)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1)[:, None]
_ONES = np.arange(len(_DIRECTIONS))[:, None]
_PAIRS = np.stack(np.triu_indices(len(_DIRECTIONS), 1), 1)


@dataclass(frozen=True)
class LittleGroup:
    """Operations G that leave one wave vector where it is: G D G^H = D, or G D* G^H = D with time reversal.

    Attributes:
        images: (n_operations, n) the atom that each one moves to.
        turns: (n_operations, 3, 3) of its displacement.
        phases: (n_operations, n) that it takes up.
        conjugate: (n_operations,) time reversal is part of the operation.
    """

    images: np.ndarray
    turns: np.ndarray
    phases: np.ndarray
    conjugate: np.ndarray


@dataclass(frozen=True)
class Displacements:
    """Some displacements at one wave vector.

    Attributes:
        columns: (3n, c) real, of single atoms.
        images: (3n, operations c) of them under a little group; None where nothing follows from them.
    """

    columns: np.ndarray
    images: np.ndarray | None


def irreducible_displacements(group: LittleGroup) -> Displacements:
    """Few displacements of single atoms whose images under a little group span all.

    An image of one atom's displacement is one of one atom. So one atom of each orbit has to move, along so many
    directions that what keeps it in its place spans the rest.
    """
    n = group.images.shape[1]
    firsts = np.flatnonzero(group.images.min(axis=0) == np.arange(n))
    stays = group.images[:, firsts] == firsts
    columns = []
    for atom, stay in zip(firsts, stays.T, strict=True):
        directions = _irreducible_directions((np.round(group.turns[stay], 6) + 0.0).tobytes())  # no zero is negative
        moved = np.zeros((len(directions), n, 3))
        moved[:, atom] = directions
        columns.append(moved)
    chosen = np.concatenate(columns).reshape(-1, 3 * n).T
    # Operations that atoms obey to a rounding of their file only are no group: then an atom may be out of reach.
    images = _images(chosen.astype(complex), group)
    if chosen.shape[1] < 3 * n and np.linalg.eigvalsh(_spanned(images))[:, 0].min() > EVEN:
        return Displacements(chosen, images)
    return Displacements(np.eye(3 * n), None)


@lru_cache(1000)
def _irreducible_directions(rotations: bytes) -> np.ndarray:
    """The fewest of some simple directions (c, 3) whose images under rotations (g, 3, 3) span space evenly.

    Many sites, of one crystal and of others, have the same rotations.
    """
    turns = np.frombuffer(rotations).reshape(-1, 3, 3)
    images = turns @ _DIRECTIONS.T  # (g, 3, directions)
    spanned = np.einsum("gxd,gyd->dxy", images, images) / len(turns)
    for chosen in (_ONES, _PAIRS):
        least = np.linalg.eigvalsh(spanned[chosen].sum(axis=1))[:, 0]
        if least.max() > EVEN:
            # Equal ones are not told apart by their rounding.
            return _DIRECTIONS[chosen[np.argmax(least > least.max() - 1e-6)]]
    return np.eye(3)


def complete(products: np.ndarray, displacements: Displacements, group: LittleGroup) -> np.ndarray:
    """D (3n, 3n) from its products (3n, c) with `irreducible_displacements`, by D G u = G D u."""
    right, size = displacements.images, len(products)
    if right is None:
        return products
    left = _images(products, group)
    # The images of a displacement are each one of a single atom: 3 x 3 equations for each.
    transposed = np.linalg.solve(_spanned(right), (right.conj() @ left.T).reshape(-1, 3, size))
    return transposed.reshape(size, size).T


def averaged(matrix: np.ndarray, group: LittleGroup) -> np.ndarray:
    """Mean of G X G^H over a little group, X* in place of X with time reversal: what of a matrix (3n, 3n) obeys it."""
    n = len(matrix)
    moves = _images(np.eye(n, dtype=complex), group).reshape(n, -1, n).swapaxes(0, 1)
    own = np.where(group.conjugate[:, None, None], matrix.conj(), matrix)
    return np.mean(moves @ own @ moves.conj().swapaxes(1, 2), axis=0)


def _spanned(images: np.ndarray) -> np.ndarray:
    """Sum of u* u^T over displacements (3n, images) of each atom: (n, 3, 3)."""
    by_atom = images.reshape(len(images) // 3, 3, -1)
    return by_atom.conj() @ by_atom.swapaxes(1, 2)


def _images(columns: np.ndarray, group: LittleGroup) -> np.ndarray:
    """Columns (3n, c) moved by every operation: (3n, operations c)."""
    n_operations, n = group.images.shape
    turned = (group.turns.reshape(-1, 3) @ columns.reshape(n, 3, -1)).reshape(n, n_operations, 3, -1)
    turned = np.where(group.conjugate[:, None, None], turned.conj(), turned) * group.phases.T[:, :, None, None]
    result = np.empty_like(turned)
    result[group.images.T, np.arange(n_operations)] = turned
    return result.swapaxes(1, 2).reshape(3 * n, -1)
