"""Modes that move and modes frozen in, as `ase-phonax phonons` writes them where asked."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.units import FREQUENCY_UNITS
from .tables import frequency, vector_in_words

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy
    from phonopy.phonon.modulation import Modulation

    from ..phonons.motion.animations import Animation
    from .tables import Table

AMPLITUDE, FRAMES = 0.3, 24  # as `motion.animations`, which a parser cannot import cheaply; a test compares them
MODULATED_FILE, MODULATION_FILE = "modulated.extxyz", "modulation.yaml"
OWN_FILES = ("animation_*.extxyz", "animation_*.ascii", MODULATED_FILE, MODULATION_FILE)


def number(text: str) -> float:
    """A number or a fraction: "0.5", "1/3"."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a fraction such as 1/3") from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--animate` and what belongs to it, `--modulate`."""
    group = parser.add_argument_group("animations and modulations")
    group.add_argument(
        "--animate",
        metavar="Q",
        nargs="+",
        type=number,
        action="append",
        default=None,
        help="QA QB QC MODE [MODE ...]: modes at this wave vector (reduced coordinates of the primitive cell; fractions"
        " such as 1/3 are read), counted from 1 by ascending frequency, over one period, as extended XYZ and for v_sim;"
        " may be given several times",
    )
    group.add_argument(
        "--animation-amplitude",
        metavar="Å",
        type=float,
        default=AMPLITUDE,
        help="largest displacement of an atom (default: %(default)g)",
    )
    group.add_argument(
        "--animation-frames", metavar="N", type=int, default=FRAMES, help="frames of a period (default: %(default)d)"
    )
    group.add_argument(
        "--animation-cells",
        metavar=("NA", "NB", "NC"),
        nargs=3,
        type=int,
        default=None,
        help="primitive cells drawn (default: the fewest that hold whole waves)",
    )
    group.add_argument(
        "--modulate",
        metavar=("QA", "QB", "QC", "MODE", "AMPLITUDE", "PHASE"),
        nargs=6,
        type=number,
        action="append",
        default=None,
        help="freeze a mode into the crystal, with this largest displacement [Å] and phase [degrees]; several add up",
    )


def check_options(arguments: argparse.Namespace, atoms: Atoms) -> None:
    """Refuse wave vectors, modes and numbers that make no picture.

    Raises:
        InputError: naming them.
    """
    from ..phonons.motion import animations

    n_atoms = len(atoms)
    animations.check_picture(arguments.animation_amplitude, arguments.animation_frames)
    for qpoint, modes in _requests(arguments):
        animations.checked_cells(animations.checked_qpoint(qpoint), arguments.animation_cells, n_atoms)
        for mode in modes:
            animations.check_mode(mode, n_atoms)
    animations.checked_modulations(_modulations(arguments), None, n_atoms)


def compute(arguments: argparse.Namespace, phonopy: Phonopy, calc: Any, **context: Any) -> AnimationSection | None:
    """What was asked for, or None."""
    from ..phonons.motion.animations import animate, modulate

    found = [
        animate(
            phonopy,
            qpoint,
            mode,
            amplitude=arguments.animation_amplitude,
            n_frames=arguments.animation_frames,
            cells=arguments.animation_cells,
        )
        for qpoint, modes in _requests(arguments)
        for mode in modes
    ]
    frozen = _modulations(arguments)
    if not found and not frozen:
        return None
    return AnimationSection(
        phonopy,
        tuple(found),
        modulate(phonopy, frozen) if frozen else None,
        str(context.get("unit", "THz")),
    )


def _requests(arguments: argparse.Namespace) -> list[tuple[list[float], list[int]]]:
    """(q-point, modes) of each `--animate`."""
    from ..base.errors import InputError

    requests = []
    for numbers in arguments.animate or []:
        modes = numbers[3:]
        if not modes or any(mode != int(mode) for mode in modes):
            raise InputError(
                f"--animate {' '.join(f'{x:g}' for x in numbers)} is not a wave vector and modes",
                "a mode is one of those at a wave vector",
                "give three coordinates and whole numbers, such as --animate 0.5 0.5 0 4",
            )
        requests.append((numbers[:3], [int(mode) for mode in modes]))
    return requests


def _modulations(arguments: argparse.Namespace) -> list[tuple[list[float], int, float, float]]:
    """(q-point, mode, amplitude, phase) of each `--modulate`; a mode that is no whole number stays what it is."""
    return [
        (row[:3], int(row[3]) if row[3] == int(row[3]) else row[3], row[4], row[5]) for row in arguments.modulate or []
    ]


@dataclass(frozen=True)
class AnimationSection:
    """What was found.

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
        """Names written."""
        names = [_frames_name(animation) for animation in self.animations]
        names += list(dict.fromkeys(_v_sim_name(animation.qpoint) for animation in self.animations))
        return tuple(dict.fromkeys(names)) + ((MODULATED_FILE, MODULATION_FILE) if self.modulated else ())

    def summary(self) -> dict[str, Any]:
        """Entries of summary.json."""
        found: dict[str, Any] = {}
        if self.animations:
            found["animations"] = [
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
            found["modulated_n_atoms"] = len(self.modulated[0])
        return found

    def describe(self, text: Table) -> None:
        """Groups of the table."""
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
        """Write `files`."""
        import warnings

        from ase.io import write

        from ..phonons.motion.animations import write_v_sim

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


def _v_sim_name(qpoint: Any) -> str:
    return f"animation_{_q_in_name(qpoint)}.ascii"


def _q_in_name(qpoint: Any) -> str:
    return "q_" + "_".join(f"{round(float(x), 4) + 0.0:g}" for x in qpoint)
