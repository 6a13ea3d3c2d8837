"""Modes as moving pictures, and modes frozen into a crystal, through phonopy's modulations and animations.

A mode of wave vector q moves atom j of cell R along Re[e_j exp(2πi q·(R + f_j) - iωt)] / sqrt(m_j): crests travel
along +q. Frames repeat after one period and after the cell they are drawn in, which holds whole waves.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.phonon.modulation import Modulation

from ...base.errors import InputError
from ..defaults import ANIMATION_AMPLITUDE as AMPLITUDE
from ..defaults import ANIMATION_FRAMES as FRAMES
from ..supercell.constants import crystal_atoms
from ..supercell.door import checked, dynamical_matrix

LARGEST_AMPLITUDE = 5.0  # [Å]
MAX_FRAMES = 1000
MAX_DENOMINATOR = 60  # of a q-point: longer waves are not meant to be drawn
MAX_ATOMS = 20_000
_COMMENSURATE = 1e-5  # how far q may lie from a fraction: 0.33333 means 1/3


@dataclass(frozen=True)
class Animation:
    """One mode over one period.

    Attributes:
        qpoint: (3,) reduced coordinates of the primitive cell, made exact fractions.
        mode: by ascending frequency, from 1.
        frequency_thz: imaginary as negative: such a mode does not swing, the frames show its pattern.
        amplitude: largest displacement of an atom during the period [Å].
        equilibrium: cell that holds whole waves, atoms at rest.
        displacements: (n_atoms, 3) complex; Re[displacements exp(-iωt)] moves the atoms [Å].
        n_frames: equally spaced over the period, the first at t = 0.
    """

    qpoint: NDArray[np.float64]
    mode: int
    frequency_thz: float
    amplitude: float
    equilibrium: Atoms
    displacements: NDArray[np.complex128]
    n_frames: int

    def frames(self) -> list[Atoms]:
        """The atoms at each time; `info` holds qpoint, mode, frequency_thz and phase (ωt / 2π)."""
        frames = []
        for k in range(self.n_frames):
            phase = k / self.n_frames
            frame = self.equilibrium.copy()
            frame.positions += np.real(self.displacements * np.exp(-2j * np.pi * phase))
            frame.info = {"qpoint": self.qpoint, "mode": self.mode, "frequency_thz": self.frequency_thz, "phase": phase}
            frames.append(frame)
        return frames

    def write(self, path: Path) -> None:
        """Write all frames as extended XYZ."""
        from ase.io import write

        write(path, self.frames(), format="extxyz")


def animate(
    phonopy: Phonopy,
    qpoint: ArrayLike,
    mode: int,
    *,
    amplitude: float = AMPLITUDE,
    n_frames: int = FRAMES,
    cells: Sequence[int] | None = None,
) -> Animation:
    """A mode over one period, in a cell that holds whole waves.

    Of degenerate modes each basis is as good as another: the frames show the one the diagonalisation gave.

    Args:
        phonopy: with force constants; not changed.
        qpoint: (3,) reduced coordinates of the primitive cell.
        mode: by ascending frequency, from 1.
        amplitude: largest displacement of an atom during the period [Å].
        n_frames: over the period.
        cells: (3,) primitive cells drawn along each vector; the fewest that hold whole waves unless given.

    Raises:
        InputError: no force constants, a mode that does not exist, a q-point that fits no cell or not the one given,
            or numbers that make no picture.
    """
    checked(phonopy)
    q = checked_qpoint(qpoint)
    check_picture(amplitude, n_frames)
    check_mode(mode, len(phonopy.primitive))
    repeats = checked_cells(q, cells, len(phonopy.primitive))
    modulation = _modulation(phonopy, repeats, [(q, mode, 1.0, 0.0)])
    displacements = modulation.modulations[0]
    return Animation(
        qpoint=np.array([float(x) for x in q]),
        mode=mode,
        frequency_thz=float(modulation.frequencies[0]),
        amplitude=amplitude,
        equilibrium=crystal_atoms(modulation.supercell),
        displacements=displacements * amplitude / largest_displacement(displacements),
        n_frames=n_frames,
    )


def write_v_sim(phonopy: Phonopy, qpoint: ArrayLike, path: Path) -> None:
    """Write all modes at a q-point to one file of phonopy's for v_sim (`*.ascii`), which builds cells by itself.

    Args:
        phonopy: with force constants; not changed.
        qpoint: (3,) reduced coordinates of the primitive cell.
        path: to write.

    Raises:
        InputError: no force constants; or a q-point that fits no cell.
    """
    q = checked_qpoint(qpoint)
    dynamical_matrix(checked(phonopy))
    phonopy.write_animation(q_point=[float(x) for x in q], anime_type="v_sim", filename=path)


def modulate(
    phonopy: Phonopy,
    modes: Sequence[tuple[ArrayLike, int, float, float]],
    *,
    cells: Sequence[int] | None = None,
) -> tuple[Atoms, Modulation]:
    """A crystal with modes frozen in.

    Args:
        phonopy: with force constants; not changed.
        modes: (qpoint, mode from 1, amplitude [Å], phase [degrees]) of each; their displacements add up.
            The amplitude is the largest displacement of an atom over all phases; at phase 0 the largest
            component of the complex displacement is real and positive.
        cells: (3,) primitive cells; the fewest that hold whole waves of all modes unless given.

    Returns:
        the structure, and phonopy's modulations for its writer (`write_yaml`).

    Raises:
        InputError: as in `animate`; or no modes.
    """
    checked(phonopy)
    if not modes:
        raise InputError("no modes are given", "there is nothing to freeze in", "give at least one")
    wanted, repeats = checked_modulations(modes, cells, len(phonopy.primitive))
    units = _modulation(phonopy, repeats, [(q, mode, 1.0, 0.0) for q, mode, _, _ in wanted]).modulations
    scaled = [
        (q, mode, amplitude / largest_displacement(unit), phase)
        for (q, mode, amplitude, phase), unit in zip(wanted, units, strict=True)
    ]
    modulation = _modulation(phonopy, repeats, scaled)
    atoms = crystal_atoms(modulation.supercell)
    # Not phonopy's modulated_supercell, which wraps atoms into the cell.
    atoms.positions += modulation.modulations.sum(axis=0).real
    return atoms, modulation


def largest_displacement(displacements: NDArray[np.complex128]) -> float:
    """Largest distance from rest that an atom reaches over a period.

    Re[u exp(-iφ)] runs on an ellipse with half axis sqrt((u·u* + |u·u|) / 2).

    Args:
        displacements: (n_atoms, 3) complex [Å].
    """
    size = np.sum(np.abs(displacements) ** 2, axis=1)
    return float(np.sqrt((size + np.abs(np.sum(displacements**2, axis=1))) / 2).max())


def checked_qpoint(qpoint: ArrayLike) -> list[Fraction]:
    """Coordinates of a q-point as exact fractions: 0.33333 means 1/3.

    Raises:
        InputError: not three finite numbers, or no fractions of small denominator.
    """
    q = np.asarray(qpoint, dtype=float)
    if q.shape != (3,) or not np.all(np.isfinite(q)):
        raise InputError(
            f"the wave vector {q.tolist()} is not three numbers",
            "a mode belongs to one",
            "give reduced coordinates of the primitive cell, such as 0.5 0 0",
        )
    fractions = [x for x in map(_simplest_fraction, q.tolist()) if x is not None]
    if len(fractions) < 3:
        raise InputError(
            f"the wave vector {q.tolist()} fits no cell of up to {MAX_DENOMINATOR} primitive cells a side",
            "frames repeat only where a cell holds whole waves",
            "give fractions such as 0.25 or 1/3",
        )
    return fractions


def _simplest_fraction(value: float) -> Fraction | None:
    """The fraction of smallest denominator that a number typed with five digits can mean; None beyond the largest."""
    for denominator in range(1, MAX_DENOMINATOR + 1):
        fraction = Fraction(round(value * denominator), denominator)
        if abs(float(fraction) - value) < _COMMENSURATE:
            return fraction
    return None


def checked_modulations(
    modes: Sequence[tuple[ArrayLike, int, float, float]], cells: Sequence[int] | None, n_atoms: int
) -> tuple[list[tuple[list[Fraction], int, float, float]], list[int]]:
    """Modes to freeze in, q-points as fractions, and the cells that hold whole waves of all.

    Raises:
        InputError: as `modulate`.
    """
    wanted, fewest = [], [1, 1, 1]
    for qpoint, mode, amplitude, phase in modes:
        q = checked_qpoint(qpoint)
        check_mode(mode, n_atoms)
        check_picture(amplitude)
        if not math.isfinite(phase):
            raise InputError(f"the phase {phase} is no number", "it shifts the wave", "give degrees, such as 0 or 90")
        repeats = checked_cells(q, cells, n_atoms)
        fewest = [math.lcm(a, b) for a, b in zip(fewest, repeats, strict=True)]
        wanted.append((q, mode, amplitude, phase))
    _refuse_enormous(fewest, n_atoms)
    return wanted, fewest


def check_mode(mode: int, n_atoms: int) -> None:
    """Refuse a mode that is not between 1 and 3 n_atoms, with an InputError."""
    if isinstance(mode, bool) or int(mode) != mode or not 1 <= mode <= 3 * n_atoms:
        raise InputError(
            f"there is no mode {mode}",
            f"a primitive cell of {n_atoms} atom{'s' * (n_atoms > 1)} has {3 * n_atoms} modes at each wave vector,"
            " counted from 1 by ascending frequency",
            f"give a mode between 1 and {3 * n_atoms}",
        )


def check_picture(amplitude: float, n_frames: int = FRAMES) -> None:
    """Refuse amplitudes and numbers of frames that make no picture.

    Raises:
        InputError: naming the one.
    """
    if not 0 < amplitude <= LARGEST_AMPLITUDE:
        raise InputError(
            f"the amplitude {amplitude:g} Å is not between 0 and {LARGEST_AMPLITUDE:g} Å",
            "atoms would stand still, or fly through each other",
            f"give the largest displacement of an atom, such as {AMPLITUDE:g}",
        )
    if not 2 <= n_frames <= MAX_FRAMES:
        raise InputError(
            f"{n_frames} frames were asked for",
            "one frame is no motion, and thousands are no better than a few dozen",
            f"give between 2 and {MAX_FRAMES}",
        )


def checked_cells(q: Sequence[Fraction], cells: Sequence[int] | None, n_atoms: int) -> list[int]:
    """Primitive cells along each vector: the fewest that hold whole waves, or those given.

    Raises:
        InputError: cells that cut the wave, or more atoms than anybody looks at.
    """
    fewest = [x.denominator for x in q]
    if cells is None:
        _refuse_enormous(fewest, n_atoms)
        return fewest
    repeats = [int(n) for n in cells]
    if len(repeats) != 3 or min(repeats) < 1 or any(n % m for n, m in zip(repeats, fewest, strict=True)):
        raise InputError(
            f"{' x '.join(map(str, repeats))} cells do not hold whole waves of q = ({', '.join(map(str, q))})",
            "the picture would jump at the faces of the cell",
            f"give multiples of {' '.join(map(str, fewest))}",
        )
    _refuse_enormous(repeats, n_atoms)
    return repeats


def _refuse_enormous(repeats: Sequence[int], n_atoms: int) -> None:
    """Refuse cells with more atoms than a picture can show, with an InputError."""
    total = n_atoms * math.prod(repeats)
    if total > MAX_ATOMS:
        raise InputError(
            f"{' x '.join(map(str, repeats))} primitive cells have {total} atoms",
            f"pictures of more than {MAX_ATOMS} show nothing and fill disks",
            "choose a wave vector that fits a smaller cell",
        )


def _modulation(
    phonopy: Phonopy, repeats: Sequence[int], modes: Sequence[tuple[Sequence[Fraction], int, float, float]]
) -> Modulation:
    """phonopy's modulation of (q, mode from 1, amplitude in amu^½ Å, phase in degrees) each."""
    dynamical_matrix(phonopy)
    aside = copy.copy(phonopy)  # the object keeps modulations of its own
    settings = [[np.array([float(x) for x in q]), mode - 1, amplitude, phase] for q, mode, amplitude, phase in modes]
    return aside.run_modulations(list(repeats), settings)
