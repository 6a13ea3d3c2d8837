"""Numbers in PyTorch's files, read without PyTorch and without running anything.

PyTorch's files are ZIP archives with a pickle inside, which names what it is made of. Here a name stands for nothing
but a container, a number or an array; a pickle that names anything else is refused, and none of its code runs. Such a
file needs no trust.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from ...base.errors import ModelError, why_unread
from ...base.input_files import require_file

_KINDS = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_HALF = ("HalfStorage", "BFloat16Storage")
LARGEST = 4 << 30  # bytes: no potential is larger


class _Storage(NamedTuple):
    """A kind of numbers, as a pickle names it."""

    kind: str


def read_archive(path: Path) -> Any:
    """What PyTorch's `save` wrote: containers, numbers, texts, and tensors as NumPy arrays.

    Raises:
        ModelError: no file, no archive of PyTorch, damaged, or with anything else in it.
    """
    with _opened(path) as archive:
        found = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise _unread(path, "it is an archive, but not of PyTorch")
        return _Plain(archive, found[0], found[0].removesuffix(".pkl") + "/{}").load()


def read_package(path: Path) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """Configuration and facts of a package of NequIP's, and the parameters and buffers of its model by their names.

    Modules in its pickle stand for what they hold; the code beside it is not looked at.

    Raises:
        ModelError: no file, no such package, damaged, or with anything else in its pickle.
    """
    with _opened(path) as archive:
        found = [name for name in archive.namelist() if name.endswith("/model/eager_model.pkl")]
        if len(found) != 1:
            raise _unread(path, "it is an archive, but no package of NequIP")
        folder = found[0].removesuffix("model/eager_model.pkl")
        config = yaml.safe_load(archive.read(f"{folder}model/config.yaml"))
        facts = yaml.safe_load(archive.read(f"{folder}model/package_metadata.txt"))
        model = _Modules(archive, found[0], f"{folder}.data/{{}}.storage").load()
        return config, facts, dict(_numbers_in(model))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, its size looked at; whatever goes wrong inside is an error of the file."""
    require_file(path, "the model file", "there is nothing to read", ModelError)
    try:
        if not zipfile.is_zipfile(path):
            raise _unread(path, "it is no archive of PyTorch: damaged, cut off, or of another program")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            if not stored or sum(member.file_size for member in members) > LARGEST:
                raise _unread(path, "its archive is compressed, or larger than any model")
            yield archive
    except ModelError:
        raise
    except Exception as error:  # a damaged pickle answers by whatever it ran into
        raise _unread(path, f"it holds more than numbers, or is damaged: {why_unread(error)}") from error


class _Array:
    """Stands for NumPy's array where a pickle names it, and cannot be made."""

    def __new__(cls) -> "_Array":
        """Refused."""
        raise pickle.UnpicklingError("an array begins as none of NumPy's do")


class _Plain(pickle.Unpickler):
    """An unpickler for which every name but a few stands for an error."""

    def __init__(self, archive: zipfile.ZipFile, name: str, numbers: str):
        super().__init__(io.BytesIO(archive.read(name)))
        self.archive, self.numbers = archive, numbers

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the pickle stands for.

        Raises:
            UnpicklingError: nothing.
        """
        if module == "torch" and name in _HALF:
            raise pickle.UnpicklingError("its numbers are of half precision, too few digits for second derivatives")
        if module == "torch" and name in _KINDS:
            return _Storage(name)
        known = _NAMES.get((module, name))
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return known

    def persistent_load(self, pid: Any) -> np.ndarray:
        """The numbers of a tensor, which lie beside the pickle."""
        what, storage, key, _, count = pid
        if what != "storage" or not isinstance(storage, _Storage):
            raise pickle.UnpicklingError(f"it refers to {what!r}")
        numbers: np.ndarray = np.frombuffer(self.archive.read(self.numbers.format(key)), _KINDS[storage.kind])
        if len(numbers) != count:
            raise pickle.UnpicklingError(f"{len(numbers)} numbers lie where {count} should")
        return numbers


class _Module:
    """Stands for an object of PyTorch's or of a package beside it, and holds what that one held."""

    def __new__(cls, *arguments: Any, **named: Any) -> "_Module":
        """Made without a call of anything."""
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any):
        """Nothing is done with arguments."""

    def __setstate__(self, state: Any) -> None:
        """What the object held, where that is by name."""
        if isinstance(state, dict):
            self.__dict__.update(state)


class _Modules(_Plain):
    """An unpickler for which modules of PyTorch, e3nn and NequIP stand for what they hold."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the pickle stands for."""
        if (module, name) in _CONTAINERS:
            return _CONTAINERS[module, name]
        plain = (module, name) in _NAMES or (module == "torch" and name.endswith("Storage"))
        if not plain and module.split(".")[0] in ("torch", "e3nn", "nequip", "allegro"):
            return type(name, (_Module,), {})
        return super().find_class(module, name)


def _numbers_in(module: _Module, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Parameters and buffers of a module and those inside it, named as PyTorch does."""
    held = vars(module)
    for key, value in {**held.get("_parameters", {}), **held.get("_buffers", {})}.items():
        if isinstance(value, np.ndarray):
            yield name + key, value
    for key, inner in held.get("_modules", {}).items():
        if isinstance(inner, _Module):
            yield from _numbers_in(inner, f"{name}{key}.")


def _tensor(numbers: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> np.ndarray:
    """A tensor of some of the numbers, copied."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    size = int(np.prod(shape, dtype=object))
    if min((offset, *shape, *strides), default=0) < 0 or (size and max(last + 1, size) > len(numbers)):
        raise pickle.UnpicklingError(f"a tensor of the shape {tuple(shape)} reaches beyond its {len(numbers)} numbers")
    steps = [step * numbers.itemsize for step in strides]
    return np.array(np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False))


def _parameter(tensor: np.ndarray, *_: Any) -> np.ndarray:
    return tensor


def _empty_array(kind: object, shape: tuple[int, ...], _: bytes) -> np.ndarray:
    """What NumPy begins an array with; its state follows in the pickle."""
    if kind is not _Array or shape != (0,):
        raise pickle.UnpicklingError("an array begins as none of NumPy's do")
    return np.empty(0, np.int8)


def _scalar(kind: np.dtype, content: bytes) -> Any:
    if kind.hasobject:
        raise pickle.UnpicklingError("a number is none")
    return np.frombuffer(content, kind)[0]


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"a text is encoded by {encoding!r}")
    return text.encode("latin1")


def _ignored(*_: Any) -> None:
    """A device: numbers have none here."""


_CONTAINERS: dict[tuple[str, str], Any] = {("builtins", "set"): set, ("builtins", "slice"): slice}
_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): tuple,
    ("torch", "device"): _ignored,
    ("_codecs", "encode"): _encoded,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): np.dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}


def _unread(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        "of PyTorch's files, those are read here that hold numbers, texts and lists alone; nothing else is opened",
        "give a checkpoint of SevenNet (.pth) or NequIP (.ckpt, .nequip.zip); MACE models (.model) are converted by"
        " ase-phonax convert",
    )
