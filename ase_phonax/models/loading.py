"""Models: readers by file type, the native file, and the registry of named models."""

import os
import reprlib
from collections.abc import Callable
from pathlib import Path

from ..base.errors import InputError, ModelError
from .files.checks import check_arrays
from .files.native import SUFFIX as NATIVE
from .files.native import read_native
from .files.nequip_package import CHECKPOINT, PACKAGE, read_nequip
from .files.nequix import SUFFIX as NEQUIX
from .files.nequix import read_nequix
from .files.sevennet import SUFFIX as SEVENNET
from .files.sevennet import read_pth
from .potential import Potential
from .registry import (
    TO_CONVERT,
    check_registered,
    find_model,
)

# A weight format is one reader and one line here.
READERS: dict[str, Callable[[Path], Potential]] = {
    NATIVE: read_native,
    NEQUIX: read_nequix,
    SEVENNET: read_pth,
    CHECKPOINT: read_nequip,
    PACKAGE: read_nequip,
}
FROM_PYTORCH = (SEVENNET, CHECKPOINT, PACKAGE)  # which `ase-phonax convert` writes as native files


def load_model(model: str | os.PathLike | Potential) -> Potential:
    """A potential from a file, a registered name, or itself.

    Args:
        model: path of a model file (.h5 native, .nqx Nequix, .pth SevenNet and NequIP 0.6, .ckpt and
            .nequip.zip NequIP), a name of `list_models`, or a Potential.

    Raises:
        ModelError: no such model or file, or a file that cannot be read safely.
        InputError: of a type that names no model.
    """
    if isinstance(model, Potential):
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise InputError(
            f"the model is {reprlib.repr(model)}, of the type {type(model).__name__}",
            "it is found by its name or its file",
            "give a name of list_models(), the path of a model file, or a Potential",
        )
    path, reader = find_reader(model)
    potential = reader(path)
    check_arrays(potential, path)
    if reader is not read_native:
        check_registered(path)
    return potential


def find_reader(model: str | os.PathLike) -> tuple[Path, Callable[[Path], Potential]]:
    """The file of a model, unopened, and what reads it.

    Raises:
        ModelError: no such model or file, or one of another kind.
    """
    path = find_model(model)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ModelError(
            f"{path} ends in {path.suffix or 'nothing'!r}",
            "only formats that hold plain numbers are read: "
            + ", ".join(READERS)
            + "; files that can run code never are",
            f"convert it first: ase-phonax convert {os.fspath(model)} OUT.h5 --trust"
            if path.suffix.lower() == TO_CONVERT
            else "convert the model to one of these formats",
        )
    return path, reader
