"""What a person sees while waiting, and how long it took."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from ..claims import claim
from ..errors import OutputError, UnstableWarning

SILENT_SECONDS = 2.0  # anything quicker needs no bar
_FORMAT = "{desc}: {percentage:3.0f}%|{bar:30}| {n_fmt}/{total_fmt} [{elapsed}]"
_FORMAT_WITHOUT_TOTAL = "{desc}: {n_fmt} [{elapsed}]"
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def without_progress(quiet: bool = True) -> Iterator[None]:
    """No bars inside the block, if `quiet`."""
    token = _QUIET.set(quiet)
    try:
        yield
    finally:
        _QUIET.reset(token)


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A callback progress(done, total) that draws a bar on stderr where that is a terminal.

    The bar appears after two seconds, its clock runs between calls too (compiling takes longer than
    some computations), and it is wiped when the block ends. `total` 0 means unknown.
    """
    from tqdm import tqdm

    silent = _QUIET.get() or not sys.stderr.isatty()
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
    """Wall-clock seconds by section, in the order they were entered; a log of them where one is wanted."""

    def __init__(self, log: TextIO | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()
        self._log = log

    @classmethod
    @contextmanager
    def logging_to(cls, path: Path | None) -> Iterator[Stopwatch]:
        """A stopwatch that writes a line of JSON for each event to a file, at once; None for no file.

        Raises:
            OutputError: the file cannot be written, is something else than such a log, or another run writes it.
        """
        if path is None:
            yield cls()
            return
        with _opened_log(path) as log:
            watch = cls(log)
            try:
                yield watch
            except BaseException as error:
                watch.note("failed", {"error": type(error).__name__, "message": str(error)})
                raise
            watch.note("finished", {"seconds": watch.rounded()})

    def note(self, event: str, values: dict[str, Any]) -> None:
        """A line in the log, if there is one; a log that cannot be written any more ends with a warning."""
        if self._log is None:
            return
        line = {"event": event, "elapsed_s": round(time.perf_counter() - self._start, 3), **values}
        try:
            self._log.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._log.flush()
        except OSError as error:  # results that took hours do not depend on it
            words = f"the log {self._log.name} ends before {event!r}: {error.strerror or error}"
            warnings.warn(words, UnstableWarning, stacklevel=2)
            self._log = None

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
        """Sections and "total", to milliseconds."""
        times = {name: round(value, 3) for name, value in self.seconds.items()}
        return {**times, "total": round(time.perf_counter() - self._start, 3)}


@contextmanager
def _opened_log(path: Path) -> Iterator[TextIO]:
    """A log to write from its beginning; an earlier one is replaced, any other file is not."""
    if path.is_file() and not _is_log(path):
        raise OutputError(
            f"the file {path} exists and is no log of this program",
            "it would be written over",
            "choose another name with --log",
        )
    try:
        log = path.open("a", encoding="utf-8", errors="backslashreplace")  # JSON's escapes for bytes that are no UTF-8
    except (OSError, ValueError) as error:
        raise OutputError(
            f"the log {path} cannot be written: {getattr(error, 'strerror', None) or error}",
            "its reader would wait in vain",
            "choose another file with --log; its folder must exist",
        ) from error
    try:
        # What is no file, such as /dev/stderr, may have many writers.
        place = Path(os.path.realpath(path))
        with claim(place.with_name(f".{place.name}.lock"), path) if place.is_file() else nullcontext():
            if place.is_file():
                log.truncate(0)
            yield log
    finally:
        with suppress(OSError):  # a full disk has been told of
            log.close()


def _is_log(path: Path) -> bool:
    """Whether a file is empty, or begins with a line as `Stopwatch.note` writes it."""
    try:
        with path.open("rb") as file:
            start = file.readline(65536)
        line = json.loads(start) if start else {"event": "", "elapsed_s": 0.0}
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(line, dict) and {"event", "elapsed_s"} <= set(line)
