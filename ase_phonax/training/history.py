"""The log of a run: a table of epochs as CSV, and a picture of it."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..base.drawing import save_figure
from ..base.files import write_whole
from .targets import QUANTITIES

CSV, FIGURE = "history.csv", "history.png"
_LOSS = "the course of the training would be lost; the last checkpoint is intact"
_REMEDY = "free some space and go on with `resume=True`"


def write_csv(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of all epochs so far.

    Raises:
        OutputError: it cannot be written.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / CSV, text.getvalue(), loss=_LOSS, remedy=_REMEDY)


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss and validation errors against the epoch, on logarithmic axes.

    Raises:
        OutputError: the picture cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    present = [shown for shown in QUANTITIES if any(row.get(f"{shown.name}_mae") for row in rows)]
    figure = Figure(figsize=(4.2 * (1 + (len(present) > 0)), 3.2), layout="constrained")
    left = figure.add_subplot(1, 1 + (len(present) > 0), 1)
    trained = [(row["epoch"], row["loss"]) for row in rows if "loss" in row]
    left.semilogy(*zip(*trained, strict=True), label="training", color="0.6")
    seen = [(row["epoch"], row["valid_loss"]) for row in rows if row.get("valid_loss")]
    if seen:
        left.semilogy(*zip(*seen, strict=True), label="validation", color="C3")
    left.set(xlabel="epoch", ylabel="loss")
    left.legend(frameon=False)
    if present:
        right = figure.add_subplot(1, 2, 2)
        for k, shown in enumerate(present):
            column = f"{shown.name}_mae"
            points = [(row["epoch"], shown.factor * row[column]) for row in rows if row.get(column)]
            right.semilogy(*zip(*points, strict=True), color=f"C{k}", label=f"{shown.name} [{shown.printed}]")
        right.set(xlabel="epoch", ylabel="mean absolute error (validation)")
        right.legend(frameon=False)
    for axes in figure.axes:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    save_figure(figure, path, dpi=150)
