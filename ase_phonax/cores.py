"""Work for every core: threads over pieces that NumPy computes without holding the interpreter."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Piece = TypeVar("Piece")
Result = TypeVar("Result")


@cache
def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_cores(function: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """Results of the pieces in order, as they come.

    One BLAS thread for each: many threads on small products wait for each other more than they compute.
    """
    pieces = list(pieces)
    with _blas().limit(limits=1):
        if len(pieces) < 2 or n_cores() < 2:
            yield from map(function, pieces)
            return
        with ThreadPoolExecutor(n_cores()) as pool:
            yield from pool.map(function, pieces)


@cache
def _blas() -> Any:
    return ThreadpoolController().select(user_api="blas")
