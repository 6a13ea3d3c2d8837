"""Work for every core: threads over pieces that NumPy computes without holding the interpreter."""

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from .sharing import Lock

Piece = TypeVar("Piece")
Result = TypeVar("Result")

# What other programs of numerics obey, too; a list names a number for each level of nested threads.
LIMIT = "OMP_NUM_THREADS"


def n_cores() -> int:
    """Cores to use: all that this process may run on, or as many as OMP_NUM_THREADS says where that is less."""
    count = getattr(os, "process_cpu_count", None)  # Python 3.13: PYTHON_CPU_COUNT is obeyed
    if count is None and hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = (count or os.cpu_count)() or 1
    value = os.environ.get(LIMIT, "")
    if not value.strip():
        return cores
    limit = value.split(",")[0].strip()
    if not (limit.isascii() and limit.isdigit() and int(limit) > 0):
        warnings.warn(
            f"{LIMIT} is {value!r}, which begins with no number of threads: it is ignored, and all"
            f" {cores} cores are used. Set it to a whole number, 1 or more.",
            RuntimeWarning,
            stacklevel=2,
        )
        return cores
    return min(cores, int(limit))


def on_cores(function: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Generator[Result, None, None]:
    """Results of the pieces in order, as they come; one BLAS thread for each.

    Close it (`contextlib.closing`) where the loop over it may end early: what has not begun is then left, at once.
    """
    pieces = list(pieces)
    n_threads = min(n_cores(), len(pieces))
    with one_blas_thread():
        if n_threads < 2:
            yield from map(function, pieces)
            return
        with ThreadPoolExecutor(n_threads) as pool:
            # Whoever listens to the warnings of this thread hears those of its pieces, too.
            contexts = [copy_context() for _ in pieces]
            yield from pool.map(lambda context, piece: context.run(function, piece), contexts, pieces)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """In this block products run on the calling thread alone.

    Many BLAS threads on small products wait for each other more than they compute, by an order of magnitude where
    something else runs on the machine. The setting belongs to the process: the first block of any thread makes it,
    and the last one to end restores what there was.
    """
    _BLAS.enter()
    try:
        yield
    finally:
        _BLAS.leave()


class _OneThread:
    """The limit on BLAS threads: how many blocks want it, and what there was before."""

    def __init__(self) -> None:
        self._lock, self._n_blocks = Lock(), 0
        self._before: list[tuple[Any, int]] = []

    def enter(self) -> None:
        with self._lock:
            if not self._n_blocks:
                before = [(library, library.num_threads) for library in _blas().lib_controllers]
                many = [(library, n) for library, n in before if n > 1]
                for library, _ in many:
                    library.set_num_threads(1)
                # One that does not follow is held by a block of somebody else's in another thread: theirs to restore.
                self._before = [(library, n) for library, n in many if library.num_threads == 1]
            self._n_blocks += 1

    def leave(self) -> None:
        with self._lock:
            self._n_blocks -= 1
            if not self._n_blocks:
                for library, n in self._before:
                    _release(library)
                    library.set_num_threads(n)
                    _release(library)


def _release(library: Any) -> None:
    """Later versions of threadpoolctl let only the thread set a number that has set the last one: not so here."""
    release = getattr(library, "clear_controlling_thread", None)
    if release:
        release(force=True)


_BLAS = _OneThread()


@cache
def _blas() -> Any:
    return ThreadpoolController().select(user_api="blas")
