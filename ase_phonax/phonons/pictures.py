"""Pictures of phonons: bands beside their densities of states.

Figures are built without pyplot, so nothing is left open and no display is needed; they are returned as
`matplotlib.figure.Figure`, to be shown, changed or saved by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.band_structure import BandStructure
from phonopy.phonon.dos import ProjectedDos

from ..base.drawing import (
    BANDS,
    ELEMENTS,
    IMAGINARY,
    INK,
    QUIET,
    STYLE,
    as_plain_text,
    formula_in_mathtext,
    frequency_unit,
    space_group_in_mathtext,
)
from ..base.errors import InputError
from .bands.paths import joints
from .supercell.door import require_our_units

VISIBLY_IMAGINARY_THZ = 0.05  # the acoustic noise at Gamma shall not redden a stable crystal
SPIKE = 10  # times a typical density: a peak beyond is cut and named
_OURS = "ase-phonax bands"  # of lines, by which axes are known that hold bands
CHARACTER = 0.016  # width of a letter of a label, in units of the width of the band panel


def bands_and_dos(
    phonopy: Phonopy,
    title: str = "",
    unit: str = "THz",
    bands_exact: bool | None = None,
    densities_error_thz: float | None = None,
) -> Figure:
    """Bands along the path at hand, and beside them on the same axis the densities of states.

    Imaginary modes are drawn below zero, in red on a shaded ground. The outline of the densities is the
    sum of the projections shown, one colour for each element. A peak that would flatten all others is cut, and its
    height written beside it.

    Args:
        phonopy: a `Phonopy` object after `run_band_structure` and `run_projected_dos`.
        title: above the picture; may hold mathtext.
        unit: of frequencies, "THz", "cm-1" or "meV".
        bands_exact: whether the bands are of exact D(q) or interpolated from the supercell, which the picture then
            says; the object itself does not know.
        densities_error_thz: what the densities, interpolated beside bands that are exact, are off by [THz]; it is
            written above them.

    Returns:
        matplotlib Figure, 7 by 4 inches.

    Raises:
        InputError: there are no bands or no projected densities, or the object is in units of another program.
    """
    import matplotlib

    require_our_units(phonopy)
    bands, projected = _bands_of(phonopy), _projected_of(phonopy)
    factor, printed = frequency_unit(unit)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3.2, 1.0))
        bottom, top = _frequency_limits(bands, projected)
        left.set_ylim(factor * bottom, factor * top)
        _draw_bands(left, bands, factor)
        _draw_densities(right, projected, phonopy.primitive.symbols, factor)
        right.set_xlabel(f"DOS (1/{printed})")
        if bottom < -VISIBLY_IMAGINARY_THZ:
            _mark_imaginary(left, right, factor * bottom)
        left.set_ylabel(f"Frequency ({printed})")
        if bands_exact is not None:
            say_whence(left, "bands exact" if bands_exact else interpolated_from(phonopy))
        if densities_error_thz is not None:
            say_whence(right, f"interpolated, ±{factor * densities_error_thz:.2g} {printed}")
        if title:
            figure.suptitle(title, fontsize=10, color=INK)
    return figure


def draw_bands(phonopy: Phonopy, ax: Axes, unit: str = "THz", color: str = BANDS, label: str | None = None) -> Axes:
    """Bands along the path at hand, on axes of yours; those of several objects on the same ones to compare them.

    Args:
        phonopy: a `Phonopy` object after `run_band_structure`, such as `get_band_structure` leaves it.
        ax: to draw on; its limits along the path and its ticks are set. Objects that are compared have the same path.
        unit: of frequencies, "THz", "cm-1" or "meV".
        color: of the bands; imaginary ones are red.
        label: for a legend.

    Returns:
        the axes.

    Raises:
        InputError: there are no bands, the object is in units of another program, or the axes hold bands along a
            path of other lengths or names.
    """
    require_our_units(phonopy)
    bands = _bands_of(phonopy)
    factor, printed = frequency_unit(unit)
    _refuse_another_path(ax, bands)
    _draw_bands(ax, bands, factor, color, label)
    ax.set_ylabel(f"Frequency ({printed})")
    return ax


def _bands_of(phonopy: Phonopy) -> BandStructure:
    """The band structure that the object holds.

    Raises:
        InputError: it has none.
    """
    if phonopy.band_structure is None:
        raise InputError("the Phonopy object has no bands", "there is nothing to draw", "call get_band_structure first")
    return phonopy.band_structure


def _projected_of(phonopy: Phonopy) -> ProjectedDos:
    """The projected densities of states that the object holds.

    Raises:
        InputError: it has none.
    """
    if phonopy.projected_dos is None:
        raise InputError(
            "the Phonopy object has no projected densities of states", "nothing to draw", "call get_densities first"
        )
    return phonopy.projected_dos


def _refuse_another_path(ax: Axes, bands: BandStructure) -> None:
    """Refuse axes with bands along another path: ticks are those of the last bands drawn, and would not fit both."""
    if not any(line.get_gid() == _OURS for line in ax.get_lines()):
        return
    places, names = _special_points(bands)
    there = np.asarray(ax.get_xticks())
    labels = [text.get_text().strip() for text in ax.get_xticklabels()]
    # Two models, or volumes, of one crystal have slightly different lengths.
    alike = len(there) == len(places) and np.allclose(there, places, rtol=0.02, atol=1e-9) and labels == names
    if not alike:
        raise InputError(
            f"the axes hold bands along {'-'.join(labels)} up to {there[-1]:.3g}/Å, and these go along"
            f" {'-'.join(names)} up to {places[-1]:.3g}/Å",
            "ticks fit one of the two, and the other would be read at wrong wave vectors",
            "draw them on axes of their own, or give get_band_structure the same path",
        )


def draw_densities(phonopy: Phonopy, ax: Axes, unit: str = "THz") -> Axes:
    """Densities of states, total and of each element, on axes of yours; frequencies run upwards, as beside bands.

    Args:
        phonopy: a `Phonopy` object after `get_densities` or `run_projected_dos`.
        ax: to draw on; its limits along the density are set.
        unit: of frequencies, "THz", "cm-1" or "meV".

    Returns:
        the axes.

    Raises:
        InputError: there are no projected densities, or the object is in units of another program.
    """
    require_our_units(phonopy)
    projected = _projected_of(phonopy)
    factor, printed = frequency_unit(unit)
    _draw_densities(ax, projected, phonopy.primitive.symbols, factor)
    ax.set_xlabel(f"DOS (1/{printed})")
    ax.set_ylabel(f"Frequency ({printed})")
    return ax


def interpolated_from(phonopy: Phonopy) -> str:
    """What a picture of interpolated bands says of them."""
    return f"bands interpolated from {len(phonopy.supercell)} atoms"


def say_whence(axes: Axes, text: str) -> None:
    """Small print above the right end of a panel: how its curves were computed."""
    axes.set_title(text, loc="right", fontsize=7, color=QUIET, pad=3)


def crystal_title(formula: str, space_group: str, model: str) -> str:
    """What stands above the pictures of a crystal."""
    parts = formula_in_mathtext(formula), space_group_in_mathtext(space_group), as_plain_text(model)
    return "    ".join(parts)


def _frequency_limits(bands: BandStructure, projected: ProjectedDos) -> tuple[float, float]:
    """The lowest and the highest frequency of a panel that shows both [THz]; 0 where nothing is imaginary."""
    frequencies = np.concatenate([np.ravel(f) for f in bands.frequencies])
    total = np.sum(np.asarray(projected.projected_dos), axis=0)
    occupied = projected.frequency_points[total > 1e-3 * total.max(initial=0.0)]
    lowest = min(frequencies.min(), occupied.min(initial=0.0))
    highest = max(frequencies.max(), occupied.max(initial=0.0), 0.1)
    margin = 0.04 * (highest - min(lowest, 0.0))
    return (lowest - margin if lowest < -VISIBLY_IMAGINARY_THZ else 0.0), highest + margin


def _draw_bands(axes: Axes, bands: BandStructure, factor: float, color: str = BANDS, label: str | None = None) -> None:
    """Draw frequencies times a factor along the path, imaginary ones in red, and name the special points."""
    for distances, in_thz in zip(bands.distances, bands.frequencies, strict=True):
        frequencies = factor * in_thz
        lines = axes.plot(distances, frequencies, color=color, linewidth=1.0, solid_capstyle="round", gid=_OURS)
        if label:
            lines[0].set_label(label)
            label = None  # one entry of the legend for all bands
        imaginary = in_thz.min(axis=0) < -VISIBLY_IMAGINARY_THZ
        # Once more, as far as they lie below zero: lines that cross it between two points change colour where they do.
        bottom = 1.1 * min(frequencies.min(), 0.0)
        below = Rectangle((0.0, bottom), 1.0, -bottom, transform=axes.get_yaxis_transform())
        for line in axes.plot(distances, frequencies[:, imaginary], color=IMAGINARY, linewidth=1.4):
            line.set_clip_path(below)
    label_path(axes, bands)
    axes.tick_params(axis="y", direction="in", color=INK)
    axes.axhline(0.0, color=QUIET, linewidth=0.8, zorder=0)


def label_path(axes: Axes, bands: BandStructure) -> None:
    """Limit axes to a path, and mark its special points by a line and a name, in rows where names are close."""
    places, names = _special_points(bands)
    start, end = bands.distances[0][0], bands.distances[-1][-1]
    axes.set_xlim(start, end)
    for place in places[1:-1]:
        axes.axvline(place, color=QUIET, linewidth=0.6, zorder=0)
    rows = _label_rows((places - start) / (end - start), [_visible_length(name) for name in names])
    axes.set_xticks(places, ["\n" * row + name for row, name in zip(rows, names, strict=True)])
    axes.tick_params(axis="x", length=0, pad=5)


def _label_rows(places: NDArray[np.float64], lengths: list[int]) -> list[int]:
    """The row below the axis in which each name finds room; `places` in units of the axis width."""
    rows, taken = [], [-1.0] * len(lengths)
    for place, length in zip(places, lengths, strict=True):
        half = 0.5 * CHARACTER * (length + 1)
        row = next(i for i, end in enumerate(taken) if place - half >= end)
        taken[row] = place + half
        rows.append(row)
    return rows


def _visible_length(mathtext: str) -> int:
    """How many letters a label has when it is printed."""
    return len(re.sub(r"\\mathrm|[${}_]", "", re.sub(r"\\[A-Z][a-z]+", "G", mathtext)))


def _special_points(bands: BandStructure) -> tuple[NDArray[np.float64], list[str]]:
    """Places along the path where segments meet, and their names: "$U$|$K$" at a jump."""
    places = np.array([bands.distances[0][0], *(distances[-1] for distances in bands.distances)])
    if not bands.labels:
        return places, [""] * len(places)
    return places, ["|".join(names) for names in joints(bands.labels, bands.path_connections)]


def _draw_densities(axes: Axes, projected: ProjectedDos, symbols: Sequence[str], factor: float) -> None:
    """Draw densities of states of each element and their sum, frequencies times a factor running upwards."""
    frequencies, densities = factor * projected.frequency_points, np.asarray(projected.projected_dos) / factor
    total, elements = densities.sum(axis=0), list(dict.fromkeys(symbols))
    if len(elements) > 1:
        axes.plot(total, frequencies, color=INK, linewidth=0.8, label="total")
    for color, element in zip(ELEMENTS * 16, elements, strict=False):
        mine = densities[[symbol == element for symbol in symbols]].sum(axis=0)
        axes.fill_betweenx(frequencies, 0.0, mine, color=color, alpha=0.25, linewidth=0)
        axes.plot(mine, frequencies, color=color, linewidth=1.0, label=element)
    # A mode at one frequency for all q makes a spike that would flatten the rest.
    typical = np.percentile(total[total > 0], 90) if np.any(total > 0) else 1.0
    highest = 1.08 * min(total.max(), SPIKE * typical)
    axes.set_xlim(0.0, highest)
    _name_cut_peaks(axes, total, frequencies, highest)
    axes.xaxis.set_major_locator(MaxNLocator(3, prune="lower"))
    axes.tick_params(direction="in", color=INK)
    axes.axhline(0.0, color=QUIET, linewidth=0.8, zorder=0)
    axes.legend(frameon=False, fontsize=8, handlelength=1.2, loc="best", borderaxespad=0.3)


def _name_cut_peaks(axes: Axes, total: NDArray[np.float64], frequencies: NDArray[np.float64], highest: float) -> None:
    """An arrowhead at the edge of the panel, and the height, for each peak that goes beyond it."""
    beyond = np.flatnonzero(total > highest)
    for run in np.split(beyond, np.flatnonzero(np.diff(beyond) > 1) + 1):
        if not len(run):
            continue
        peak = run[np.argmax(total[run])]
        place = (highest, frequencies[peak])
        axes.plot(*place, marker=">", markersize=4, color=INK, clip_on=False)
        axes.annotate(
            f"{total[peak]:.3g}",
            place,
            xytext=(-5, -3),
            textcoords="offset points",
            ha="right",
            va="top",  # below: flat modes are often the highest, at the frame
            fontsize=7,
            color=INK,
        )


def _mark_imaginary(left: Axes, right: Axes, bottom: float) -> None:
    """Shade both panels below zero, and say what lies there."""
    for axes in (left, right):
        axes.axhspan(bottom, 0.0, color=IMAGINARY, alpha=0.06, linewidth=0, zorder=0)
    right.annotate(
        "imaginary",
        (1.0, 0.0),
        xycoords="axes fraction",
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8,
        color=IMAGINARY,
    )
