"""Work for every core: threads over pieces that NumPy computes without holding the interpreter."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Piece = TypeVar("Piece")
Result = TypeVar("Result")


@cache
def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_cores(function: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """Results of the pieces in order, as they come; one BLAS thread for each."""
    pieces = list(pieces)
    with one_blas_thread():
        if len(pieces) < 2 or n_cores() < 2:
            yield from map(function, pieces)
            return
        with ThreadPoolExecutor(n_cores()) as pool:
            yield from pool.map(function, pieces)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """In this block products run on the calling thread alone.

    Many BLAS threads on small products wait for each other more than they compute, by an order of magnitude where
    something else runs on the machine. The setting belongs to the process: a block that opens inside another one,
    of this thread or of any other, leaves it alone, so that nobody restores what somebody else had set.
    """
    if not _setting.acquire(blocking=False):
        yield
        return
    try:
        with _blas().limit(limits=1):
            yield
    finally:
        _setting.release()


_setting = Lock()


@cache
def _blas() -> Any:
    return ThreadpoolController().select(user_api="blas")
