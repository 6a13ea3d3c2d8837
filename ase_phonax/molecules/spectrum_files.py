"""Spectra from files and into files: JCAMP-DX, and tables of two columns."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.files import write_whole
from ..base.input_files import require_file, shown
from .jcamp import is_jcamp, jcamp_text, parse_jcamp
from .spectra import INFRARED, RAMAN, Spectrum
from .spectrum_tables import parse_table, table_text
from .spectrum_units import LONGEST_RANGE, SHORTEST_RANGE, absorbed, require_wavenumbers

_BEGINNINGS_OF_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = bytes({*range(9), *range(14, 32)} - {26, 27})  # no text has these; DOS ends files with the 26th


def read_spectrum(path: str | PathLike[str], kind: str = "") -> Spectrum:
    """A measured infrared or Raman spectrum, from a JCAMP-DX file or a table of two columns.

    Transmittance becomes absorbance, -log10 T, and `quantity` says so: computed spectra are absorption, and only that
    adds up over lines. Values beyond 20 are percentages, whatever the unit says. Of a table the heading of the second
    column says what it is, if there is one; else an UnstableWarning says where values look like transmittance.

    Args:
        path: a file that begins with ## is JCAMP-DX; any other a table of wavenumbers [1/cm] and values, divided by
            commas, semicolons, tabs or blanks, with or without headings; lines with # in front do not count, and a
            value that is empty or nan was not measured.
        kind: "infrared" or "Raman": what a file that does not say its kind is taken to be, and what one that does has
            to be.

    Returns:
        ascending, the values in the unit of the file, but absorbance for transmittance.

    Raises:
        InputError: no such file, or none of text; another axis than wavenumbers; reflectance; several spectra; peaks
            without a curve; damaged numbers; another kind.
    """
    kind = _known_kind(kind)
    require_file(path, "the spectrum", "a measured spectrum is drawn beneath the computed one")
    try:
        text = _text(Path(path))
        stated, x_unit, y_unit, points = parse_jcamp(text) if is_jcamp(text) else ("", *parse_table(text))
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
    write_whole(path, table_text((spectrum.wavenumbers, spectrum.values), spectrum.quantity, spectrum.unit))


def _known_kind(kind: str) -> str:
    """A kind as spectra have it, however it is capitalized; "" stays."""
    known = next((name for name in ("", INFRARED, RAMAN) if str(kind).lower() == name.lower()), None)
    if known is None:
        raise InputError(
            f"the kind of the spectrum is {kind!r}",
            "a measured spectrum is drawn beneath the computed one of its kind",
            f'give "{INFRARED}" or "{RAMAN}", or leave it out',
        )
    return known


def _text(path: Path) -> str:
    """The text of a file; names and comments may be in an older encoding.

    Raises:
        ValueError: it is none, in words.
    """
    data = path.read_bytes()
    if data.startswith(_BEGINNINGS_OF_UTF16):
        raise ValueError("it is not a text file in UTF-8 but in UTF-16: save it as UTF-8 or CSV")
    if b"\0" in data or len(data.translate(None, _CONTROL)) < 0.99 * len(data):
        raise ValueError("it is not a text file, but a binary one, such as a spectrometer's own: export it as text")
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
    require_wavenumbers(x_unit)
    points = points[np.argsort(points[:, 0], kind="stable")]
    x, values = points.T
    if not np.isfinite(x).all() or len(x) < 2 or x[0] == x[-1]:
        raise ValueError(f"a curve has two wavenumbers at least, and {len(np.unique(x))} are there")
    if x[0] < 0 or not SHORTEST_RANGE <= x[-1] <= LONGEST_RANGE:
        raise ValueError(
            f"it goes from {x[0]:g} to {x[-1]:g}, which are no wavenumbers in 1/cm of vibrations: convert its axis if"
            f" it is in another unit, and cut what lies below 0 or above {LONGEST_RANGE:g} 1/cm"
        )
    quantity, unit, values = absorbed(shown(path), kind, y_unit, values)
    if np.isinf(values).any() or not np.nanmax(np.abs(np.nan_to_num(values))) > 0:
        raise ValueError("its values are not finite, or all of them are zero")
    return Spectrum(kind, x, values, quantity, unit)
