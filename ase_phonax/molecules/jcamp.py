"""Spectra in JCAMP-DX files, the exchange format of spectroscopists: written as version 4.24, read as they come.

R. S. McDonald and P. A. Wilks, Appl. Spectrosc. 42, 151 (1988). Files of one spectrum with (X++(Y..Y)) or (XY..XY) data
are read, their numbers in any of the forms of `jcamp_numbers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..base.errors import InputError
from .jcamp_numbers import Line, pairs, table_ordinates
from .spectra import DECADIC, INFRARED, INFRARED_UNIT, RAMAN, Spectrum
from .spectrum_units import require_wavenumbers

MOST_POINTS = 5_000_000
_KINDS = {INFRARED: "INFRARED SPECTRUM", RAMAN: "RAMAN SPECTRUM"}
_STATED = {INFRARED: r"INFRA-?RED|\bFT-?IR\b|\bIR\b", RAMAN: r"RAMAN"}
_TABLES = ("XYDATA", "XYPOINTS")
_OTHER_TABLES = {"PEAKTABLE": "a table of peaks", "PEAKASSIGNMENTS": "a table of peaks", "NTUPLES": "several tables"}
_WIDTH = 76  # columns; the standard allows 80
_EVENLY = "##XYDATA= (X++(Y..Y))"
_UNEVEN = 1e-3  # of a step, that a point may lie elsewhere: more than ten digits of a wavenumber are off by
_LARGEST = 999_999_999  # of the integers written: nine digits are more than any detector has


@dataclass
class Record:
    """A labelled record: what stands behind its label, and the lines below."""

    text: str
    lines: list[Line] = field(default_factory=list)


def is_jcamp(text: str) -> bool:
    """Whether a text begins as JCAMP-DX files do, with a label or a comment."""
    return text.lstrip("\ufeff \t\r\n").startswith(("##", "$$"))


def parse_jcamp(text: str) -> tuple[str, str, str, NDArray[np.float64]]:
    """The spectrum of a JCAMP-DX file, with its units as they stand there.

    Args:
        text: of the file.

    Returns:
        kind ("infrared", "Raman", or "" where the file does not say it), units of abscissa and ordinate, and
        (n_points, 2) points in these units, in the order of the file.

    Raises:
        ValueError: with what is wrong in words: another kind of spectrum or axis, several spectra, no curve, damaged
            numbers.
    """
    records = _records(text)
    if "NTUPLES" in records:
        raise ValueError("it holds several tables (##NTUPLES=), and one curve is drawn")
    kind = _kind(records)
    label = next((name for name in _TABLES if name in records), None)
    if label is None:
        other = next((words for name, words in _OTHER_TABLES.items() if name in records), "no ##XYDATA=")
        raise ValueError(f"it holds {other}, and no curve")
    x_unit, y_unit = _unit(records, "XUNITS"), _unit(records, "YUNITS")
    require_wavenumbers(x_unit)  # before the points, which other axes have at other distances
    table = records[label]
    form = re.sub(r"[\s()]", "", table.text.upper())
    if form == "XY..XY":
        points = pairs(table.lines) * [_number(records, "XFACTOR", 1.0), _number(records, "YFACTOR", 1.0)]
        announced = _number(records, "NPOINTS", len(points))
        if announced != len(points):
            raise ValueError(f"it has {len(points)} points, and ##NPOINTS announces {announced:g}")
    elif form == "X++Y..Y":
        points = _evenly(records, table.lines)
    else:
        raise ValueError(f"the form of its data is {table.text.strip()[:40]!r}; (X++(Y..Y)) and (XY..XY) are read")
    return kind, x_unit, y_unit, points


def jcamp_text(spectrum: Spectrum, title: str, formula: str = "", processing: Sequence[str] = ()) -> str:
    """A spectrum as a JCAMP-DX 4.24 file, in ASCII.

    Computed infrared absorption is written as the absorbance of 1 mol/L over 1 cm, which is the decadic molar
    absorption coefficient in L/(mol cm); other values as they are.

    Args:
        spectrum: of a kind that is stated.
        title: one line.
        formula: of the molecule, Hill's order.
        processing: how it was made, one line each.

    Raises:
        InputError: the kind of the spectrum is not known.
    """
    if spectrum.kind not in _KINDS:
        raise InputError(
            "the spectrum does not say whether it is infrared or Raman",
            "a JCAMP-DX file has to",
            'give it a kind: dataclasses.replace(spectrum, kind="infrared")',
        )
    molar = spectrum.unit == INFRARED_UNIT
    unit = "" if spectrum.quantity.startswith(spectrum.unit) else f" [{spectrum.unit}]"
    notes = [f"values are {spectrum.quantity or 'not named'}{unit}"]
    if molar:
        notes = ["absorbance of 1 mol/L over 1 cm, decadic: the molar absorption coefficient in L/(mol cm)"]
    absorbance = molar or spectrum.quantity.startswith("absorbance")
    x, y = spectrum.wavenumbers, spectrum.values * (DECADIC if molar else 1.0)
    if not _evenly_spaced(x):  # pairs, which need none where nothing was measured
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    head = {
        "TITLE": title,
        "JCAMP-DX": "4.24",
        "DATA TYPE": _KINDS[spectrum.kind],
        "ORIGIN": "ase-phonax",
        "OWNER": "not stated",
        "MOLFORM": re.sub(r"(?<=.)([A-Z])", r" \1", formula),
        "PATHLENGTH": "1" if molar else "",
        "DATA PROCESSING": "; ".join([*processing, *notes]),
        "XUNITS": "1/CM",
        "YUNITS": "ABSORBANCE" if absorbance else "ARBITRARY UNITS",
        "FIRSTX": f"{x[0]:.10g}",
        "LASTX": f"{x[-1]:.10g}",
        "MAXY": f"{np.nanmax(y):.9g}",
        "MINY": f"{np.nanmin(y):.9g}",
        "NPOINTS": str(len(x)),
        "FIRSTY": f"{y[0]:.9g}" if np.isfinite(y[0]) else "",
    }
    lines = [f"##{label}= {_one_line(value)}" for label, value in head.items() if value]
    lines = [part for line in lines for part in _wrapped(line)]
    return "\n".join([*lines, *_table(x, y), "##END=", ""])


def _records(text: str) -> dict[str, Record]:
    """Records by their labels, in which case, spaces, dashes, slashes and underscores do not count."""
    records: dict[str, Record] = {}
    current = Record("")
    for number, whole in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = whole.partition("$$")[0]
        if not line.lstrip().startswith("##"):
            if line.strip():
                current.lines.append((number, line))
            continue
        label, equals, value = line.lstrip()[2:].partition("=")
        name = re.sub(r"[\s\-/_]", "", label).upper()
        if not equals:
            raise ValueError(f"line {number} is a label without a value: {line.strip()[:40]!r}")
        if name == "TITLE" and name in records:
            raise ValueError("it holds several spectra (##TITLE= stands there twice); save one of them by itself")
        current = Record(value)
        if name == "END":
            continue
        records.setdefault(name, current)
    return records


def _kind(records: Mapping[str, Record]) -> str:
    """The kind of a spectrum; empty where the file does not say it."""
    stated = records["DATATYPE"].text.strip() if "DATATYPE" in records else ""
    for kind, words in _STATED.items():
        if re.search(words, stated, re.IGNORECASE):
            return kind
    if stated:
        raise ValueError(f"its ##DATA TYPE= is {stated[:40]!r}, neither infrared nor Raman")
    return ""


def _evenly(records: Mapping[str, Record], lines: Sequence[Line]) -> NDArray[np.float64]:
    """Points of a table (X++(Y..Y))."""
    n_points = _number(records, "NPOINTS")
    if not 2 <= n_points <= MOST_POINTS or n_points % 1:
        raise ValueError(f"##NPOINTS= is {n_points:g}, and a curve has 2 to {MOST_POINTS}")
    abscissae = np.linspace(_number(records, "FIRSTX"), _number(records, "LASTX"), int(n_points))
    if abscissae[0] == abscissae[-1]:
        raise ValueError("##FIRSTX= and ##LASTX= are the same, so all points lie in one place")
    ordinates = table_ordinates(lines, abscissae, _number(records, "XFACTOR", 1.0))
    return np.column_stack([abscissae, _number(records, "YFACTOR", 1.0) * ordinates])


def _number(records: Mapping[str, Record], name: str, default: float | None = None) -> float:
    """The number behind a label."""
    if name not in records:
        if default is None:
            raise ValueError(f"it has no ##{name}=")
        return default
    text = records[name].text.strip()
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"##{name}= is {text[:40]!r}, and no number")
    return number


def _unit(records: Mapping[str, Record], name: str) -> str:
    if name not in records or not records[name].text.strip():
        raise ValueError(f"it does not say its unit: there is no ##{name}=")
    return " ".join(records[name].text.split())


def _one_line(text: str) -> str:
    """Printable ASCII; what is not has a question mark, since the standard knows nothing else."""
    plain = text.replace("cm⁻¹", "1/cm").replace("²", "2").replace("³", "3").replace("$$", "$")
    return " ".join(plain.encode("ascii", "replace").decode().split())


def _wrapped(line: str) -> list[str]:
    """A record in lines that are short enough; labels begin the first alone."""
    import textwrap

    return textwrap.wrap(line, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _evenly_spaced(x: NDArray[np.float64]) -> bool:
    return bool(np.abs(x - np.linspace(x[0], x[-1], len(x))).max() <= _UNEVEN * (x[-1] - x[0]) / max(len(x) - 1, 1))


def _table(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[str]:
    """A table (X++(Y..Y)) of integers where points are evenly spaced, "?" where one is missing; else one of pairs."""
    if not _evenly_spaced(x):
        rows = [f"{a:.10g}, {b:.10g}" for a, b in zip(x, y, strict=True)]
        return ["##XFACTOR= 1", "##YFACTOR= 1", "##XYPOINTS= (XY..XY)", *rows]
    factor = float(np.nanmax(np.abs(y))) / _LARGEST or 1.0
    numbers = [f"{round(value / factor)}" if np.isfinite(value) else "?" for value in y]
    lines = [f"##DELTAX= {(x[-1] - x[0]) / (len(x) - 1):.10g}", "##XFACTOR= 1", f"##YFACTOR= {factor:.15g}", _EVENLY]
    start = 0
    while start < len(x):
        line, end = f"{x[start]:.10g}", start
        while end < len(x) and len(line) + 1 + len(numbers[end]) <= _WIDTH:
            line, end = f"{line} {numbers[end]}", end + 1
        lines.append(line)
        start = end
    return lines
