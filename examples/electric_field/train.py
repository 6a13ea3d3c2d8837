"""A potential of ethanol that knows electric fields, and what each order of its expansion is worth in a field.

    PHONAX_DATA=... python examples/electric_field/train.py   an hour and a half; a second start goes on
    python examples/electric_field/train.py --quick   a few steps on some of the labels, to see that it runs

From nothing, with outputs for dipole and polarizability beside the energy. Of the 170 frames of
data/ethanol_fields.npz, 120 are trained on, 20 watch the training, 30 are kept for measure.py. Of the ethanol set's
other 580 frames, forces are learned, too. Writes ethanol.h5 into --output; data/ethanol.h5 is one that it made.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from ase_phonax import save_model, train
from ase_phonax.training.labels import Frame
from ase_phonax.training.setup import shifted

HERE = Path(__file__).resolve().parent
LABELS = HERE / "data/ethanol_fields.npz"
RESULTS = Path("runs/electric_field_model")
SIZES = {"train": 120, "valid": 20, "test": 30}
REPEATS = 2  # in an epoch, of the frames with all labels
SETTINGS = {
    "network": {
        "cutoff": 5.0,
        "hidden_irreps": "64x0e + 32x1o + 16x2e",
        "n_layers": 3,
        "radial_sizes": [16],
        "average_neighbors": 8.0,
        "scale": 1.0,
    },
    "loss": {
        "energy": 0.3,
        "forces": 1.0,
        "curvature": 0.0,
        "dipole": 1.0,
        "polarizability": 1.0,
        "born_charges": 1.0,
    },
    "optimiser": {"method": "muon", "epochs": 60, "batch_size": 4, "learning_rate": 1e-2, "ema": 0.995},
    "run": {
        "name": "ethanol-in-fields",
        "seed": 0,
        "n_shapes": 1,
        "keep": "last",
        "validate_every": 3,
        "licence": "MIT",
        "level_of_theory": "imitates PBE/def2-SVP with density fitting (PySCF)",
    },
}


def split() -> dict[str, np.ndarray]:
    """Indices of frames by part, drawn once."""
    order = np.random.default_rng(1).permutation(sum(SIZES.values()))
    ends = np.cumsum(list(SIZES.values()))
    return dict(zip(SIZES, np.split(order, ends[:-1]), strict=True))


def frames(part: str) -> list[Frame]:
    """Labelled frames without a field."""
    with np.load(LABELS) as stored:
        labels = dict(stored)
    return [
        Frame(
            Atoms(labels["numbers"], labels["positions"][k]),
            float(labels["energy"][k]),
            labels["forces"][k],
            dipole=labels["dipole"][k],
            polarizability=labels["polarizability"][k],
            born_charges=labels["born_charges"][k],
            origin=f"{LABELS.name}:{k}",
        )
        for k in split()[part]
    ]


def forces_alone() -> list[Frame]:
    """The frames of the ethanol set that were not computed in fields. Their Coulomb integrals are not fitted ones."""
    with np.load(LABELS) as stored:
        known = stored["frame"]
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/ethanol_pbe_def2svp_efh_train.npz")
    with np.load(Path(os.environ["PHONAX_DATA"]) / "data/ethanol_pbe_def2svp_efh_train.npz") as stored:
        numbers, positions, forces = stored["Z"], stored["R"], -stored["G"] * Hartree / Bohr
    others = np.setdiff1d(np.arange(len(positions)), known)
    return [Frame(Atoms(numbers, positions[k]), forces=forces[k], origin=f"ethanol:{k}") for k in others]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help=f"{RESULTS}; with --quick {RESULTS}_quick")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.output = options.output or Path(f"{RESULTS}_quick" if options.quick else RESULTS)
    settings = SETTINGS | {"run": SETTINGS["run"] | {"output": str(options.output)}}
    training, valid = frames("train"), frames("valid")
    if options.quick:
        training, valid = training[:4], valid[:2]
        settings["optimiser"] = SETTINGS["optimiser"] | {"epochs": 1}
        settings["loss"] = SETTINGS["loss"] | {"born_charges": 0.0}  # half of the compiling
        settings["network"] = SETTINGS["network"] | {"hidden_irreps": "8x0e + 4x1o + 4x2e", "n_layers": 2}
    else:
        training = training * REPEATS + forces_alone()
    resume = (options.output / "checkpoint.h5").exists()
    learned = train(settings, frames=(training, valid), resume=resume).potential
    # Most frames have forces alone, so the offset of energies is fitted afterwards.
    save_model(shifted(learned, frames("train")), options.output / "ethanol.h5", overwrite=True)


if __name__ == "__main__":
    main()
