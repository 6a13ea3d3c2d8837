"""Normal modes in files that other programs show: extended XYZ, frame by frame, and Molden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ..base.errors import InputError
from ..base.files import write_whole
from ..base.units import BOHR_PER_ANGSTROM
from .normal_modes import NormalModes

AMPLITUDE = 0.3  # [Å] seen without a magnifying glass, and bonds still look like bonds
FRAMES = 24


def mode_frames(modes: NormalModes, mode: int, *, amplitude: float = AMPLITUDE, n_frames: int = FRAMES) -> list[Atoms]:
    """Frames of one period of a mode; the `info` of each holds mode, wavenumber_cm1, label and phase.

    Args:
        modes: of a molecule.
        mode: counted from 1.
        amplitude: largest displacement of an atom [Å].
        n_frames: equally spaced over the period, the first at rest.

    Raises:
        InputError: no such mode.
    """
    check_mode(modes, mode)
    pattern = modes.displacements[mode - 1]
    pattern = pattern * amplitude / np.linalg.norm(pattern, axis=1).max()
    label = next((s.label for s in modes.sets if mode in s.modes), "")
    frames = []
    for k in range(n_frames):
        frame = modes.atoms.copy()
        frame.positions += np.sin(2 * np.pi * k / n_frames) * pattern
        wavenumber = float(modes.wavenumbers[mode - 1])
        frame.info = {"mode": mode, "wavenumber_cm1": wavenumber, "label": label, "phase": k / n_frames}
        frames.append(frame)
    return frames


def check_mode(modes: NormalModes, mode: int) -> None:
    """Refuse a mode that is not there, with an InputError."""
    n = len(modes.wavenumbers)
    if not 1 <= mode <= n or mode != int(mode):
        raise InputError(
            f"there is no mode {mode}",
            f"this molecule has {n} vibrations, counted from 1 in ascending frequency",
            f"give a number from 1 to {n}" if n else "a single atom does not vibrate",
        )


def write_mode(
    modes: NormalModes, mode: int, path: Path, *, amplitude: float = AMPLITUDE, n_frames: int = FRAMES
) -> None:
    """Write what `mode_frames` returns as extended XYZ."""
    from ase.io import write

    write(path, mode_frames(modes, mode, amplitude=amplitude, n_frames=n_frames), format="extxyz")


def write_molden(modes: NormalModes, path: Path) -> None:
    """Write all modes to one file of the Molden format: wavenumbers [1/cm], imaginary as negative, lengths in bohr."""
    atoms = modes.atoms
    symbols = [chemical_symbols[z] for z in atoms.numbers]
    bohr = atoms.positions * BOHR_PER_ANGSTROM
    lines = ["[Molden Format]", "[Title]", atoms.get_chemical_formula(), "[Atoms] AU"]
    rows = zip(symbols, atoms.numbers, bohr, strict=True)
    lines += [f"{s:2} {k} {z} {_three(r)}" for k, (s, z, r) in enumerate(rows, 1)]
    lines += ["[FREQ]", *(f"{w:.6f}" for w in modes.wavenumbers)]
    lines += ["[FR-COORD]", *(f"{s:2} {_three(r)}" for s, r in zip(symbols, bohr, strict=True)), "[FR-NORM-COORD]"]
    for k, displacement in enumerate(modes.displacements, 1):
        lines += [f"vibration {k}", *(_three(u) for u in displacement / np.linalg.norm(displacement))]
    write_whole(path, "\n".join(lines) + "\n")


def _three(vector: np.ndarray) -> str:
    """Three numbers in columns."""
    return " ".join(f"{x:15.9f}" for x in vector)
