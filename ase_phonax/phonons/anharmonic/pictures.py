"""Pictures of the thermal conductivity."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ...base.drawing import BANDS, ELEMENTS, INK, distinct_lines
from .conductivity import REFERENCE_K, ThermalConductivity

_COLORS = (INK, ELEMENTS[1], BANDS)


def draw_conductivity(found: ThermalConductivity, title: str = "") -> Figure:
    """Conductivity over temperature by direction, what phonons below a frequency carry, and how long they live.

    Args:
        found: of `get_thermal_conductivity`.
        title: above the picture.
    """
    several = len(found.temperatures) > 1
    figure = Figure(figsize=(9.6 if several else 6.4, 3.2), layout="constrained")
    *first, cumulative, lives = figure.subplots(1, 3 if several else 2)
    for axes in first:
        _draw_over_temperature(axes, found)
    k = int(np.abs(found.temperatures - REFERENCE_K).argmin())
    frequencies, parts = found.cumulative(float(found.temperatures[k]))
    cumulative.plot(frequencies, parts, color=INK, linewidth=1.3)
    cumulative.set(xlabel="Frequency (THz)", ylabel="Carried by modes below (W/m/K)")
    words = f"mean of x, y, z at {found.temperatures[k]:g} K"
    cumulative.text(0.97, 0.04, words, transform=cumulative.transAxes, ha="right", fontsize=8)
    cumulative.set_xlim(0, None)
    cumulative.set_ylim(0, None)
    widths = found.linewidths[k].ravel()
    seen = (widths > 0) & (found.frequencies.ravel() > 0.01)
    lives.scatter(found.frequencies.ravel()[seen], widths[seen], s=4, color=ELEMENTS[2], alpha=0.5, linewidths=0)
    lives.set(xlabel="Frequency (THz)", ylabel=f"Linewidth 2γ at {found.temperatures[k]:g} K (THz)", yscale="log")
    lives.set_xlim(0, None)
    if seen.any():
        # Acoustic modes near Gamma hardly scatter: their tail would leave no room for the others.
        lives.set_ylim(np.quantile(widths[seen], 0.01) / 2, 2 * widths[seen].max())
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_over_temperature(axes: Axes, found: ThermalConductivity) -> None:
    """Conductivities along x, y and z, on logarithmic axes."""
    diagonal = np.diagonal(found.kappa, axis1=1, axis2=2)
    for (own, name), color in zip(distinct_lines(diagonal, "xyz"), _COLORS, strict=False):
        axes.plot(found.temperatures, own, color=color, label=f"along {name}", linewidth=1.3, marker=".", markersize=4)
    axes.set(xscale="log", yscale="log")
    ticks = [
        t for t in (50, 100, 200, 300, 500, 700, 1000, 2000) if found.temperatures[0] <= t <= found.temperatures[-1]
    ]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    # Within a decade every tick has its number, over several only 2 and 5 besides the decades.
    shown = "25" if diagonal.max() > 10 * diagonal.min() else "23456789"
    axes.yaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in shown else "")
    axes.set(xlabel="Temperature (K)", ylabel="Conductivity (W/m/K)")
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=8)
