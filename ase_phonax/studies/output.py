"""Results appear complete or not at all: written beside the target, then renamed into place.

Nothing is removed but what a run of this program wrote: regular files whose names are those of results, and folders
that are empty then. Whoever writes results of one name claims that name from the beginning (`claims`).
"""

from __future__ import annotations

import errno
import json
import os
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from ..base.claims import claim
from ..base.errors import OutputError, UnstableWarning
from .summary_units import Summary


@contextmanager
def atomic_directory(target: Path, *, overwrite: bool, own_files: Collection[str]) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends well and vanishes otherwise.

    Entering it proves that results can be written, so enter it before a long computation. Where `target` appears, or
    gets files of others, while the block runs, the results go to a free name beside it and the error says which.

    Args:
        target: folder to create; its parent must exist.
        overwrite: replace an existing `target`, if it holds nothing but `own_files`.
        own_files: names of the files that the command writes, or patterns such as "mode_*.extxyz".

    Raises:
        OutputError: `target` exists, holds foreign files, cannot be written, or another run writes it.
    """
    target = resolved(target)
    _check_target(target, overwrite, own_files)
    with claim(target.with_name(f".{target.name}.lock"), target):
        _clean_up(target, own_files)
        _check_target(target, overwrite, own_files)
        partial = _beside(target, "partial")
        with writing(target):
            partial.mkdir()
        try:
            yield partial
            with writing(target):
                _move_into_place(partial, target, overwrite, own_files)
        finally:
            _remove(partial)


@contextmanager
def kept_parts(target: Path) -> Iterator[Path]:
    """A folder beside the target for parts of what takes long; it is removed when the block ends well.

    Nothing is made before a part is written. Where the block is interrupted, the next one finds the parts.
    """
    parts = resolved(target).with_name(f".{target.name}.unfinished")
    yield parts
    _remove(parts)


def resolved(path: Path) -> Path:
    """An absolute path without symbolic links, whether or not something is there.

    Raises:
        OutputError: it cannot be one.
    """
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise OutputError(
            f"results cannot be written to {str(path)!r}: {error}", "it is no path", "choose another (`folder`)"
        ) from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Around code that only writes files: a full disk is then named, not shown as a traceback."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"writing results for {target} failed: {error.strerror or error}",
            "incomplete results are worse than none, so nothing was kept",
            "free some space or choose another folder (`folder`), and run again",
        ) from error


def output_directory(structure: str, output: Path | None, suffix: str) -> Path:
    """Where results go: `output`, or "<stem of the structure>-<suffix>" in the working directory."""
    if output is not None:
        return output
    stem = Path(structure.split("@")[0]).name
    # POSCAR and CONTCAR have no suffix; NaCl.relaxed.cif loses only its last.
    return Path(f"{Path(stem).stem or 'structure'}-{suffix}")


def write_summary(contents: Summary, folder: Path) -> None:
    """Write summary.json, of built-in types, in UTF-8.

    Bytes of a file's name that are no UTF-8 stand there as JSON's escapes: read again, the name opens the file.
    """
    text = json.dumps(contents, indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _check_target(target: Path, overwrite: bool, own_files: Collection[str]) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise OutputError(
            f"{target} exists and is not a folder",
            "results are several files",
            "choose another name (`folder`)",
        )
    if not overwrite:
        raise OutputError(
            f"the folder {target} exists already",
            "earlier results would be lost",
            "choose another name (`folder`), or replace them with `overwrite=True`",
        )
    if foreign := _foreign(target, own_files):
        raise OutputError(
            f"the folder {target} holds files that are not results of this command: {', '.join(foreign[:5])}",
            "`overwrite=True` replaces the whole folder, and they would be deleted",
            "choose another folder (`folder`), or move them away",
        )


def _foreign(folder: Path, own_files: Collection[str]) -> list[str]:
    """What a run did not write: other names, and folders and links that have the name of a result."""
    with writing(folder), os.scandir(folder) as entries:
        return sorted(
            entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
            for entry in entries
            if not _is_own(entry, own_files)
        )


def _is_own(entry: os.DirEntry, own_files: Collection[str]) -> bool:
    return entry.is_file(follow_symlinks=False) and any(fnmatch(entry.name, pattern) for pattern in own_files)


def _move_into_place(partial: Path, target: Path, overwrite: bool, own_files: Collection[str]) -> None:
    if not os.path.lexists(target):
        try:
            partial.rename(target)
            return
        except OSError as error:  # it appeared in this moment
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
    if not overwrite:
        raise _kept_aside(partial, target, "it appeared while the run was under way, and was not touched")
    try:
        _check_target(target, overwrite, own_files)
    except OutputError as error:
        raise _kept_aside(partial, target, f"meanwhile {error.what}; nothing was touched") from None
    replaced = _beside(target, "replaced")
    target.rename(replaced)
    try:
        partial.rename(target)
    except BaseException:
        if not os.path.lexists(target):
            replaced.rename(target)
        raise
    _remove(replaced, own_files)
    if os.path.lexists(replaced):
        warnings.warn(
            f"Files that are no results were put into {target} at the last moment; they lie in {replaced}.",
            UnstableWarning,
            stacklevel=2,
        )


def _kept_aside(partial: Path, target: Path, why: str) -> OutputError:
    """What was computed stays, under the first name that is free."""
    number = 2
    while os.path.lexists(aside := target.with_name(f"{target.name}-{number}")):
        number += 1
    partial.rename(aside)
    return OutputError(
        f"{target} was not written: {why}; the results are in {aside}",
        "somebody else's files would have been deleted",
        "look at both folders, and rename the one that you want",
    )


def _beside(target: Path, purpose: str) -> Path:
    return target.with_name(f".{target.name}.{purpose}-{os.urandom(4).hex()}")


def _clean_up(target: Path, own_files: Collection[str]) -> None:
    """Folders that killed runs to the same target left; their claim has ended, or this one would not be ours."""

    def left(purpose: str) -> list[Path]:
        name = re.compile(re.escape(f".{target.name}.{purpose}-") + "[0-9a-f]{8}")
        with writing(target), os.scandir(target.parent) as entries:
            return [
                target.with_name(e.name) for e in entries if name.fullmatch(e.name) and e.is_dir(follow_symlinks=False)
            ]

    for replaced in left("replaced"):
        if os.path.lexists(target):
            _remove(replaced, own_files)
        else:  # killed between taking the earlier results away and putting the new ones there
            with writing(target):
                replaced.rename(target)
    for partial in left("partial"):
        _remove(partial)


def _remove(folder: Path, own_files: Collection[str] = ("*",)) -> None:
    """Delete results, and the folder if nothing else is in it."""
    with suppress(OSError):
        with os.scandir(folder) as entries:
            own = [entry.path for entry in entries if _is_own(entry, own_files)]
        for path in own:
            os.unlink(path)
        folder.rmdir()
