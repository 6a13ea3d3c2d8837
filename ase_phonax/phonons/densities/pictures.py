"""Pictures of densities of states: of one crystal, of several, of thousands, and along a series of compositions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...base.drawing import BANDS, ELEMENTS, IMAGINARY, INK, QUIET, as_plain_text, formula_in_mathtext
from .alloys import AlloySeries
from .heat import density_heat, mean_frequency
from .prediction import DensityOfStates

_PANELS = 12  # crystals with a panel of their own
_BEYOND = 5e-3  # share of the modes that a picture may leave out at the top


def draw_density(
    density: DensityOfStates, ax: Axes, symbols: Sequence[str] = (), exact: DensityOfStates | None = None
) -> Axes:
    """A density on axes of yours, per atom, frequencies along the x axis.

    Args:
        density: to draw; where its members differ, a band of one standard deviation is behind it.
        ax: to draw on.
        symbols: of its atoms, or other names of its sites; each then has its part.
        exact: another, to be compared with.
    """
    v = density.frequencies_thz
    elements = list(dict.fromkeys(symbols))
    if len(elements) > 1:
        for color, element in zip(ELEMENTS * 16, elements, strict=False):
            own = density.by_atom[[symbol == element for symbol in symbols]].sum(axis=0) / len(symbols)
            ax.fill_between(v, own, color=color, alpha=0.25, linewidth=0)
            ax.plot(v, own, color=color, linewidth=0.9, label=element)
    if density.spread is not None:
        low, high = density.total - density.spread, density.total + density.spread
        label = "spread of its networks"
        ax.fill_between(v, np.maximum(low, 0), high, color=QUIET, alpha=0.3, linewidth=0, label=label)
    ax.plot(v, density.total, color=INK, linewidth=1.1, label=as_plain_text(density.model))
    shown = [density]
    if exact is not None:
        ax.plot(v, exact.total, color=IMAGINARY, linewidth=1.1, linestyle="--", label=as_plain_text(exact.model))
        shown.append(exact)
    ax.set_xlim(0, max(_end(own) for own in shown))
    tops = [own.total if own.spread is None else own.total + own.spread for own in shown]
    ax.set_ylim(0, 1.05 * max(top.max() for top in tops))
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.tick_params(direction="in", color=INK)
    return ax


def draw_one(
    density: DensityOfStates, symbols: Sequence[str], formula: str, exact: DensityOfStates | None = None
) -> Figure:
    """The picture of one crystal."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    ax = draw_density(density, figure.subplots(), symbols, exact)
    ax.set_title(formula_in_mathtext(formula))
    _name_axes(ax)
    ax.legend(frameon=False, fontsize=8, handlelength=1.4)
    return figure


def draw_many(
    densities: Sequence[DensityOfStates],
    formulas: Sequence[str],
    exact: Sequence[DensityOfStates | None] = (),
    symbols: Sequence[Sequence[str]] = (),
) -> Figure:
    """The picture of several crystals: a panel for each of a dozen, a map of more."""
    if len(densities) > _PANELS:
        return _draw_map(densities)
    columns = min(3, len(densities))
    lines = -(-len(densities) // columns)
    figure = Figure(figsize=(2.6 * columns, 1.8 * lines + 1.0), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    others = list(exact) or [None] * len(densities)
    named = list(symbols) or [()] * len(densities)
    for ax, density, formula, other, own in zip(panels, densities, formulas, others, named, strict=False):
        draw_density(density, ax, own, exact=other)
        handles, labels = ax.get_legend_handles_labels()
        sites = [k for k, label in enumerate(labels) if label in own]
        ax.legend([handles[k] for k in sites], [labels[k] for k in sites], frameon=False, fontsize=6, handlelength=1)
        ax.set_title(formula_in_mathtext(formula), fontsize=9)
        ax.yaxis.set_major_locator(MaxNLocator(3))
    for ax in panels[len(densities) :]:
        ax.set_visible(False)
    figure.supxlabel("Frequency (THz)", fontsize=9)
    figure.supylabel("Density of states (1/THz per atom)", fontsize=9)
    first = next((k for k, other in enumerate(others) if other is not None), 0)
    handles, labels = panels[first].get_legend_handles_labels()
    whole = [k for k, label in enumerate(labels) if label not in named[first]]
    key = [handles[k] for k in whole], [labels[k] for k in whole]
    figure.legend(*key, loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure


def _draw_map(densities: Sequence[DensityOfStates]) -> Figure:
    """Crystals one above the other, by mean frequency, and how these are spread."""
    v = densities[0].frequencies_thz
    means = np.array([mean_frequency(v, own.total) for own in densities])
    order = np.argsort(means)
    shapes = np.array([densities[k].total / densities[k].total.max() for k in order])
    whole = np.mean([own.total for own in densities], axis=0)[None]
    end = _end(DensityOfStates(v, whole, ""))
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax, side = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    half = v[1] / 2
    image = ax.imshow(
        shapes,
        aspect="auto",
        origin="lower",
        cmap="magma_r",
        extent=(-half, v[-1] + half, 0, len(means)),
        interpolation="nearest",
        vmin=0,
        vmax=1,
    )
    ax.set_xlim(0, end)
    ax.set_xlabel("Frequency (THz)")
    ax.set_ylabel("Structures, by mean frequency")
    figure.colorbar(image, ax=ax, location="top", shrink=0.6, label="Density of states over its highest peak")
    side.plot(means[order], np.arange(len(means)) + 0.5, color=BANDS, linewidth=1.2)
    side.set_xlim(0)
    side.set_xlabel("Mean (THz)")
    side.tick_params(direction="in", color=INK)
    return figure


def draw_alloy(series: AlloySeries, temperature_k: float = 300.0) -> Figure:
    """Densities along a series of compositions, and their mean frequency and heat capacity."""
    from matplotlib import colormaps

    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.6, 1, 1))
    colors = colormaps["viridis"](np.linspace(0.05, 0.9, len(series.fractions)))
    for color, density in zip(colors, series.densities, strict=True):
        left.plot(density.frequencies_thz, density.total, color=color, linewidth=1.0)
    key = ScalarMappable(Normalize(series.fractions.min(), series.fractions.max()), ListedColormap(colors))
    figure.colorbar(key, ax=left, location="top", shrink=0.7, label=f"Share of {series.elements[1]}")
    left.set_xlim(0, max(_end(own) for own in series.densities))
    left.set_ylim(0)
    _name_axes(left)
    along = [(own.frequencies_thz, own.total) for own in series.densities]
    means = [mean_frequency(*own) for own in along]
    heat = [float(density_heat(*own, temperature_k).heat_capacity[0]) for own in along]
    named = ((middle, means, "Mean frequency (THz)"), (right, heat, f"$C_V$ at {temperature_k:g} K (J/K/mol)"))
    for ax, values, name in named:
        ax.plot(series.fractions, values, "o-", color=BANDS, markersize=3, linewidth=1)
        ax.set_xlabel(f"Share of {series.elements[1]} for {series.elements[0]}")
        ax.set_ylabel(name)
        ax.tick_params(direction="in", color=INK)
    return figure


def _name_axes(ax: Axes) -> None:
    ax.set_xlabel("Frequency (THz)")
    ax.set_ylabel("Density of states (1/THz per atom)")
    ax.tick_params(direction="in", color=INK)


def _end(density: DensityOfStates) -> float:
    """Just above the frequency that few modes lie beyond [THz]."""
    below = np.cumsum(density.total) / density.total.sum()
    last = int(np.searchsorted(below, 1 - _BEYOND)) + 1
    return float(1.04 * density.frequencies_thz[min(last, len(below) - 1)])
