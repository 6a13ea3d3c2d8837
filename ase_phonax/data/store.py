"""Frames in one HDF5 file: first-order labels in flat arrays, second derivatives beside them."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from ase import Atoms

from ..errors import InputError, OutputError
from .frames import LABELS, Frame, SecondOrder, Spectrum, fingerprint
from .seals import BLOCK, check_seal, seal

FORMAT = "ase-phonax frames"
VERSION = 1


def save_frames(frames: Sequence[Frame], path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Write frames with all their labels to one HDF5 file, under a temporary name first.

    Layout: `ptr` (n_frames + 1,) says which rows of `numbers`, `positions`, `masses`, `forces` belong to a frame;
    labels that a frame lacks are NaN; `second/K` and `spectra/K` belong to frame K. Units: eV, Å, THz, amu.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists", "it would be lost", "choose another name or pass overwrite=True")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        os.close(handle)
        try:
            with h5py.File(temporary, "w", userblock_size=BLOCK) as file:
                _fill(file, frames)
            seal(temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            "the frames would be lost",
            "choose a writable folder with room left",
        ) from error


def _fill(file: h5py.File, frames: Sequence[Frame]) -> None:
    file.attrs.update({"format": FORMAT, "version": VERSION, "fingerprint": fingerprint(frames)})
    sizes = [len(f.atoms) for f in frames]

    def rows(values, shape, dtype=float):
        stacked = [
            np.full(shape(n), np.nan) if v is None else np.asarray(v) for v, n in zip(values, sizes, strict=True)
        ]
        return np.concatenate(stacked).astype(dtype) if stacked else np.zeros((0, 3), dtype)

    file["ptr"] = np.cumsum([0, *sizes])
    file["numbers"] = rows([f.atoms.numbers for f in frames], lambda n: n, np.int32)
    file["positions"] = rows([f.atoms.positions for f in frames], lambda n: (n, 3))
    file["masses"] = rows([f.atoms.get_masses() for f in frames], lambda n: n)
    file["forces"] = rows([f.forces for f in frames], lambda n: (n, 3))
    file["cell"] = np.array([f.atoms.cell.array for f in frames])
    file["pbc"] = np.array([f.atoms.pbc for f in frames])
    file["energy"] = np.array([np.nan if f.energy is None else f.energy for f in frames], float)
    file["stress"] = np.array([np.full((3, 3), np.nan) if f.stress is None else f.stress for f in frames])
    file["weights"] = np.array([[f.weight(label) for label in LABELS] for f in frames])
    file["weights"].attrs["labels"] = list(LABELS)
    file["origin"] = [f.origin for f in frames]
    for k, frame in enumerate(frames):
        if frame.second is not None:
            file[f"second/{k}/qpoints"] = frame.second.qpoints
            file[f"second/{k}/matrices"] = np.asarray(frame.second.matrices, complex)
        if frame.spectrum is not None:
            file[f"spectra/{k}/qpoints"] = frame.spectrum.qpoints
            file[f"spectra/{k}/frequencies"] = frame.spectrum.frequencies


def read_store(path: Path) -> list[Frame]:
    """Frames of a file of `save_frames`.

    Raises:
        InputError: not such a file, damaged, or its contents do not match its fingerprint.
    """
    try:
        check_seal(path)
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT or file.attrs.get("version", 0) > VERSION:
                raise _unreadable(
                    path, f"its header says {file.attrs.get('format')!r}, version {file.attrs.get('version')}"
                )
            frames = _frames(file)
            written = file.attrs["fingerprint"]
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, AttributeError, MemoryError) as error:
        if isinstance(error, InputError) and str(path) in error.what:
            raise
        raise _unreadable(path, f"it is damaged or incomplete ({error})") from error
    if fingerprint(frames) != written:
        raise _unreadable(path, "its contents do not match the fingerprint they were written with")
    return frames


def _frames(file: h5py.File) -> list[Frame]:
    ptr = file["ptr"][:]
    flat = {name: file[name][:] for name in ("numbers", "positions", "masses", "forces")}
    each = {name: file[name][:] for name in ("cell", "pbc", "energy", "stress", "weights")}
    names = [str(name) for name in file["weights"].attrs["labels"]]
    origins = file["origin"].asstr()[:] if len(ptr) > 1 else []
    frames = []
    for k in range(len(ptr) - 1):
        own = slice(ptr[k], ptr[k + 1])
        atoms = Atoms(
            numbers=flat["numbers"][own],
            positions=flat["positions"][own],
            masses=flat["masses"][own],
            cell=each["cell"][k],
            pbc=each["pbc"][k],
        )
        second, spectrum = file.get(f"second/{k}"), file.get(f"spectra/{k}")
        frames.append(
            Frame(
                atoms,
                None if np.isnan(each["energy"][k]) else float(each["energy"][k]),
                None if np.isnan(flat["forces"][own]).all() else flat["forces"][own],
                None if np.isnan(each["stress"][k]).all() else each["stress"][k],
                None if second is None else SecondOrder(second["qpoints"][:], second["matrices"][:]),
                None if spectrum is None else Spectrum(spectrum["qpoints"][:], spectrum["frequencies"][:]),
                tuple((n, float(w)) for n, w in zip(names, each["weights"][k], strict=True) if w != 1),
                str(origins[k]),
            )
        )
    return frames


def _unreadable(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}", "its labels cannot be trusted", "write it again with save_frames")
