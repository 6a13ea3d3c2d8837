"""What a person sees while waiting, and how long it took."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from ..base.claims import claim
from ..base.errors import OutputError, UnstableWarning
from ..base.files import without_waiting
from ..base.input_files import parse_json
from ..base.progress import Progress
from ..base.sharing import Lock
from ..studies.watch import Wait, Watch

SILENT_SECONDS = 2.0  # anything quicker needs no word
PLAIN_SECONDS = 10.0  # between lines where no terminal wipes them; a tenth of the waiting in long ones
_REPAINT_SECONDS = 0.5
_BAR = 20  # characters: with the longest description a line of 79
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
_PAINTING = Lock()
_OPEN: list[_Wait] = []  # innermost last: that one is shown


@contextmanager
def without_progress(quiet: bool = True) -> Iterator[None]:
    """No bars inside the block, if `quiet`."""
    token = _QUIET.set(quiet)
    try:
        yield
    finally:
        _QUIET.reset(token)


class _Wait:
    """One thing that is waited for: how far it has come, and its words on stderr.

    A terminal shows one line that is painted over and wiped; elsewhere, in a batch job or a pipe, lines follow each
    other, the first after `SILENT_SECONDS`.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        self._begin = time.monotonic()
        # Done, total (0: unknown), and when this count began: what goes on in several rounds counts anew in each.
        self._count = (0, 0, self._begin)
        self._width = 0  # of what stands on the terminal
        self._next = self._begin + SILENT_SECONDS
        self.in_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __call__(self, done: int, total: int) -> None:
        """Take note; the clock's thread paints."""
        before, of, since = self._count
        self._count = (done, total, time.monotonic() if done < before or total != of else since)

    def under(self, description: str) -> Progress:
        """The same wait, under another description from the first call on."""

        def progress(done: int, total: int) -> None:
            if self.description != description:
                self.description, self._count = description, (0, total, time.monotonic())
            self(done, total)

        return progress

    def in_words(self) -> str:
        """ "force constants: 42 %, 0:12, about 0:17 left", with a bar where a terminal shows it."""
        done, total, since = self._count
        now = time.monotonic()
        gone = clock(now - self._begin)
        if not total:
            return f"{self.description}: " + (f"{done} so far, " if done else "") + gone
        share = min(done / total, 1.0)
        left = f", about {clock((now - since) * (1 - share) / share)} left" if 0 < share < 1 else ""
        filled = round(_BAR * share)
        bar = f"|{'█' * filled}{' ' * (_BAR - filled)}|" if self.in_terminal else ","
        return f"{self.description}: {100 * share:.0f} %{bar} {gone}{left}"

    def paint(self) -> None:
        """Show where it stands, if it is time to."""
        now = time.monotonic()
        if now < self._next or (_OPEN and _OPEN[-1] is not self):
            return
        if not self.in_terminal:
            self._next = now + max(PLAIN_SECONDS, 0.1 * (now - self._begin))
            print(self.in_words(), file=sys.stderr, flush=True)
            return
        self._next = now + _REPAINT_SECONDS
        text = self.in_words()[: shutil.get_terminal_size().columns - 1]  # a longer one would take a second line
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def wipe(self) -> None:
        """Nothing of it stays on the terminal."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


def clock(seconds: float) -> str:
    """ "0:07", "12:30", "3:05:00"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def progress_bar(description: str) -> Iterator[_Wait]:
    """A callback progress(done, total), told on stderr: as a bar on a terminal, in lines of text elsewhere.

    Nothing is told of what takes less than two seconds. The clock runs between calls, too (compiling takes longer
    than some computations), and a bar is wiped when the block ends. `total` 0 means unknown.
    """
    wait = _Wait(description)
    if _QUIET.get():
        yield wait
        return
    finished = threading.Event()

    def tick() -> None:
        # A reader of stderr that has left is no reason to stop a computation.
        with suppress(OSError, ValueError):
            while not finished.wait(min(SILENT_SECONDS, _REPAINT_SECONDS)):
                with _PAINTING:
                    wait.paint()

    painter = threading.Thread(target=tick, daemon=True)
    _OPEN.append(wait)
    painter.start()
    try:
        yield wait
    finally:
        finished.set()
        painter.join()
        with _PAINTING, suppress(OSError, ValueError):
            _OPEN.remove(wait)
            wait.wipe()


def print_above(text: str) -> None:
    """Print a line while a bar may be shown: it goes on below."""
    with _PAINTING:
        for wait in _OPEN:
            with suppress(OSError, ValueError):
                wait.wipe()
        print(text, flush=True)


class Stopwatch(Watch):
    """What a terminal shows of a run, and a log where one is wanted."""

    def __init__(self, log: TextIO | None = None) -> None:
        super().__init__()
        self._log = log

    def progress(self, description: str) -> AbstractContextManager[Wait]:
        """A bar."""
        return progress_bar(description)

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
        line = {"event": event, "elapsed_s": round(self.elapsed(), 3), **values}
        try:
            self._log.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._log.flush()
        except OSError as error:  # results that took hours do not depend on it
            words = f"the log {self._log.name} ends before {event!r}: {error.strerror or error}"
            warnings.warn(words, UnstableWarning, stacklevel=2)
            self._log = None


@contextmanager
def _opened_log(path: Path) -> Iterator[TextIO]:
    """A log to write from its beginning; an earlier one is replaced, any other file is not."""
    if os.path.isfile(path) and not _is_log(path):
        raise OutputError(
            f"the file {path} exists and is no log of this program",
            "it would be written over",
            "choose another name with --log",
        )
    try:
        # JSON's escapes stand for bytes that are no UTF-8.
        log = open(path, "a", encoding="utf-8", errors="backslashreplace", opener=without_waiting)  # noqa: SIM115
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
        line = parse_json(start) if start else {"event": "", "elapsed_s": 0.0}
    except (OSError, ValueError):
        return False
    return isinstance(line, dict) and {"event", "elapsed_s"} <= set(line)
