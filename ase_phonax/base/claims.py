"""Who writes where: a folder belongs to one process at a time, and what a killed one left is known as such.

The claim is a lock of the operating system on an empty file. It ends with its process, however that ends, so that no
claim of a dead one stands in the way; only the file may stay behind, which the next to claim it takes over and removes.
"""

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError, UnstableWarning

LOCK = ".lock"  # inside a folder that a run works in
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def claimed_folder(folder: Path) -> Iterator[Path]:
    """A folder that nobody else claims inside the block; made where there is none, and removed if it is empty then.

    Raises:
        OutputError: another process works there, or the folder can be neither made nor written.
    """
    made: list[Path] = []
    try:
        with claim(folder / LOCK, folder, made):
            yield folder
    finally:
        for path in made:
            try:
                path.rmdir()
            except OSError:  # results are in it
                break


@contextmanager
def claim(lock: Path, target: Path, made: list[Path] | None = None) -> Iterator[None]:
    """Exclude everybody else who claims the same file, other threads of this process among them.

    Args:
        lock: the file, in a folder that can be written; removed when the block ends.
        target: what is claimed by it, for messages.
        made: if given, missing folders above `lock` are made and listed here, innermost first.

    Raises:
        OutputError: somebody else has it, or the file cannot be made.
    """
    try:
        handle = _locked(lock, target, made)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if isinstance(error, OutputError):
            raise
        words = getattr(error, "strerror", None) or str(error)
        if made is not None and not os.path.isdir(target):
            words = f"it cannot be made a folder: {words}"
        raise OutputError(
            f"results cannot be written to {target}: {words}",
            "a long computation without a place for its results would be lost",
            "choose another folder, one that you may write to" + (" and whose parent exists" if made is None else ""),
        ) from error
    try:
        yield
    finally:
        if _same_file(handle, lock):
            lock.unlink(missing_ok=True)
        os.close(handle)


def _locked(lock: Path, target: Path, made: list[Path] | None) -> int:
    """Descriptor of the locked file, which is still the one of that name: its owner before may just have removed it."""
    import socket

    while True:
        if made is not None:
            made[:0] = _made_folders(lock.parent)
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            if made is None:
                raise
            continue  # whoever made the folder has removed it again
        is_ours = False
        try:
            _lock(handle, target)
            if is_ours := _same_file(handle, lock):
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return handle
        except BaseException:  # a full disk, say
            if is_ours:
                lock.unlink(missing_ok=True)
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, target: Path) -> None:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            owner = os.pread(handle, 200, 0).decode(errors="replace").strip()
            raise OutputError(
                f"another run is writing to {target} at this moment{f' ({owner})' if owner else ''}",
                "each would spoil the results of the other",
                "wait until it ends, or choose another folder",
            ) from None
        if error.errno not in _WITHOUT_LOCKS:
            raise
        warnings.warn(
            f"the file system of {target} has no locks ({error.strerror}): nothing keeps a second run from writing to "
            "the same place.",
            UnstableWarning,
            stacklevel=5,
        )


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; which ones were missing, innermost first."""
    missing = []
    for path in (folder, *folder.parents):
        if os.path.exists(path):
            break
        missing.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    return missing
