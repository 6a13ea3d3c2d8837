"""Numbers in PyTorch's files, read without PyTorch and without running anything.

PyTorch's files are ZIP archives with a pickle inside, which is read as data (`plain_pickles`). Nothing in it is called
or imported, and what it can make takes no more memory than a few times the file: such a file needs no trust.
"""

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...base.errors import ModelError, why_unread
from ...base.input_files import require_file
from .plain_pickles import Held, Name, PlainPickle, counted

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
MOST_TEXT = 4 << 20  # bytes of a configuration
GROWTH = 4  # times the file: what its numbers may take when they are read
_PACKAGES = ("torch", "e3nn", "nequip", "allegro", "builtins")


def read_archive(path: Path) -> Any:
    """What PyTorch's `save` wrote: containers, numbers, texts, and tensors as NumPy arrays.

    Raises:
        ModelError: no file, no archive of PyTorch, damaged, or with anything else in it.
    """
    with _opened(path) as archive:
        found = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise _unread(path, "it is an archive, but not of PyTorch")
        return _Numbers(archive, found[0].removesuffix(".pkl") + "/{}").of(found[0])


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
        config, facts = (_yaml(archive, f"{folder}model/{name}") for name in ("config.yaml", "package_metadata.txt"))
        model = _Numbers(archive, f"{folder}.data/{{}}.storage", lambda name: name.module.split(".")[0] in _PACKAGES)
        return config, facts, dict(_numbers_in(model.of(found[0])))


def _yaml(archive: zipfile.ZipFile, name: str) -> Any:
    if archive.getinfo(name).file_size > MOST_TEXT:
        raise ValueError(f"{name} is longer than any configuration")
    return counted(yaml.safe_load(archive.read(name)), 100_000)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, its size looked at; whatever goes wrong inside is an error of the file."""
    require_file(path, "the model file", "there is nothing to read", ModelError)
    try:
        if not zipfile.is_zipfile(path):
            raise _unread(path, "it is no archive of PyTorch: cut off (get it again), damaged, or of another program")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            if not stored or sum(member.file_size for member in members) > min(LARGEST, path.stat().st_size):
                raise _unread(path, "its archive is compressed, which PyTorch's are not, or larger than any model")
            yield archive
    except ModelError:
        raise
    except Exception as error:  # a damaged pickle answers by whatever it ran into
        raise _unread(path, f"it holds more than numbers, or is damaged: {why_unread(error)}") from error


class _Numbers:
    """Tensors of an archive; all together they take no more than `GROWTH` times its size."""

    def __init__(self, archive: zipfile.ZipFile, places: str, is_held: Any = lambda name: False):
        self.archive, self.places, self.is_held = archive, places, is_held
        self.left = GROWTH * sum(member.file_size for member in archive.infolist()) + (1 << 20)
        self.known: dict[str, np.ndarray] = {}

    def of(self, name: str) -> Any:
        """What a pickle of the archive holds."""
        calls: dict[Name, Callable[..., Any]] = {
            Name("collections", "OrderedDict"): lambda *_: {},
            Name("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            Name("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            Name("torch", "Size"): tuple,
            Name("torch", "device"): lambda *_: None,
        }
        return PlainPickle(self.archive.read(name), self._storage, calls, self.is_held).read()

    def _storage(self, reference: Any) -> np.ndarray:
        """Numbers that lie beside the pickle."""
        what, storage, key, _, count = reference
        kind = getattr(storage, "name", "")
        if kind in _HALF:
            raise ValueError("its numbers are of half precision, too few digits for second derivatives")
        if what != "storage" or kind not in _KINDS:
            raise ValueError(f"it refers to {what!r} of the kind {kind or storage!r}")
        if key not in self.known:
            self.known[str(key)] = np.frombuffer(self.archive.read(self.places.format(key)), np.uint8)
        numbers: np.ndarray = self.known[str(key)].view(_KINDS[kind])
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} numbers lie where {count} should")
        return numbers

    def _tensor(self, numbers: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
        """A tensor of some of the numbers, copied."""
        if not isinstance(numbers, np.ndarray) or not all(type(n) is int for n in (offset, *shape, *strides)):
            raise ValueError("a tensor has no numbers")
        size, last = math.prod(shape), offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if min((offset, *shape, *strides), default=0) < 0 or (size and max(last + 1, size) > len(numbers)):
            raise ValueError(f"a tensor of the shape {tuple(shape)} reaches beyond its {len(numbers)} numbers")
        self.left -= size * numbers.itemsize
        if self.left < 0:
            raise ValueError("its tensors take many times the room of the file")
        steps = [step * numbers.itemsize for step in strides]
        return np.array(np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False))


def _numbers_in(module: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Parameters and buffers of a module and those inside it, named as PyTorch does."""
    if not isinstance(module, Held) or depth > 20:
        return
    parts = [module.state.get(part) for part in ("_parameters", "_buffers", "_modules")]
    own, buffers, inner = (part if isinstance(part, dict) else {} for part in parts)
    for key, value in {**own, **buffers}.items():
        if isinstance(value, np.ndarray):
            yield f"{name}{key}", value
    for key, value in inner.items():
        yield from _numbers_in(value, f"{name}{key}.", depth + 1)


def _unread(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        "of PyTorch's files, those are read here that hold numbers, texts and lists alone; nothing else is opened",
        "give a checkpoint of SevenNet (.pth) or NequIP (.ckpt, .nequip.zip); MACE models (.model) are converted by"
        " ase-phonax convert",
    )
