"""Frames in one HDF5 file: first-order labels in flat arrays, second derivatives beside them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import DTypeLike

from ...base import hdf5
from ...base.errors import InputError, why_unread
from ...base.files import exists, write_whole
from ..target import Target
from ..targets import LABELS, TARGETS
from .frames import FIELD_SINCE, Frame, fingerprint

FORMAT = "ase-phonax frames"
VERSION = max(FIELD_SINCE, *(max(target.since, *(part.since for part in target.parts)) for target in TARGETS))


def save_frames(frames: Sequence[Frame], path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write frames with all their labels to one HDF5 file, under a temporary name first.

    Layout: `ptr` (n_frames + 1,) says which rows of `numbers`, `positions`, `masses` and of labels per atom belong to a
    frame; labels and fields that a frame lacks are NaN; `second/K` and `spectra/K` belong to frame K (`Target.stored`).
    Units: eV, Å, THz, amu, V/Å. The version is that of the youngest label inside, or of fields.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    if not overwrite and os.path.lexists(path):
        raise exists(path)
    attributes: dict[str, Any] = {
        "": {"format": FORMAT, "version": _version(frames), "fingerprint": fingerprint(frames)},
        "weights": {"labels": list(LABELS)},
    }
    content = hdf5.pack(_arrays(frames), attributes)
    write_whole(path, content, overwrite=overwrite, to_disk=True, loss="the frames would be lost")


def _version(frames: Sequence[Frame]) -> int:
    known = ((target, value) for target in TARGETS for frame in frames if (value := target.of(frame)) is not None)
    labels = (max(target.since, *(part.since for part in target.parts_of(value))) for target, value in known)
    return max([1, *labels, *(FIELD_SINCE for frame in frames if frame.field is not None)])


def _arrays(frames: Sequence[Frame]) -> dict[str, Any]:
    """The arrays of a file, by their paths in it."""
    sizes = [len(f.atoms) for f in frames]
    version = _version(frames)

    def rows(values: Sequence[np.ndarray], dtype: DTypeLike = float) -> np.ndarray:
        return np.concatenate(values).astype(dtype) if values else np.zeros((0, 3), dtype)

    arrays: dict[str, Any] = {
        "ptr": np.cumsum([0, *sizes]),
        "numbers": rows([f.atoms.numbers for f in frames], np.int32),
        "positions": rows([f.atoms.positions for f in frames]),
        "masses": rows([f.atoms.get_masses() for f in frames]),
        "cell": np.array([f.atoms.cell.array for f in frames]),
        "pbc": np.array([f.atoms.pbc for f in frames]),
        "weights": np.array([[f.weight(label) for label in LABELS] for f in frames]),
        # Names of files need not be UTF-8, what HDF5 stores as text must.
        "origin": [f.origin.encode(errors="backslashreplace").decode() for f in frames],
    }
    if version >= FIELD_SINCE:
        arrays["field"] = np.array([np.full(3, np.nan) if f.field is None else f.field for f in frames])
    for target in (t for t in TARGETS if t.since <= version):
        values = [target.of(frame) for frame in frames]
        if target.per == "wave":
            for k, value in enumerate(values):
                for part in () if value is None else target.parts_of(value):
                    arrays[f"{target.stored}/{k}/{part.name}"] = np.asarray(part.of(value), part.dtype)
            continue
        shape = target.parts[0].shape
        full = [
            np.full(shape(n, 0), np.nan) if v is None else np.asarray(v) for v, n in zip(values, sizes, strict=True)
        ]
        arrays[target.stored] = rows(full) if target.per == "atom" else np.array(full, float)
    return arrays


def read_store(path: Path) -> list[Frame]:
    """Frames of a file of `save_frames`.

    Raises:
        InputError: not such a file, damaged, or its contents do not match its fingerprint.
    """
    try:
        content = hdf5.read(path)
        header = content.attributes.get("", {})
        if header.get("format") != FORMAT or header.get("version", 0) > VERSION:
            raise _unreadable(path, f"its header says {header.get('format')!r}, version {header.get('version')}")
        frames = _frames(content)
        written = header["fingerprint"]
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, InputError) and str(path) in error.what:
            raise
        raise _unreadable(path, f"it is damaged or incomplete: {why_unread(error)}") from error
    if fingerprint(frames) != written:
        raise _unreadable(path, "its contents do not match the fingerprint they were written with")
    return frames


def _frames(content: hdf5.Content) -> list[Frame]:
    arrays = content.arrays
    ptr = arrays["ptr"]
    names = content.attributes["weights"]["labels"]
    origins = arrays["origin"]
    version = content.attributes[""]["version"]
    fields = arrays["field"] if version >= FIELD_SINCE else np.full((len(ptr) - 1, 3), np.nan)
    frames = []
    for k in range(len(ptr) - 1):
        own = slice(ptr[k], ptr[k + 1])
        atoms = Atoms(
            numbers=arrays["numbers"][own],
            positions=arrays["positions"][own],
            masses=arrays["masses"][own],
            cell=arrays["cell"][k],
            pbc=arrays["pbc"][k],
        )
        frames.append(
            Frame(
                atoms,
                **{target.attribute: _value(target, arrays, k, own) for target in TARGETS if target.since <= version},
                weights=tuple((n, float(w)) for n, w in zip(names, arrays["weights"][k], strict=True) if w != 1),
                origin=str(origins[k]),
                field=None if np.isnan(fields[k]).all() else fields[k],
            )
        )
    return frames


def _value(target: Target, arrays: Mapping[str, Any], k: int, own: slice) -> Any:
    """The label of frame k, whose atoms are the rows `own`."""
    if target.per == "wave":
        there = [arrays.get(f"{target.stored}/{k}/{part.name}") for part in target.parts]
        return None if there[0] is None else target.make(*there)
    value = arrays[target.stored][own if target.per == "atom" else k]
    if np.isnan(value).all():
        return None
    return value if np.ndim(value) else float(value)


def _unreadable(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", "its labels cannot be trusted", "write it again with save_frames")
