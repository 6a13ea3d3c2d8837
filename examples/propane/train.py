"""Four configurations of propane with and without their Hessians: errors of the forces while both methyl groups turn.

    python examples/propane/train.py            a few minutes for each training; a second start goes on
    python examples/propane/train.py --quick    a few steps, to see that it runs

The map is that of data/propane_map.npz. Symmetry: what a potential says of an irreducible point holds for its
images, so errors are computed there and unfolded. Written are results.jsonl under --output and map.png.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ase import Atoms

from ase_phonax import PhonaxCalculator, evaluate, frame_of_hessian, train
from ase_phonax.training.labels import Frame

HERE = Path(__file__).resolve().parent
NETWORK = {
    "cutoff": 5.0,
    "hidden_irreps": "64x0e + 32x1o + 16x2e",
    "n_layers": 2,
    "radial_sizes": [16],
    "average_neighbors": 10.0,
    "scale": 1.0,
}
SCALES = {"energy": 0.02, "forces": 1.2, "curvature": 40.0}  # eV/atom, eV/Å, eV/Å²
PER_EPOCH, BATCH = 400, 4
SIDES = ((False, "energies and forces"), (True, "and Hessians"))


def training_frames(hessians: bool) -> list[Frame]:
    """The four configurations, energies from their mean."""
    with np.load(HERE / "data/propane_train.npz") as file:
        found = dict(file)
    mean = found["energy"].mean()
    frames = []
    for positions, energy, forces, hessian in zip(
        found["positions"], found["energy"], found["forces"], found["hessian"], strict=True
    ):
        atoms = Atoms(found["numbers"], positions)
        if hessians:
            frames.append(frame_of_hessian(atoms, hessian, energy=energy - mean, forces=forces))
        else:
            frames.append(Frame(atoms, energy=float(energy - mean), forces=forces))
    return frames


def measured(potential) -> dict:
    """Root mean square force errors at the irreducible points [eV/Å], and errors of energy differences [eV]."""
    with np.load(HERE / "data/propane_map.npz") as file:
        known = dict(file)
    calc = PhonaxCalculator(potential)
    errors, energies = [], []
    for positions, forces in zip(known["irreducible_positions"], known["irreducible_forces"], strict=True):
        atoms = Atoms(known["numbers"], positions, calculator=calc)
        errors.append(float(np.sqrt(np.mean((atoms.get_forces() - forces) ** 2))))
        energies.append(atoms.get_potential_energy())
    wrong = np.array(energies) - known["irreducible_energies"]
    return {"forces_rmse": errors, "energies": (wrong - wrong[0]).tolist()}


def run(options: argparse.Namespace) -> list[dict]:
    results = options.output / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(row["hessians"], row["seed"]) for row in rows}
    epochs = max(1, options.steps * BATCH // PER_EPOCH)
    for seed in options.seeds:
        for hessians, side in SIDES:
            if (hessians, seed) in done:
                continue
            frames, folder = (
                training_frames(hessians),
                options.output / f"{'hessians' if hessians else 'forces'}-{seed}",
            )
            settings = {
                "network": NETWORK,
                "loss": {"energy": 0.005, "forces": 1.0, "curvature": 5.0, "columns": 2, "scales": SCALES},
                "optimiser": {"epochs": epochs, "batch_size": BATCH, "learning_rate": 2e-2, "ema": 0.99},
                "run": {"output": str(folder), "seed": seed, "n_shapes": 1, "checkpoint_seconds": 120},
            }
            start = time.process_time()
            resume = (folder / "checkpoint.h5").exists()
            result = train(settings, frames=(frames * (PER_EPOCH // len(frames)), []), resume=resume)
            scores = evaluate(result.potential, training_frames(True))
            row = {"hessians": hessians, "seed": seed, "steps": epochs * PER_EPOCH // BATCH}
            row |= {"fitted_forces_rmse": scores.rmse["forces"], "fitted_curvature": scores.relative_curvature}
            row |= measured(result.potential) | {"cpu_seconds": round(time.process_time() - start, 1)}
            rows.append(row)
            part = results.with_name(results.name + ".unfinished")
            part.write_text("".join(json.dumps(each) + "\n" for each in rows))
            os.replace(part, results)
            print(
                f"{side}, seed {seed}: forces {1e3 * np.mean(row['forces_rmse']):.1f} meV/Å over the map, "
                f"Hessians trained on {100 * row['fitted_curvature']:.1f} %, {row['cpu_seconds']:.0f} s",
                flush=True,
            )
    return rows


def draw(rows: list[dict], path: Path) -> None:
    """Maps of the mean error over the seeds, one scale of colours."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    with np.load(HERE / "data/propane_map.npz") as file:
        which, turns = file["representative"], file["turns"]
    with np.load(HERE / "data/propane_train.npz") as file:
        trained = file["turns"] % 120
    step = turns[1, 0, 0] - turns[0, 0, 0]
    maps = {}
    for hessians, _ in SIDES:
        own = np.array([row["forces_rmse"] for row in rows if row["hessians"] is hessians])
        maps[hessians] = 1e3 * np.exp(np.log(own).mean(0))[which]
    norm = LogNorm(min(m.min() for m in maps.values()), max(m.max() for m in maps.values()))
    figure = Figure(figsize=(8.2, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    edges = np.arange(len(which) + 1) * step - step / 2
    for panel, (hessians, side) in zip(panels, SIDES, strict=True):
        image = panel.pcolormesh(edges, edges, maps[hessians].T, norm=norm, cmap="viridis")
        panel.plot(*trained.T, "o", mfc="none", mec="white", ms=7, mew=1.5)
        panel.set(title=side, xlabel="turn of one methyl [°]", aspect="equal")
        panel.set_xticks(range(0, 120, 30))
    panels[0].set(ylabel="turn of the other [°]")
    panels[0].set_yticks(range(0, 120, 30))
    bar = figure.colorbar(image, ax=panels, label="error of the forces, rms [meV/Å]")
    bar.set_ticks([5, 10, 20, 40], labels=["5", "10", "20", "40"])
    bar.minorticks_off()
    figure.savefig(path, dpi=130)
    for hessians, side in SIDES:
        each = np.array([np.array(row["forces_rmse"])[which].mean() for row in rows if row["hessians"] is hessians])
        print(
            f"{side}: {1e3 * each.mean():.1f} ± {1e3 * each.std(ddof=len(each) > 1):.1f} meV/Å over the map "
            f"({len(each)} trainings), {maps[hessians].min():.1f} to {maps[hessians].max():.1f} between points"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/propane-training"), help="folder of models and results"
    )
    parser.add_argument("--steps", type=int, default=6000, help="of the optimiser")
    parser.add_argument("--seeds", type=int, nargs="+", default=range(4), help="of the initial parameters")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.seeds = 100, [0]
    rows = run(options)
    draw(rows, options.output / "map.png")


if __name__ == "__main__":
    main()
