"""What a result came from: the same block in what every command writes for programs."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..base.errors import ModelError, UnstableWarning
from ..base.sharing import ignored_warnings

# Those of them that a run has imported have had a part in its numbers.
LIBRARIES = ("numpy", "scipy", "ase", "phonopy", "spglib", "seekpath", "vesin", "jax", "h5py", "matplotlib")


def provenance(arguments: argparse.Namespace, files: Iterable[Any], model: Any = None) -> dict[str, Any]:
    """Date, command, versions and checksums: built-in types only.

    Args:
        arguments: of the command line; `main` keeps there what was typed.
        files: read by the command: structures, data, configurations; "run.xyz@3" is the file run.xyz.
        model: name or file of the model that was used; None where there is none.

    Returns:
        date (UTC, ISO 8601, seconds), command (as a shell would take it), versions of Python, this package and the
        libraries that were loaded, sha256 of each file by its name as given, of the model's file as well.
    """
    named = {str(name): _path(str(name)) for name in files}
    if model is not None and (path := _model_path(model)):
        named[str(model)] = path
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": shlex.join(["ase-phonax", *getattr(arguments, "typed", ())]),
        "versions": _versions(),
        "sha256": {name: checksum for name, path in named.items() if (checksum := _sha256(path))},
    }


def read_files(arguments: argparse.Namespace) -> list[Any]:
    """Those that a command on a single structure was given."""
    options = (getattr(arguments, name, None) for name in ("structure", "born", "config"))
    return [name for name in options if name is not None]


def _versions() -> dict[str, str]:
    found = {"ase-phonax": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is None and name in sys.modules:
            from importlib.metadata import PackageNotFoundError
            from importlib.metadata import version as installed

            try:
                version = installed(name)
            except PackageNotFoundError:
                continue
        if version is not None:
            found[name] = str(version)
    return found


def _path(name: str) -> Path:
    return Path(name) if os.path.exists(name) else Path(name.rsplit("@", 1)[0])


def _model_path(model: Any) -> Path | None:
    """None where the file is gone since it was loaded, after which its results are not lost for want of a checksum.

    What is to be said of a file that nothing vouches for was said when it was loaded.
    """
    from ..models.loading import find_reader

    try:
        with ignored_warnings(".* sha256", UnstableWarning):
            return find_reader(model)[0]
    except ModelError:
        return None


def _sha256(path: Path) -> str | None:
    """None of what is no file, or is not there any more."""
    from ..models.downloads import sha256_of

    try:
        return sha256_of(path)
    except OSError:
        return None
