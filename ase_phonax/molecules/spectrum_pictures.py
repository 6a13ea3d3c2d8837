"""Spectra as pictures: infrared above, Raman below, the lines that they are made of, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..base.drawing import INK, QUIET, STYLE, as_plain_text
from ..base.errors import InputError
from .pictures import ROWS, label_in_mathtext
from .spectra import Spectrum

COLOURS = dict(ROWS)
# What stands at the axes, by quantities and units of computed spectra.
_AXES = {
    "molar absorption": "Molar absorption\n(km mol$^{-1}$ per cm$^{-1}$)",
    "Raman cross section": "Raman cross section\n(10$^{-30}$ cm$^2$ sr$^{-1}$ per cm$^{-1}$)",
}
_NAMED = 0.03  # of the highest line: weaker ones have no label
_ROOM = 0.032  # of the width, that a label needs
_HIGHEST = 4000.0  # [1/cm] of measured spectra: beyond are overtones, which harmonic modes have none of
_HEADROOM = 1.16  # over the curve, for the labels


def draw_spectra(spectra: Sequence[Spectrum], measured: Sequence[Spectrum] = (), title: str = "") -> Figure:
    """Broadened curves over sticks, wavenumbers falling to the right as spectroscopists have them.

    A stick is as high as its line would be alone. Measured spectra hang beneath, scaled to the height of the computed
    ones in the region that both have.

    Args:
        spectra: computed, one for each panel (`infrared_spectrum`, `raman_spectrum`).
        measured: of the same kinds, each drawn in the panel of its kind; those that do not say theirs, in the first.
        title: above the picture.

    Returns:
        matplotlib Figure, 7 inches wide.

    Raises:
        InputError: no spectrum, or a measured one of a kind that is not drawn.
    """
    import matplotlib

    if not spectra:
        raise InputError(
            "no spectra were given", "a picture shows one or more", "give [infrared_spectrum(intensities)]"
        )
    places = _panels(spectra, measured)
    with matplotlib.rc_context(STYLE):
        heights = [1.45 if k in places else 1.0 for k in range(len(spectra))]
        figure = Figure(figsize=(7.0, 0.7 + 2.0 * sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(spectra), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        seen = [min(spectrum.wavenumbers[-1], _HIGHEST) for spectrum in measured]
        high = max([*(spectrum.wavenumbers[-1] for spectrum in spectra), *seen])
        low = min(spectrum.wavenumbers[0] for spectrum in spectra)
        axes[-1].set_xlim(high, low)
        for k, (ax, spectrum) in enumerate(zip(axes, spectra, strict=True)):
            _draw_panel(ax, spectrum, (low, high))
            if k in places:
                _hang(ax, spectrum, places[k], (low, high))
        axes[-1].set_xlabel("Wavenumber (cm$^{-1}$)" if len(spectra) == 1 else "Wavenumber, Raman shift (cm$^{-1}$)")
        figure.align_ylabels(axes)
        if title:
            figure.suptitle(title, fontsize=10, color=INK)
    return figure


def _panels(spectra: Sequence[Spectrum], measured: Sequence[Spectrum]) -> dict[int, Spectrum]:
    """Which panel each measured spectrum belongs to."""
    kinds = [spectrum.kind for spectrum in spectra]
    places: dict[int, Spectrum] = {}
    for spectrum in measured:
        kind = spectrum.kind or kinds[0]
        if kind not in kinds:
            raise InputError(
                f"a measured spectrum is of the kind {kind}, and those drawn are {', '.join(kinds)}",
                "it would stand beneath lines of another origin",
                "leave it out, or draw the computed spectrum of its kind as well",
            )
        places[kinds.index(kind)] = spectrum
    return places


def _draw_panel(ax: Axes, spectrum: Spectrum, limits: tuple[float, float]) -> None:
    """Draw a curve with its sticks and the labels of the strongest lines."""
    colour = COLOURS[spectrum.kind]
    top = max(float(spectrum.values.max(initial=0.0)), float(spectrum.lines.heights.max(initial=0.0))) or 1.0
    ax.fill_between(spectrum.wavenumbers, spectrum.values, color=colour, alpha=0.13, linewidth=0)
    ax.plot(spectrum.wavenumbers, spectrum.values, color=colour, linewidth=1.1)
    ax.vlines(spectrum.lines.wavenumbers, 0, spectrum.lines.heights, color=INK, linewidth=0.6, zorder=1)
    ax.axhline(0, color=INK, linewidth=0.6)
    if not spectrum.values.any():
        ax.set_yticks([])
        ax.text(0.5, 0.9, "no lines", transform=ax.transAxes, ha="center", va="top", color=QUIET)
    ax.set_ylim(0, _HEADROOM * top)
    ax.set_ylabel(_AXES.get(spectrum.quantity, spectrum.quantity), color=colour)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.set_title(spectrum.kind, loc="left", fontsize=9, color=colour, weight="bold", pad=4)
    for place in _named(spectrum, limits):
        x = spectrum.lines.wavenumbers[place]
        y = max(np.interp(x, spectrum.wavenumbers, spectrum.values), spectrum.lines.heights[place])
        text = label_in_mathtext(spectrum.lines.labels[place])
        ax.annotate(text, (x, y), (0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=7, color=INK)


def _named(spectrum: Spectrum, limits: tuple[float, float]) -> list[int]:
    """Lines that get a label: the strongest first, and none nearer to another than labels have room."""
    lines, named = spectrum.lines, list[int]()
    for place in np.argsort(-lines.heights, kind="stable"):
        x = lines.wavenumbers[place]
        strong = lines.heights[place] > _NAMED * lines.heights.max()
        apart = all(abs(x - lines.wavenumbers[k]) > _ROOM * (limits[1] - limits[0]) for k in named)
        if strong and apart and lines.labels[place] and limits[0] <= x <= limits[1]:
            named.append(int(place))
    return named


def _hang(ax: Axes, spectrum: Spectrum, measured: Spectrum, limits: tuple[float, float]) -> None:
    """Draw a measured spectrum beneath the axis, as high as the computed one is in the region that both have."""
    inside = (measured.wavenumbers >= limits[0]) & (measured.wavenumbers <= limits[1]) & np.isfinite(measured.values)
    if not inside.any():
        raise InputError(
            f"the measured spectrum goes from {measured.wavenumbers[0]:.0f} to {measured.wavenumbers[-1]:.0f} cm⁻¹, and"
            f" the computed one from {limits[0]:.0f} to {limits[1]:.0f}",
            "there is nothing to compare",
            "look at the unit of its axis",
        )
    x = measured.wavenumbers
    here = (spectrum.wavenumbers >= x[inside][0]) & (spectrum.wavenumbers <= x[inside][-1])
    top = float(ax.get_ylim()[1])
    height = float(spectrum.values[here].max(initial=0.0)) or top / _HEADROOM
    values: NDArray[np.float64] = measured.values * (height / float(np.abs(measured.values[inside]).max()))
    shown = np.where((x >= limits[0]) & (x <= limits[1]), values, np.nan)
    ax.plot(x, -shown, color=QUIET, linewidth=0.9)
    lowest, highest = -float(np.nanmax(shown)), -float(np.nanmin(shown))
    ax.set_ylim(1.12 * min(lowest, -0.5 * height), max(top, 1.05 * highest))
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= top])
    words = as_plain_text(measured.quantity)
    ax.set_title(f"beneath: measured, scaled ({words})", loc="right", fontsize=7, color=QUIET, pad=4)
