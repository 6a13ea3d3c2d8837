"""Columns of second derivatives in blocks: as many at once as the memory of the device holds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Columns that share one pass through the values. CPUs gain nothing from more; on accelerators it is where the
# memory of a column is measured.
FEW = 8


@dataclass(frozen=True)
class Room:
    """How much memory a block may take, and whether wider ones are wanted.

    Attributes:
        n_bytes: memory of one block, None for no limit.
        widen: more than FEW columns at once where they fit, as accelerators need to be busy.
    """

    n_bytes: float | None = None
    widen: bool = False


NO_LIMIT = Room()


def in_blocks(
    function: Any, shared: Sequence[Any], rows: Callable[[np.ndarray], Sequence[np.ndarray]], n: int, room: Room
) -> Iterator[np.ndarray]:
    """Results (at most one block, ...) of a jitted function for n rows, block after block.

    All blocks have one size, so that one shape is compiled; the last is filled up with rows that are not new.

    Args:
        function: (*shared, *batches) -> (block, ...), jitted.
        shared: arguments that all blocks share.
        rows: (numbers of rows) -> the other arguments, stacked along their first axis.
    """
    size = _block_size(function, shared, rows, n, room) if n else 1
    for start in range(0, n, size):
        here = np.arange(start, min(start + size, n))
        yield np.asarray(function(*shared, *rows(np.resize(here, size))))[: len(here)]


def _block_size(
    function: Any, shared: Sequence[Any], rows: Callable[[np.ndarray], Sequence[np.ndarray]], n: int, room: Room
) -> int:
    """How many rows are computed at once."""
    size = FEW  # for fewer rows, too: filling up costs less than compiling another shape
    if room.n_bytes is None:
        return size
    # The compiler says what it will need. What is compiled here is not compiled again for the same shapes.
    compiled = function.lower(*shared, *rows(np.arange(size) % n)).compile()
    needed = getattr(compiled.memory_analysis(), "temp_size_in_bytes", 0)
    fitting = size if not needed else int(size * room.n_bytes / needed)
    if fitting < size:
        return max(1, fitting)
    if not room.widen or n <= size:
        return size
    # Powers of two: few shapes to compile, whatever the number of rows.
    return 1 << (min(fitting, 2 * n - 1).bit_length() - 1)
