"""The bar at the bottom of a terminal, drawn by rich; lines that are printed meanwhile appear above it.

Importing this imports rich, so it is imported when the first bar is shown, and not before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ..base.sharing import Lock

NARROWEST = 4  # columns of the bar itself; words beside it that leave less are shortened


class Bar:
    """One line: words, the bar, and how long it takes.

    Args:
        stream: the terminal.
        lock: held by whoever paints or prints.

    Attributes:
        words: that stand in front of the bar; empty where nothing is shown.
    """

    def __init__(self, stream: TextIO, lock: Lock) -> None:
        self.words = ""
        # That it is a terminal is known, whatever the environment says; NO_COLOR is heeded.
        console = _Terminal(file=stream, force_terminal=True, force_interactive=True, force_jupyter=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[time]}", markup=False),
            console=console,
            auto_refresh=False,  # the clocks of `progress` paint
            transient=True,
            redirect_stdout=False,  # rich would send both to the console, and put back whatever was there at its start
            redirect_stderr=False,
            expand=True,
        )
        self._progress.add_task("", total=None, time="")
        (self._task,) = self._progress.tasks
        self._streams = {name: _Above(self, getattr(sys, name), lock) for name in ("stdout", "stderr") if _shows(name)}
        for name, above in self._streams.items():
            setattr(sys, name, cast(TextIO, above))

    def show(self, words: str, share: float | None, times: Sequence[str]) -> None:
        """Paint the line over the one that is there.

        Args:
            share: of all that is to be done; None where nobody knows.
            times: the first one that fits stands behind the bar.
        """
        room = self._progress.console.width - len(words) - NARROWEST - 2
        task = self._task  # set here, since `Progress.update` takes a total of None for "as before"
        task.description, task.fields["time"] = words, next((time for time in times if len(time) <= room), "")
        task.completed, task.total = (0.0, None) if share is None else (share, 1.0)
        self._progress.start()
        self._progress.refresh()
        self.words = words

    def wipe(self) -> None:
        """Nothing of it stays on the terminal, until it is shown again."""
        self.words = ""
        self._progress.stop()

    def remove(self) -> None:
        """Wipe it for good: what is printed goes to the terminal itself again."""
        try:
            self.wipe()
        finally:
            for above in self._streams.values():
                above.end_line()
            self.let_go()

    def let_go(self) -> None:
        """Give both streams back, without a look at the terminal."""
        for name, above in self._streams.items():
            above.let_go()
            if getattr(sys, name) is above:  # or somebody has put another in its place
                setattr(sys, name, above.stream)


def _shows(name: str) -> bool:
    stream = getattr(sys, name)
    return stream is not None and stream.isatty()


class _Terminal(Console):
    """A console that changes nothing of the process or the terminal which a killed run could not change back."""

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor as it is."""
        return False

    def on_broken_pipe(self) -> NoReturn:
        """Raise the error, while which rich calls this, once more: rich would end the process."""
        raise


class _Above:
    """Standard output or standard error while there is a bar: whole lines are printed above it."""

    def __init__(self, bar: Bar, stream: TextIO, lock: Lock) -> None:
        self.stream = stream
        self._lock, self._line = lock, ""  # what has no end yet
        self._make_room: Callable[[], None] | None = bar.wipe

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with self._lock:
            if self._make_room is None:
                return self.stream.write(text)
            lines, end, self._line = (self._line + text).rpartition("\n")
            if end:
                self._make_room()
                self.stream.write(lines + end)
            return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        self.write("".join(lines))

    def end_line(self) -> None:
        """Print what has waited for the end of its line."""
        with suppress(OSError, ValueError):
            self.stream.write(self._line)

    def let_go(self) -> None:
        """There is no bar any more: whatever still writes here writes to the terminal."""
        self._make_room, self._line = None, ""
