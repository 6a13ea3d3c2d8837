"""What the axis and the values of a measured spectrum are, by the words that stand at them."""

from __future__ import annotations

import re
import warnings

import numpy as np
from numpy.typing import NDArray

from ..base.errors import UnstableWarning

SHORTEST_RANGE, LONGEST_RANGE = 50.0, 12_000.0  # [1/cm]: below micrometres, above nanometres look like wavenumbers
ABSORBANCE = "absorbance"
# Of a fraction, where noise and a poor background reach 1.5; from the other on values can only be percentages.
_LARGEST_FRACTION, _SMALLEST_PERCENTAGE = 2.0, 20.0
_UPSIDE_DOWN = 0.8  # of the maximum, that half of all points exceed in transmittance: lines are narrow
_FEWEST = 10  # points that have such a half
_WAVENUMBERS = re.compile(r"1/CM|CM-1|CM⁻¹|CM−1")
_OF_AXES = re.compile(r"1/cm|cm\^?\{?-1|cm⁻¹|\bnm\b|[µμ]m\b|\bum\b|micro\w+|nano\w+|\bTHz\b|\bm?eV\b", re.IGNORECASE)
_ABSORBED = re.compile(r"ABSOR[BP]|EXTINCTION|\bABS\b", re.IGNORECASE)
_SCATTERED = re.compile(r"RAMAN|COUNTS|SCATTER", re.IGNORECASE)
_TRANSMITTED = re.compile(
    r"TRANSMI|\bTRANS\b|DURCHL[ÄA]|(%|PERCENT)\s*T\b|\bT\s*[\[(/]?\s*(%|PERCENT)|^\s*T\s*$", re.IGNORECASE
)
_PERCENT = re.compile(r"%|PERCENT|PROZENT", re.IGNORECASE)
_REFLECTED = re.compile(r"REFLECTANCE|%\s*R\b|\bR\s*[\[(/]?\s*%", re.IGNORECASE)


def axis_unit(heading: str) -> str:
    """The unit that a heading names for the axis; empty where it names none that is known."""
    unit = _OF_AXES.search(heading)
    return unit[0] if unit else ""


def require_wavenumbers(unit: str) -> None:
    """Refuse another axis than wavenumbers.

    Raises:
        ValueError: with what is wrong in words.
    """
    if unit and not _WAVENUMBERS.search(re.sub(r"[\s^{}*()]", "", unit.upper())):
        raise ValueError(f"its axis is in {unit}, and only wavenumbers (1/CM) are read; convert it first")


def absorbed(
    shown_path: str, kind: str, unit: str, values: NDArray[np.float64]
) -> tuple[str, str, NDArray[np.float64]]:
    """Quantity, unit and values of a measured spectrum: absorbance where it was transmittance, else as it is.

    Args:
        shown_path: of the file, as messages name it.
        kind: "infrared", "Raman" or "".
        unit: that the file states, or the heading of the column.
        values: (n_points,) of the file.

    Raises:
        ValueError: with what is wrong in words: reflectance, or transmittance that is neither fraction nor percentage.
    """
    if _ABSORBED.search(unit):  # also "absorbance, from transmittance", which must not be converted once more
        words = unit.lower() if unit.isupper() else unit
        return words, ABSORBANCE if words == ABSORBANCE else unit, values
    if _REFLECTED.search(unit):
        raise ValueError(f"its values are {unit}: what is reflected is not what is absorbed")
    if not _TRANSMITTED.search(unit):
        if kind != "Raman" and not _SCATTERED.search(unit):
            _warn_if_upside_down(shown_path, values)
        return unit.lower() if unit.isupper() else unit, unit, values
    fractions, percent = _fractions(unit, values)
    opaque = fractions <= 0
    if opaque.any():
        warnings.warn(
            f"{int(opaque.sum())} of {len(values)} points of {shown_path} have a transmittance of zero or less, which"
            " is no absorbance: the curve has gaps there.",
            UnstableWarning,
            stacklevel=4,
        )
    quantity = f"{ABSORBANCE}, from {'% ' * percent}transmittance"
    return quantity, ABSORBANCE, -np.log10(np.where(opaque, np.nan, fractions))


def _fractions(unit: str, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Transmittance from 0 to 1, and whether it was given as a percentage."""
    largest = float(np.nanmax(values, initial=0.0))
    stated = bool(_PERCENT.search(unit))
    if stated and largest <= _LARGEST_FRACTION:
        raise ValueError(
            f"its unit is {unit}, and its largest value {largest:g}, which is that of a fraction and not of a"
            " percentage: name the unit TRANSMITTANCE, or multiply the values by 100"
        )
    percent = stated or largest >= _SMALLEST_PERCENTAGE
    if largest > (100 * _LARGEST_FRACTION if percent else _LARGEST_FRACTION):
        raise ValueError(
            f"its unit is {unit}, and its largest value {largest:g}: neither fractions (to 1) nor percentages (to 100)"
        )
    return values / (100 if percent else 1), percent


def _warn_if_upside_down(shown_path: str, values: NDArray[np.float64]) -> None:
    """Warn of values that nothing calls transmittance, and that look like it: high but for some lines."""
    measured = values[~np.isnan(values)]
    if len(measured) >= _FEWEST and 0 < _UPSIDE_DOWN * measured.max() < np.median(measured):
        warnings.warn(
            f"the values of {shown_path} are near their maximum almost everywhere, which looks like transmittance, and"
            ' they are taken as they are: head the column "%T" or "transmittance" if it is, "absorbance" if not.',
            UnstableWarning,
            stacklevel=5,
        )
