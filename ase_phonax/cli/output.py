"""Results appear complete or not at all: written beside the target, then renamed into place."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from ..errors import OutputError


@contextmanager
def atomic_directory(target: Path, *, overwrite: bool, own_files: Collection[str]) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends well and vanishes otherwise.

    Entering it proves that results can be written, so enter it before a long computation.

    Args:
        target: folder to create; its parent must exist.
        overwrite: replace an existing `target`, if it holds nothing but `own_files`.
        own_files: names of the files that the command writes, or patterns such as "mode_*.extxyz".

    Raises:
        OutputError: `target` exists, holds foreign files, or cannot be written.
    """
    target = Path(os.path.abspath(target.resolve()))
    _check_target(target, overwrite, own_files)
    partial = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    try:
        partial.mkdir()
    except OSError as error:
        raise OutputError(
            f"results cannot be written to {target}: {error.strerror}",
            "a long computation without a place for its results would be lost",
            "choose another folder with --output; its parent folder must exist and be writable",
        ) from error
    try:
        yield partial
        _move_into_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Around code that only writes files: a full disk is then named, not shown as a traceback."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"writing results for {target} failed: {error.strerror or error}",
            "incomplete results are worse than none, so nothing was kept",
            "free some space or choose another folder with --output, and run again",
        ) from error


def _check_target(target: Path, overwrite: bool, own_files: Collection[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(
            f"{target} exists and is not a folder",
            "results are several files",
            "choose another name with --output",
        )
    if not overwrite:
        raise OutputError(
            f"the folder {target} exists already",
            "earlier results would be lost",
            "choose another name with --output, or replace them with --overwrite",
        )
    foreign = sorted(
        entry.name for entry in target.iterdir() if not any(fnmatch(entry.name, pattern) for pattern in own_files)
    )
    if foreign:
        raise OutputError(
            f"the folder {target} holds files that are not results of this command: {', '.join(foreign[:5])}",
            "--overwrite replaces the whole folder, and they would be deleted",
            "choose another folder with --output, or move them away",
        )


def _move_into_place(partial: Path, target: Path) -> None:
    with writing(target):
        if not target.exists():
            partial.rename(target)
            return
        replaced = target.with_name(f".{target.name}.replaced-{secrets.token_hex(4)}")
        target.rename(replaced)
        try:
            partial.rename(target)
        except BaseException:
            replaced.rename(target)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
