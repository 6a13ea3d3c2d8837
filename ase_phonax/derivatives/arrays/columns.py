"""Complex columns of responses, laid out as real numbers that real matrix products read and write where they lie.

A column is a response to one perturbation at one wave vector. The last axis z = (q, c, parts) holds all of them: of
complex numbers real and imaginary part after each other, or the real part alone where all phases are real. What
belongs to one wave vector are then rows of a matrix. Sums of real tensors with complex phases have their parts on an
axis of their own, farther left.

Responses of features are blocks (u, n, i, z), one for each irrep; on the flat axis of all irreps (`edge_tensors`)
they are (n, D, z). Axes written without a comma between them, as in (p i, k), are one axis.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...models.parts import Blocks
from .edge_tensors import split


@dataclass(frozen=True)
class Columns:
    """The layout of z.

    Attributes:
        n_q: wave vectors.
        n_columns: columns of each.
        parts: 2, or 1 where nothing has an imaginary part.
        dtype: of the real numbers.
    """

    n_q: int
    n_columns: int
    parts: int
    dtype: np.dtype

    @cached_property
    def number(self) -> np.dtype:
        """Type of the numbers in columns: complex, or real where there is one part."""
        return np.dtype(self.dtype) if self.parts == 1 else np.result_type(self.dtype, np.complex64)

    def as_numbers(self, columns: np.ndarray) -> np.ndarray:
        """Columns (..., z) -> (..., q, c), a view."""
        return columns.view(self.number).reshape(*columns.shape[:-1], self.n_q, self.n_columns)

    def times_i(self, columns: np.ndarray) -> np.ndarray:
        """Columns (..., z) times i."""
        return (columns.view(self.number) * 1j).view(columns.dtype)

    def joined(self, parts: np.ndarray) -> np.ndarray:
        """Parts apart (parts, ..., q, c), their axes in any order in memory, as columns (..., z)."""
        numbers = np.empty(parts.shape[1:], self.number)
        numbers.real = parts[0]
        if self.parts == 2:
            numbers.imag = parts[1]
        return numbers.reshape(*numbers.shape[:-2], -1).view(parts.dtype)

    def blocks(self, flat: np.ndarray, irreps: tuple[tuple[int, int], ...]) -> Blocks:
        """Blocks (u, n, i, z) of what lies on the flat axis of irreps with parts apart, (parts, n, D, q, c)."""
        return [
            self.joined(z.reshape(*z.shape[:2], dim, mul, *z.shape[3:]).transpose(0, 3, 1, 2, 4, 5))
            for z, (mul, dim) in zip(split(flat, irreps, axis=2), irreps, strict=True)
        ]

    def product(self, maps: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Maps (u, q, y, x) of columns (u, x, z), whose x may be several axes: (u, y, z)."""
        z = columns.reshape(len(columns), maps.shape[3], self.n_q, -1)
        result = np.empty((len(z), maps.shape[2], *z.shape[2:]), z.dtype)
        np.matmul(maps, z.swapaxes(1, 2), out=result.swapaxes(1, 2))
        return result.reshape(*result.shape[:2], -1)

    def overlaps(self, left: Blocks, right: Blocks) -> np.ndarray:
        """Inner products of all columns of two sets of blocks, the left ones conjugated: (q, c, c) complex."""
        result = np.zeros((self.n_q, self.n_columns, self.n_columns), complex)
        for blocks in zip(left, right, strict=True):
            a, b = (self.as_numbers(z).reshape(-1, self.n_q, self.n_columns) for z in blocks)
            result += a.conj().transpose(1, 2, 0) @ b.swapaxes(0, 1)
        return result


def flat_columns(blocks: Blocks) -> np.ndarray:
    """Blocks (u, n, i, z) on the flat axis of their irreps: (n, D, z)."""
    n, z = blocks[0].shape[1], blocks[0].shape[3]
    return np.concatenate([block.transpose(1, 2, 0, 3).reshape(n, -1, z) for block in blocks], 1)
