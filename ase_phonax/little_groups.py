"""Few displacements instead of all: what the little group of a wave vector makes of a matrix.

D(q) commutes with the operations that leave q where it is, time reversal among them. From its product
with one displacement follow those with all its images, so that only so many displacements are needed
that their images span the rest. phonopy reduces displaced supercells with the site symmetries; this is the
same idea at one wave vector.
"""

from dataclasses import dataclass

import numpy as np

# Smallest weight, of at most one per operation, with which every displacement has to be spanned.
EVEN = 0.05
_DIRECTIONS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [1, 2, 3]], float)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1)[:, None]


@dataclass(frozen=True)
class LittleGroup:
    """Operations that leave one wave vector where it is.

    Attributes:
        matrices: (n_operations, 3n, 3n) unitary G with G D G^H = D, or G D* G^H = D where
        conjugate: (n_operations,) time reversal is part of the operation.
    """

    matrices: np.ndarray
    conjugate: np.ndarray


def irreducible_displacements(group: LittleGroup) -> np.ndarray:
    """Few displacements of single atoms whose images under a little group span all: (3n, c) real, orthonormal.

    Chosen one by one, each the best addition among simple directions of one atom, until the images
    span the space evenly enough for D to be found from their products without losing digits.
    """
    size = group.matrices.shape[1]
    if len(group.matrices) == 1:
        return np.eye(size)
    spanned = np.zeros((size, size), complex)
    chosen: list[np.ndarray] = []
    candidates = np.einsum("ij,dk->idjk", np.eye(size // 3), _DIRECTIONS).reshape(-1, size)
    # (c, g, 3n): images of real vectors, so that time reversal changes nothing but the matrix.
    images = np.einsum("gij,cj->cgi", group.matrices, candidates, optimize=True) / np.sqrt(len(group.matrices))
    while len(chosen) < size:
        values, vectors = np.linalg.eigh(spanned)
        if values[0] > EVEN:
            break
        # What a candidate adds where hardly anything is spanned yet.
        missing = vectors[:, values <= EVEN]
        gains = np.linalg.norm(images @ missing.conj(), axis=1)  # (c, missing)
        best = int(np.argmax(np.minimum(gains**2, 2 * EVEN).sum(axis=1)))
        chosen.append(candidates[best])
        spanned += np.einsum("gi,gj->ij", images[best], images[best].conj())
    return np.eye(size) if len(chosen) >= size else np.array(chosen).T


def complete(products: np.ndarray, displacements: np.ndarray, group: LittleGroup) -> np.ndarray:
    """D (3n, 3n) from its products (3n, c) with `irreducible_displacements`, by D G u = G D u."""
    if displacements.shape[0] == displacements.shape[1]:
        return products @ displacements.T
    turned = np.where(group.conjugate[:, None, None], products.conj(), products)
    left = np.concatenate(list(group.matrices @ turned), axis=1)
    right = np.concatenate(list(group.matrices @ displacements), axis=1)
    return np.linalg.solve(right.conj() @ right.T, right.conj() @ left.T).T
