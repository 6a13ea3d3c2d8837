"""Warnings met on the way become notes of the results, in each thread its own."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..base.sharing import FILTERS

_FOR_THE_REPORT = (UserWarning, RuntimeWarning)  # seekpath's edge cases are of the second kind
_ANYTHING = "(?s:.*)"
_HEARD: ContextVar[list[Warning] | None] = ContextVar("heard", default=None)
# What follows is changed under `FILTERS`.
_listening = 0  # blocks that are open, of all threads
_show: Any = warnings.showwarning  # as it was before the first of them


@contextmanager
def collected_warnings(*, again: bool = False) -> Iterator[list[str]]:
    """User and run-time warnings of the block as texts, each once, for the report instead of the terminal.

    Args:
        again: warn of them when the block has ended well: for callers in Python, who have filters of their own.
    """
    heard, texts = _Notes(), list[str]()
    heard.texts = texts
    with heard_warnings(heard):
        yield texts
    if again:
        for warning in heard.first:
            warnings.warn(warning, stacklevel=5)  # of who called the study, which called what holds the block


class _Notes(list[Warning]):
    """Warnings as they come, and the texts of those that are new."""

    texts: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.first: list[Warning] = []

    def append(self, warning: Warning) -> None:
        super().append(warning)
        text = " ".join(str(warning).split())
        if text not in self.texts:
            self.texts.append(text)
            self.first.append(warning)


@contextmanager
def heard_warnings(heard: list[Warning] | None = None) -> Iterator[list[Warning]]:
    """User and run-time warnings of the block, every time they come, in this thread alone; the innermost block hears.

    `warnings.catch_warnings` is for one thread at a time: the block that ends last restores the filters of another.

    Args:
        heard: list that takes them; a new one unless given.
    """
    heard = [] if heard is None else heard
    token = _HEARD.set(heard)
    try:
        with _listener():
            yield heard
    finally:
        _HEARD.reset(token)


@contextmanager
def _listener() -> Iterator[None]:
    """Python asks us what to do with a warning. Blocks of several threads may overlap, and end in any order."""
    global _listening, _show
    with FILTERS:
        _listening += 1
        filters: Any = warnings.filters
        for category in _FOR_THE_REPORT:
            warnings.filterwarnings("always", _ANYTHING, category)
        if warnings.showwarning is not _hear:
            _show = warnings.showwarning
            warnings.showwarning = _hear
    try:
        yield
    finally:
        with FILTERS:
            _listening -= 1
            if not _listening:
                now: Any = warnings.filters  # somebody's catch_warnings may have put another list in place, or a copy
                for some in (filters, now):
                    some[:] = [entry for entry in some if getattr(entry[1], "pattern", None) != _ANYTHING]
                if warnings.showwarning is _hear:
                    warnings.showwarning = _show


def _hear(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
    """Hear a warning, or show it: it stands in place of `warnings.showwarning` while a block is open."""
    ours = issubclass(category, _FOR_THE_REPORT)
    if ours and (heard := _HEARD.get()) is not None:
        heard.append(message)
        return
    action = _action_without_us(str(message), category, filename, lineno) if ours else "always"
    if action == "error":
        raise message
    if action != "ignore" and (action == "always" or _is_new(action, str(message), category, filename, lineno)):
        _show(message, category, filename, lineno, file, line)


def _action_without_us(text: str, category: type[Warning], filename: str, number: int) -> str:
    """What filters would do with a warning of a thread in which nobody listens, were it not for the other threads."""
    filters: Any = list(warnings.filters)
    names = [name for name, module in list(sys.modules.items()) if getattr(module, "__file__", None) == filename]
    for action, message, kind, module, line in filters:
        if (
            getattr(message, "pattern", None) != _ANYTHING
            and issubclass(category, kind)
            and (message is None or message.match(text))
            and (module is None or any(module.match(name) for name in names))
            and line in (0, number)
        ):
            return str(action)
    return "default"


_shown: set[tuple[Any, ...]] = set()


def _is_new(action: str, text: str, category: type[Warning], filename: str, number: int) -> bool:
    """Whether one of the actions that show a warning once has not shown this one yet."""
    place = {"default": (filename, number), "module": (filename,), "once": ()}.get(action, (filename, number))
    seen = (action, text, category, *place)
    new = seen not in _shown
    _shown.add(seen)
    return new
