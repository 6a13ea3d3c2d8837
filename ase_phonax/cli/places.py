"""No command writes over what it reads: all places are compared before anything is opened."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..base.errors import OutputError
from ..studies.output import output_directory, resolved

_WRITTEN = ("log", "json", "csv")  # options that name one file to write


def check_places(arguments: argparse.Namespace) -> None:
    """Compare the places that the arguments name for results with the files that they name.

    Every value that is the name of a file counts as read, so that no command has to say which of its options do.

    Raises:
        OutputError: a file to write is one that is read, or two are the same, or lie in the folder of the results;
            or a file that is read lies in a folder that is replaced.
    """
    written = {f"--{name}": getattr(arguments, name) for name in _WRITTEN if getattr(arguments, name, None)}
    folder = _folder(arguments)
    read = list(dict.fromkeys(_files_in({k: v for k, v in vars(arguments).items() if k not in (*_WRITTEN, "output")})))
    for option, path in written.items():
        for name in read:
            if os.path.exists(path) and os.path.samefile(path, name):
                raise OutputError(
                    f"{option} {path} is {name}, which this command reads",
                    "it would be written over",
                    f"give another file to {option}",
                )
        if folder is not None and folder in (resolved(path), *resolved(path).parents):
            raise OutputError(
                f"{option} {path} lies in {folder}, where the results go",
                "that folder holds results and nothing else, complete or not there at all",
                f"give a file elsewhere to {option}",
            )
    places = [resolved(path) for path in written.values()]
    if len(set(places)) < len(places):
        raise OutputError(f"{' and '.join(written)} name the same file", "one would be lost", "give them two names")
    for name in read if folder is not None else ():
        inside = folder in resolved(Path(name)).parents and getattr(arguments, "overwrite", False)
        if inside or resolved(Path(name)) == folder:
            raise OutputError(
                f"{name}, which this command reads, {'lies in' if inside else 'is'} {folder}, where the results go",
                "it would be replaced by them",
                "choose another place with --output, or copy the file elsewhere and name the copy",
            )


def _folder(arguments: argparse.Namespace) -> Path | None:
    """Where the results go; None where a command has no such place."""
    output = getattr(arguments, "output", None)
    if output is None and "\0" in getattr(arguments, "structure", ""):
        return None  # of a structure that is no path, which its reader says
    if hasattr(arguments, "output_suffix"):
        output = output_directory(arguments.structure, output, arguments.output_suffix)
    return None if output is None else resolved(output)


def _files_in(value: Any) -> Iterator[str]:
    """Names of files that exist among values nested in any way; FILE@3 names FILE."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _files_in(one)
    elif isinstance(value, (str, Path)) and (text := str(value)):
        near = (text, text.rsplit("@", 1)[0], *(glob.glob(text) if glob.has_magic(text) else ()))
        yield from (name for name in near if os.path.isfile(name))
