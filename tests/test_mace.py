"""MACE against the mace-torch package: frozen numbers of random models, and live where torch is installed.

The frozen ones were made by tests/reference/make_mace_reference.py.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ase_phonax import load_model
from ase_phonax.evaluation import Evaluator

from .mace_models import FROZEN, HEAD, MODELS, structures, torch_model, torch_results

FOLDER = Path(__file__).parent / "reference"
REFERENCE = json.loads((FOLDER / "mace.json").read_text())
# The same sums in another order, in double precision; relative to the largest of its kind.
TOLERANCE = {"energy": 1e-12, "energies": 1e-12, "forces": 1e-12, "stress": 1e-12, "hessian": 1e-12}


def found(potential, atoms) -> dict[str, np.ndarray]:
    evaluator, n = Evaluator(potential, np.dtype(float)), len(atoms)
    energies, forces, virial = evaluator.energy_forces_stress(atoms)
    result = {"energy": energies.sum(), "energies": energies, "forces": forces}
    result["hessian"] = evaluator.hessian(atoms, np.arange(n)).reshape(3 * n, 3 * n)
    if atoms.pbc.all():
        result["stress"] = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / atoms.get_volume()
    return result


def errors(potential, expected: dict[str, dict]) -> dict[str, float]:
    """Largest deviation of each kind over the structures, over the largest value."""
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for name, atoms in structures().items():
        values = found(potential, atoms)
        for key, value in expected[name].items():
            scale = np.abs(value).max()
            worst[key] = max(worst[key], np.abs(values[key] - np.asarray(value)).max() / scale)
    return worst


def saved(name: str):
    return load_model(FOLDER / "mace" / (name.replace(",", "").replace(" ", "-") + ".h5"))


@pytest.mark.parametrize("name", FROZEN)
def test_results_equal_those_of_mace_torch(name):
    # Kills: any wrong convention: direction of edges, signs of couplings, norms of activations, heads, units.
    worst = errors(saved(name), REFERENCE["results"][name])
    assert all(worst[key] <= TOLERANCE[key] for key in worst), worst


@pytest.mark.parametrize("name", ["as MACE-MP-0b", "soft distances, Gaussians", "envelope on weights"])
def test_the_function_for_jax_equals_mace_torch(name):
    # Those whose edges know their elements; the contract tests compare arrays and function elsewhere.
    evaluator = Evaluator(replace(saved(name), parts=None), np.dtype(float))
    atoms, expected = structures()["crystal"], REFERENCE["results"][name]["crystal"]
    energies, forces, _ = evaluator.energy_forces_stress(atoms)
    assert np.abs(energies - expected["energies"]).max() < 1e-12 * np.abs(energies).max()
    assert np.abs(forces - expected["forces"]).max() < 1e-12 * np.abs(forces).max()


# The other packages' own warnings.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_installed_mace_torch_converts_and_agrees(name, tmp_path):
    torch = pytest.importorskip("torch", reason="torch and mace-torch are not installed")
    pytest.importorskip("mace", reason="mace-torch is not installed")
    from ase_phonax.weights.mace_checkpoint import read_mace

    model = torch_model(name, seed=5)
    torch.save(model, tmp_path / "random.model")
    potential = read_mace(tmp_path / "random.model", trust=True, head=HEAD.get(name))
    expected = {key: torch_results(model, atoms, HEAD.get(name)) for key, atoms in structures().items()}
    worst = errors(potential, expected)
    assert all(worst[key] <= TOLERANCE[key] for key in worst), worst
