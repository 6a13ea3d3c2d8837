"""Settings of the study of a molecule: every default, help text and check of an option stands here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..base.settings import Given
from ..molecules.defaults import FREQUENCY_SCALE, LASER, LINE_SHAPES, LINE_WIDTH, PRESSURE, TEMPERATURE, TOLERANCE
from .options import Settings, Unfit, flag, number, option, path, positive, positive_integer, text

_STRUCTURE, _SYMMETRY, _MODES, _GAS = "structure", "symmetry", "modes", "ideal gas"
_SPECTRA = "spectra, of models that give a dipole or a polarizability"


def atom_range(value: Given) -> tuple[int, ...]:
    """ "5-8" as (5, 6, 7, 8), and a number as one of them."""
    first, _, last = str(value).partition("-") if isinstance(value, str) else (value, "", "")
    start = positive_integer(first)
    end = positive_integer(last) if last else start
    if end < start:
        raise Unfit(f"{value!r} runs backwards: ranges are like 5-8")
    return tuple(range(start, end + 1))


@dataclass(frozen=True)
class BeginningSettings(Settings):
    """What is done with the structure before anything else."""

    no_relax: bool = flag(_STRUCTURE, "take the structure as it is; forces are reported")
    no_cell: bool = flag(_STRUCTURE, "a molecule in a box: forget the box")


@dataclass(frozen=True)
class ModeSettings(BeginningSettings):
    """Which atoms move, what is done with their modes, and in which gas."""

    atoms: tuple[int, ...] | None = option(
        None, atom_range, _STRUCTURE, "only these move, counted from 1: 1 2 5-8", metavar="N", n_values="+"
    )
    tolerance: float = option(
        TOLERANCE,
        positive,
        _SYMMETRY,
        "largest distance between an atom and the image of another (default: %(default)s)",
        metavar="Å",
    )
    animate: tuple[int, ...] | None = option(
        None,
        positive_integer,
        _MODES,
        "write one period of these modes, counted from 1 in ascending frequency",
        metavar="MODE",
        n_values="+",
    )
    follow: int | None = option(
        None,
        positive_integer,
        _MODES,
        "slide down both sides of a saddle point along this imaginary mode (1 unless another is named)",
        metavar="MODE",
        unnamed=1,
    )
    temperature: float = option(
        TEMPERATURE,
        positive,
        _GAS,
        "of the ideal gas, and of the levels that Raman scattering begins from (default: %(default)s)",
        metavar="K",
    )
    pressure: float = option(PRESSURE, positive, _GAS, "of the ideal gas (default: %(default)s)", metavar="Pa")
    spin: float | None = option(
        None,
        number,
        _GAS,
        "total electronic spin (default: 0, or 1/2 for an odd number of electrons)",
        metavar="S",
    )

    def _check(self) -> None:
        super()._check()
        if self.atoms is not None:
            ranges = cast("tuple[tuple[int, ...], ...]", self.atoms)  # one for each value that was given
            object.__setattr__(self, "atoms", tuple(sorted({atom for part in ranges for atom in part})))
        if self.spin is not None:
            from ..molecules.thermochemistry import check_spin

            check_spin(self.spin)


@dataclass(frozen=True)
class SpectraSettings(Settings):
    """How lines are drawn, and what they are compared with."""

    line_shape: str = option(
        LINE_SHAPES[0], text, _SPECTRA, "shape of all lines (default: %(default)s)", choices=LINE_SHAPES
    )
    line_width: float = option(
        LINE_WIDTH, positive, _SPECTRA, "full width of a line at half its height (default: %(default)g)", metavar="1/cm"
    )
    frequency_scale: float = option(
        FREQUENCY_SCALE,
        positive,
        _SPECTRA,
        "factor of the wavenumbers in spectra alone, for what is not harmonic (default: %(default)g)",
        metavar="X",
    )
    laser: float = option(
        LASER, positive, _SPECTRA, "wavelength that excites Raman scattering (default: %(default)g)", metavar="nm"
    )
    measured_infrared: Path | None = option(
        None,
        path,
        _SPECTRA,
        "a measured spectrum to be drawn beneath: JCAMP-DX, or two columns of wavenumbers and values",
        metavar="FILE",
    )
    measured_raman: Path | None = option(
        None, path, _SPECTRA, "a measured spectrum of Raman scattering, in the same formats", metavar="FILE"
    )

    def _check(self) -> None:
        super()._check()
        if (self.line_width, self.frequency_scale, self.laser) != (LINE_WIDTH, FREQUENCY_SCALE, LASER):
            from ..molecules.spectra import check_broadening

            check_broadening(self.line_shape, self.line_width, self.frequency_scale, self.laser)


@dataclass(frozen=True)
class MoleculeSettings(SpectraSettings, ModeSettings):
    """Everything that `molecule_study` can be told; names and values are those of `ase-phonax molecule --help`.

    Atoms and modes are counted from 1, and "5-8" among `atoms` are four of them.
    """
