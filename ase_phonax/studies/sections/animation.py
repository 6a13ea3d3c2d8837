"""Modes that move and modes frozen in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...base.units import FREQUENCY_UNITS
from ...phonons.defaults import ANIMATION_AMPLITUDE as AMPLITUDE
from ...phonons.defaults import ANIMATION_FRAMES as FRAMES
from ..options import Settings, fraction, number, option, whole
from ..section import Context, Section
from ..summary_units import Summary
from ..words import frequency, vector_in_words

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from phonopy import Phonopy
    from phonopy.phonon.modulation import Modulation

    from ...phonons.motion.animations import Animation
    from ..report import Report
    from ..settings import PhononSettings

_GROUP = "animations and modulations"
MODULATED_FILE, MODULATION_FILE = "modulated.extxyz", "modulation.yaml"
OWN_FILES = ("animation_*.extxyz", "animation_*.ascii", MODULATED_FILE, MODULATION_FILE)


@dataclass(frozen=True)
class AnimationSettings(Settings):
    """Which modes are animated or frozen in, and how."""

    animate: tuple[tuple[float, ...], ...] | None = option(
        None,
        fraction,
        _GROUP,
        "QA QB QC MODE [MODE ...]: modes at this wave vector (reduced coordinates of the primitive cell; fractions"
        " such as 1/3 are read), counted from 1 by ascending frequency, over one period, as extended XYZ and for v_sim;"
        " may be given several times",
        metavar="Q",
        n_values="+",
        repeated=True,
    )
    animation_amplitude: float = option(
        AMPLITUDE, number, _GROUP, "largest displacement of an atom (default: %(default)g)", metavar="Å"
    )
    animation_frames: int = option(FRAMES, whole, _GROUP, "frames of a period (default: %(default)d)", metavar="N")
    animation_cells: tuple[int, int, int] | None = option(
        None,
        whole,
        _GROUP,
        "primitive cells drawn (default: the fewest that hold whole waves)",
        metavar=("NA", "NB", "NC"),
        n_values=3,
    )
    modulate: tuple[tuple[float, ...], ...] | None = option(
        None,
        fraction,
        _GROUP,
        "freeze a mode into the crystal, with this largest displacement [Å] and phase [degrees]; several add up",
        metavar=("QA", "QB", "QC", "MODE", "AMPLITUDE", "PHASE"),
        n_values=6,
        repeated=True,
    )


def check(settings: PhononSettings, atoms: Atoms) -> None:
    """Refuse wave vectors, modes and numbers that make no picture.

    Raises:
        InputError: naming them.
    """
    from ...phonons.motion import animations

    n_atoms = len(atoms)
    animations.check_picture(settings.animation_amplitude, settings.animation_frames)
    for qpoint, modes in _requests(settings):
        animations.checked_cells(animations.checked_qpoint(qpoint), settings.animation_cells, n_atoms)
        for mode in modes:
            animations.check_mode(mode, n_atoms)
    animations.checked_modulations(_modulations(settings), None, n_atoms)


def compute(context: Context) -> AnimationPart | None:
    """The results of the section; None where nothing was asked for."""
    from ...phonons.motion.animations import animate, modulate

    settings, phonopy = context.settings, context.phonopy
    animations = [
        animate(
            phonopy,
            qpoint,
            mode,
            amplitude=settings.animation_amplitude,
            n_frames=settings.animation_frames,
            cells=settings.animation_cells,
        )
        for qpoint, modes in _requests(settings)
        for mode in modes
    ]
    frozen = _modulations(settings)
    if not animations and not frozen:
        return None
    modulated = modulate(phonopy, frozen) if frozen else None
    return AnimationPart(phonopy, tuple(animations), modulated, settings.unit)


def _requests(settings: PhononSettings) -> list[tuple[list[float], list[int]]]:
    """(q-point, modes) of each entry of `animate`."""
    from ...base.errors import InputError

    requests = []
    for numbers in settings.animate or []:
        modes = numbers[3:]
        if not modes or any(mode != int(mode) for mode in modes):
            raise InputError(
                f"`animate=({', '.join(f'{x:g}' for x in numbers)})` is not a wave vector and modes",
                "a mode is one of those at a wave vector",
                "give three coordinates and whole numbers, such as `animate=(0.5, 0.5, 0, 4)`",
            )
        requests.append((list(numbers[:3]), [int(mode) for mode in modes]))
    return requests


def _modulations(settings: PhononSettings) -> list[tuple[list[float], int, float, float]]:
    """(q-point, mode, amplitude, phase) of each `modulate`; a mode that is no whole number is refused later."""
    return [
        (list(row[:3]), int(row[3]) if row[3] == int(row[3]) else cast("int", row[3]), row[4], row[5])
        for row in settings.modulate or []
    ]


@dataclass(frozen=True)
class AnimationPart:
    """Animations and the modulated crystal.

    Attributes:
        phonopy: for its v_sim writer.
        animations: one for each mode.
        modulated: the crystal with modes frozen in, and phonopy's object; None where not asked for.
        unit: of printed frequencies.
    """

    phonopy: Phonopy
    animations: tuple[Animation, ...]
    modulated: tuple[Atoms, Modulation] | None
    unit: str = "THz"

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""
        names = [_frames_name(animation) for animation in self.animations]
        names += list(dict.fromkeys(_v_sim_name(animation.qpoint) for animation in self.animations))
        return tuple(dict.fromkeys(names)) + ((MODULATED_FILE, MODULATION_FILE) if self.modulated else ())

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        entries: Summary = {}
        if self.animations:
            entries["animations"] = [
                {
                    "qpoint": animation.qpoint.tolist(),
                    "mode": animation.mode,
                    "frequency_thz": animation.frequency_thz,
                    "amplitude_angstrom": animation.amplitude,
                    "n_frames": animation.n_frames,
                    "n_atoms": len(animation.equilibrium),
                    "file": _frames_name(animation),
                }
                for animation in self.animations
            ]
        if self.modulated:
            entries["modulated_n_atoms"] = len(self.modulated[0])
        return entries

    def describe(self, text: Report) -> None:
        """Add the groups of the section to the report."""
        if self.animations:
            text.group("animations")
        for animation in self.animations:
            kind = "imaginary: the frames show its pattern" if animation.frequency_thz < 0 else "one period"
            text.row(
                f"mode {animation.mode}",
                f"at q = {vector_in_words(animation.qpoint.tolist())}: {frequency(animation.frequency_thz, self.unit)}"
                f" {FREQUENCY_UNITS[self.unit][1]}, {len(animation.equilibrium)} atoms, {animation.n_frames} frames,"
                f" {kind}",
            )
        if self.modulated:
            text.group("modulated structure")
            text.row("cell", f"{len(self.modulated[0])} atoms")

    def write(self, folder: Path) -> None:
        """Write the files that `files` names."""
        import warnings

        from ase.io import write

        from ...phonons.motion.animations import write_v_sim

        for animation in self.animations:
            animation.write(folder / _frames_name(animation))
        for name, qpoint in {_v_sim_name(a.qpoint): a.qpoint for a in self.animations}.items():
            write_v_sim(self.phonopy, qpoint, folder / name)
        if self.modulated:
            atoms, modulation = self.modulated
            write(folder / MODULATED_FILE, atoms, format="extxyz")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # phonopy leaves closing the file to Python
                modulation.write_yaml(filename=folder / MODULATION_FILE)


def _frames_name(animation: Animation) -> str:
    return f"animation_{_q_in_name(animation.qpoint)}_mode{animation.mode}.extxyz"


def _v_sim_name(qpoint: np.ndarray) -> str:
    return f"animation_{_q_in_name(qpoint)}.ascii"


def _q_in_name(qpoint: np.ndarray) -> str:
    return "q_" + "_".join(f"{round(float(x), 4) + 0.0:g}" for x in qpoint)


SECTION = Section(check, compute, own_files=OWN_FILES)
