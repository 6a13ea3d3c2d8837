"""The log of a run, `--log FILE`: what `logging` tells of it, a line of JSON for each event, written at once."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

from ..base.claims import claim
from ..base.errors import OutputError, UnstableWarning
from ..base.files import without_waiting
from ..base.input_files import parse_json
from ..studies.watch import Watch
from .wording import error_as_typed

_KEYS = ("event", "elapsed_s")  # every line has them, before the values of its event


@contextmanager
def logging_to(path: Path | None, watch: Watch) -> Iterator[None]:
    """A block in which the events of one run, those of its watch, are written to a file; None for no file.

    Raises:
        OutputError: the file cannot be written, is something else than such a log, or another run writes it.
    """
    if path is None:
        yield
        return
    with _opened(path) as file:
        handler = LogFile(file)
        watch.handlers.append(handler)
        try:
            yield
        except BaseException as error:
            watch.note("failed", {"error": type(error).__name__, "message": error_as_typed(error)})
            raise
        else:
            watch.note("finished", {"seconds": watch.rounded()})
        finally:
            watch.handlers.remove(handler)
            handler.close()


class LogFile(logging.Handler):
    """Writes records of `Watch.note` to a file; a file that takes no more ends with a warning, and not the run."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.setFormatter(JsonLine())
        self._file: TextIO | None = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, now."""
        if self._file is None:
            return
        try:
            self._file.write(self.format(record) + "\n")
            self._file.flush()
        except OSError as error:  # results that took hours do not depend on it
            name, self._file = self._file.name, None
            words = f"the log {name} ends before {vars(record)['event']!r}: {error.strerror or error}"
            warnings.warn(words, UnstableWarning, stacklevel=4)  # of who noted the event


class JsonLine(logging.Formatter):
    """An event in one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Its name, the seconds since the run began, and its values."""
        attributes = vars(record)
        return json.dumps({key: attributes[key] for key in _KEYS} | attributes["values"], ensure_ascii=False)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """A log to write from its beginning; an earlier one is replaced, any other file is not."""
    if os.path.isfile(path) and not is_log(path):
        raise OutputError(
            f"the file {path} exists and is no log of this program",
            "it would be written over",
            "choose another name with --log",
        )
    try:
        # JSON's escapes stand for bytes that are no UTF-8.
        file = open(path, "a", encoding="utf-8", errors="backslashreplace", opener=without_waiting)  # noqa: SIM115
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
                file.truncate(0)
            yield file
    finally:
        with suppress(OSError):  # a full disk has been told of
            file.close()


def is_log(path: Path) -> bool:
    """Whether a file is empty, or begins with a line as `JsonLine` writes it."""
    try:
        with path.open("rb") as file:
            start = file.readline(65536)
        line = parse_json(start) if start else dict.fromkeys(_KEYS)
    except (OSError, ValueError):
        return False
    return isinstance(line, dict) and set(_KEYS) <= set(line)
