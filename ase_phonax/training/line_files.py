"""What fine-tuning to spectra leaves beside its model: each line before and after, as a table and as a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.drawing import save_figure
from ..base.files import write_whole

if TYPE_CHECKING:
    from .spectral_tuning import SpectralResult

TABLE, PICTURE = "lines.csv", "lines.png"
_WIDTH = 3.4  # inches of a panel
_PANELS = 4  # beside each other


def write_lines(result: SpectralResult, folder: Path) -> None:
    """Write `TABLE` and `PICTURE`.

    Raises:
        OutputError: they cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["structure", "q", "species", "modes", "line_cm1", "before_cm1", "after_cm1"])
    for row in result.lines:
        q, modes = (" ".join(f"{x:g}" for x in values) for values in (row.line.q, row.modes))
        numbers = [f"{x:.2f}" for x in (row.known, row.before, row.after)]
        writer.writerow([row.structure, q, row.species, modes, *numbers])
    write_whole(folder / TABLE, text.getvalue())
    _draw(result, folder / PICTURE)


def _draw(result: SpectralResult, path: Path) -> None:
    """Differences of the model from each line against the line, before and after, a panel for each structure."""
    from matplotlib.figure import Figure

    structures = list(dict.fromkeys(row.structure for row in result.lines))
    n_columns = min(len(structures), _PANELS)
    n_rows = -(-len(structures) // n_columns)
    figure = Figure(figsize=(1 + _WIDTH * n_columns, 0.4 + 2.6 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    for axes, structure in zip(grid, structures, strict=False):
        own = [row for row in result.lines if row.structure == structure]
        known = np.array([row.known for row in own])
        for name, colour in (("before", "0.6"), ("after", "C3")):
            error = np.array([getattr(row, name) for row in own]) - known
            rms = np.sqrt(np.nanmean(error**2))
            axes.plot(known, error, "o", color=colour, markersize=4, label=f"{name}, RMS {rms:.1f}")
        axes.axhline(0, color="0.3", linewidth=0.8)
        axes.set(title=structure, xlabel="line [cm⁻¹]")
        axes.legend(frameon=False, fontsize="small")
    for axes in grid[len(structures) :]:
        axes.set_visible(False)
    grid[0].set_ylabel("model − line [cm⁻¹]")
    save_figure(figure, path, dpi=150)
