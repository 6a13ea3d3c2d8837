"""Pictures of results/: differences of models from lines, before and after; branches of copper and silicon.

    PHONAX_DATA=... python examples/spectrum_fine_tuning/figures.py

Branches are those of the models of seed 0, which `train.py` leaves in runs/.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import matplotlib.pyplot as plt
import numpy as np
import train
from ase.build import bulk

from ase_phonax import Line, PhonaxCalculator, frequencies_thz

BEFORE, AFTER = "0.6", "C3"
PER_LINE = 80  # wave vectors


def differences(case: str, groups: list[tuple[str, str, list[str]]], name: str) -> None:
    """Model less line against the line; a panel for each (title, part of the results, structures)."""
    path = train.RESULTS / f"{case}.json"
    if not path.exists():
        return
    result = json.loads(path.read_text())
    figure, panels = plt.subplots(
        1, len(groups), figsize=(3.6 * len(groups) + 0.8, 3.2), sharey=True, layout="constrained"
    )
    for axes, (title, part, structures) in zip(panels, groups, strict=True):
        before = result["before"][part]
        chosen = structures or list(before)
        points = np.array([row for s in chosen for row in before[s]])
        axes.plot(
            points[:, 0], points[:, 1] - points[:, 0], "o", color=BEFORE, ms=3.5, label=f"before: {rms(points):.0f}"
        )
        after = [np.array([row for s in chosen for row in own[part][s]]) for own in result["seeds"].values()]
        for k, own in enumerate(after):
            label = f"after: {np.mean([rms(x) for x in after]):.0f}" if k == 0 else None
            axes.plot(own[:, 0], own[:, 1] - own[:, 0], "o", color=AFTER, ms=3.5, alpha=0.5, label=label)
        axes.axhline(0, color="0.3", lw=0.8)
        axes.set(title=title, xlabel="line [cm⁻¹]")
        axes.legend(frameon=False, title="RMS [cm⁻¹]")
    panels[0].set_ylabel("model − line [cm⁻¹]")
    figure.savefig(HERE / name, dpi=150)


def rms(points: np.ndarray) -> float:
    """Of differences of rows (line, model)."""
    return float(np.sqrt(np.mean((points[:, 1] - points[:, 0]) ** 2)))


def branches() -> None:
    """Copper along its axes of symmetry and silicon from L to X, with the points learned and left out."""
    figure, panels = plt.subplots(1, 4, figsize=(13, 3.6), width_ratios=[1, 1, 0.6, 1.6], layout="constrained")
    points = json.loads((train.data() / "measured/metals_phonons.json").read_text())["Cu_points"]["points"]
    directions = {"[00ξ]": (0, 0, 1), "[ξξ0]": (1, 1, 0), "[ξξξ]": (0.5, 0.5, 0.5)}
    _, learned, _ = train.copper()
    ((lines, copper),) = learned.values()
    known = {(line.q, line.at) for line in lines.lines}
    for axes, (title, end) in zip(panels, directions.items(), strict=False):
        xi = np.linspace(0, max(end), PER_LINE)
        qpoints = np.outer(xi / max(end), end) @ copper.cell.array.T / 3.603
        for calc, colour in models("copper"):
            axes.plot(xi, bands(calc, copper, qpoints), color=colour, lw=1)
        for point in points:
            q = np.array(point["q_2pi_over_a"])
            if np.allclose(np.cross(q, end), 0):
                line = Line(point["THz_49K"], q=tuple((copper.cell.array @ q / 3.603).tolist()))
                face = "k" if (line.q, line.at) in known else "white"
                axes.errorbar(
                    max(q), point["THz_49K"], point["sigma_THz"] or 0.1, fmt="o", ms=4, color="k", mfc=face, lw=0.8
                )
        axes.set(title=f"Cu {title}", xlabel="ξ", ylim=(0, None), xlim=(0, max(end)))
    panels[0].set_ylabel("frequency [THz]")
    silicon, axes = bulk("Si", a=5.431), panels[3]
    corners = np.array([(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0.5)])
    steps = np.linspace(0, 1, PER_LINE)[:, None]
    qpoints = np.concatenate([a + steps * (b - a) for a, b in pairwise(corners)])
    lengths = np.linalg.norm(np.diff(qpoints @ silicon.cell.reciprocal().array, axis=0), axis=1)
    x = np.concatenate([[0], np.cumsum(lengths)])
    for calc, colour in models("silicon"):
        axes.plot(x, bands(calc, silicon, qpoints), color=colour, lw=1)
    at_gamma, at_x, at_l = (15.53,), (4.49, 12.32, 13.90), (3.43, 11.35, 12.60, 14.68)
    for place, values, face in ((0, at_l, "white"), (x[PER_LINE], at_gamma, "k"), (x[-1], at_x, "k")):
        axes.plot([place] * len(values), values, "o", color="k", mfc=face, ms=5, clip_on=False, zorder=5)
    axes.set(title="Si", xticks=[0, x[PER_LINE], x[-1]], xticklabels=["L", "Γ", "X"], xlim=(0, x[-1]), ylim=(0, None))
    for label, style in (("before", {"color": BEFORE}), ("after", {"color": AFTER})):
        panels[0].plot([], [], label=label, **style)
    for label, face in (("learned", "k"), ("left out", "white")):
        panels[0].plot([], [], "ok", mfc=face, ms=4, label=label)
    panels[0].legend(frameon=False, loc="lower right")
    figure.savefig(HERE / "crystals.png", dpi=150)


def models(case: str) -> list[tuple[PhonaxCalculator, str]]:
    """Before and after, with their colours."""
    return [
        (PhonaxCalculator("phonax-small"), BEFORE),
        (PhonaxCalculator(f"runs/spectra-{case}-0/model.h5"), AFTER),
    ]


def bands(calc: PhonaxCalculator, atoms, qpoints: np.ndarray) -> np.ndarray:
    """Frequencies [THz]."""
    roots = np.sqrt(np.repeat(atoms.get_masses(), 3))
    matrices = np.array(calc.evaluator.lattice_matrices(atoms, qpoints)) / np.outer(roots, roots)
    return frequencies_thz((matrices + matrices.conj().swapaxes(1, 2)) / 2)


if __name__ == "__main__":
    of_phenyl = [("Benzene, learned", "learned", ["Benzene"]), ("Toluene", "others", ["Toluene"])]
    differences("simulated", [*of_phenyl, ("Phenol", "others", ["Phenol"])], "simulated.png")
    kinds = [("learned", "learned", []), ("other molecules", "others", []), ("deuterated", "deuterated", [])]
    differences("measured", kinds, "measured.png")
    if (train.RESULTS / "copper.json").exists() and (train.RESULTS / "silicon.json").exists():
        branches()
