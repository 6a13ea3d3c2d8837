"""Where a spectrometer will see a molecule: a stick for each set of modes, by activity."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from ..base.drawing import IMAGINARY, INK, QUIET, STYLE, formula_in_mathtext
from ..structures.formulas import molecular_formula
from .normal_modes import ModeSet, NormalModes

ROWS = (("infrared", "#c0561a"), ("Raman", "#1f4e79"), ("silent", QUIET))
NO_INTENSITIES = "allowed by symmetry; heights mean nothing"
_ROOM = 0.035  # of the width, that a label needs
_MOST = 0.8  # of the width, that labels may take together; beyond, sticks stand alone and the table has the names


def draw_sticks(modes: NormalModes, title: str = "") -> Figure:
    """Three rows on one axis of wavenumbers: infrared active, Raman active, silent.

    A set that is both stands in both rows. Sticks say where and by symmetry alone, not how strong; imaginary modes
    are red, left of zero.

    Args:
        modes: of a molecule.
        title: above the picture; the formula and the point group unless given.

    Returns:
        matplotlib Figure, 7 by 3.4 inches.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(3, 1, sharex=True)
        top = max((s.wavenumber for s in modes.sets), default=1000.0)
        bottom = min((s.wavenumber for s in modes.sets), default=0.0)
        low, high = min(0.0, 1.15 * bottom), 1.06 * max(top, 100.0)
        for ax, (name, colour) in zip(axes, ROWS, strict=True):
            _draw_row(ax, [s for s in modes.sets if _belongs(s, name)], name, colour, (low, high))
        axes[-1].set_xlim(low, high)
        axes[-1].set_xlabel("Wavenumber (cm$^{-1}$)")
        axes[0].set_title(NO_INTENSITIES, loc="right", fontsize=7, color=QUIET, pad=3)
        figure.suptitle(title or picture_title(modes), fontsize=10, color=INK)
    return figure


def point_group_in_mathtext(symbol: str) -> str:
    """A Schoenflies symbol as it is printed.

    >>> point_group_in_mathtext("D6h")
    '$D_{6h}$'
    """
    return rf"${symbol[0]}_{{{symbol[1:].replace('∞', chr(92) + 'infty ')}}}$"


def label_in_mathtext(label: str) -> str:
    """A Mulliken symbol as it is printed.

    >>> label_in_mathtext("T2g"), label_in_mathtext("E'"), label_in_mathtext("Σu+")
    ('$T_{2g}$', "$E'$", '$\\\\Sigma_{u}^{+}$')
    """
    letter = {"Σ": r"\Sigma", "Π": r"\Pi"}.get(label[0], label[0])
    lower = label[1:].rstrip("'+")
    # Outside of mathtext, whose prime comes from another font.
    primes, plus = "′" * label.count("'"), "^{+}" if label.endswith("+") else ""
    return f"${letter}" + (f"_{{{lower}}}" if lower else "") + f"{plus}${primes}"


def picture_title(modes: NormalModes) -> str:
    """Formula and point group, where there is one, in mathtext."""
    formula = formula_in_mathtext(molecular_formula(modes.atoms))
    return formula if modes.point_group is None else f"{formula}, {point_group_in_mathtext(modes.point_group.symbol)}"


def _belongs(mode_set: ModeSet, row: str) -> bool:
    """Whether a set of modes stands in a row of `ROWS`."""
    if row == "silent":
        return not (mode_set.infrared or mode_set.raman)
    return mode_set.infrared if row == "infrared" else mode_set.raman


def _draw_row(ax: Axes, sets: list[ModeSet], name: str, colour: str, limits: tuple[float, float]) -> None:
    """Draw a stick for each set, with its label where there is room for all."""
    width = limits[1] - limits[0]
    ax.set_ylim(0, 1.75)
    ax.set_yticks([])
    ax.set_ylabel(name, rotation=0, ha="right", va="center", color=colour)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    places = sorted(mode_set.wavenumber for mode_set in sets)
    sets = sorted(sets, key=lambda mode_set: mode_set.wavenumber)
    named = _ROOM * len(sets) <= _MOST
    beside_them = _apart(places, _ROOM * width, limits) if named else places
    for mode_set, x, beside in zip(sets, places, beside_them, strict=True):
        ink = IMAGINARY if x < 0 else colour
        ax.plot([x, x], [0, 1.0], color=ink, linewidth=1.6, solid_capstyle="butt")
        if not named:
            continue
        ax.plot([x, beside], [1.0, 1.22], color=ink, linewidth=0.6)
        ax.text(beside, 1.25, label_in_mathtext(mode_set.label), ha="center", va="bottom", fontsize=8, color=ink)


def _apart(places: list[float], room: float, limits: tuple[float, float]) -> NDArray[np.float64]:
    """Ascending places moved as little as possible so that neighbours are `room` apart, and all within the limits."""
    if not places:
        return np.zeros(0)
    steps = room * np.arange(len(places))
    free = isotonic_regression(np.array(places) - steps).x
    # As far as the first and the last label may go.
    return np.clip(free, limits[0] + room / 2, limits[1] - room / 2 - steps[-1]) + steps
