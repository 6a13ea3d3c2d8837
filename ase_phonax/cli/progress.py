"""What a person sees while waiting, and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SILENT_SECONDS = 2.0  # anything quicker needs no bar


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A callback progress(done, total) that draws a bar on stderr where that is a terminal.

    The bar appears after two seconds and is wiped when the block ends. `total` 0 means unknown.
    """
    from tqdm import tqdm

    with tqdm(
        desc=description, delay=SILENT_SECONDS, leave=False, file=sys.stderr, disable=not sys.stderr.isatty()
    ) as bar:

        def progress(done: int, total: int) -> None:
            if total and bar.total != total:
                bar.total = total
            bar.update(done - bar.n)

        yield progress


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
