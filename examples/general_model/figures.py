"""The second figure of Fang, Geiger, Checkelsky, Smidt (arXiv:2403.11347), with a teacher in the place of VASP.

    python examples/general_model/make.py figure

Left: relative errors of D(q) against the teacher, with and without second derivatives in training. Right of it: bands
of a crystal drawn at random from each third of the errors, the teacher's in grey. First row: crystals held out; second
row: crystals trained on.
"""

import argparse
from typing import Any

import matplotlib
import numpy as np
from measure import read_rows, relaxed_crystals

THIRDS = ("best third", "middle third", "worst third")
COLOURS = {"hessians": "#0072b2", "forces": "#d55e00"}
NAMES = {"hessians": "with second derivatives", "forces": "without"}
SEED = 0


def run(options: argparse.Namespace) -> None:
    """Draw it from what has been measured."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from ase_phonax import PhonaxCalculator

    rows = {side: read_rows(options.output / f"errors-{side}.jsonl") for side in COLOURS}
    crystals = relaxed_crystals(options.output)
    calcs = [PhonaxCalculator(options.teacher), PhonaxCalculator(str(options.output / "hessians/model.h5"))]
    figure, axes = pyplot.subplots(
        2, 4, figsize=(11, 5.6), width_ratios=(1.25, 1, 1, 1), layout="constrained", squeeze=False
    )
    rng = np.random.default_rng(SEED)
    for row, (held_out, name) in zip(axes, ((True, "held out"), (False, "trained on")), strict=True):
        chosen = {side: [r for r in found if r["held_out"] == held_out] for side, found in rows.items()}
        draw_errors(row[0], {side: [r["relative_error"] for r in found] for side, found in chosen.items()}, name)
        ordered = sorted(chosen["hessians"], key=lambda r: r["relative_error"])
        for ax, part, third in zip(row[1:], np.array_split(np.arange(len(ordered)), 3), THIRDS, strict=True):
            if len(part):
                drawn = ordered[part[rng.integers(len(part))]]
                draw_bands(ax, crystals[drawn["name"]][1], calcs, f"{third}: {100 * drawn['relative_error']:.0f} %")
    figure.suptitle(f"Against the teacher {calcs[0].potential.name}, not against DFT", fontsize=9, color="#555555")
    part = options.figures / "errors.part.png"
    figure.savefig(part, dpi=130)
    part.replace(options.figures / "errors.png")


def draw_errors(ax: Any, errors: dict[str, list[float]], name: str) -> None:
    """Histograms on a logarithmic axis, thirds of the model that ships marked."""
    bins = np.geomspace(0.02, 2, 24)
    for side, values in errors.items():
        if not values:
            continue
        label = f"{NAMES[side]}: median {np.median(values):.3f}"
        ax.hist(np.clip(values, bins[0], bins[-1]), bins, color=COLOURS[side], alpha=0.55, label=label)
    if errors["hessians"]:
        for edge in np.quantile(errors["hessians"], (1 / 3, 2 / 3)):
            ax.axvline(edge, color="#333333", linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_xticks([0.02, 0.05, 0.1, 0.2, 0.5, 1, 2], ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"])
    ax.set_xticks([], minor=True)
    ax.set_ylim(top=1.25 * ax.get_ylim()[1])  # room for the legend
    ax.set_xlabel("relative error of D(q)")
    ax.set_ylabel(f"crystals {name}: {len(errors['hessians'])}")
    if any(errors.values()):
        ax.legend(fontsize=7, frameon=False)


def draw_bands(ax: Any, atoms: Any, calcs: list[Any], title: str) -> None:
    """Exact bands of both on the crystal's standard path, at the teacher's geometry."""
    from ase_phonax import get_band_structure, get_phonopy
    from ase_phonax.base.drawing import formula_in_mathtext
    from ase_phonax.structures.formulas import crystal_formula

    for calc, colour, width in zip(calcs, ("#9a9a9a", COLOURS["hessians"]), (2.2, 0.9), strict=True):
        harmonic = get_phonopy(atoms, calc, np.eye(3, dtype=int))
        bands = get_band_structure(harmonic, spacing=0.06, exact=calc)
        for distances, frequencies in zip(bands.distances, bands.frequencies, strict=True):
            ax.plot(distances, frequencies, color=colour, linewidth=width)
    edges = sorted({float(d) for segment in bands.distances for d in (segment[0], segment[-1])})
    for edge in edges:
        ax.axvline(edge, color="#cccccc", linewidth=0.5, zorder=0)
    ax.axhline(0, color="#cccccc", linewidth=0.5, zorder=0)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xticks([])
    ax.set_ylabel("THz", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.set_title(f"{formula_in_mathtext(crystal_formula(atoms))}, {title}", fontsize=8)
