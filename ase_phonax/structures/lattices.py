"""Lattices: the heights of a cell, and short vectors for one that is skewed."""

import math

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell
from numpy.typing import NDArray

# |det| over the product of the lengths: below this, other vectors of the same lattice are much shorter. The primitive
# cells that crystallographers use have more (rhombohedral ones of 15R polytypes 0.05), and are reduced without harm.
SKEWED = 0.1
# Below this the vectors span no space, as far as rounding lets one know.
FLAT = 1e-10


def cell_heights(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Perpendicular heights of a cell.

    Args:
        cell: (3, 3) lattice vectors in rows [Å], of either handedness.

    Returns:
        (3,) distance between the two faces that each vector joins [Å]; zeros where the volume is zero.
    """
    areas = np.linalg.norm(np.cross(np.roll(cell, -1, axis=0), np.roll(cell, -2, axis=0)), axis=1)
    volume = abs(np.linalg.det(cell))
    return np.divide(volume, areas, out=np.zeros(3), where=areas > 0)


def is_skewed(cell: NDArray[np.float64]) -> bool:
    """Whether a cell spans space, but by vectors much longer than its lattice needs."""
    return FLAT < _fullness(cell) < SKEWED


def is_flat(cell: NDArray[np.float64]) -> bool:
    """Whether the vectors of a cell lie in one plane, as far as rounding lets one know."""
    return _fullness(cell) <= FLAT


def _fullness(cell: NDArray[np.float64]) -> float:
    """|det| over the product of the lengths: 1 for a rectangular cell, 0 for one without volume."""
    # In plain numbers: this is asked at every step of a trajectory, and NumPy takes ten times as long.
    (a, b, c), (d, e, f), (g, h, i) = cell.tolist()
    volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
    fullest = math.hypot(a, b, c) * math.hypot(d, e, f) * math.hypot(g, h, i)
    return volume / fullest if fullest else 0.0


def short_vectors(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vectors of the same lattice that are as short as they can be, where a cell is skewed; else the cell itself.

    Args:
        cell: (3, 3) lattice vectors in rows [Å]; zero vectors only where not periodic.
        pbc: (3,) which of them repeat the structure; the others are replaced by vectors across those.

    Returns:
        (3, 3) vectors [Å] and the integer matrix M (3, 3) with `vectors = M @ cell` for the periodic ones: an image at
        `shift @ vectors` is at `(shift @ M) @ cell`.
    """
    unchanged = np.asarray(cell, float), np.eye(3, dtype=np.int64)
    complete = unchanged[0] if cell.any(axis=1).all() else complete_cell(cell)
    if not is_skewed(complete):
        return unchanged
    from ase.geometry.minkowski_reduction import minkowski_reduce

    bare = complete_cell(np.where(np.asarray(pbc, bool)[:, None], complete, 0.0))
    try:
        vectors, matrix = minkowski_reduce(bare, pbc)
    except (ArithmeticError, ValueError, RuntimeError):  # vectors in one plane but for rounding
        return unchanged
    return np.array(vectors), np.asarray(matrix, np.int64)


def with_short_vectors(atoms: Atoms) -> Atoms:
    """The same crystal in a cell of short vectors and the same handedness; no atom moves.

    Args:
        atoms: not changed.

    Returns:
        a copy, without calculator.
    """
    vectors, _ = short_vectors(atoms.cell.array, atoms.pbc)
    if np.linalg.det(vectors) * np.linalg.det(atoms.cell.array) < 0:
        vectors = -vectors
    result = atoms.copy()
    result.set_cell(vectors, scale_atoms=False)
    return result


def in_short_vectors(atoms: Atoms, qpoints: NDArray[np.float64]) -> tuple[Atoms, NDArray[np.float64]]:
    """A crystal and wave vectors in short vectors of its lattice; themselves where the cell is not skewed.

    Matrices in the lattice phase of docs/conventions.md are the same: no atom and no wave vector moves.

    Args:
        atoms: not changed.
        qpoints: (n_q, 3) reduced coordinates of the reciprocal cell.
    """
    vectors, matrix = short_vectors(atoms.cell.array, atoms.pbc)
    if np.array_equal(matrix, np.eye(3)):
        return atoms, qpoints
    result = atoms.copy()
    result.set_cell(vectors, scale_atoms=False)
    return result, qpoints @ matrix.T
