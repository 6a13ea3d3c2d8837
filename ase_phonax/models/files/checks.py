"""Whether the arrays of a model are those of its network: names, shapes, kinds, and numbers that are finite."""

import dataclasses
import os
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ...base.errors import ModelError
from ..architectures import ARCHITECTURES
from ..potential import Potential


def check_arrays(potential: Potential, path: str | os.PathLike) -> None:
    """Compare the arrays of a potential with what its configuration asks for, before a network is made of them.

    Raises:
        ModelError: missing or superfluous ones, of other shapes or kinds, with numbers that are not finite, or a
            configuration that asks for more than can be.
    """
    assert potential.architecture is not None
    check_config(path, potential.config, potential.numbers)
    wanted = _flat(ARCHITECTURES[potential.architecture].shapes(potential.config))
    arrays = _flat(potential.parameters)
    for what, names in (("lacks", wanted.keys() - arrays.keys()), ("has besides", arrays.keys() - wanted.keys())):
        if names:
            raise _foreign(path, f"it {what} the {_arrays(sorted(names))} of its network")
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64):
            raise _foreign(path, f"{name} holds {array.dtype}, and parameters are float32 or float64")
        if array.shape != wanted[name]:
            raise _foreign(path, f"{name} has the shape {array.shape}, its network {wanted[name]}")
        if n_bad := int((~np.isfinite(array)).sum()):
            raise ModelError(
                f"{os.fspath(path)}: {n_bad} of the {array.size} numbers of {name} are not finite",
                "the file is damaged, or its training diverged; energies would not be numbers",
                "get the file again and compare its sha256",
            )


def check_config(path: str | os.PathLike, config: Any, numbers: Sequence[Any]) -> None:
    """Refuse elements that are none or another number than the network has, and settings that are not finite.

    Args:
        numbers: atomic numbers as they stand in a file.

    Raises:
        ModelError: what is wrong with the configuration or the elements.
    """
    if not all(map(_is_element, numbers)) or list(numbers) != sorted(set(numbers)):
        raise _foreign(path, f"its atomic numbers are {reprlib.repr(numbers)}, and not ascending ones of elements")
    if len(numbers) != config.n_species:
        raise _foreign(path, f"it names {len(numbers)} elements, and its network has {config.n_species}")
    if bad := [f.name for f in dataclasses.fields(config) if not _is_finite(getattr(config, f.name))]:
        raise _foreign(path, f"its configuration has no finite {', '.join(bad)}")


def count_of(value: Any, most: int, what: str) -> int:
    """A number that counts something, before anything is done that often.

    Raises:
        ValueError: it is none, or more than any network has.
    """
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{what} {value!r}, where no network has more than {most}")
    return int(value)


def _is_element(z: Any) -> bool:
    return type(z) is int and 0 < z < len(chemical_symbols)


def _is_finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or np.isfinite(value)


def _flat(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{module}/{name}": value for module, own in tree.items() for name, value in own.items()}


def _arrays(names: Sequence[str]) -> str:
    return f"array {names[0]}" if len(names) == 1 else f"{len(names)} arrays {', '.join(names[:3])}, ..."


def _foreign(path: str | os.PathLike, what: str) -> ModelError:
    return ModelError(
        f"{os.fspath(path)}: {what}",
        "its numbers cannot be trusted",
        "get the file again, or write it anew from the model that it was made of",
    )
