"""Pictures of Grüneisen parameters and of the quasi-harmonic approximation.

Drawn in the style of `base.drawing`, without pyplot; `drawing.save_figure` writes them.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from phonopy import QHAResult
from phonopy.physical_units import get_physical_units
from phonopy.qha.eos import get_eos

from ...base import drawing
from .. import pictures
from .anisotropic import AnisotropicExpansion
from .gruneisen import ZERO_THZ, Gruneisen
from .quasi_harmonic import QuasiHarmonic

SIGNED, POSITIVE = "coolwarm", "viridis"  # grey, not white, at γ = 0: every band stays visible
SHOWN_CURVES = 5  # of F(V), lowest to highest temperature


def draw_gruneisen(found: Gruneisen, temperature: float, title: str = "", unit: str = "THz") -> Figure:
    """Bands coloured by γ, and beside them γ of the mesh's modes against frequency.

    Args:
        found: Grüneisen parameters.
        temperature: at which the average drawn is weighted by heat capacity [K].
        title: above the picture; may hold mathtext.
        unit: of frequencies, "THz", "cm-1" or "meV".

    Returns:
        matplotlib Figure, 7 by 4 inches.
    """
    import matplotlib

    factor, printed = drawing.frequency_unit(unit)
    defined = np.isfinite(found.gamma)
    frequencies, gamma = factor * found.frequencies_thz[defined], found.gamma[defined]
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(7.0, 4.0), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=(1.9, 1.0))
        lines = _draw_colored_bands(left, found, gamma, factor)
        bar = figure.colorbar(lines, ax=left, extend="both", pad=0.02, aspect=30)
        bar.ax.set_title("γ", fontsize=9, color=drawing.INK)  # a label beside it would stand next to the panel's
        right.scatter(frequencies, gamma, s=3, color=drawing.BANDS, alpha=0.4, linewidths=0, rasterized=True)
        average = found.average(temperature)
        right.axhline(average, color=drawing.ELEMENTS[1], linewidth=1.0)
        right.axhline(0.0, color=drawing.QUIET, linewidth=0.8, zorder=0)
        _limit(right, gamma, average)
        left.set_ylabel(f"Frequency ({printed})")
        pictures.say_whence(left, pictures.interpolated_from(found.centre.phonopy))
        right.set_xlabel(f"Frequency ({printed})")
        right.set_ylabel("γ")
        right.tick_params(direction="in", color=drawing.INK)
        right.set_title(f"mean at {temperature:g} K: {average:.2f}", fontsize=8, color=drawing.INK)
        if title:
            figure.suptitle(title, fontsize=10, color=drawing.INK)
    return figure


def draw_expansion(found: AnisotropicExpansion, title: str = "") -> Figure:
    """Thermal expansion along the axes, and how far the lengths of the cell have grown, by temperature.

    Args:
        found: of `get_anisotropic_expansion`.
        title: above the picture; may hold mathtext.

    Returns:
        matplotlib Figure, 7 by 3 inches.
    """
    import matplotlib

    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(7.0, 3.0), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        lengths = np.linalg.norm(found.cells, axis=2)
        colors = (drawing.INK, drawing.ELEMENTS[1], drawing.BANDS)
        for axes, values, names in (
            (left, 1e6 * np.diagonal(found.expansion, axis1=1, axis2=2), "xyz"),
            (right, 100 * (lengths / lengths[0] - 1), "abc"),
        ):
            for (own, name), color in zip(drawing.distinct_lines(values, names), colors, strict=False):
                axes.plot(found.temperatures, own, color=color, linewidth=1.2, label=name)
            axes.axhline(0.0, color=drawing.QUIET, linewidth=0.8, zorder=0)
            axes.set_xlabel("Temperature (K)")
            axes.set_xlim(0, found.temperatures[-1])
            axes.legend(frameon=False, fontsize=8)
        left.set_ylabel("Expansion (10⁻⁶/K)")
        right.set_ylabel("Growth from 0 K (%)")
        if title:
            figure.suptitle(title, fontsize=10, color=drawing.INK)
    return figure


def draw_quasi_harmonic(found: QuasiHarmonic, title: str = "") -> Figure:
    """Free energies over volume, and against temperature: volume, expansion, bulk modulus, heat, Gibbs energy.

    Args:
        found: results of the quasi-harmonic approximation.
        title: above the picture; may hold mathtext.

    Returns:
        matplotlib Figure, 7 by 4.6 inches.
    """
    import matplotlib

    result, units = found.result, get_physical_units()
    temperatures = result.temperatures
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(7.0, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 3)
        _draw_free_energies(axes[0, 0], result)
        per_mole = 1000 * units.EvTokJmol
        doubtful = np.array([bool(verdict.doubts) for verdict in found.verdicts])
        # What phonopy computes by differences has a zero in front that is a filler, no result.
        for place, values, label in (
            (axes[0, 1], result.equilibrium_volumes, "Volume (Å³)"),
            (axes[0, 2], _without_filler(1e6 * result.thermal_expansion), "Expansion of volume (10⁻⁶/K)"),
            (axes[1, 0], result.bulk_moduli * units.EVAngstromToGPa, "Bulk modulus (GPa)"),
            (axes[1, 1], _without_filler(per_mole * result.heat_capacity_P.heat_capacities), "$C_p$ (J/K/mol)"),
            (axes[1, 2], result.gibbs_free_energies, "Gibbs energy (eV)"),
        ):
            _draw_curve(place, temperatures, values, doubtful)
            place.set_xlabel("Temperature (K)")
            place.set_ylabel(label)
            place.set_xlim(0.0, temperatures[-1])
        spread = np.array([1e6 * verdict.expansion_spread_per_k for verdict in found.verdicts])
        expansion = _without_filler(1e6 * result.thermal_expansion)
        shade = {"color": drawing.BANDS, "alpha": 0.2, "linewidth": 0}
        axes[0, 2].fill_between(temperatures, expansion - spread, expansion + spread, **shade)
        if doubtful.any():
            pictures.say_whence(axes[0, 2], "dotted: doubtful, see the table")
        for place in axes.ravel():
            place.tick_params(direction="in", color=drawing.INK)
            place.xaxis.set_major_locator(MaxNLocator(4))
            place.yaxis.set_major_locator(MaxNLocator(5))
            place.yaxis.get_major_formatter().set_useOffset(False)
        if title:
            figure.suptitle(title, fontsize=10, color=drawing.INK)
    return figure


def _limit(axes: Axes, gamma: NDArray[np.float64], average: float) -> None:
    """Limit the axis of γ, of which modes near zero have any size, and count what lies beyond."""
    low, high = (float(x) for x in np.percentile(gamma, (0.5, 99.5)))
    margin = 0.15 * max(high - low, 0.2)
    low, high = min(low, average) - margin, max(high, average) + margin
    axes.set_ylim(low, high)
    beyond = gamma[(gamma < low) | (gamma > high)]
    if len(beyond):
        low_high = f"{beyond.min():.2g} to {beyond.max():.2g}"
        text = f"beyond: γ of {len(beyond)} modes, {low_high}" if len(beyond) > 1 else f"beyond: γ = {beyond[0]:.2g}"
        axes.text(0.98, 0.01, text, transform=axes.transAxes, fontsize=6, color=drawing.QUIET, ha="right", va="bottom")


def _draw_colored_bands(axes: Axes, gruneisen: Gruneisen, shown: NDArray[np.float64], factor: float) -> LineCollection:
    """Draw bands coloured by γ; the scale is made for the γ `shown`, those of the mesh."""
    bands = gruneisen.bands
    pieces: list[NDArray[np.float64]] = []
    colors: list[NDArray[np.float64]] = []
    for distances, frequencies, gamma in zip(
        bands.get_distances(), bands.get_frequencies(), bands.get_gruneisen(), strict=True
    ):
        known = np.where(np.abs(frequencies) > ZERO_THZ, gamma, np.nan)
        ends = np.stack([known[:-1], known[1:]])
        # Towards Γ the neighbour's color goes on; a piece at zero throughout has none and is left out.
        means = np.nansum(ends, axis=0) / np.maximum(np.isfinite(ends).sum(axis=0), 1)
        for band in range(frequencies.shape[1]):
            line = np.column_stack([distances, factor * frequencies[:, band]])
            pieces.extend(np.stack([line[:-1], line[1:]], axis=1))
            colors.append(means[:, band])
    # Modes near zero frequency have γ of any size; they shall not wash out the colors of all others.
    low, high = np.percentile(shown, 1), np.percentile(shown, 99)
    signed = low < -0.02 * abs(high)
    # Without the lightest tenth of the positive colors, which a white ground swallows.
    norm = CenteredNorm(halfrange=max(-low, high)) if signed else Normalize(low, high + max(0.1 * (high - low), 1e-3))
    lines = LineCollection(pieces, cmap=SIGNED if signed else POSITIVE, norm=norm, linewidths=1.6, capstyle="round")
    lines.set_array(np.concatenate(colors))
    axes.add_collection(lines)
    every = np.concatenate([np.ravel(f) for f in bands.get_frequencies()])
    lowest, highest = float(every.min()), max(float(every.max()), 0.1)
    bottom = 1.05 * lowest if lowest < -pictures.VISIBLY_IMAGINARY_THZ else 0.0
    axes.set_ylim(factor * bottom, factor * 1.04 * highest)
    axes.axhline(0.0, color=drawing.QUIET, linewidth=0.8, zorder=0)
    path = gruneisen.centre.phonopy.band_structure
    assert path is not None, "get_gruneisen has computed bands"
    pictures.label_path(axes, path)
    axes.tick_params(axis="y", direction="in", color=drawing.INK)
    return lines


def _draw_free_energies(axes: Axes, result: QHAResult) -> None:
    """Draw F(V) of some temperatures with their fits, and the path of the minima over all."""
    shown = np.unique(np.linspace(0, len(result.temperatures) - 1, SHOWN_CURVES).astype(int))
    volumes = np.linspace(result.volumes.min(), result.volumes.max(), 201)
    equation = get_eos(result.eos_name)
    for i in shown:
        axes.plot(volumes, equation(volumes, result.eos_parameters[i]), color=drawing.BANDS, linewidth=0.8)
        axes.plot(result.volumes, result.helmholtz_volume[i], "o", color=drawing.BANDS, markersize=2.5)
    # Where the path of the minima, which goes down to the right, does not pass.
    places = ((shown[0], -1, 4, "right", "bottom"), (shown[-1], 0, -10, "left", "top"))
    for i, end, offset, across, along in places:
        axes.annotate(
            f"{result.temperatures[i]:g} K",
            (result.volumes[end], result.helmholtz_volume[i][end]),
            xytext=(0, offset),
            textcoords="offset points",
            fontsize=7,
            ha=across,
            va=along,
            color=drawing.INK,
        )
    axes.margins(y=0.15)
    # The path of the minima over all temperatures.
    axes.plot(result.equilibrium_volumes, result.gibbs_free_energies, color=drawing.ELEMENTS[1], linewidth=1.2)
    axes.set_xlabel("Volume (Å³)")
    axes.set_ylabel("Free energy (eV)")


def _draw_curve(
    axes: Axes, temperatures: NDArray[np.float64], values: NDArray[np.float64], doubtful: NDArray[np.bool_]
) -> None:
    """Draw values over temperature, solid where nothing is doubted and dotted elsewhere."""
    touching = doubtful.copy()
    touching[:-1] |= doubtful[1:]  # so that dots begin where the line ends
    axes.plot(temperatures, np.where(doubtful, np.nan, values), color=drawing.BANDS, linewidth=1.2)
    axes.plot(temperatures, np.where(touching, values, np.nan), color=drawing.BANDS, linewidth=1.2, linestyle=":")


def _without_filler(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values whose first, which phonopy cannot compute, is NaN."""
    return np.concatenate([[np.nan], values[1:]])
