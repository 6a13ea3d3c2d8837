"""The style of pictures: colours, fonts, labels, and figures written whole."""

from __future__ import annotations

import io
import re
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .errors import InputError
from .files import write_whole
from .units import FREQUENCY_UNITS

SUFFIXES = ("png", "pdf", "svg")
INK = "#1a1a1a"
QUIET = "#8c8c8c"
BANDS = "#1f4e79"
IMAGINARY = "#c0392b"
# Okabe and Ito, told apart by colour-blind readers; the red of imaginary modes is not among them.
ELEMENTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c510a", "#5d3a9b", "#b2b200")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.linewidth": 0.8,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,  # text stays text in the pdf
}


def save_figure(figure: Figure, path: str | PathLike[str], dpi: int = 300) -> list[str]:
    """Write a figure; the names written come back.

    Args:
        figure: to write.
        path: a name that ends in .png, .pdf or .svg, which is written; anything else is a stem, and `path`.png and
            `path`.pdf are.
        dpi: dots per inch of a png.

    Raises:
        OutputError: it cannot be written; no part of a file is left.
    """
    import matplotlib

    wanted = Path(path).suffix.lower().removeprefix(".")
    names = [str(path)] if wanted in SUFFIXES else [f"{path}.png", f"{path}.pdf"]
    # No date: the same calculation gives the same file.
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": None}
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "ase-phonax"}):
        for name in names:
            kind = name[-3:].lower()
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, dpi=dpi, metadata=metadata[kind])
            write_whole(name, drawn.getvalue())
    return names


def frequency_unit(name: str) -> tuple[float, str]:
    """Factor from THz and printed name of a unit of frequency.

    Raises:
        InputError: an unknown one.
    """
    if name not in FREQUENCY_UNITS:
        raise InputError(
            f"the unit of frequency is {name!r}",
            "numbers would be of no known scale",
            f"use {', '.join(FREQUENCY_UNITS)}",
        )
    return FREQUENCY_UNITS[name]


def as_plain_text(text: str) -> str:
    """A text that mathtext leaves alone."""
    return text.replace("$", r"\$")


def formula_in_mathtext(formula: str) -> str:
    """A chemical formula with its counts as subscripts.

    >>> formula_in_mathtext("Al2O3")
    '$\\\\mathrm{Al}_{2}\\\\mathrm{O}_{3}$'
    """
    from ase.formula import Formula

    if "." in formula:  # shares of alloys
        return "$" + re.sub(r"([A-Z][a-z]?)([\d.]*)", _with_subscript, formula) + "$"
    counts = Formula(formula).count()
    return "$" + "".join(rf"\mathrm{{{el}}}" + (f"_{{{n}}}" if n > 1 else "") for el, n in counts.items()) + "$"


def _with_subscript(part: Any) -> str:
    return rf"\mathrm{{{part[1]}}}" + (f"_{{{part[2]}}}" if part[2] else "")


def space_group_in_mathtext(symbol: str) -> str:
    """A Hermann-Mauguin symbol as crystallographers print it.

    >>> space_group_in_mathtext("P6_3/mmc"), space_group_in_mathtext("Fm-3m")
    ('$P6_{3}/mmc$', '$Fm\\\\bar{3}m$')
    """
    printed, characters = "", iter(symbol)
    for character in characters:
        if character == "-":
            printed += rf"\bar{{{next(characters)}}}"
        elif character == "_":
            printed += f"_{{{next(characters)}}}"
        else:
            printed += character
    return f"${printed}$"


def distinct_lines(values: Any, names: str, same: float = 1e-3) -> list[tuple[Any, str]]:
    """Columns (n, k) to draw with their names; those that are the same to a part of their size are one line.

    Args:
        names: k letters, one for each column.
    """
    lines: list[tuple[Any, str]] = []
    for own, name in zip(values.T, names, strict=True):
        for k, (known, others) in enumerate(lines):
            if abs(known - own).max() <= same * abs(own).max():
                lines[k] = known, f"{others}, {name}"
                break
        else:
            lines.append((own, name))
    return lines
