"""What a person sees while waiting, and how long it took."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SILENT_SECONDS = 2.0  # anything quicker needs no bar
_FORMAT = "{desc}: {percentage:3.0f}%|{bar:30}| {n_fmt}/{total_fmt} [{elapsed}]"
_FORMAT_WITHOUT_TOTAL = "{desc}: {n_fmt} [{elapsed}]"


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A callback progress(done, total) that draws a bar on stderr where that is a terminal.

    The bar appears after two seconds, its clock runs between calls too (compiling takes longer than
    some computations), and it is wiped when the block ends. `total` 0 means unknown.
    """
    from tqdm import tqdm

    silent = not sys.stderr.isatty()
    with tqdm(
        desc=description,
        delay=SILENT_SECONDS,
        leave=False,
        file=sys.stderr,
        disable=silent,
        bar_format=_FORMAT_WITHOUT_TOTAL,
    ) as bar:

        def progress(done: int, total: int) -> None:
            if total and bar.total != total:
                bar.total, bar.bar_format = total, _FORMAT
            bar.update(done - bar.n)

        if silent:
            yield progress
        else:
            with _running_clock(bar):
                yield progress


@contextmanager
def _running_clock(bar: Any) -> Iterator[None]:
    finished = threading.Event()

    def tick() -> None:
        if not finished.wait(SILENT_SECONDS):
            while not finished.wait(0.5):
                bar.refresh()

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        finished.set()
        clock.join()


class Stopwatch:
    """Wall-clock seconds by section, in the order they were entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Add the time spent in the block to a section."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def rounded(self) -> dict[str, float]:
        """Sections and "total", to milliseconds."""
        times = {name: round(value, 3) for name, value in self.seconds.items()}
        return {**times, "total": round(time.perf_counter() - self._start, 3)}
