"""The native model file: one HDF5 file, arrays as datasets, everything else as JSON in an attribute."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import h5py
import numpy as np

from ..errors import InputError, ModelError, OutputError
from ..networks import ARCHITECTURES, make_potential
from ..potential import Potential, Provenance

SUFFIX = ".h5"
FORMAT = "ase-phonax model"
VERSION = 1


def save_model(potential: Potential, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write a potential to one HDF5 file, under a temporary name first.

    Args:
        potential: with a named architecture; a plain function cannot be stored as data.
        path: usually ends in .h5.
        overwrite: replace an existing file.

    Raises:
        InputError: the potential wraps a plain function.
        OutputError: the file exists or cannot be written.
    """
    path = Path(path)
    if potential.architecture is None:
        raise InputError(
            f"the potential {potential.name!r} wraps a plain function",
            "a model file holds data and never code",
            "keep the function in your script, or write it as an architecture in `networks/`",
        )
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists", "it would be lost", "choose another name or pass overwrite=True")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": potential.architecture,
        "config": dataclasses.asdict(potential.config),
        "numbers": [int(z) for z in potential.numbers],
        "name": potential.name,
        "provenance": dataclasses.asdict(potential.provenance),
        "units": {"length": "Å", "energy": "eV"},
    }
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        os.close(handle)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}", "the model would be lost", "choose a writable folder"
        ) from error
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["header"] = json.dumps(header)
            for module, arrays in potential.parameters.items():
                for name, array in arrays.items():
                    file.create_dataset(f"parameters/{module}/{name}", data=np.asarray(array))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            "the model would be lost",
            "choose another name, or make room",
        ) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_native(path: Path) -> Potential:
    """A `Potential` from a file of `save_model`.

    Raises:
        ModelError: not such a file, damaged, or written by a newer version.
    """
    try:
        with h5py.File(path, "r") as file:
            header = json.loads(file.attrs["header"])
            parameters = {
                module: {name: np.array(data) for name, data in group.items()}
                for module, group in file["parameters"].items()
            }
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _unreadable(path, f"it is not a complete model file ({error})") from error
    if (
        header.get("format") != FORMAT
        or header.get("version", 0) > VERSION
        or header.get("architecture") not in ARCHITECTURES
    ):
        found = {key: header.get(key) for key in ("format", "version", "architecture")}
        raise _unreadable(
            path, f"its header says {found}, this version reads {FORMAT!r} up to {VERSION} with {sorted(ARCHITECTURES)}"
        )
    try:
        kind = ARCHITECTURES[header["architecture"]].config
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in header["config"].items()}
        return make_potential(
            header["architecture"],
            kind(**values),
            parameters,
            header["numbers"],
            header["name"],
            Provenance(**header["provenance"]),
        )
    except (KeyError, TypeError) as error:
        raise _unreadable(path, f"its header does not describe a model ({error})") from error


def check_finite(potential: Potential, path: Path) -> None:
    """Refuse parameters that are not numbers.

    Raises:
        ModelError: with the first array that has some.
    """
    for module, arrays in potential.parameters.items():
        for name, array in arrays.items():
            if n_bad := int((~np.isfinite(array)).sum()):
                raise ModelError(
                    f"{path}: {n_bad} of the {array.size} numbers of {module}/{name} are not finite",
                    "the file is damaged, or its training diverged; energies would not be numbers",
                    "get the file again and compare its sha256",
                )


def _unreadable(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        "its numbers cannot be trusted",
        "get the file again, or update ase-phonax if it was written by a newer version",
    )
