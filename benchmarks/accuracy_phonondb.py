"""How close potentials come to the phonons of DFT: 52 binary crystals of phononDB.

    PHONAX_DATA=... JAX_COMPILATION_CACHE_DIR=~/.cache/jax python benchmarks/accuracy_phonondb.py
    ... --first 14 --geometry relaxed      some of it
    ... --report                           tables and figure from what has been computed

Each (model, geometry, crystal) becomes one line of runs/accuracy/frequencies.jsonl, and what is there
already is not computed again. Every run ends with the report: docs/data/accuracy_phonondb.csv, the tables
in docs/accuracy.md between its markers, and docs/images/accuracy_phonondb.png. Definitions: docs/accuracy.md.
"""

import argparse
import csv
import gzip
import json
import os
import time
import warnings
from pathlib import Path

import ase.io
import numpy as np

from ase_phonax import PhonaxCalculator, get_phonopy, relax

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "runs/accuracy/frequencies.jsonl"
PAGE = ROOT / "docs/accuracy.md"
TABLE = ROOT / "docs/data/accuracy_phonondb.csv"
FIGURE = ROOT / "docs/images/accuracy_phonondb.png"
BEGIN, END = "<!-- tables of benchmarks/accuracy_phonondb.py: begin -->", "<!-- tables: end -->"

# The last ships, and does not know all elements.
MODELS = ("nequix-mp-1-pft", "nequix-mp-1", "sevennet-l3i5", "phonax-small")
GEOMETRIES = {"relaxed": "Cell and atoms relaxed with the model", "dft": "At the lattice of DFT, atoms relaxed in it"}
KINDS = {"all": None, "rock salt": 225, "zincblende": 216, "wurtzite": 186}
SHORT = {225: "", 216: "zb", 186: "wz"}
COLOURS = dict(zip(MODELS, ("#0072b2", "#e69f00", "#cc79a7", "#009e73"), strict=True))
ANCHORS = 14  # crystals of the comparison with finite displacements: the first of the file
KELVIN_PER_THZ = 47.992430733  # h / k_B, CODATA 2018 (exact)
GAS_CONSTANT = 8.314462618  # J/K/mol
TEMPERATURE = 300.0  # K
SMALLEST_THZ = 1e-3  # modes at or below it have no heat: the translations, and imaginary ones
IMAGINARY_THZ = -0.05


def reference(folder: Path) -> list[tuple]:
    """(crystal, what DFT found) in the order of the file: the first has `info`, the second q-points and weights."""
    with gzip.open(folder / "phonondb_pbe_frequencies.json.gz") as file:
        found = json.load(file)
    structures = ase.io.read(folder / "phonondb_pbe_structures.extxyz", ":")
    return [(atoms, found[atoms.info["mp_id"]]) for atoms in structures]


# ---- computing -------------------------------------------------------------------------------------


def frequencies(atoms, dft: dict, calc, geometry: str) -> dict:
    """Frequencies at the q-points of the reference, from the supercell of the reference."""
    start = time.perf_counter()
    relaxed, report = relax(atoms, calc, fix_cell=geometry == "dft")
    middle = time.perf_counter()
    matrix = atoms.info.get("primitive_matrix", np.eye(3))
    phonopy = get_phonopy(relaxed, calc, atoms.info["fc2_supercell"], primitive_matrix=matrix)
    found = phonopy.run_qpoints(dft["qpoints"]).frequencies
    return {
        "volume_A3_per_atom": relaxed.cell.volume / len(atoms),
        "max_stress_eV_A3": report.max_stress,
        "relaxation_steps": report.n_steps,
        "relaxation_s": round(middle - start, 1),
        "phonons_s": round(time.perf_counter() - middle, 1),
        "frequencies_thz": np.round(np.sort(found, axis=1), 6).tolist(),
    }


def compute(crystals: list[tuple], folder: Path, models: list[str], geometries: list[str]) -> None:
    """Append what is missing to RESULTS."""
    done = {(line["model"], line["geometry"], line["mp_id"]) for line in computed()}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    for model in models:
        path = folder / f"{model}.nqx"
        calc = PhonaxCalculator(str(path) if path.exists() else model)
        for geometry in geometries:
            for atoms, dft in crystals:
                if not set(atoms.numbers) <= set(calc.potential.numbers):
                    continue
                key = {"model": model, "geometry": geometry, "mp_id": atoms.info["mp_id"]}
                if tuple(key.values()) in done:
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that a 5 5 3 supercell is not cubic, and the like
                    line = key | frequencies(atoms, dft, calc, geometry)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(*key.values(), dft["name"], f"{line['relaxation_s']} + {line['phonons_s']} s", flush=True)


def computed() -> list[dict]:
    """What RESULTS holds."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


# ---- measures --------------------------------------------------------------------------------------


def measures(frequencies_thz, weights) -> dict:
    """One crystal's numbers from its frequencies (n_q, 3 n), ascending at each q, and the weights of the q-points.

    omega_max [K], mean [THz] over all modes, imaginary ones as negative; heat capacity and entropy per atom
    [J/K/mol] at TEMPERATURE over modes above SMALLEST_THZ.
    """
    frequencies_thz, weights = np.asarray(frequencies_thz), np.asarray(weights) / np.sum(weights)
    x = KELVIN_PER_THZ * np.maximum(frequencies_thz, SMALLEST_THZ) / TEMPERATURE
    counted = frequencies_thz > SMALLEST_THZ
    heat = np.where(counted, (x / 2 / np.sinh(x / 2)) ** 2, 0.0)
    entropy = np.where(counted, x / np.expm1(x) - np.log1p(-np.exp(-x)), 0.0)
    n_atoms = frequencies_thz.shape[1] / 3
    return {
        "omega_max_K": KELVIN_PER_THZ * frequencies_thz.max(),
        "mean_thz": weights @ frequencies_thz.mean(axis=1),
        "cv_J_K_mol": GAS_CONSTANT * weights @ heat.sum(axis=1) / n_atoms,
        "s_J_K_mol": GAS_CONSTANT * weights @ entropy.sum(axis=1) / n_atoms,
        "lowest_thz": frequencies_thz.min(),
    }


def compared(line: dict, atoms, dft: dict) -> dict:
    """One row of the table: a model's numbers for a crystal beside those of DFT."""
    difference = np.abs(np.array(line["frequencies_thz"]) - np.sort(dft["frequencies_thz"], axis=1))
    theirs, mine = measures(dft["frequencies_thz"], dft["weights"]), measures(line["frequencies_thz"], dft["weights"])
    row = {key: line[key] for key in ("model", "geometry", "mp_id")}
    row |= {"name": dft["name"], "space_group": dft["space_group"]}
    row["mae_thz"] = np.average(difference.mean(axis=1), weights=dft["weights"])
    for name in theirs:
        row |= {f"{name}_dft": theirs[name], name: mine[name]}
    volume = atoms.cell.volume / len(atoms)
    row["volume_error_percent"] = 100 * (line["volume_A3_per_atom"] / volume - 1)
    return row


def summary(rows: list[dict]) -> dict[str, str]:
    """Means over crystals of the absolute errors, and what else the tables show."""

    def error(name: str) -> float:
        return float(np.mean([abs(row[name] - row[f"{name}_dft"]) for row in rows]))

    volumes = np.array([row["volume_error_percent"] for row in rows])
    return {
        "crystals": f"{len(rows)}",
        "all branches, THz": f"{np.mean([row['mae_thz'] for row in rows]):.3f}",
        "median, THz": f"{np.median([row['mae_thz'] for row in rows]):.3f}",
        "ω_max, K": f"{error('omega_max_K'):.1f}",
        "mean ω, THz": f"{error('mean_thz'):.3f}",
        "C_v, J/K/mol": f"{error('cv_J_K_mol'):.3f}",
        "S, J/K/mol": f"{error('s_J_K_mol'):.3f}",
        "mean ω, signed, %": f"{100 * np.mean([row['mean_thz'] / row['mean_thz_dft'] - 1 for row in rows]):+.1f}",
        "imaginary": f"{sum(row['lowest_thz'] < IMAGINARY_THZ for row in rows)}",
    } | (
        {"volume, %": f"{np.abs(volumes).mean():.2f} ({volumes.mean():+.2f})"}
        if rows[0]["geometry"] == "relaxed"
        else {}  # nothing to compare where the volume was given
    )


# ---- reporting -------------------------------------------------------------------------------------


def report(crystals: list[tuple]) -> None:
    """Print the tables; write them, the numbers of each crystal and the figure to docs/."""
    known = {atoms.info["mp_id"]: (atoms, dft) for atoms, dft in crystals}
    lines = [line for line in computed() if line["mp_id"] in known]
    order = list(known)
    rows = [compared(line, *known[line["mp_id"]]) for line in lines]
    rows.sort(key=lambda row: (MODELS.index(row["model"]), -len(row["geometry"]), order.index(row["mp_id"])))
    if not rows:
        return print("nothing has been computed yet")
    text = tables(rows, order)
    print(text)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{v:.4f}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)
    draw(rows, lines, known)


def tables(rows: list[dict], order: list[str]) -> str:
    """Markdown: mean absolute errors of each model and geometry, by kind of structure, and of the anchors."""

    def entries(model: str, geometry: str, ids: list[str], group: int | None = None) -> list[dict]:
        chosen = [row for row in rows if (row["model"], row["geometry"]) == (model, geometry) and row["mp_id"] in ids]
        chosen = [row for row in chosen if group in (None, row["space_group"])]
        return [summary(chosen)] if chosen else []

    text = ""
    for geometry, meaning in GEOMETRIES.items():
        found = [
            {"structure": kind, "model": model} | entry
            for kind, group in KINDS.items()
            for model in MODELS
            for entry in entries(model, geometry, order, group)
        ]
        text += f"{meaning}:\n\n{markdown(found)}\n\n" if found else ""
    shared = [i for i in order if {row["model"] for row in rows if row["mp_id"] == i} == set(MODELS)]
    for geometry, meaning in GEOMETRIES.items():
        found = [{"model": model} | entry for model in MODELS for entry in entries(model, geometry, shared)]
        text += f"{meaning}, crystals whose elements all models know:\n\n{markdown(found)}\n\n" if found else ""
    anchors = [{"model": model} | entry for model in MODELS for entry in entries(model, "relaxed", order[:ANCHORS])]
    return text + (f"The first {ANCHORS} crystals of the file, relaxed:\n\n{markdown(anchors)}" if anchors else "")


def markdown(entries: list[dict]) -> str:
    """A table with a column for each key."""
    head = ["| " + " | ".join(entries[0]) + " |", "|" + "---|" * len(entries[0])]
    return "\n".join(head + ["| " + " | ".join(entry.values()) + " |" for entry in entries])


def draw(rows: list[dict], lines: list[dict], known: dict) -> None:
    """All frequencies against DFT's, and the error of each crystal, relaxed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    ordered = [row for row in rows if (row["model"], row["geometry"]) == (MODELS[1], "relaxed")]
    ordered.sort(key=lambda row: row["mae_thz"])
    names = {row["mp_id"]: f"{row['name']} {SHORT[row['space_group']]}" for row in ordered}
    height = {mp_id: i for i, mp_id in enumerate(names)}
    for model in reversed(MODELS):  # the first one on top
        pairs = [
            (np.sort(known[line["mp_id"]][1]["frequencies_thz"], axis=1), np.array(line["frequencies_thz"]))
            for line in lines
            if (line["model"], line["geometry"]) == (model, "relaxed")
        ]
        if pairs:
            x, y = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
            left.plot(x, y, ".", color=COLOURS[model], ms=1.5, alpha=0.35, mew=0, rasterized=True)
        chosen = [row for row in rows if (row["model"], row["geometry"]) == (model, "relaxed")]
        chosen = [row for row in chosen if row["mp_id"] in height]
        points = [row["mae_thz"] for row in chosen], [height[row["mp_id"]] for row in chosen]
        right.plot(*points, "o", color=COLOURS[model], ms=3.5, label=model)
    left.axline((0, 0), slope=1, color="#1a1a1a", lw=0.7)
    left.set(xlabel="DFT (THz)", ylabel="potential (THz)", title="every frequency", aspect="equal")
    right.set_yticks(range(len(names)), list(names.values()), fontsize=6)
    right.set(xlabel="mean absolute error, all branches (THz)", title="each crystal")
    right.set(xscale="log", ylim=(-1, len(names)))
    right.xaxis.set_major_formatter("{x:g}")
    right.grid(axis="x", which="both", lw=0.4, color="#d0d0d0")
    right.legend(frameon=False, loc="lower right")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, metavar="N", help="the first N crystals of the file only")
    parser.add_argument("--ids", nargs="+", metavar="MP_ID", help="these crystals only")
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--geometry", nargs="+", choices=list(GEOMETRIES), default=list(GEOMETRIES))
    parser.add_argument("--report", action="store_true", help="compute nothing")
    options = parser.parse_args()
    folder = Path(os.environ["PHONAX_DATA"])
    crystals = reference(folder / "data")
    if not options.report:
        chosen = [c for c in crystals[: options.first] if options.ids is None or c[0].info["mp_id"] in options.ids]
        compute(chosen, folder / "weights", options.model, options.geometry)
    report(crystals)


if __name__ == "__main__":
    main()
