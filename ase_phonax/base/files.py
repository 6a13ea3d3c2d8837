"""Files that are there as a whole or not at all."""

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError

LOSS = "its contents would be lost"
REMEDY = "make room there, or choose a folder that is writable"
TEMPORARY = ".phonax-*.part"  # names under which files are written that are killed half-way


def write_whole(
    path: str | os.PathLike,
    content: bytes | str,
    *,
    overwrite: bool = True,
    to_disk: bool = False,
    keep: str | os.PathLike | None = None,
    loss: str = LOSS,
    remedy: str = REMEDY,
) -> None:
    """Write a file under a temporary name beside its place, then rename it: what was there stays until then.

    A symbolic link is followed. What is no file (a device, a pipe) is written into as it is.

    Args:
        content: bytes, or a text, which is written as UTF-8 with its line ends as they are.
        overwrite: replace an existing file; otherwise even one that appears meanwhile is kept.
        to_disk: wait until the disk has it, so that it survives a power cut.
        keep: where the file that it replaces, if there is one, stays; beside it.
        loss: what an error says of why it matters.
        remedy: what it says of what to do.

    Raises:
        OutputError: the file exists, or cannot be written; what was there is untouched.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        there = _status(path)
        if there is not None and not overwrite:
            raise exists(path)
        of_the_system = os.path.abspath(path).startswith(("/dev/", "/proc/"))  # /dev/stdout may be a file
        if there is not None and (of_the_system or not stat.S_ISREG(there.st_mode)):
            with open(path, "ab", opener=without_waiting) as file:  # of a folder, its error says so
                file.write(data)
            return
        place = os.path.realpath(path)
        temporary = os.path.join(os.path.dirname(place), TEMPORARY.replace("*", os.urandom(4).hex()))
        linked = f"{temporary}-kept"
        try:
            with _temporary_file(temporary) as file:
                if there is not None:
                    os.chmod(file.fileno(), stat.S_IMODE(there.st_mode))
                file.write(data)
                file.flush()
                if to_disk:
                    os.fsync(file.fileno())
                if not os.fstat(file.fileno()).st_nlink:
                    _give_name(file, temporary, data)
            if keep is not None and there is not None:
                _link_or_copy(place, linked)  # not moved: at every moment a whole file has the name
                os.replace(linked, keep)
            _put_in_place(temporary, place, overwrite)
        finally:
            for name in (temporary, linked):
                Path(name).unlink(missing_ok=True)
    except OutputError:
        raise
    except FileExistsError:
        raise exists(path) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise not_written(path, error, loss, remedy) from error


def _temporary_file(path: str) -> BinaryIO:
    """Without a name where the system can do that: the system then removes it however the process ends."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        with suppress(OSError):  # not every file system can; what else is wrong comes up below
            return open(os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY, 0o666), "wb")
    return open(path, "xb")


def _give_name(file: BinaryIO, name: str, data: bytes) -> None:
    """Give a name to a file that has none; where the system refuses, its contents are written once more."""
    try:
        os.link(f"/proc/self/fd/{file.fileno()}", name, src_dir_fd=file.fileno())
    except OSError:  # no usable /proc, or no hard links
        with open(name, "xb") as named:
            os.chmod(named.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
            named.write(data)
            named.flush()
            os.fsync(named.fileno())


def without_waiting(path: str, flags: int) -> int:
    """An opener for writing: of a pipe that nobody reads, the system would wait for ever."""
    try:
        handle = os.open(path, flags | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "it is a pipe, and nobody reads it", path) from None
        raise
    os.set_blocking(handle, True)
    return handle


def _link_or_copy(place: str, to: str) -> None:
    try:
        os.link(place, to)
    except OSError:  # a file system without hard links
        shutil.copy2(place, to)


def _put_in_place(temporary: str, place: str, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, place)
        return
    try:
        os.link(temporary, place)  # unlike a renaming, it fails where another process was faster
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(place):
            raise FileExistsError(place) from None
        os.replace(temporary, place)


def _status(path: str | os.PathLike) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def exists(path: str | os.PathLike) -> OutputError:
    """What to say of a file that would be replaced unasked."""
    return OutputError(f"{os.fspath(path)} exists", "it would be lost", "choose another name or pass overwrite=True")


def not_written(path: str | os.PathLike, error: BaseException, loss: str = LOSS, remedy: str = REMEDY) -> OutputError:
    """What to say of a file that the system refuses to take: a full disk, no permission, no such folder."""
    return OutputError(
        f"{os.fspath(path)} cannot be written: {getattr(error, 'strerror', None) or error}", loss, remedy
    )
