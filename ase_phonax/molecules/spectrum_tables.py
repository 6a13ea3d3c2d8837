"""Tables of two columns, wavenumbers and values, as spectrometers and spreadsheets export them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .spectrum_units import ABSORBANCE, axis_unit

_MOST_HEADINGS = 5  # lines above the numbers; PerkinElmer writes two
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+$")


def parse_table(text: str) -> tuple[str, str, NDArray[np.float64]]:
    """Unit of the axis, heading of the values, and the numbers of a table.

    Args:
        text: of the file; lines with # in front do not count.

    Returns:
        the unit that the headings name for the axis and the heading of the second column, "" where there are none;
        and (n_points, 2) numbers, NaN for values that are missing.

    Raises:
        ValueError: with the line that is no pair of numbers.
    """
    headings: list[list[str]] = []
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = _cells(line)
        try:
            values = [float(cell) if k != 1 or cell else np.nan for k, cell in enumerate(cells)]
        except ValueError:
            _require_heading(number, line, cells, begun=bool(rows) or len(headings) >= _MOST_HEADINGS)
            headings.append(cells if len(cells) == 2 else ["", " ".join(cells)])
            continue
        if len(values) != 2:
            raise ValueError(
                f"line {number} has {len(values)} columns where there are two, wavenumber and value"
                " (decimal commas are not read)"
            )
        rows.append((values[0], values[1]))
    unit = next((unit for first, _ in reversed(headings) if (unit := axis_unit(first))), "")
    return unit, " ".join(second for _, second in headings).strip(), np.array(rows, float).reshape(-1, 2)


def table_text(columns: Sequence[NDArray[np.float64]], quantity: str, unit: str) -> str:
    """A table with commas, headed by what its columns are.

    Absorbance is headed as such alone: what it was made from would be taken for what it is.
    """
    quantity = ABSORBANCE if quantity.startswith(ABSORBANCE) else quantity or "value"
    stated = unit and unit.lower() != quantity.lower()
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerow(["wavenumber (1/cm)", quantity + f" ({unit})" * bool(stated)])
    rows = (f"{x:.10g},{y:.10g}" for x, y in zip(*columns, strict=True))
    return lines.getvalue() + "\n".join(rows) + "\n"


def _require_heading(number: int, line: str, cells: Sequence[str], *, begun: bool) -> None:
    """Refuse a line that is neither numbers nor a heading above them.

    Raises:
        ValueError: with the line.
    """
    commas = any(_DECIMAL_COMMA.match(cell) for cell in cells)
    if not (begun or commas or _is_number(cells[0])):
        return
    hint = ""
    if commas:
        hint = "; decimal commas are not read: write points"
    elif len(cells) == 2 and _is_number(cells[0]):
        hint = "; where nothing was measured leave the value empty, or write nan"
    raise ValueError(f"line {number} holds something else than two numbers: {line.strip()[:40]!r}{hint}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cells(line: str) -> list[str]:
    """The cells of a line, by the first of these dividers that is in it outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    divider = next((mark for mark in (";", "\t", ",") if mark in bare), None)
    parts = line.split() if divider is None else next(csv.reader([line], delimiter=divider, skipinitialspace=True))
    return [part.strip().strip('"').strip() for part in parts]
