"""Spectra from files and into files: JCAMP-DX, and tables of two columns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError, UnstableWarning
from ..base.files import write_whole
from ..base.input_files import require_file, shown
from .jcamp import is_jcamp, jcamp_text, parse_jcamp
from .spectra import Spectrum

SHORTEST_RANGE, LONGEST_RANGE = 50.0, 20_000.0  # [1/cm]: below micrometres, above nanometres look like wavenumbers
# Of a fraction, where noise and a poor background reach 1.5; from the other on values can only be percentages.
LARGEST_FRACTION, SMALLEST_PERCENTAGE = 2.0, 20.0
_WAVENUMBERS = re.compile(r"1/CM|CM-1|CM⁻¹|CM−1")
_TRANSMITTANCE = re.compile(r"TRANSMI|%\s*T\b|^\s*T\s*$", re.IGNORECASE)
_PERCENT = re.compile(r"%|PERCENT", re.IGNORECASE)
_REFLECTANCE = re.compile(r"REFLECTANCE|%\s*R\b", re.IGNORECASE)


def read_spectrum(path: str | PathLike[str], kind: str = "") -> Spectrum:
    """A measured infrared or Raman spectrum, from a JCAMP-DX file or a table of two columns.

    Transmittance becomes absorbance, -log10 T, and `quantity` says so: computed spectra are absorption, and only that
    adds up over lines. Values beyond 20 are percentages, whatever the unit says. Of a table the heading of the second
    column says what it is, if there is one.

    Args:
        path: a file that begins with ## is JCAMP-DX; any other a table of wavenumbers [1/cm] and values, divided by
            commas, semicolons, tabs or blanks, with or without a line of headings; lines with # in front do not count.
        kind: "infrared" or "Raman", where the file must not be of the other kind.

    Returns:
        ascending, the values in the unit of the file.

    Raises:
        InputError: no such file; another axis than wavenumbers; reflectance; several spectra; peaks without a curve;
            damaged numbers.
    """
    require_file(path, "the spectrum", "a measured spectrum is drawn beneath the computed one")
    text = _text(Path(path))
    try:
        stated, x_unit, y_unit, points = parse_jcamp(text) if is_jcamp(text) else ("", *_parse_table(text))
        return _checked(path, stated or kind, kind, x_unit, y_unit, points)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the spectrum {shown(path)} cannot be read: {error}",
            "a curve that is read in part, or in another unit, would be compared with something else",
            "give a JCAMP-DX file of one infrared or Raman spectrum over 1/CM, or a table of two columns",
        ) from None


def write_spectrum(
    spectrum: Spectrum, path: str | PathLike[str], title: str, formula: str = "", processing: Sequence[str] = ()
) -> None:
    """Write a spectrum: JCAMP-DX 4.24 where the name ends in .jdx or .dx, else a table with commas.

    In JCAMP-DX computed infrared absorption is absorbance, of 1 mol/L over 1 cm.

    Args:
        spectrum: computed or measured.
        path: of the file.
        title: one line; of JCAMP-DX.
        formula: of the molecule, Hill's order; of JCAMP-DX.
        processing: how it was made; of JCAMP-DX.

    Raises:
        InputError: the spectrum does not say its kind, and JCAMP-DX has to.
        OutputError: it cannot be written.
    """
    if Path(path).suffix.lower() in (".jdx", ".dx"):
        write_whole(path, jcamp_text(spectrum, title, formula, processing))
        return
    heading = f"wavenumber (1/cm),{spectrum.quantity or 'value'}{f' ({spectrum.unit})' * bool(spectrum.unit)}"
    rows = (f"{x:.10g},{y:.10g}" for x, y in zip(spectrum.wavenumbers, spectrum.values, strict=True))
    write_whole(path, "\n".join([heading, *rows]) + "\n")


def _text(path: Path) -> str:
    """The text of a file; names and comments may be in an older encoding."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _checked(
    path: str | PathLike[str], kind: str, wanted: str, x_unit: str, y_unit: str, points: NDArray[np.float64]
) -> Spectrum:
    """The spectrum of points in these units.

    Raises:
        ValueError: with what is wrong in words.
    """
    if wanted and kind != wanted:
        raise InputError(
            f"{shown(path)} is of the kind {kind}, where a spectrum of the kind {wanted} was asked for",
            "it would be drawn beneath lines of another origin",
            f"give it as `measured_{kind.lower()}`",
        )
    if x_unit and not _WAVENUMBERS.search(re.sub(r"[\s^{}*()]", "", x_unit.upper())):
        raise ValueError(f"its axis is in {x_unit}, and only wavenumbers (1/CM) are read; convert it first")
    points = points[np.argsort(points[:, 0], kind="stable")]
    x, values = points.T
    if not np.isfinite(x).all() or len(x) < 2 or x[0] == x[-1]:
        raise ValueError(f"a curve has two wavenumbers at least, and {len(np.unique(x))} are there")
    if x[0] < 0 or not SHORTEST_RANGE <= x[-1] <= LONGEST_RANGE:
        raise ValueError(f"it goes from {x[0]:g} to {x[-1]:g}, which are no wavenumbers in 1/cm of vibrations")
    quantity, values = _absorbance(path, y_unit, values)
    if np.isinf(values).any() or not np.nanmax(np.abs(np.nan_to_num(values))) > 0:
        raise ValueError("its values are not finite, or all of them are zero")
    return Spectrum(kind, x, values, quantity, y_unit)


def _absorbance(path: str | PathLike[str], unit: str, values: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """What the values are, and the values: absorbance where they were transmittance, else as they are."""
    if _REFLECTANCE.search(unit):
        raise ValueError(f"its values are {unit}: what is reflected is not what is absorbed")
    if not _TRANSMITTANCE.search(unit):
        return unit.lower() if unit.isupper() else unit, values
    largest = float(np.nanmax(values, initial=0.0))
    percent = bool(_PERCENT.search(unit)) or largest >= SMALLEST_PERCENTAGE
    if largest > (100 * LARGEST_FRACTION if percent else LARGEST_FRACTION):
        raise ValueError(
            f"its unit is {unit}, and its largest value {largest:g}: neither fractions (to 1) nor percentages (to 100)"
        )
    opaque = values <= 0
    if opaque.any():
        warnings.warn(
            f"{int(opaque.sum())} of {len(values)} points of {shown(path)} have a transmittance of zero or less, which"
            " is no absorbance: the curve has gaps there.",
            UnstableWarning,
            stacklevel=4,
        )
    fractions = np.where(opaque, np.nan, values) / (100 if percent else 1)
    return f"absorbance, from {'% ' * percent}transmittance", -np.log10(fractions)


def _parse_table(text: str) -> tuple[str, str, NDArray[np.float64]]:
    """Headings of the two columns of a table, empty where there are none, and (n_points, 2) numbers.

    Raises:
        ValueError: with the line that is no pair of numbers.
    """
    heading: list[str] = ["", ""]
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = _cells(line)
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            if rows or any(heading) or _is_number(cells[0]):
                raise ValueError(
                    f"line {number} holds something else than two numbers: {line.strip()[:40]!r}"
                ) from None
            heading = cells if len(cells) == 2 else ["", " ".join(cells)]
            continue
        if len(values) != 2:
            raise ValueError(
                f"line {number} has {len(values)} columns where there are two, wavenumber and value"
                " (decimal commas are not read)"
            )
        rows.append((values[0], values[1]))
    return _axis_unit(heading[0]), heading[1], np.array(rows, float).reshape(-1, 2)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cells(line: str) -> list[str]:
    """The cells of a line, by the first of these dividers that is in it."""
    divider = next((mark for mark in (";", "\t", ",") if mark in line), None)
    return [cell.strip().strip('"').strip() for cell in line.split(divider)] if divider else line.split()


def _axis_unit(heading: str) -> str:
    """The unit that a heading names for the axis; empty where it names none that is known."""
    unit = re.search(
        r"1/cm|cm\^?\{?-1|cm⁻¹|\bnm\b|[µμ]m\b|\bum\b|micro\w+|nano\w+|\bTHz\b|\bm?eV\b", heading, re.IGNORECASE
    )
    return unit[0] if unit else ""
