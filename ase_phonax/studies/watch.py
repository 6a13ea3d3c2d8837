"""Who looks on while a study is computed: sections that are timed, and how far each has come.

What happens is logged by Python's `logging` under the name `ase_phonax.studies`, at the level INFO.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from ..base.progress import Progress

_LOGGER = logging.getLogger("ase_phonax.studies")
# A library is silent until somebody listens.
logging.getLogger("ase_phonax").addHandler(logging.NullHandler())


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
    """Wall-clock seconds by section, in the order they were entered; each run has its own watch.

    A face that shows how far a section has come overrides `progress`: a terminal, a notebook, a page.

    Attributes:
        handlers: hear the events of this run alone, whatever its threads and whatever runs beside it. Handlers of the
            logger `ase_phonax.studies` hear all runs of the process, where its level lets INFO pass.
        seconds: so far, of each section.
    """

    def __init__(self, *handlers: logging.Handler) -> None:
        self.handlers = list(handlers)
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def note(self, event: str, values: dict[str, Any]) -> None:
        """Log an event, such as "begin" and "end" of a section.

        The record has the attributes `event`, `values` and `elapsed_s`, the seconds since the run began; its message is
        the event and what it is about.
        """
        everybody = _LOGGER.isEnabledFor(logging.INFO)
        if not (everybody or self.handlers):
            return
        about = [value for value in list(values.values())[:1] if isinstance(value, str)]
        record = _LOGGER.makeRecord(
            _LOGGER.name,
            logging.INFO,
            __file__,
            0,
            " ".join([event, *about]),
            (),
            None,
            extra={"event": event, "values": values, "elapsed_s": round(self.elapsed(), 3)},
        )
        for handler in self.handlers:
            handler.handle(record)
        if everybody:
            _LOGGER.handle(record)

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
