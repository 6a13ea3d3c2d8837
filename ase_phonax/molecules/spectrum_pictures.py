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
from .spectra import RAMAN, Spectrum

COLOURS = dict(ROWS) | {"": INK}  # "" of a spectrum that does not say its kind
# What stands at the axes, by quantities and units of computed spectra.
_AXES = {
    "molar absorption": "Molar absorption\n(km mol$^{-1}$ per cm$^{-1}$)",
    "Raman cross section": "Raman cross section\n(10$^{-30}$ cm$^2$ sr$^{-1}$ per cm$^{-1}$)",
}
_NAMED, _NAMED_BESIDE = 0.03, 0.1  # of the highest line: weaker ones have no label, above them or beside them
_HIDDEN = 1.25  # the curve over the line: where others make more of it, nobody sees which line is named
_ROOM, _HEIGHT = 0.032, 0.09  # of width and height, that a label needs
_GAP = 0.007  # of the width, between a line and a label beside it: three points
_PLACES = {0: ((0, 3), "center", "bottom"), 1: ((-3, 0), "right", "top"), -1: ((3, 0), "left", "top")}
_HIGHEST = 4000.0  # [1/cm] of measured spectra: beyond are overtones, which harmonic modes have none of
_HEADROOM = 1.16  # over the curve, for the labels


def draw_spectra(spectra: Sequence[Spectrum], measured: Sequence[Spectrum] = (), title: str = "") -> Figure:
    """Broadened curves over sticks, wavenumbers falling to the right as spectroscopists have them.

    A stick is as high as its line would be alone; the strongest are named where there is room, and a line of small
    print says how all were broadened. Measured spectra hang beneath, scaled to the height of the computed
    ones in the region that both have.

    Args:
        spectra: computed, one for each panel (`infrared_spectrum`, `raman_spectrum`).
        measured: of the same kinds, each drawn in the panel of its kind; those that do not say theirs, in the first.
        title: above the picture.

    Returns:
        matplotlib Figure, 7 inches wide.

    Raises:
        InputError: no spectrum; a measured one of a kind that is not drawn, or nowhere near the lines of its kind.
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
        axes[-1].set_xlabel(f"{_axis(spectra)} (cm$^{{-1}}$)")
        if print_below := _small_print(spectra):
            figure.supxlabel(print_below, fontsize=7, color=QUIET)
        figure.align_ylabels(axes)
        if title:
            figure.suptitle(title, fontsize=10, color=INK)
    return figure


def _axis(spectra: Sequence[Spectrum]) -> str:
    """What wavenumbers are, of spectra of one kind or both."""
    names = ("Raman shift" if spectrum.kind == RAMAN else "Wavenumber" for spectrum in spectra)
    return ", ".join(sorted(set(names), reverse=True))


def _small_print(spectra: Sequence[Spectrum]) -> str:
    """How lines were broadened, each way once, and which of them are named."""
    ways = list(dict.fromkeys(spectrum.broadening for spectrum in spectra if spectrum.broadening))
    ways = [way for way in ways if not any(other.startswith(f"{way};") for other in ways)]
    named = any(label for spectrum in spectra for label in spectrum.lines.labels)
    return "\n".join(ways) + "; the strongest lines are named" * bool(ways and named)


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
    ax.set_ylabel(_AXES.get(spectrum.quantity) or as_plain_text(spectrum.quantity), color=colour)
    for edge in ("top", "right"):
        ax.spines[edge].set_visible(False)
    ax.set_title(spectrum.kind or "spectrum", loc="left", fontsize=9, color=colour, weight="bold", pad=4)
    for place, side in _named(spectrum, limits, top):
        x, y = spectrum.lines.wavenumbers[place], spectrum.lines.heights[place]
        y = y if side else max(np.interp(x, spectrum.wavenumbers, spectrum.values), y)
        text = label_in_mathtext(spectrum.lines.labels[place])
        offset, ha, va = _PLACES[side]
        ax.annotate(text, (x, y), offset, textcoords="offset points", ha=ha, va=va, fontsize=7, color=INK)


def _named(spectrum: Spectrum, limits: tuple[float, float], top: float) -> list[tuple[int, int]]:
    """Lines that get a label, the strongest first, and its side: 0 above, 1 and -1 at higher and lower wavenumbers.

    A label lies neither on another nor on the curve.
    """
    lines, x, curve = spectrum.lines, spectrum.wavenumbers, spectrum.values
    width, height = _ROOM * (limits[1] - limits[0]), _HEIGHT * top
    gap = _GAP * (limits[1] - limits[0])
    named, boxes = list[tuple[int, int]](), list[tuple[float, float, float]]()  # left, right, bottom of each label
    for place in np.argsort(-lines.heights, kind="stable"):
        at, stick = float(lines.wavenumbers[place]), float(lines.heights[place])
        share = stick / top
        if share <= _NAMED or not lines.labels[place] or not limits[0] <= at <= limits[1]:
            continue
        peak = max(float(np.interp(at, x, curve)), stick)
        sides = [(0, (at - width / 2, at + width / 2, peak))]
        if share > _NAMED_BESIDE and peak < _HIDDEN * stick:
            sides += [
                (1, (at + gap, at + gap + width, stick - height)),
                (-1, (at - gap - width, at - gap, stick - height)),
            ]
        for side, (low, high, bottom) in sides:
            inside = (x >= low) & (x <= high)
            on_curve = curve[inside].max(initial=0.0) > bottom + 0.02 * top * (side == 0)
            on_label = any(low < b and a < high and abs(bottom - other) < height for a, b, other in boxes)
            if not (on_curve or on_label):
                named.append((int(place), side))
                boxes.append((low, high, bottom))
                break
    return named


def _hang(ax: Axes, spectrum: Spectrum, measured: Spectrum, limits: tuple[float, float]) -> None:
    """Draw a measured spectrum beneath the axis, as high as the computed one is in the region that both have."""
    _require_overlap(spectrum, measured)
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
    words = f" ({as_plain_text(measured.quantity)})" if measured.quantity else ""
    ax.set_title(f"beneath: measured, scaled{words}", loc="right", fontsize=7, color=QUIET, pad=4)


def _require_overlap(spectrum: Spectrum, measured: Spectrum) -> None:
    """Refuse a measured spectrum that lies beyond all computed lines."""
    lines = spectrum.lines.wavenumbers
    first, last = float(measured.wavenumbers[0]), float(measured.wavenumbers[-1])
    if len(lines) and (last < lines[0] or first > lines[-1]):
        raise InputError(
            f"the measured {spectrum.kind} spectrum goes from {first:.0f} to {last:.0f} cm⁻¹, and the computed lines"
            f" from {lines[0]:.0f} to {lines[-1]:.0f}",
            "there is nothing to compare, and its axis may be in another unit, such as THz, meV or µm",
            "convert its axis to 1/cm, or leave it out",
        )
