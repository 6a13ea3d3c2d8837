"""HDF5 files of plain arrays: made in memory, sealed with a checksum, and read without trusting them.

HDF5 trusts its disk and its files. Where a disk is full its library ends the process; where one bit of a file is
flipped it may loop without end; and a file can point into other files, or declare arrays of any size. So files are
made in memory, and their bytes written like any others; the checksum of all the rest, in the block that the format
leaves to whoever writes a file, is compared before HDF5 looks at it; and only what `pack` writes is read.
"""

import hashlib
import io
import math
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from .errors import why_unread

BLOCK = 512  # bytes in front of the file proper
_MARK = b"ase-phonax sha256 "
_IN_MEMORY = 1 << 28  # bytes; larger files are read from the disk, not to hold them twice
# gzip, shuffle, Fletcher's checksum, LZF: what phonopy and h5py write. Others are loaded from plug-ins, which are code.
_FILTERS = {1, 2, 3, 32000}
_INFLATED, _INFLATED_LEAST = 100, 1 << 26  # compressed arrays: times the size of the file, or bytes in any case
_ATTRIBUTE = 1 << 16  # bytes, which the format sets itself
_DEEPEST = 8
_PATIENCE = 20  # s for a small file, which takes a hundredth; starting Python takes most of one
_TEXTS = 256  # read at once


@dataclass(frozen=True)
class Content:
    """All that a file holds.

    Attributes:
        arrays: path such as "group/name" -> NumPy array, a text, or an object array of texts.
        attributes: path of an array or a group, "" for the file -> its attributes, in the same kinds.
        sealed: whether a checksum stood in front, which was right.
    """

    arrays: Mapping[str, Any]
    attributes: Mapping[str, Mapping[str, Any]]
    sealed: bool


def pack(arrays: Mapping[str, Any], attributes: Mapping[str, Mapping[str, Any]] | None = None) -> bytes:
    """The bytes of a sealed file; what `read` gives back. Equal contents are equal bytes."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", userblock_size=BLOCK) as file:
        for path, values in arrays.items():
            file[path] = values
        for path, own in (attributes or {}).items():
            (file[path] if path else file).attrs.update(own)
    return sealed(memory)


def sealed(memory: io.BytesIO) -> bytes:
    """A file made with a user block of `BLOCK` bytes, and its checksum in that block."""
    with memory.getbuffer() as content:
        digest = hashlib.sha256(content[BLOCK:]).hexdigest().encode()
    memory.seek(0)
    memory.write((_MARK + digest + b"\n").ljust(BLOCK, b" "))
    return memory.getvalue()


def read(path: str | os.PathLike, *, needs_seal: bool = True) -> Content:
    """Everything in a file of plain arrays.

    Args:
        needs_seal: refuse a file without a checksum. A wrong checksum is refused in any case.

    Raises:
        ValueError: damaged, no HDF5, or with anything but plain arrays and text; what is wrong, as a clause about "it".
        OSError: the system does not give it.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no file")
    with open(path, "rb") as file:
        size, is_sealed = os.fstat(file.fileno()).st_size, _check_seal(file, needs_seal)
        source: Any = path
        if size <= _IN_MEMORY:
            file.seek(0)
            source = io.BytesIO(file.read())
    if not is_sealed:
        _try_out(path, size)
    arrays, attributes = _everything(source, size)
    return Content(arrays, {name: own for name, own in attributes.items() if own}, is_sealed)


def _everything(source: Any, size: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Arrays and attributes of a file or its bytes."""
    arrays: dict[str, Any] = {}
    try:
        with h5py.File(source, "r") as file:
            attributes = {"": _attributes(file, "")}
            budget = _Budget(size)
            for name, item in _items(file):
                attributes[name] = _attributes(item, name)
                if isinstance(item, h5py.Dataset):
                    arrays[name] = _array(item, name, budget)
    except _NotPlain as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # HDF5 and h5py answer damage by whatever they ran into: RuntimeError, MemoryError, ...
        raise ValueError(f"HDF5 does not read it: {why_unread(error)}") from error
    return arrays, attributes


def _try_out(path: str | os.PathLike, size: int) -> None:
    """Let another process read a file that no checksum vouches for: some damage makes HDF5 loop without end, or crash.

    Raises:
        ValueError: that is what happened.
    """
    code = (
        f"import sys\nsys.path[:] = {sys.path!r}\nfrom ase_phonax.base.hdf5 import _everything\n"
        "try:\n    _everything(sys.argv[1], int(sys.argv[2]))\nexcept ValueError:\n    pass\n"
    )
    seconds = _PATIENCE + size / 1e7
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code, os.fspath(path), str(size)], timeout=seconds, capture_output=True
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"HDF5 does not come to an end with it within {seconds:.0f} s") from None
    if ended.returncode:
        raise ValueError(f"HDF5 breaks down over it (exit code {ended.returncode})")


class _NotPlain(Exception):
    """What is in the file beyond plain arrays, as a clause about "it"."""


def _check_seal(file: Any, needs_seal: bool) -> bool:
    start = file.read(BLOCK)
    if not start.startswith(_MARK):
        if needs_seal:
            raise ValueError("it does not begin with the checksum that ase-phonax writes")
        return False
    digest = hashlib.file_digest(file, "sha256").hexdigest().encode()
    if start != (_MARK + digest + b"\n").ljust(BLOCK, b" "):
        raise ValueError("its contents do not match its checksum")
    return True


def _items(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """(path, group or array), each once: by plain links from within the file alone."""
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    seen = {h5py.h5o.get_info(file.id).addr}
    while waiting:
        inside, group, depth = waiting.pop()
        for name in group:
            path = f"{inside}/{name}" if inside else name
            where = group.id.links.get_info(name.encode())
            if where.type != h5py.h5l.TYPE_HARD:
                link = group.get(name, getlink=True)
                target = "/".join(filter(None, (getattr(link, "filename", ""), getattr(link, "path", ""))))
                raise _NotPlain(f"{path!r} in it is a link to {target!r}, and no array of its own")
            item = group[name]
            if not isinstance(item, (h5py.Group, h5py.Dataset)):
                raise _NotPlain(f"{path!r} in it is neither an array nor a group")
            if where.u in seen:  # the address
                raise _NotPlain(f"{path!r} in it is there under another name, too")
            if depth >= _DEEPEST:
                raise _NotPlain(f"{path!r} in it lies deeper than {_DEEPEST} groups")
            seen.add(where.u)
            if isinstance(item, h5py.Group):
                waiting.append((path, item, depth + 1))
            yield path, item


class _Budget:
    """How many bytes arrays may take together, by the size of the file."""

    def __init__(self, size: int):
        self.size = size
        self.plain, self.inflated = size, max(_INFLATED_LEAST, _INFLATED * size)

    def take(self, name: str, n_bytes: int, *, plain: bool) -> None:
        left = (self.plain if plain else self.inflated) - n_bytes
        if left < 0:
            raise _NotPlain(f"{name!r} in it claims {n_bytes:,} bytes, and the file has {self.size:,}")
        if plain:
            self.plain = left
        else:
            self.inflated = left


def _array(item: h5py.Dataset, name: str, budget: _Budget) -> Any:
    """The values, after everything about them was checked that decides where and how many they are."""
    made = item.id.get_create_plist()
    layout = made.get_layout()
    if layout == h5py.h5d.VIRTUAL or (layout == h5py.h5d.CONTIGUOUS and made.get_external_count()):
        raise _NotPlain(f"the numbers of {name!r} lie in other files")
    filters = {made.get_filter(k)[0] for k in range(made.get_nfilters())}
    if not filters <= _FILTERS:
        raise _NotPlain(f"{name!r} in it is stored with the filters {sorted(filters)}, and not plain or with gzip")
    dtype = item.dtype
    text = _check_kind(name, item.shape, dtype)
    n_bytes = math.prod(item.shape) * dtype.itemsize
    if chunked := layout == h5py.h5d.CHUNKED:
        n_bytes = max(n_bytes, math.prod(item.chunks) * dtype.itemsize)
    budget.take(name, n_bytes, plain=not chunked)
    if not chunked and item.id.get_storage_size() < n_bytes:
        raise _NotPlain(f"{name!r} in it claims {n_bytes:,} bytes that were never written")
    return _texts(item.asstr(), name, budget) if text else item[()]


def _texts(item: Any, name: str, budget: _Budget) -> Any:
    """A text, or a list of them as an object array: read bit by bit, as many can share one long text."""
    if len(item.shape) != 1:
        result = item[()]
        if not isinstance(result, str):
            raise _NotPlain(f"{name!r} in it is a table of texts")
        return result
    parts = []
    for start in range(0, len(item), _TEXTS):
        parts.append(item[start : start + _TEXTS])
        budget.take(name, sum(map(len, parts[-1])), plain=False)
    return np.concatenate(parts) if parts else np.empty(0, object)


def _check_kind(name: str, shape: tuple[int, ...] | None, dtype: np.dtype) -> bool:
    """Whether it is text, as opposed to numbers; anything else is refused."""
    text = h5py.check_string_dtype(dtype) is not None
    if shape is None:
        raise _NotPlain(f"{name!r} in it holds nothing")
    if not (text or dtype.kind in "fciub"):
        raise _NotPlain(f"{name!r} in it holds {dtype}, and neither numbers nor text")
    return text


def _attributes(item: Any, name: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if not h5py.h5a.get_num_attrs(item.id):
        return result
    for key in item.attrs:
        attribute = item.attrs.get_id(key)
        _check_kind(f"{name}@{key}", attribute.shape, attribute.dtype)
        if (n := math.prod(attribute.shape) * attribute.dtype.itemsize) > _ATTRIBUTE:
            raise _NotPlain(f"the attribute {name}@{key} in it claims {n:,} bytes")
        value = item.attrs[key]
        result[key] = value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "OS" else value
    return result
