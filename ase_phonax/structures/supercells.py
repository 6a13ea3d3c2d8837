"""Supercells: the integer matrices that describe them."""

from __future__ import annotations

import math
import reprlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.errors import SupercellError
from .lattices import cell_heights

MOST_REPEATS, MOST_CELLS = 1_000_000, 1_000_000  # of a supercell


def supercell_for_height(cell: NDArray[np.float64], min_height: float) -> NDArray[np.int64]:
    """Smallest diagonal supercell matrix whose perpendicular heights all reach a length.

    Args:
        cell: (3, 3) lattice vectors in rows [Å].
        min_height: wanted distance between opposite faces of the supercell [Å].

    Returns:
        (3, 3) diagonal.
    """
    # 1e-6: a height of exactly 12 Å that prints as 11.9999999 must not add a layer of cells.
    repeats = [max(1, math.ceil(min(min_height / height, MOST_REPEATS) - 1e-6)) for height in cell_heights(cell)]
    return np.diag(repeats).astype(np.int64)


def as_supercell_matrix(value: int | ArrayLike) -> NDArray[np.int64]:
    """A supercell matrix from one integer, three, or nine.

    Args:
        value: n (n x n x n), (3,) repeats along the cell vectors, (9,) row by row, or (3, 3).

    Returns:
        (3, 3) with positive determinant.

    Raises:
        SupercellError: another shape, not integers, singular, or of negative determinant.
    """
    what_to_do = "give three positive integers, such as 3 3 3, or the nine of an integer matrix with determinant > 0."
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise SupercellError(f"the supercell {reprlib.repr(value)} is not made of numbers", "", what_to_do) from None
    if numbers.size not in (1, 3, 9):
        raise SupercellError(
            f"the supercell {value!r} has {numbers.size} entries", "three cell vectors take 1, 3 or 9", what_to_do
        )
    if not np.all(np.isfinite(numbers)) or np.any(numbers != np.rint(numbers)):
        raise SupercellError(
            f"the supercell {numbers.tolist()} is not made of integers",
            "a supercell holds whole cells only",
            what_to_do,
        )
    matrix = np.diag(np.broadcast_to(numbers.ravel(), 3)) if numbers.size < 9 else numbers.reshape(3, 3)
    if np.abs(matrix).max() > MOST_REPEATS or round(abs(np.linalg.det(matrix))) > MOST_CELLS:
        raise SupercellError(
            f"the supercell {matrix.tolist()} has {abs(np.linalg.det(matrix)):.3g} cells",
            f"more than {MOST_CELLS:,} fit no memory, and constants fade long before their edge",
            what_to_do,
        )
    matrix = np.rint(matrix).astype(np.int64)
    volume = round(float(np.linalg.det(matrix)))
    if volume == 0:
        raise SupercellError(
            f"the supercell matrix {matrix.tolist()} is singular",
            "its vectors do not span space: the supercell would have no volume",
            what_to_do,
        )
    if volume < 0:
        raise SupercellError(
            f"the supercell matrix {matrix.tolist()} has the negative determinant {volume}",
            "it turns the cell's handedness around, which phonopy does not support",
            f"use {(-matrix).tolist()}, the same supercell with its vectors reversed",
        )
    return matrix
