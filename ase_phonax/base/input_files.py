"""Files that a user names: there, and of a kind that can be read, before anybody opens them."""

import json
import os
import re
import stat
from typing import Any

from .errors import InputError, PhonaxError

Path = str | os.PathLike[str]
EMPTY = "is empty"
DEEPEST = 100  # levels of nesting; what people write has a dozen
_LEVELS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def require_file(
    path: Path, what: str, why: str, kind: type[PhonaxError] = InputError, *, may_be_empty: bool = False
) -> None:
    """Refuse a path that leads to no readable file.

    Args:
        path: as given.
        what: the file is, such as "the structure file".
        why: it is needed, for the message.
        kind: of the error.
        may_be_empty: nothing in it is a content, too.

    Raises:
        InputError: (or `kind`) nothing there, a folder, a pipe or a device, no permission, an empty file, or a
            path that the system refuses.
    """
    problem, remedy = _problem(path)
    if problem and not (may_be_empty and problem == EMPTY):
        raise kind(f"{what} {shown(path)} {problem}", why, remedy)


def shown(path: Path) -> str:
    """A path in a message: one line, and not longer than a few."""
    text = os.fspath(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON text that somebody else may have written.

    Raises:
        ValueError: not JSON, or nested deeper than `DEEPEST`. Python's own limit of recursion does not stand guard: a
            library may have raised it, and then the process would end without a word.
    """
    text = text.decode() if isinstance(text, bytes) else text
    check_nesting(text)
    return json.loads(text)


def check_nesting(text: str) -> None:
    """Refuse JSON that is nested deeper than `DEEPEST`, by a ValueError; whatever else is wrong with it is not seen."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for match in _LEVELS.finditer(text):
        start = match.group()
        if start in "[{":
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        elif start in "]}":
            depth -= 1


def _problem(path: Path) -> tuple[str, str]:
    """What is wrong with a path, and what to do; empty where nothing is."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist", "check the path"
    except OSError as error:  # no permission on the way, a name too long, links in a circle
        return f"cannot be reached: {error.strerror}", "check the path, its links and its permissions"
    except ValueError as error:  # characters that no path has
        return f"is no path: {error}", "check the path"
    if stat.S_ISDIR(status.st_mode):
        return "is a folder", "name a file in it"
    if not stat.S_ISREG(status.st_mode):
        return "is a pipe or a device", "write it to a file first: it is looked at more than once"
    if not os.access(path, os.R_OK):
        return "cannot be read: Permission denied", "check its permissions"
    if status.st_size == 0:
        return EMPTY, "check the program that wrote it"
    return "", ""
