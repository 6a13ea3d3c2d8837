"""The figures of Z. Chen et al. (Adv. Sci. 8, 2004214 (2021)) of this model: spectra by quartile of their error, heat
capacities, densities of sites, and one alloy.
"""

import ast
import csv
import json
from argparse import Namespace
from pathlib import Path

import data
import numpy as np
from ase import Atoms
from matplotlib.figure import Figure
from measure import GRID, heat_of, predicted_by_atom
from substituted import relaxed

from ase_phonax import PhonaxCalculator, alloy_series, draw_features, learned_features, save_figure
from ase_phonax.base.drawing import BANDS, ELEMENTS, IMAGINARY, INK, formula_in_mathtext
from ase_phonax.phonons.densities.pictures import draw_alloy

HERE = Path(__file__).resolve().parent
ROWS, EACH = 4, 4  # quartiles, and crystals drawn of each
SITES = 6  # crystals whose sites are drawn
SITES_ATOMS = 6  # of at most so many atoms


def run(options: Namespace, paths: list[Path]) -> None:
    """All of them, into this folder (with --quick into that of the run)."""
    folder = options.output if options.quick else HERE
    part = "valid" if options.choose else "test"
    measured = json.loads((options.output / f"measured_{part}.json").read_text())
    rows = sorted(measured["rows"], key=lambda row: row["mae"])
    save_figure(quartiles(rows), folder / "quartiles.png", dpi=150)
    save_figure(heat(rows), folder / "heat.png", dpi=150)
    save_figure(sites(options, part, rows), folder / "sites.png", dpi=150)
    some = [atoms for own, _, atoms, _ in data.crystals(options.quick) if own == part]
    save_figure(draw_features(learned_features(some, paths[0])), folder / "features.png", dpi=150)
    if not options.quick:
        save_figure(alloy(options, paths[0]), folder / "alloy.png", dpi=150)


def quartiles(rows: list[dict]) -> Figure:
    """Spectra drawn at random of each quarter of the errors, the best above."""
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    axes = figure.subplots(ROWS, EACH, sharex=True, sharey=True)
    rng = np.random.default_rng(0)
    for line, quarter in zip(axes, np.array_split(np.arange(len(rows)), ROWS), strict=True):
        drawn = rng.choice(quarter, EACH, replace=False) if len(quarter) >= EACH else quarter
        for ax, k in zip(line, sorted(drawn), strict=False):
            row = rows[k]
            ax.fill_between(GRID, row["label"], color=INK, alpha=0.15, linewidth=0)
            ax.plot(GRID, row["label"], color=INK, linewidth=0.8, label="DFT")
            ax.plot(GRID, row["shape"], color=BANDS, linewidth=1.1, label="network")
            ax.set_title(f"{formula_in_mathtext(row['formula'])}  {row['mae']:.3f}", fontsize=8)
            ax.set_xlim(0, 30)
            ax.set_ylim(0, 1.08)
    axes[0, 0].legend(frameon=False, fontsize=7, handlelength=1)
    figure.supxlabel("Frequency (THz)", fontsize=9)
    figure.supylabel("Density of states over its highest peak", fontsize=9)
    return figure


def heat(rows: list[dict]) -> Figure:
    """Heat capacities at 300 K, and how errors of the spectra are spread."""
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    pairs = np.array([[heat_of(np.array(row[name])) for name in ("label", "shape")] for row in rows])
    left.plot([0, 25], [0, 25], color="#bbbbbb", linewidth=0.8, zorder=0)
    left.scatter(*pairs.T, s=8, color=BANDS, linewidths=0)
    lowest = 0.97 * pairs.min()
    left.set_xlim(lowest, 25)
    left.set_ylim(lowest, 25)
    left.set_xlabel("$C_V$ at 300 K by DFT (J/K/mol)")
    left.set_ylabel("by the network")
    right.hist([row["mae"] for row in rows], bins=np.linspace(0, 0.2, 31), color=BANDS)
    right.set_xlabel("Mean error of a spectrum")
    right.set_ylabel("Crystals")
    return figure


def sites(options: Namespace, part: str, rows: list[dict]) -> Figure:
    """Densities of sites that nobody showed the network, beside exact ones of a potential."""
    name = Path(options.potentials[0]).stem
    folder = options.output / f"exact-{name}-{part}"
    crystals = {k: atoms for own, k, atoms, _ in data.crystals(options.quick) if own == part}
    chosen = [
        row
        for row in rows
        if len(row["elements"]) > 1 - options.quick
        and row["n_atoms"] <= SITES_ATOMS
        and (folder / f"{row['crystal']}.npz").exists()
    ]
    places = np.linspace(0, len(chosen) - 1, SITES).astype(int)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    for ax, k in zip(figure.subplots(2, SITES // 2).ravel(), places, strict=True):
        row = chosen[k]
        atoms = crystals[row["crystal"]]
        exact = np.load(folder / f"{row['crystal']}.npz")["by_atom"]
        found = predicted_by_atom(atoms, options)
        for color, element in zip(ELEMENTS, row["elements"], strict=False):
            own = np.array(atoms.get_chemical_symbols()) == element
            ax.plot(GRID, found[own].mean(axis=0)[: len(GRID)], color=color, linewidth=1.2, label=element)
            ax.plot(GRID, exact[own].mean(axis=0)[: len(GRID)], color=color, linewidth=1.0, linestyle=":")
        seen = np.flatnonzero(exact.max(axis=0)[: len(GRID)] > 0.02 * exact.max())
        ax.set_xlim(0, 1.1 * GRID[seen.max()])
        ax.set_ylim(0)
        ax.set_title(formula_in_mathtext(row["formula"]), fontsize=9)
        ax.legend(frameon=False, fontsize=7, handlelength=1)
    figure.supxlabel("Frequency (THz)", fontsize=9)
    figure.supylabel("Density of a site (1/THz)", fontsize=9)
    return figure


def alloy_ends(options: Namespace) -> list[Atoms]:
    """Mg3Sb2 as it was published, and Mg3Bi2, which is not in the data: larger by as much as a potential says."""
    first = next(atoms for _, _, atoms, _ in data.crystals() if atoms.get_chemical_formula("metal") == "Mg3Sb2")
    second = first.copy()
    second.symbols[second.symbols == "Sb"] = "Bi"
    calc = PhonaxCalculator(options.potentials[0])
    rests = [relaxed(own, calc) for own in (first, second)]
    factors = [after / before for before, after in zip(*(own.cell.lengths() for own in rests), strict=True)]
    second.set_cell(np.array(factors)[:, None] * first.cell.array)
    second.set_scaled_positions(rests[1].get_scaled_positions())
    return [first, second]


def alloy(options: Namespace, path: Path) -> Figure:
    """Mg3(Sb, Bi)2: the series, with the published density of Mg3Bi1.5Sb0.5 beside that of the network."""
    ends = alloy_ends(options)
    series = alloy_series(ends[0], ("Sb", "Bi"), path, end=ends[1])
    figure = draw_alloy(series)
    with open(data.published_folder() / "data_alloy.csv") as file:
        csv.field_size_limit(10**9)
        row = next(csv.DictReader(file))
    v, published = (np.array(ast.literal_eval(row[key])) for key in ("phfreq", "phdos"))
    one = alloy_series(ends[0], ("Sb", "Bi"), path, end=ends[1], fractions=[0.75]).densities[0]
    figure.axes[-1].remove()  # the key of the curves that were drawn there
    ax = figure.axes[0]
    ax.cla()
    ax.fill_between(v * GRID[1] / 20, published, color=INK, alpha=0.15, linewidth=0)
    ax.plot(v * GRID[1] / 20, published, color=INK, linewidth=0.9, label="DFT")
    ax.plot(GRID, (one.total / one.total.max())[: len(GRID)], color=IMAGINARY, linewidth=1.2, label="network")
    ax.set_xlim(0, 10)
    ax.set_ylim(0, 1.08)
    ax.set_title(r"$\mathrm{Mg}_{3}\mathrm{Bi}_{1.5}\mathrm{Sb}_{0.5}$", fontsize=9)
    ax.set_xlabel("Frequency (THz)")
    ax.set_ylabel("Density over its highest peak")
    ax.legend(frameon=False, fontsize=8)
    return figure
