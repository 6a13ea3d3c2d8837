"""The numbers of JCAMP-DX files, as text or squeezed: R. S. McDonald and P. A. Wilks, Appl. Spectrosc. 42, 151 (1988).

An ordinate is a plain number (AFFN, PAC), or has its sign and first digit in a letter: @ABCDEFGHI are 0 to 9 and
abcdefghi -1 to -9 of a value (SQZ), %JKLMNOPQR and jklmnopqr the same of a difference from the value before (DIF), and
STUVWXYZs say that what stands before is there 1 to 9 times (DUP).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]\d+)?"  # an E without a sign is the letter of a value: 400E3 is 400 and 53
_ABSCISSA = re.compile(rf"\s*([+-]?{_NUMBER})")
_ORDINATE = re.compile(rf"[\s,]*(?:(?P<plain>[+-]?{_NUMBER})|(?P<letter>[@A-Za-s%])(?P<digits>\d*)|(?P<missing>\?))")
_AFTER = re.compile(r"[\s,]*$")
_DIGITS = {letter: digit for digit, letter in enumerate("@ABCDEFGHI")}
_DIGITS |= {letter: -digit for digit, letter in enumerate("abcdefghi", 1)}
_STEPS = {letter: digit for digit, letter in enumerate("%JKLMNOPQR")}
_STEPS |= {letter: -digit for digit, letter in enumerate("jklmnopqr", 1)}
_COPIES = {letter: count for count, letter in enumerate("STUVWXYZs", 1)}

Line = tuple[int, str]  # number of a line in its file, and the line


class Unreadable(ValueError):
    """What is wrong with a line.

    Args:
        line: its number in the file.
        why: in words that follow "line N".
    """

    def __init__(self, line: int, why: str):
        super().__init__(f"line {line} {why}")


def table_ordinates(lines: Sequence[Line], abscissae: NDArray[np.float64], x_factor: float) -> NDArray[np.float64]:
    """(n_points,) ordinates of a table (X++(Y..Y)), without their factor; NaN where one is missing.

    Args:
        lines: of the table.
        abscissae: (n_points,) that the file announces, against which the first number of each line is checked.
        x_factor: of those first numbers.

    Raises:
        Unreadable: no such numbers, too many, a line that is missing or out of order.
        ValueError: too few numbers.
    """
    ordinates: list[float] = []
    by_difference = False
    for number, line in lines:
        first = _ABSCISSA.match(line)
        if first is None:
            raise Unreadable(number, f"begins with no number: {line[:40]!r}")
        values, ends_by_difference = _line_ordinates(number, line[first.end() :], len(abscissae) + 1)
        if by_difference and values:  # the last value stands there once more, as a check
            if values[0] != ordinates[-1]:
                raise Unreadable(number, f"begins with {values[0]:g}, and the line before ended with {ordinates[-1]:g}")
            ordinates.pop()
        _check_abscissa(number, first[1], len(ordinates), abscissae, x_factor)
        ordinates += values
        by_difference = ends_by_difference
        if len(ordinates) > len(abscissae):
            raise Unreadable(number, f"has more points than the {len(abscissae)} of ##NPOINTS")
    if len(ordinates) < len(abscissae):
        raise ValueError(f"it has {len(ordinates)} points, and ##NPOINTS announces {len(abscissae)}")
    return np.array(ordinates)


def pairs(lines: Sequence[Line]) -> NDArray[np.float64]:
    """(n_points, 2) numbers of a table (XY..XY).

    Raises:
        Unreadable: what is no number, or a line with one number too many.
    """
    numbers: list[float] = []
    for number, line in lines:
        words = [word for word in re.split(r"[\s,;]+", line) if word]
        if len(words) % 2:
            raise Unreadable(number, f"holds {len(words)} numbers, and pairs were announced")
        try:
            numbers += [float(word) for word in words]
        except ValueError:
            raise Unreadable(number, f"holds something else than numbers: {line[:40]!r}") from None
    return np.array(numbers).reshape(-1, 2)


def _check_abscissa(number: int, text: str, place: int, abscissae: NDArray[np.float64], factor: float) -> None:
    """Refuse a line that begins elsewhere than its place in the table says.

    By one point it may: there are collections whose first lines begin one point early, or that count checks as points.
    """
    if place >= len(abscissae):
        return
    step = abs(abscissae[1] - abscissae[0]) if len(abscissae) > 1 else 1.0
    decimals = len(text.lower().partition("e")[0].partition(".")[2])
    rounding = abs(factor) * (10.0**-decimals if "e" not in text.lower() else 0.0)
    stated = float(text) * factor
    if abs(stated - abscissae[place]) > 1.1 * step + rounding:
        raise Unreadable(
            number, f"begins at {stated:g}, where point {place + 1} is at {abscissae[place]:g}: lines are missing"
        )


def _line_ordinates(number: int, text: str, most: int) -> tuple[list[float], bool]:
    """The ordinates of a line, and whether the last of them was given as a difference."""
    values: list[float] = []
    step: float | None = None  # of the last value, if it was given as a difference
    for kind, digits in _ordinates(number, text):
        if kind in _COPIES:
            copies = int(f"{_COPIES[kind]}{digits}") - 1
            if not values or len(values) + copies > most:
                raise Unreadable(number, "repeats nothing" if not values else "has more points than ##NPOINTS")
            start = values[-1]
            values += [start + (step or 0.0) * (k + 1) for k in range(copies)]
            continue
        if kind in _STEPS:
            if not values or np.isnan(values[-1]):
                raise Unreadable(number, "has a difference from nothing")
            step = float(f"{_STEPS[kind]}{digits}")
            values.append(values[-1] + step)
            continue
        step = None
        if kind in _DIGITS:
            values.append(float(f"{_DIGITS[kind]}{digits}"))
        else:
            values.append(np.nan if kind == "?" else float(digits))
    return values, step is not None


def _ordinates(number: int, text: str) -> Iterator[tuple[str, str]]:
    """The ordinates of a line as letter and digits; a plain number has no letter."""
    place = 0
    while _AFTER.match(text, place) is None:
        ordinate = _ORDINATE.match(text, place)
        if ordinate is None:
            raise Unreadable(number, f"holds something that is no number: {text[place:].strip()[:40]!r}")
        place = ordinate.end()
        if ordinate["missing"]:
            yield "?", ""
        elif ordinate["plain"]:
            yield "", ordinate["plain"]
        else:
            yield ordinate["letter"], ordinate["digits"]
