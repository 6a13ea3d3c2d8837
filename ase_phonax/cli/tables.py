"""Numbers as a person reads them in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..units import FREQUENCY_UNITS

WIDTH = 100
_LABEL = 22
_DEGENERATE_THZ = 5e-4
_COARSE = 0.2  # of the highest frequency: a tolerance beyond it says little


class Table:
    """Titled groups of labelled lines, wrapped to the width of a terminal."""

    def __init__(self, title: str) -> None:
        self._lines = [title]

    def group(self, name: str) -> None:
        """Begin a group."""
        self._lines += ["", name]

    def row(self, label: str, text: str) -> None:
        """One line of the group; a long text goes on below itself."""
        self._lines += textwrap.wrap(
            text, WIDTH, initial_indent=f"  {label:<{_LABEL}}", subsequent_indent=" " * (_LABEL + 2)
        ) or [f"  {label}"]

    def paragraph(self, text: str) -> None:
        """Lines of the group without a label."""
        self._lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")

    def __str__(self) -> str:
        return "\n".join(self._lines)


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


def interpolation_in_words(error_thz: float, tolerance_thz: float, highest_thz: float) -> str:
    """What the error of interpolating between the supercell's q-points means for its size."""
    if error_thz <= tolerance_thz:
        if tolerance_thz <= _COARSE * highest_thz:
            return "the supercell is large enough"
        share = f"{100 * tolerance_thz / highest_thz:.0f} % of the highest frequency" if highest_thz > 0 else "large"
        return f"within the tolerance of {tolerance_thz:g} THz, but that is {share}: give a smaller --tolerance"
    return "visible in the bands: take a larger supercell" + (" (much larger)" if error_thz > 0.3 else "")
