"""What Hessians are worth: potentials of ethanol trained with and without them.

    PHONAX_DATA=... python examples/ethanol/train.py curves   learning curves, 1 to 500 configurations: about 2 hours
    python examples/ethanol/train.py near                     one configuration, errors around it: about half an hour
    python examples/ethanol/train.py --quick                  a few steps of the second, to see that it runs

Each finished training is a line in a results file under --output; a second start goes on from there. Both sides have
the same network, steps, frames, initial parameters and rule for choosing the epoch; Hessians are the only difference.
Molecular dynamics with these potentials is in dynamics.py, the pictures are in figures.py, what was found in README.md.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from _labels import HERE, add_row, central_frame, dft_frames, drawn, parts, read_rows, without_hessian
from ase import Atoms

from ase_phonax import PhonaxCalculator, evaluate, train
from ase_phonax.training.labels import Frame

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
# All 72 edges of the molecule are always within the cutoff: batches have one shape, one compiled step serves all.
NETWORK = {
    "cutoff": 5.0,
    "hidden_irreps": "64x0e + 32x1o + 16x2e",
    "n_layers": 3,
    "radial_sizes": [16],
    "average_neighbors": 8.0,
    "scale": 1.0,
}
SCALES = {"energy": 0.02, "forces": 1.2, "curvature": 40.0}  # eV/atom, eV/Å, eV/Å²: the same for every training set
PER_EPOCH, BATCH = 1000, 2
NEAR_NETWORK, NEAR_PER_EPOCH = NETWORK | {"n_layers": 2}, 200  # twenty trainings of each side: a quicker one


def configuration(folder: Path, seed: int, **changes: dict) -> dict:
    """Settings of a training; changes by section."""
    settings = {
        "network": NETWORK,
        "loss": {"energy": 0.005, "forces": 1.0, "curvature": 5.0, "directions": "random", "scales": SCALES},
        "optimiser": {"batch_size": BATCH, "learning_rate": 4e-2, "ema": 0.995},
        "run": {"output": str(folder), "seed": seed, "n_shapes": 1, "checkpoint_seconds": 120, "name": folder.name},
    }
    return {name: settings[name] | changes.get(name, {}) for name in settings}


def fitted(settings: dict, frames: tuple[list[Frame], list[Frame]], folder: Path):
    """The potential of a training, taken up where it was interrupted."""
    return train(settings, frames=frames, resume=(folder / "checkpoint.h5").exists())


def curves(options: argparse.Namespace) -> None:
    """Errors on test frames against the number of training frames."""
    results = options.output / "curves.jsonl"
    done = {(row["frames"], row["hessians"], row["seed"]) for row in read_rows(results)}
    test, valid, pool = parts(dft_frames())
    # Without second derivatives, so that the epoch is chosen by energies and forces on both sides.
    valid = [without_hessian(frame) for frame in valid]
    epochs = max(1, options.steps * BATCH // PER_EPOCH)
    for seed in options.seeds:
        for n in options.frames:
            for hessians in (False, True):
                if (n, hessians, seed) in done:
                    continue
                chosen = drawn(pool, n, seed)
                chosen = chosen if hessians else [without_hessian(frame) for frame in chosen]
                folder = options.output / "models" / f"{n}-{'hessians' if hessians else 'forces'}-{seed}"
                settings = configuration(
                    folder, seed, optimiser={"epochs": epochs}, run={"validate_every": max(1, epochs // 20)}
                )
                start = time.perf_counter(), time.process_time()
                result = fitted(settings, (chosen * (PER_EPOCH // n), valid), folder)
                trained = time.perf_counter() - start[0], time.process_time() - start[1]
                scores = evaluate(result.potential, test)
                row = {"frames": n, "hessians": hessians, "seed": seed, "steps": epochs * (PER_EPOCH // n * n // BATCH)}
                row |= {f"{label}_mae": value for label, value in scores.mae.items()}
                row |= {f"{label}_rmse": value for label, value in scores.rmse.items()}
                row |= {"relative_curvature": scores.relative_curvature, "training_loss": result.history[-1]["loss"]}
                checked = [(r["valid_loss"], r["epoch"]) for r in result.history if "valid_loss" in r]
                row |= {"best_epoch": min(checked)[1], "epochs": epochs}
                row |= {"seconds": round(trained[0], 1), "cpu_seconds": round(trained[1], 1)}
                add_row(results, row)
                print(
                    f"{n:4d} frames {'with' if hessians else 'without'} Hessians, seed {seed}: forces "
                    f"{1e3 * row['forces_mae']:.1f} meV/Å, energy {9e3 * row['energy_mae']:.1f} meV, Hessian "
                    f"{100 * row['relative_curvature']:.1f} %, best epoch {row['best_epoch']} of {epochs}, "
                    f"{trained[1]:.0f} s",
                    flush=True,
                )


def near(options: argparse.Namespace) -> None:
    """One configuration: errors of the forces at displacements around it."""
    results = options.output / "near.jsonl"
    done = {(row["hessians"], row["seed"]) for row in read_rows(results)}
    frame = central_frame()
    with np.load(HERE / "data/displaced.npz") as file:
        sizes, positions, known = (file[key] for key in ("sizes", "displaced_positions", "displaced_forces"))
    epochs = max(1, options.steps // NEAR_PER_EPOCH)
    for seed in options.seeds:
        for hessians in (False, True):
            if (hessians, seed) in done:
                continue
            folder = options.output / "near" / f"{'hessians' if hessians else 'forces'}-{seed}"
            settings = configuration(
                folder,
                seed,
                network=NEAR_NETWORK,
                # Next to the configuration the error is what is left of its own forces and Hessian: they have to
                # be fitted to a part in a thousand.
                loss={"columns": 2, "forces": 3.0},
                optimiser={"epochs": epochs, "batch_size": 1, "learning_rate": 8e-2, "ema": 0.99, "final": 1e-4},
                run={"precision": "float64"},
            )
            start = time.process_time()
            chosen = frame if hessians else without_hessian(frame)
            result = fitted(settings, ([chosen] * NEAR_PER_EPOCH, []), folder)
            calc = PhonaxCalculator(result.potential)

            def forces(moved: np.ndarray, calc: PhonaxCalculator = calc) -> np.ndarray:
                return calc.get_forces(Atoms(frame.atoms.numbers, moved))

            errors = np.array([[forces(x) for x in group] for group in positions]) - known
            at_rest = forces(frame.atoms.positions) - frame.forces
            row = {"hessians": hessians, "seed": seed, "sizes": sizes.tolist(), "steps": epochs * NEAR_PER_EPOCH}
            row |= {"forces_rmse": np.sqrt((errors**2).mean((1, 2, 3))).tolist()}
            row |= {"forces_mae": np.abs(errors).mean((1, 2, 3)).tolist()}
            row |= {"forces_rmse_at_zero": float(np.sqrt((at_rest**2).mean()))}
            row |= {"relative_curvature": evaluate(result.potential, [frame]).relative_curvature}
            row |= {"cpu_seconds": round(time.process_time() - start, 1)}
            add_row(results, row)
            print(
                f"one frame {'with' if hessians else 'without'} its Hessian, seed {seed}: forces "
                f"{row['forces_rmse_at_zero']:.1e} eV/Å at it, "
                + " ".join(f"{1e3 * error:.2f}" for error in row["forces_rmse"])
                + f" meV/Å around it, Hessian {100 * row['relative_curvature']:.3f} %, {row['cpu_seconds']:.0f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("curves", "near"), default="near")
    parser.add_argument("--quick", action="store_true", help="`near` with few steps")
    parser.add_argument("--output", type=Path, default=Path("runs/ethanol"), help="folder of results and models")
    parser.add_argument("--steps", type=int, help="of the optimiser")
    parser.add_argument("--seeds", type=int, nargs="+", help="of initial parameters and, in curves, of the frames")
    parser.add_argument("--frames", type=int, nargs="+", default=SIZES, help="of curves: sizes of training sets")
    options = parser.parse_args()
    if options.quick:
        options.what, options.steps, options.seeds = "near", 200, [0]
    if options.seeds is None:
        options.seeds = range(3) if options.what == "curves" else range(20)
    if options.steps is None:
        options.steps = 20000 if options.what == "curves" else 8000
    {"curves": curves, "near": near}[options.what](options)


if __name__ == "__main__":
    main()
