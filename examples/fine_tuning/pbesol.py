"""From nothing, or from a universal potential: how many DFT frames each needs on aluminium nitride and silicon.

    PHONAX_DATA=... python examples/fine_tuning/pbesol.py --model nequix-mp-1.nqx [--crystal AlN Si] [--frames 1 4 16]

Supercells with random displacements, PBEsol (phono3py's AlN, 128 atoms; pypolymlp's Si, 64 atoms). The universal
potential was trained on PBE; its reference energies are shifted to PBEsol first. The network from nothing is
a small one with the same labels. Errors are on frames neither saw. In small, the comparison that Fang, Geiger,
Checkelsky, Smidt make with their general model, arXiv:2403.11347.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np

from ase_phonax import evaluate, fine_tune, load_model, read_frames, train

HERE = Path(__file__).resolve().parent
FILES = {
    "AlN": "phono3py/AlN-rd/{}",
    "Si": "silicon/phono3py-Si_phonopy_training_dataset.yaml.xz",
}
SMALL = {"cutoff": 5.0, "hidden_irreps": "32x0e + 16x1o + 8x2e", "n_layers": 2, "radial_sizes": [32]}
TESTED = 20


def frames_of(crystal: str, data: Path) -> list:
    pattern = data / FILES[crystal].format("*.yaml*")
    frames = [f for f in read_frames(pattern) if f.forces is not None]
    order = np.random.default_rng(0).permutation(len(frames))
    return [frames[k] for k in order]


def run_one(way: str, crystal: str, n: int, training: list, options: argparse.Namespace):
    """The potential trained in one way on n frames."""
    tuning = way == "tuned"
    steps = options.steps if tuning else options.steps_from_nothing
    config = {
        "loss": {"energy": 0.1, "forces": 1.0},
        "optimiser": {
            "epochs": max(1, steps // n),
            "batch_size": 1,
            "learning_rate": 2e-5 if tuning else 5e-3,
            "warmup": 0.1,
            "ema": 0.95 if tuning else 0.99,
        },
        "run": {"output": str(options.output / f"{crystal}-{way}-{n}"), "n_shapes": 1, "name": f"{crystal}-{way}-{n}"},
    }
    folder = Path(config["run"]["output"])
    if (folder / "model.h5").exists():
        return load_model(folder / "model.h5")
    resume = (folder / "checkpoint.h5").exists()
    if tuning:
        config["fine_tune"] = {"energies": "shift"}
        return fine_tune(load_model(options.model), config, frames=(training, []), resume=resume).potential
    config["network"] = SMALL
    return train(config, frames=(training, []), resume=resume).potential


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--crystal", nargs="+", default=list(FILES), choices=FILES)
    parser.add_argument("--frames", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--steps-from-nothing", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=Path("runs/pbesol"))
    options = parser.parse_args()
    data = Path(os.environ["PHONAX_DATA"])
    data = data / "data" if (data / "data").is_dir() else data
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "errors.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for crystal in options.crystal:
        frames = frames_of(crystal, data)
        test, pool = frames[:TESTED], frames[TESTED:]
        for way, n in [("untuned", 0), *((w, n) for n in options.frames for w in ("tuned", "from nothing"))]:
            key = f"{crystal}, {way}, {n}"
            if key not in found:
                model = load_model(options.model) if n == 0 else run_one(way, crystal, n, pool[:n], options)
                scores = evaluate(model, test, dtype="float32")
                found[key] = {
                    "forces_mae_meV_A": 1e3 * scores.mae["forces"],
                    "forces_rms_label_meV_A": 1e3 * float(np.sqrt(np.mean([f.forces**2 for f in test]))),
                }
                part = path.with_suffix(".part")
                part.write_text(json.dumps(found, indent=1))
                os.replace(part, path)
            print(f"{key:24s} force MAE {found[key]['forces_mae_meV_A']:7.1f} meV/Å", flush=True)
    (HERE / "pbesol.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
