"""What a person sees while waiting: a bar on a terminal, lines of text elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ..base.progress import Progress
from ..base.sharing import Lock
from ..studies.watch import Wait, Watch
from .terminal import is_terminal

if TYPE_CHECKING:
    from .bar import Bar

SILENT_SECONDS = 2.0  # anything quicker needs no word
PLAIN_SECONDS = 10.0  # between lines where no terminal wipes them; a tenth of the waiting in long ones
_REPAINT_SECONDS = 0.5
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
# What follows is changed under `_PAINTING`.
_PAINTING = Lock()
_OPEN: list[_Wait] = []  # innermost last
_bar: Bar | None = None  # of the terminal, from the first time it is shown until nothing is waited for


class TerminalWatch(Watch):
    """A watch whose progress is shown on stderr."""

    def progress(self, description: str) -> AbstractContextManager[Wait]:
        """A bar, or lines."""
        return progress_bar(description)


@contextmanager
def without_progress(quiet: bool = True) -> Iterator[None]:
    """No bars inside the block, if `quiet`."""
    token = _QUIET.set(quiet)
    try:
        yield
    finally:
        _QUIET.reset(token)


@contextmanager
def progress_bar(description: str) -> Iterator[_Wait]:
    """A callback progress(done, total), told on stderr: as a bar on a terminal, in lines of text elsewhere.

    Nothing is told of what takes less than two seconds. The clock runs between calls, too (compiling takes longer
    than some computations), and a bar is wiped when the block ends. `total` 0 means unknown. Of blocks inside each
    other, the innermost one that has taken so long is shown.
    """
    wait = _Wait(description)
    if _QUIET.get():
        yield wait
        return
    finished = threading.Event()
    clock = threading.Thread(target=_tick, args=(wait, finished), daemon=True)
    try:
        _OPEN.append(wait)
        clock.start()
        yield wait
    finally:
        finished.set()
        try:
            clock.join()
        finally:  # also where somebody presses Ctrl-C twice
            _end(wait)


def _tick(wait: _Wait, finished: threading.Event) -> None:
    """Paint, until the wait is over."""
    # A reader of stderr that has left is no reason to stop a computation.
    with suppress(OSError, ValueError):
        while not finished.wait(min(SILENT_SECONDS, _REPAINT_SECONDS)):
            with _PAINTING:
                wait.paint()


def _end(wait: _Wait) -> None:
    """Nothing of it stays on the terminal."""
    global _bar
    with _PAINTING, suppress(OSError, ValueError):
        _OPEN.remove(wait)
        if _bar is None:
            return
        if _OPEN:
            _bar.wipe()  # what is waited for around it will be shown next
        else:
            bar, _bar = _bar, None
            bar.remove()


def print_above(text: str) -> None:
    """Print a line to standard output while a bar may be shown: it goes on below."""
    with _PAINTING:
        if _bar is not None:
            with suppress(OSError, ValueError):
                _bar.wipe()
        print(text, flush=True)


class _Wait:
    """One thing that is waited for: how far it has come, and its words."""

    def __init__(self, description: str) -> None:
        self.description = description
        self._begin = time.monotonic()
        # Done, total (0: unknown), and when this count began: what goes on in several rounds counts anew in each.
        self._count = (0, 0, self._begin)
        self._next = self._begin + SILENT_SECONDS
        self.in_terminal = is_terminal(sys.stderr)

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
        """ "force constants: 42 %, 0:12, about 0:17 left"."""
        share, gone, left = self._share_and_times()
        done = self._count[0]
        how_far = f"{100 * share:.0f} %" if share is not None else f"{done} so far" if done else ""
        return f"{self.description}: " + ", ".join(filter(None, (how_far, gone, left and f"about {left} left")))

    def _share_and_times(self) -> tuple[float | None, str, str]:
        """The share that is done, None where nobody knows; the time gone, and the time left where it can be told."""
        done, total, since = self._count
        now = time.monotonic()
        gone = clock(now - self._begin)
        if not total:
            return None, gone, ""
        share = min(done / total, 1.0)
        return share, gone, clock((now - since) * (1 - share) / share) if 0 < share < 1 else ""

    def paint(self) -> None:
        """Show where it stands, if it is time to."""
        now = time.monotonic()
        if now < self._next or (_OPEN and _shown(now) is not self):
            return
        if self.in_terminal:
            self._next = now + _REPAINT_SECONDS
            self._paint_bar()
        else:
            self._next = now + max(PLAIN_SECONDS, 0.1 * (now - self._begin))
            print(self.in_words(), file=sys.stderr, flush=True)

    def _paint_bar(self) -> None:
        share, gone, left = self._share_and_times()
        if share is None:
            _the_bar().show(self.in_words(), None, ())
            return
        times = (f"{gone}, about {left} left", f"{left} left") if left else (gone,)
        _the_bar().show(f"{self.description}: {100 * share:.0f} %", share, times)

    def has_lasted(self, now: float) -> bool:
        """Whether it is worth a word."""
        return now >= self._begin + SILENT_SECONDS


def clock(seconds: float) -> str:
    """ "0:07", "12:30", "3:05:00"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _shown(now: float) -> _Wait | None:
    """The wait that is told of: the innermost one that has lasted."""
    return next((wait for wait in reversed(_OPEN) if wait.has_lasted(now)), None)


def _the_bar() -> Bar:
    """The one bar of this process."""
    global _bar
    if _bar is None:
        from .bar import Bar

        _bar = Bar(sys.stderr, _PAINTING)
    return _bar


def _forget() -> None:
    """In a child process made by fork, where no clock runs and the terminal's line is the parent's."""
    global _bar
    _OPEN.clear()
    if _bar is not None:
        bar, _bar = _bar, None
        bar.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
