"""Frames in one HDF5 file: first-order labels in flat arrays, second derivatives beside them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...base import hdf5
from ...base.errors import InputError
from ...base.files import exists, write_whole
from .frames import LABELS, Frame, SecondOrder, Spectrum, fingerprint

FORMAT = "ase-phonax frames"
VERSION = 1


def save_frames(frames: Sequence[Frame], path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write frames with all their labels to one HDF5 file, under a temporary name first.

    Layout: `ptr` (n_frames + 1,) says which rows of `numbers`, `positions`, `masses`, `forces` belong to a frame;
    labels that a frame lacks are NaN; `second/K` and `spectra/K` belong to frame K. Units: eV, Å, THz, amu.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    if not overwrite and os.path.lexists(path):
        raise exists(path)
    attributes: dict[str, Any] = {
        "": {"format": FORMAT, "version": VERSION, "fingerprint": fingerprint(frames)},
        "weights": {"labels": list(LABELS)},
    }
    content = hdf5.pack(_arrays(frames), attributes)
    write_whole(path, content, overwrite=overwrite, to_disk=True, loss="the frames would be lost")


def _arrays(frames: Sequence[Frame]) -> dict[str, Any]:
    """Path in the file -> array."""
    sizes = [len(f.atoms) for f in frames]

    def rows(values, shape, dtype=float):
        stacked = [
            np.full(shape(n), np.nan) if v is None else np.asarray(v) for v, n in zip(values, sizes, strict=True)
        ]
        return np.concatenate(stacked).astype(dtype) if stacked else np.zeros((0, 3), dtype)

    arrays: dict[str, Any] = {
        "ptr": np.cumsum([0, *sizes]),
        "numbers": rows([f.atoms.numbers for f in frames], lambda n: n, np.int32),
        "positions": rows([f.atoms.positions for f in frames], lambda n: (n, 3)),
        "masses": rows([f.atoms.get_masses() for f in frames], lambda n: n),
        "forces": rows([f.forces for f in frames], lambda n: (n, 3)),
        "cell": np.array([f.atoms.cell.array for f in frames]),
        "pbc": np.array([f.atoms.pbc for f in frames]),
        "energy": np.array([np.nan if f.energy is None else f.energy for f in frames], float),
        "stress": np.array([np.full((3, 3), np.nan) if f.stress is None else f.stress for f in frames]),
        "weights": np.array([[f.weight(label) for label in LABELS] for f in frames]),
        # Names of files need not be UTF-8, what HDF5 stores as text must.
        "origin": [f.origin.encode(errors="backslashreplace").decode() for f in frames],
    }
    for k, frame in enumerate(frames):
        if frame.second is not None:
            arrays[f"second/{k}/qpoints"] = frame.second.qpoints
            arrays[f"second/{k}/matrices"] = np.asarray(frame.second.matrices, complex)
        if frame.spectrum is not None:
            arrays[f"spectra/{k}/qpoints"] = frame.spectrum.qpoints
            arrays[f"spectra/{k}/frequencies"] = frame.spectrum.frequencies
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
        raise _unreadable(path, f"it is damaged or incomplete ({error})") from error
    if fingerprint(frames) != written:
        raise _unreadable(path, "its contents do not match the fingerprint they were written with")
    return frames


def _frames(content: hdf5.Content) -> list[Frame]:
    arrays = content.arrays
    ptr = arrays["ptr"]
    names = content.attributes["weights"]["labels"]
    origins = arrays["origin"]
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
        second, spectrum = (arrays.get(f"{kind}/{k}/qpoints") for kind in ("second", "spectra"))
        frames.append(
            Frame(
                atoms,
                None if np.isnan(arrays["energy"][k]) else float(arrays["energy"][k]),
                None if np.isnan(arrays["forces"][own]).all() else arrays["forces"][own],
                None if np.isnan(arrays["stress"][k]).all() else arrays["stress"][k],
                None if second is None else SecondOrder(second, arrays[f"second/{k}/matrices"]),
                None if spectrum is None else Spectrum(spectrum, arrays[f"spectra/{k}/frequencies"]),
                tuple((n, float(w)) for n, w in zip(names, arrays["weights"][k], strict=True) if w != 1),
                str(origins[k]),
            )
        )
    return frames


def _unreadable(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", "its labels cannot be trusted", "write it again with save_frames")
