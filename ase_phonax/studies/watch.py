"""Who looks on while a study is computed: sections that are timed, and how far each has come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from ..base.progress import Progress


class Wait(Protocol):
    """Told how much is done, of how much; 0 where nobody knows."""

    def __call__(self, done: int, total: int) -> None: ...

    def under(self, description: str) -> Progress:
        """The same wait under another description, from the first call on."""


class Silence:
    """Progress that nobody sees."""

    def __call__(self, done: int, total: int) -> None:
        """Nothing."""

    def under(self, description: str) -> Progress:
        """Itself."""
        return self


class Watch:
    """Wall-clock seconds by section, in the order they were entered; silent.

    A face that shows more overrides `note` and `progress`: a terminal, a notebook, a page. Each run has its own.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def note(self, event: str, values: dict[str, Any]) -> None:
        """Hear of an event: "begin" and "end" of a section, and what else the face wants to tell."""

    def progress(self, description: str) -> AbstractContextManager[Wait]:
        """A block in which something is waited for, which tells how far it has come."""
        return _silence()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Add the time spent in the block to a section."""
        start = time.perf_counter()
        self.note("begin", {"section": name})
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.note("end", {"section": name, "section_s": round(self.seconds[name], 3)})

    def rounded(self) -> dict[str, float]:
        """Sections and "total" [s], to milliseconds."""
        times = {name: round(value, 3) for name, value in self.seconds.items()}
        return {**times, "total": round(self.elapsed(), 3)}

    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._start


@contextmanager
def _silence() -> Iterator[Silence]:
    yield Silence()
