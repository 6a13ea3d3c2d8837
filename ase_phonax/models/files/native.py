"""The native model file: one HDF5 file, arrays as datasets, everything else as JSON in an attribute."""

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...base import hdf5
from ...base.errors import InputError, ModelError, UnstableWarning, why_unread
from ...base.files import exists, write_whole
from ...base.input_files import parse_json
from ...base.settings import build
from ..architectures import ARCHITECTURES, make_potential
from ..potential import Potential, Provenance
from .checks import check_arrays, check_config

SUFFIX = ".h5"
FORMAT = "ase-phonax model"
# A network with outputs besides the energy asks for the second: versions that know of none refuse it in words.
VERSION = 2


def save_model(potential: Potential, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write a potential to one HDF5 file, under a temporary name first.

    Args:
        potential: with a named architecture; a plain function cannot be stored as data.
        path: usually ends in .h5.
        overwrite: replace an existing file.

    Raises:
        InputError: the potential wraps a plain function.
        ModelError: its arrays are not those of its network.
        OutputError: the file exists or cannot be written.
    """
    if potential.architecture is None:
        raise InputError(
            f"the potential {potential.name!r} wraps a plain function",
            "a model file holds data and never code",
            "keep the function in your script, or write it as an architecture (docs/extending.md)",
        )
    if not overwrite and os.path.lexists(path):
        raise exists(path)
    check_arrays(potential, path)
    config = dataclasses.asdict(potential.config)
    if not config.get("outputs"):
        config.pop("outputs", None)  # as in the first version
    header = {
        "format": FORMAT,
        "version": VERSION if "outputs" in config else 1,
        "sealed": True,  # so that a checksum that is gone is missed
        "architecture": potential.architecture,
        "config": config,
        "numbers": [int(z) for z in potential.numbers],
        "name": potential.name,
        "provenance": dataclasses.asdict(potential.provenance),
        "units": {"length": "Å", "energy": "eV"},
    }
    arrays = {
        f"parameters/{module}/{name}": np.asarray(array)
        for module, own in potential.parameters.items()
        for name, array in own.items()
    }
    content = hdf5.pack(arrays, {"": {"header": json.dumps(header)}})
    write_whole(path, content, overwrite=overwrite, loss="the model would be lost")


def read_native(path: Path) -> Potential:
    """A `Potential` from a file of `save_model`.

    Raises:
        ModelError: not such a file, damaged, written by a newer version, or with other arrays than its network has.
    """
    try:
        content = hdf5.read(path, needs_seal=False)
        header = parse_json(content.attributes[""]["header"])
        _check_header(path, header, content.sealed)
        numbers, architecture = header["numbers"], header["architecture"]
        config = build(ARCHITECTURES[architecture].config, header["config"], "its configuration")
        parameters = _tree(content.arrays)
        check_config(path, config, numbers)
        provenance = Provenance(**header["provenance"])
    except InputError as error:
        raise _unreadable(path, f"its header does not describe a network: {error.what}") from error
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise _unreadable(path, f"it is not a complete model file: {why_unread(error)}") from error
    if not content.sealed:
        warnings.warn(
            f"{path} was written by an earlier version and carries no checksum: nothing vouches for its numbers. "
            "save_model writes it with one, from what load_model reads.",
            UnstableWarning,
            stacklevel=4,
        )
    return make_potential(architecture, config, parameters, numbers, header["name"], provenance)


def _check_header(path: Path, header: Any, sealed: bool) -> None:
    """Refuse what is no header of ours, of a newer version, or lacks the checksum that it was written with."""
    known = {key: header[key] for key in ("format", "version", "architecture")}
    is_known = header["format"] == FORMAT and header["architecture"] in ARCHITECTURES
    if not is_known or not 0 < header["version"] <= VERSION:
        raise _unreadable(
            path, f"its header says {known}, this version reads {FORMAT!r} up to {VERSION} with {sorted(ARCHITECTURES)}"
        )
    if header.get("sealed") and not sealed:
        raise _unreadable(path, "it is damaged: the checksum that it was written with is gone")
    texts = dict(header["provenance"])
    if not isinstance(texts.pop("training", {}), dict) or not all(map(_is_text, [header["name"], *texts.values()])):
        raise ValueError("its name or provenance is no text")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _tree(arrays: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Module -> name -> array, from the paths in the file."""
    result: dict[str, dict[str, np.ndarray]] = {}
    for path, array in arrays.items():
        folder, module, name = path.split("/")
        if folder != "parameters":
            raise ValueError(f"it holds {path!r}, which is no parameter")
        result.setdefault(module, {})[name] = np.asarray(array)
    return result


def _unreadable(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        "its numbers cannot be trusted",
        "get the file again, or update ase-phonax if it was written by a newer version",
    )
