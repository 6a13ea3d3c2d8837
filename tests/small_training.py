"""A training run of a few seconds: a toy learns from another. Importable by processes started to be killed."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.training import train
from ase_phonax.training.labels import Frame, SecondOrder

from .toy_network import toy_potential

NUMBERS = (1, 8)
STEPS_PER_EPOCH = 3


def water(seed: int) -> Atoms:
    """Water with its atoms displaced at random."""
    positions = np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
    return Atoms("OH2", positions=positions + np.random.default_rng(seed).normal(0, 0.08, (3, 3)))


def small_frames(count: int = 8, seed: int = 0) -> list[Frame]:
    """Energies, forces and Hessians of a random toy."""
    evaluator = Evaluator(toy_potential(NUMBERS, seed=7), np.float64)
    result = []
    for k in range(count):
        atoms = water(seed + k)
        energies, forces, _ = evaluator.energy_forces_stress(atoms)
        hessian = np.array(evaluator.lattice_matrices(atoms, np.zeros((1, 3))))
        second = SecondOrder(np.zeros((1, 3)), hessian)
        result.append(Frame(atoms, float(energies.sum()), forces, None, second, origin=f"water {k}"))
    return result


def small_config(folder: Path, **sections: Any) -> dict[str, Any]:
    """Six training frames, two to a step; every setting that is compiled is the same unless asked for."""
    scales = {"energy": 0.1, "forces": 0.5, "stress": 0.1, "curvature": 2.0, "spectrum": 5.0}
    base: dict[str, Any] = {
        "network": {
            "architecture": "toy",
            "cutoff": 3.2,
            "average_neighbors": 4.0,
            "scale": 1.0,
            "energies": {"H": 0, "O": 0},
        },
        "loss": {"energy": 1.0, "forces": 1.0, "curvature": 1.0, "scales": scales},
        "optimiser": {"epochs": 4, "batch_size": 2, "learning_rate": 1e-2},
        "run": {"output": str(folder), "precision": "float64", "checkpoint_seconds": 1e6},
    }
    return {name: base.get(name, {}) | sections.get(name, {}) for name in {**base, **sections}}


def tuning_config(folder: Path, **sections: Any) -> dict[str, Any]:
    """The same without a network: that of fine-tuning is the model's."""
    return {name: section for name, section in small_config(folder, **sections).items() if name != "network"}


def train_until_the_end(folder: Path, epochs: int, frames: list[Frame], checkpoint_seconds: float) -> None:
    """Start or go on; what a process does that is killed again and again."""
    config = small_config(
        folder, optimiser={"epochs": epochs}, run={"checkpoint_seconds": checkpoint_seconds, "validate_every": 10}
    )
    train(config, resume=(folder / "checkpoint.h5").exists(), frames=(frames[:6], frames[6:]))
