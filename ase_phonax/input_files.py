"""Files that a user names: there, and of a kind that can be read, before anybody opens them."""

import os
import stat

from .errors import InputError, PhonaxError

Path = str | os.PathLike[str]
EMPTY = "is empty"


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


def _problem(path: Path) -> tuple[str, str]:
    """What is wrong with a path, and what to do; empty where nothing is."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist", "check the path"
    except OSError as error:  # no permission on the way, a name too long, links in a circle
        return f"cannot be reached: {error.strerror}", "check the path, its links and its permissions"
    except ValueError as error:  # characters that no path has
        return f"is no path: {error}", "check the path"
    if stat.S_ISDIR(found.st_mode):
        return "is a folder", "name a file in it"
    if not stat.S_ISREG(found.st_mode):
        return "is a pipe or a device", "write it to a file first: it is looked at more than once"
    if not os.access(path, os.R_OK):
        return "cannot be read: Permission denied", "check its permissions"
    if found.st_size == 0:
        return EMPTY, "check the program that wrote it"
    return "", ""
