"""What a result came from: the same block in whatever is written for programs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..base.errors import ModelError, UnstableWarning
from ..base.sharing import ignored_warnings
from .summary_units import Summary

FileName = str | os.PathLike[str]

# Those of them that a run has imported have had a part in its numbers.
LIBRARIES = ("numpy", "scipy", "ase", "phonopy", "phono3py", "spglib", "seekpath", "vesin", "jax", "h5py", "matplotlib")


@dataclass(frozen=True)
class Origin:
    """What a study cannot know of itself.

    Attributes:
        structure: name of the file that the atoms were read from; None where they came from Python.
        model: name or file that the model was asked for by; None where it was not asked for, or is not known.
        model_file: name or file whose checksum counts as that of the model; None where it is not known.
        command: as a shell would take it; None where there is none.
        files: read for it; "run.xyz@3" is the file run.xyz.
        dtype: precision asked for; that of the calculator unless given.
    """

    structure: str | None = None
    model: str | None = None
    model_file: FileName | None = None
    command: str | None = None
    files: tuple[FileName, ...] = ()
    dtype: str | None = None

    def precision(self, calc: Any) -> str:
        """Precision of the results: "float64", "float32", or what another calculator says of itself."""
        return self.dtype or str(getattr(calc, "dtype", "float64"))

    def provenance(self) -> Summary:
        """Date, command, versions and checksums, as of this moment."""
        return provenance(self.command, self.files, self.model_file)


def provenance(command: str | None, files: Iterable[FileName], model: FileName | None = None) -> Summary:
    """Date, command, versions and checksums: built-in types only.

    Args:
        command: as a shell would take it.
        files: that were read: structures, data, configurations; "run.xyz@3" is the file run.xyz.
        model: name or file of the model that was used; None where there is none.

    Returns:
        date (UTC, ISO 8601, seconds), command, versions of Python, this package and the libraries that were loaded,
        sha256 of each file by its name as given, of the model's file as well.
    """
    named = {str(name): _path(str(name)) for name in files}
    if model is not None and (path := _model_path(model)):
        named[str(model)] = path
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": command,
        "versions": _versions(),
        "sha256": {name: checksum for name, path in named.items() if (checksum := _sha256(path))},
    }


def _versions() -> dict[str, str]:
    versions = {"ase-phonax": __version__, "python": platform.python_version()}
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
            versions[name] = str(version)
    return versions


def _path(name: str) -> Path:
    return Path(name) if os.path.exists(name) else Path(name.rsplit("@", 1)[0])


def _model_path(model: FileName) -> Path | None:
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
    """SHA-256 of a file; None where there is none, or none any more."""
    from ..models.downloads import sha256_of

    try:
        return sha256_of(path)
    except OSError:
        return None
