"""Numbers as a person reads them in a terminal."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Sequence

from ..base.units import FREQUENCY_UNITS

PIPED, NARROWEST, WIDEST = 100, 50, 120  # columns: of a file; below and beyond them tables do not follow the terminal
_LABEL = 22
_DEGENERATE_THZ = 5e-4
_COARSE = 0.2  # of the highest frequency: a tolerance beyond it says little
LARGEST_ERROR = 4.0  # times the tolerance: of a hundred errors the largest is about three times their RMS

# What stays on one line: a number with its unit or degeneracy, rows of a matrix, wave vectors, products.
_NUMBER = r"[-+]?\d[\d.,]*(?:e[-+]\d+)?"
_UNITS = r"THz|Å[²³]?|eV\S*|meV\S*|K|GPa|Pa|kJ/mol|J/K/mol|cm⁻¹|1/cm|amu|MB|atoms?|steps?|%|degrees|frames"
_TOGETHER = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<=\d) (?=(?:{_UNITS})(?![\w/]))",
        r"(?<=\d) (?=\(\d+\))",
        rf"(?<=\d) (?={_NUMBER}(?:°|,|;|\)|$| ))",
        r"(?<=\d) (?=[×±] )|(?<=[×±]) (?=\d)",
        r"(?<=q) (?==)|(?<==) ",
    )
)
_VECTOR = re.compile(rf"\((?:{_NUMBER},? ?)+\)")
_HELD = "\N{NO-BREAK SPACE}"


def width() -> int:
    """Columns of a table: those of the terminal, within reason, or of a page where there is none."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((PIPED, 24)).columns))


class Table:
    """Titled groups of labelled lines, wrapped to the width of the terminal."""

    def __init__(self, title: str) -> None:
        self._width = width()
        self._lines = self._wrapped(title)

    def group(self, name: str) -> None:
        """Begin a group."""
        self._lines += ["", *self._wrapped(name, rest="  ")]

    def row(self, label: str, text: str) -> None:
        """One line of the group; a long text goes on below itself.

        Two or more spaces in it divide what is kept on one line as long as that is possible.
        """
        self._lines += self._wrapped(text, f"  {label:<{_LABEL}}", " " * (_LABEL + 2)) or [f"  {label}"]

    def paragraph(self, text: str) -> None:
        """Lines of the group without a label."""
        self._lines += self._wrapped(text, "  ", "  ")

    def columns(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        left: Sequence[int] = (),
        prose: bool = False,
    ) -> None:
        """Cells under headings, flush right; what does not fit side by side follows in a block of its own.

        Args:
            head: the headings; every block begins with the first column.
            rows: as many cells each.
            left: columns that are flush left.
            prose: the last column is text, flush left, that goes on below itself.
        """
        table = [list(head), *map(list, rows)]
        sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
        fixed = len(head) - prose
        blocks, used = [[0]], 2 + sizes[0]
        for k in range(1, fixed):
            if used + 2 + sizes[k] > self._width:
                blocks.append([0])
                used = 2 + sizes[0]
            blocks[-1].append(k)
            used += 2 + sizes[k]
        for number, block in enumerate(blocks):
            self._lines += [""] * (number > 0)
            for cells in table:
                line = "  " + "  ".join(f"{cells[k]:{'<' if k in left else '>'}{sizes[k]}}" for k in block)
                last = prose and block is blocks[-1]
                if last:
                    self._lines += self._wrapped(cells[-1], line + "  ", " " * (len(line) + 2)) or [line.rstrip()]
                else:
                    self._lines.append(line.rstrip())

    def _wrapped(self, text: str, first: str = "", rest: str = "") -> list[str]:
        room = self._width - len(rest)
        parts = re.split("( {2,})", text)
        held = "".join(part if part.isspace() else _held_together(part, room) for part in parts)
        lines = textwrap.wrap(
            held,
            self._width,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [line.replace(_HELD, " ").rstrip() for line in lines]

    def __str__(self) -> str:
        return "\n".join(self._lines)


def _held_together(text: str, room: int) -> str:
    """Without spaces at which it must not be broken."""
    if len(text) <= room:
        return text.replace(" ", _HELD)
    text = _VECTOR.sub(lambda vector: vector[0].replace(" ", _HELD), text)
    for pattern in _TOGETHER:
        text = pattern.sub(_HELD, text)
    return text


def frequency(value_thz: float, unit: str = "THz") -> str:
    """A frequency in a unit of `units.FREQUENCY_UNITS`, without the sign of a rounding error."""
    factor = FREQUENCY_UNITS[unit][0]
    digits = 3 if factor < 10 else 1  # 0.03 of the last place of 1/cm is 0.001 THz
    value = factor * value_thz
    return f"{value if abs(value) >= 0.5 * 10.0**-digits else 0.0:.{digits}f}"


def frequencies_in_words(values_thz: Sequence[float], unit: str = "THz") -> str:
    """Ascending frequencies, degenerate ones once: "0.000 (3)  4.933 (2)  7.840"."""
    groups: list[list[float]] = []
    for value in values_thz:
        if groups and value - groups[-1][-1] < _DEGENERATE_THZ:
            groups[-1].append(value)
        else:
            groups.append([value])
    return "  ".join(
        frequency(sum(group) / len(group), unit) + (f" ({len(group)})" if len(group) > 1 else "") for group in groups
    )


def vector_in_words(vector: Sequence[float]) -> str:
    """A q-point: "(0, 0.5, 0.5)"."""
    return "(" + ", ".join(f"{round(float(x), 4) + 0.0:g}" for x in vector) + ")"


def matrix_in_words(matrix: Sequence[Sequence[int]]) -> str:
    """A supercell matrix: "3 × 3 × 2", or its rows where it is not diagonal."""
    rows = [[int(n) for n in row] for row in matrix]
    if all(rows[i][j] == 0 for i in range(3) for j in range(3) if i != j):
        return " × ".join(str(rows[i][i]) for i in range(3))
    return ", ".join(" ".join(map(str, row)) for row in rows)


def noise_in_words(value: float) -> str:
    """What a violation of an exact invariance, relative to the largest constant, means."""
    if value < 1e-9:
        return "rounding"
    return "noise of single precision" if value < 1e-4 else "LARGE: the constants should not be used"


def symmetry_in_words(value: float) -> str:
    """What a space-group residual, relative to the largest constant, means."""
    if value < 1e-9:
        return "rounding"
    if value < 1e-4:
        return "small: noise, or a structure not quite symmetric"
    return "LARGE: structure or supercell do not have the symmetry found"


def interpolation_in_words(
    error_thz: float, largest_thz: float, tolerance_thz: float, highest_thz: float, where: str
) -> str:
    """What the error of interpolating between the supercell's q-points means for its size.

    Args:
        error_thz, largest_thz: RMS and largest over branches and q-points [THz].
        tolerance_thz: of the RMS; `LARGEST_ERROR` times that, of the largest.
        highest_thz: frequency of the crystal.
        where: the q-point of the largest error.
    """
    if error_thz > tolerance_thz:
        return "visible in the bands: take a larger supercell" + (" (much larger)" if error_thz > 0.3 else "")
    if tolerance_thz > _COARSE * highest_thz:
        share = f"{100 * tolerance_thz / highest_thz:.0f} % of the highest frequency" if highest_thz > 0 else "large"
        return f"within the tolerance of {tolerance_thz:g} THz, but that is {share}: give a smaller --tolerance"
    limit = LARGEST_ERROR * tolerance_thz
    if largest_thz > limit:
        return (
            f"large enough by RMS (up to {tolerance_thz:g} THz), but one mode is off by {largest_thz:.2g} THz at"
            f" q = {where}, more than {limit:g} THz: --exact, or a smaller --tolerance"
        )
    return f"the supercell is large enough (RMS up to {tolerance_thz:g}, largest up to {limit:g} THz)"
