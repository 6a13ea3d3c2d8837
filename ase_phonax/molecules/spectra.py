"""Spectra as a spectrometer draws them: the lines of a molecule with a width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real

import numpy as np
from ase import units
from numpy.typing import ArrayLike, NDArray

from ..base.errors import InputError
from .defaults import FREQUENCY_SCALE, LASER, LINE_SHAPES, LINE_WIDTH, TEMPERATURE
from .intensities import Intensities, levels_of
from .normal_modes import NormalModes

INFRARED, RAMAN = "infrared", "Raman"
INFRARED_UNIT, RAMAN_UNIT = "km/mol per 1/cm", "1e-30 cm²/sr per 1/cm"
SOFTEST_CM1 = 10.0  # softer modes move far enough at any temperature that nothing about them is harmonic
NARROWEST, WIDEST = 0.5, 500.0  # [1/cm] of lines: 100 000 points up to 5000 cm⁻¹, and the width of a whole region
FARTHEST = 500.0  # [1/cm] beyond the last line, where a curve ends
SHORTEST_NM, LONGEST_NM = 150.0, 2000.0  # of lasers for Raman scattering, 1064 nm among them
LEAST_SCALE, LARGEST_SCALE = 0.5, 1.5  # published factors are 0.8 to 1.1
SECOND_RADIATION_CONSTANT = 100 * units._hplanck * units._c / units._k  # h c / k [cm K]
# (2 pi)^4 / 45 * h / (8 pi² c): 1e6 makes (1/m)³ of the wavenumbers' (1/cm)³, 1e-40/amu makes m⁴/kg of the activity's
# Å⁴/amu, and 1e34 makes 1e-30 cm² of m².
CROSS_SECTION = (2 * np.pi) ** 4 / 45 * units._hplanck / (8 * np.pi**2 * units._c) * 1e6 * 1e-40 / units._amu * 1e34
# What is called absorbance, of 1 mol/L over 1 cm, for 1 km/mol per 1/cm: that is 1e5 cm²/mol or 100 L/(mol cm) with
# exp(-a c l) for what passes, and a decadic coefficient, of 10^(-e c l), is smaller by ln 10.
DECADIC = 100 / np.log(10)


@dataclass(frozen=True)
class Lines:
    """The lines that a computed spectrum is made of, one for each level.

    Attributes:
        wavenumbers: (n_lines,) ascending [1/cm].
        areas: (n_lines,) under each line, in the unit of the spectrum times 1/cm.
        heights: (n_lines,) of the curve that each line would have alone.
        labels: Mulliken symbols; "" where there is no point group.
    """

    wavenumbers: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    areas: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    heights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spectrum:
    """A curve over wavenumbers, computed or measured.

    Attributes:
        kind: "infrared" or "Raman"; "" of a measured one whose file does not say it.
        wavenumbers: (n_points,) ascending [1/cm]; of Raman spectra those of the shift.
        values: (n_points,); NaN where nothing was measured.
        quantity: what the values are.
        unit: of the values.
        lines: of a computed one.
        broadening: shape and width of its lines, and what else the curve depends on, in words; "" of a measured one.
    """

    kind: str
    wavenumbers: NDArray[np.float64]
    values: NDArray[np.float64]
    quantity: str
    unit: str
    lines: Lines = field(default_factory=Lines)
    broadening: str = ""


def infrared_spectrum(
    intensities: Intensities,
    wavenumbers: ArrayLike | None = None,
    *,
    line_shape: str = LINE_SHAPES[0],
    line_width: float = LINE_WIDTH,
    frequency_scale: float = FREQUENCY_SCALE,
) -> Spectrum:
    """Napierian molar absorption, whose integral over wavenumbers is the intensity of all lines.

    Imaginary modes, and those below 10 cm⁻¹, are no lines (`left_out`).

    Args:
        intensities: of a molecule (`vibrational_intensities`).
        wavenumbers: (n_points,) at which it is computed; evenly from 0 to beyond the last line unless given [1/cm].
        line_shape: "lorentzian" or "gaussian".
        line_width: full width at half maximum [1/cm].
        frequency_scale: factor of the wavenumbers; intensities stay.

    Returns:
        values in km/mol per 1/cm; `DECADIC` times that is the molar absorption coefficient in L/(mol cm).

    Raises:
        InputError: the model gives no dipole, or numbers that make no sense.
    """
    check_broadening(line_shape, line_width, frequency_scale)
    if intensities.infrared is None:
        raise _not_given("dipole", "infrared intensities")
    positions, areas, labels = _lines(intensities.modes, intensities.infrared, frequency_scale)
    shape = line_shape, line_width
    spectrum = _broadened(INFRARED, "molar absorption", INFRARED_UNIT, positions, areas, labels, wavenumbers, shape)
    return replace(spectrum, broadening=_in_words(*shape, frequency_scale))


def raman_spectrum(
    intensities: Intensities,
    wavenumbers: ArrayLike | None = None,
    *,
    line_shape: str = LINE_SHAPES[0],
    line_width: float = LINE_WIDTH,
    frequency_scale: float = FREQUENCY_SCALE,
    laser: float = LASER,
    temperature: float = TEMPERATURE,
) -> Spectrum:
    """Differential cross section of linearly polarized light, scattered at 90° to its polarization, in any of its own.

    Each line has (2 pi)⁴/45 (nu0 - nu)⁴ h / (8 pi² c nu) (45 a'² + 7 gamma'²) / (1 - exp(-h c nu / k T)) for an area,
    of polarizabilities that do not depend on the laser (D. A. Long, The Raman Effect (2002), chapter 5; H. W. Schrötter
    and H. W. Klöckner in Raman Spectroscopy of Gases and Liquids, ed. A. Weber (1979)). It is the scattered power;
    where photons are counted, (nu0 - nu)⁴ is nu0 (nu0 - nu)³.

    Args:
        intensities: of a molecule (`vibrational_intensities`).
        wavenumbers, line_shape, line_width, frequency_scale: as in `infrared_spectrum`; wavenumbers are Raman shifts.
        laser: wavelength [nm].
        temperature: [K].

    Returns:
        values in 1e-30 cm²/sr per 1/cm.

    Raises:
        InputError: the model gives no polarizability, or numbers that make no sense.
    """
    check_broadening(line_shape, line_width, frequency_scale, laser, temperature)
    if intensities.raman is None:
        raise _not_given("polarizability", "Raman activities")
    positions, activities, labels = _lines(intensities.modes, intensities.raman, frequency_scale)
    areas = activities * raman_factors(positions, laser, temperature)
    shape = line_shape, line_width
    spectrum = _broadened(RAMAN, "Raman cross section", RAMAN_UNIT, positions, areas, labels, wavenumbers, shape)
    excited = f"; Raman at {laser:g} nm, {temperature:g} K"
    return replace(spectrum, broadening=_in_words(*shape, frequency_scale) + excited)


def raman_factors(wavenumbers: NDArray[np.float64], laser: float, temperature: float) -> NDArray[np.float64]:
    """Differential cross sections [1e-30 cm²/sr] of lines of activity 1 Å⁴/amu.

    Raises:
        InputError: a line that the laser has not the energy to excite.
    """
    incident = 1e7 / laser
    if wavenumbers.max(initial=0.0) >= incident:
        raise InputError(
            f"the laser has {incident:.0f} cm⁻¹ ({laser:g} nm), less than the line at {wavenumbers.max():.0f} cm⁻¹",
            "a photon cannot lose more energy than it has",
            "give the wavelength in nm: `laser=532`",
        )
    bose = -np.expm1(-SECOND_RADIATION_CONSTANT * wavenumbers / temperature)
    return CROSS_SECTION * (incident - wavenumbers) ** 4 / wavenumbers / bose


def left_out(modes: NormalModes) -> tuple[int, ...]:
    """Modes that are no lines of a spectrum, counted from 1: imaginary, or softer than 10 cm⁻¹."""
    return tuple(int(k) + 1 for k in np.flatnonzero(modes.wavenumbers < SOFTEST_CM1))


def line_profile(distances: NDArray[np.float64], line_shape: str, line_width: float) -> NDArray[np.float64]:
    """A line of area one at these distances from its middle, all in the unit of the full width at half maximum."""
    half = line_width / 2
    if line_shape == "gaussian":
        return np.sqrt(np.log(2) / np.pi) / half * np.exp(-np.log(2) * (distances / half) ** 2)
    return half / np.pi / (distances**2 + half**2)


def check_broadening(
    line_shape: str = LINE_SHAPES[0],
    line_width: float = LINE_WIDTH,
    frequency_scale: float = FREQUENCY_SCALE,
    laser: float = LASER,
    temperature: float = TEMPERATURE,
) -> None:
    """Refuse what makes no spectrum, with an InputError."""
    if line_shape not in LINE_SHAPES:
        raise InputError(
            f"the line shape is {line_shape!r}",
            "area and width of a line are those of a shape that is known",
            f"use {' or '.join(map(repr, LINE_SHAPES))}",
        )
    ranges = (
        ("line_width", "the width of lines", line_width, NARROWEST, WIDEST, "1/cm"),
        ("frequency_scale", "the factor of frequencies", frequency_scale, LEAST_SCALE, LARGEST_SCALE, ""),
        ("laser", "the wavelength of the laser", laser, SHORTEST_NM, LONGEST_NM, "nm"),
    )
    for name, words, number in (*(row[:3] for row in ranges), ("temperature", "the temperature", temperature)):
        _require_number(name, words, number)
    for name, words, value, least, largest, unit in ranges:
        if not least <= value <= largest:
            unit = f" {unit}" if unit else ""
            raise InputError(
                f"{words} is {value:g}{unit}",
                f"from {least:g} to {largest:g}{unit} it makes a spectrum; beyond, the unit may be another one",
                f"give `{name}` as a number{' in' * bool(unit)}{unit}",
            )
    if not 0 < temperature < np.inf:
        raise InputError(
            f"the temperature is {temperature:g} K", "lines have populations above zero", "give something like 298.15 K"
        )


def _require_number(name: str, words: str, number: object) -> None:
    """Refuse what is no number, with an InputError."""
    if isinstance(number, bool) or not isinstance(number, Real):
        raise InputError(
            f"{words} is {number!r}, which is no number",
            "a curve is computed from it",
            f"give `{name}` as a number, without quotes",
        )


def _lines(
    modes: NormalModes, strengths: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Scaled wavenumbers, strengths and labels of levels, ascending, without modes that are no lines."""
    label_of = {mode: s.label for s in modes.sets for mode in s.modes}
    without_line = set(left_out(modes))
    levels = [level for level in levels_of(modes) if not without_line.intersection(level)]
    places = [np.array(level) - 1 for level in levels]
    positions = np.array([scale * modes.wavenumbers[k].mean() for k in places], float)
    sums = np.array([strengths[k].sum() for k in places], float)
    order = np.argsort(positions, kind="stable")
    return positions[order], sums[order], tuple(label_of.get(levels[k][0], "") for k in order)


def _broadened(
    kind: str,
    quantity: str,
    unit: str,
    positions: NDArray[np.float64],
    areas: NDArray[np.float64],
    labels: Sequence[str],
    wavenumbers: ArrayLike | None,
    shape: tuple[str, float],
) -> Spectrum:
    """The sum of lines with a width."""
    grid = _grid(positions, shape[1]) if wavenumbers is None else _checked_grid(wavenumbers)
    values = np.zeros(len(grid))
    for position, area in zip(positions, areas, strict=True):
        values += area * line_profile(grid - position, *shape)
    heights = areas * line_profile(np.zeros(1), *shape)
    return Spectrum(kind, grid, values, quantity, unit, Lines(positions, areas, heights, tuple(labels)))


def _in_words(line_shape: str, line_width: float, scale: float) -> str:
    """How lines are drawn, for people."""
    scaled = "" if scale == 1 else f", wavenumbers times {scale:g}"
    return f"{line_shape} lines of {line_width:g} cm⁻¹ (FWHM){scaled}"


def _grid(positions: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Evenly from 0 to beyond the last line, in round steps of at most a tenth of the width [1/cm].

    Ten widths beyond, but at most 500 cm⁻¹: very wide lines would draw an axis with nothing on half of it.
    """
    decade = 10.0 ** np.floor(np.log10(width / 10) + 1e-9)
    step = decade * max(m for m in (1, 2, 5) if m * decade <= width / 10 * (1 + 1e-9))
    end = 100 * np.ceil((positions.max(initial=1000.0) + np.clip(10 * width, 100.0, FARTHEST)) / 100)
    return step * np.arange(round(end / step) + 1)


def _checked_grid(wavenumbers: ArrayLike) -> NDArray[np.float64]:
    try:
        grid = np.asarray(wavenumbers, float)
    except (TypeError, ValueError):  # words, or rows of different lengths
        grid = np.zeros(0)
    if grid.ndim != 1 or len(grid) < 2 or not np.isfinite(grid).all() or (np.diff(grid) <= 0).any():
        raise InputError(
            "the wavenumbers of the spectrum are not two or more finite numbers in ascending order",
            "a curve is drawn and integrated along them",
            "give something like np.arange(0, 4000)",
        )
    return grid


def _not_given(output: str, what: str) -> InputError:
    return InputError(
        f"the model gives no {output}",
        f"{what} are its derivatives by the modes",
        "take a model whose network has that output; `calc.potential.outputs` lists what a model gives",
    )
