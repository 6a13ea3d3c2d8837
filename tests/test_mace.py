"""MACE against the mace-torch package, in frozen numbers of random models; live in test_mace_torch.

The frozen ones were made by tests/reference/make_mace_reference.py.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import covalent_radii
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation

from ase_phonax import load_model
from ase_phonax.base.errors import InputError
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.models.mace.config import MACEConfig
from ase_phonax.models.o3.irreps import Irrep
from ase_phonax.models.o3.spherical import harmonics
from ase_phonax.models.o3.symmetric_products import powers, symmetric_couplings
from ase_phonax.training import train
from ase_phonax.training.config import config_from

from .mace_models import FROZEN, structures
from .small_training import NUMBERS, small_config, small_frames

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


@pytest.mark.parametrize("name", ["as MACE-MP-0b2", "soft distances, Gaussians", "envelope on weights"])
def test_the_function_for_jax_equals_mace_torch(name):
    # Those whose edges know their elements; the contract tests compare arrays and function elsewhere.
    evaluator = Evaluator(replace(saved(name), parts=None), np.dtype(float))
    atoms, expected = structures()["crystal"], REFERENCE["results"][name]["crystal"]
    energies, forces, _ = evaluator.energy_forces_stress(atoms)
    assert np.abs(energies - expected["energies"]).max() < 1e-12 * np.abs(energies).max()
    assert np.abs(forces - expected["forces"]).max() < 1e-12 * np.abs(forces).max()


@pytest.mark.parametrize("name", ["as MACE-MP-0b2", "three layers"])
def test_exact_matrices_equal_the_fold_of_a_supercell(name):
    # Kills: a term of a sender that has no phase, or the conjugate one; three cells, so that phases are complex.
    evaluator, atoms, n_cells = Evaluator(saved(name), np.dtype(float)), structures()["crystal"], 3
    n = 3 * len(atoms)
    hessian = evaluator.hessian(atoms.repeat((n_cells, 1, 1)), np.arange(len(atoms))).reshape(n, n_cells, n)
    for k in range(n_cells):
        (found,) = evaluator.lattice_matrices(atoms, np.array([[k / n_cells, 0, 0]]))
        expected = np.einsum("iRj,R->ij", hessian, np.exp(2j * np.pi * k * np.arange(n_cells) / n_cells))
        assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
        assert k == 0 or np.abs(expected.imag).max() > 1e-2 * np.abs(expected).max()


def test_single_precision_is_single_precision_throughout():
    # Kills: a double constant that makes everything behind it double.
    evaluator, double = (Evaluator(saved("as MACE-MP-0b2"), np.dtype(kind)) for kind in ("float32", "float64"))
    atoms = structures()["crystal"]
    assert {part.dtype for part in evaluator.energy_forces_stress(atoms)} == {np.dtype("float32")}
    expansion = evaluator.route.expansion(evaluator.neighbours(atoms))
    tensors = [t for layer in expansion.layers for r in layer.groups for t in (r.slope, r.cross) if t is not None]
    gates = [layer.state.gate for layer in expansion.layers]
    arrays = [*tensors, expansion.curvature, *(a for gate in gates for a in (gate.x, gate.slopes, *gate.value))]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}
    found, expected = (np.array(e.lattice_matrices(atoms, np.array([[0.1, -0.2, 0.4]]))) for e in (evaluator, double))
    # Rounding of 6e-8 in sums over some dozen terms, twice differentiated.
    assert 1e-9 < np.abs(found - expected).max() / np.abs(expected).max() < 2e-5


def test_mace_trains_through_the_same_command(tmp_path):
    # Energies, forces and Hessians of another network, with everything that an edge can know of its elements.
    network = {
        "architecture": "mace",
        "cutoff": 3.2,
        "hidden_irreps": "3x0e + 3x1o",
        "n_layers": 2,
        "l_max": 1,
        "n_basis": 4,
        "radial_sizes": [6],
        "readout_size": 4,
        "correlation": [2],
        "interactions": ["density", "density residual"],
        "distance_transform": "agnesi",
        "pair_repulsion": True,
    }
    frames, rows = small_frames(), []
    config = small_config(tmp_path / "run", optimiser={"epochs": 6})
    train(config | {"network": network}, frames=(frames[:6], frames[6:]), report=rows.append)
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"], [row["loss"] for row in rows]
    trained = load_model(tmp_path / "run" / "model.h5")
    assert (trained.config.numbers, trained.numbers) == (NUMBERS, NUMBERS)
    assert trained.config.radii == pytest.approx([covalent_radii[z] for z in NUMBERS])


def test_what_follows_from_the_elements_is_no_setting():
    with pytest.raises(InputError, match=r"network\.radii"):
        config_from({"network": {"architecture": "mace", "radii": [1.0]}})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hidden_irreps": "4x0e + 3x1o"}, "give each irrep 4 channels"),
        ({"hidden_irreps": "4x1o"}, "read from even scalars"),
        ({"correlation": (3, 2, 1)}, "for 2 layers"),
        ({"basis": "fourier"}, "basis is 'fourier'"),
        ({"interactions": ("attention",)}, "interactions is"),
        ({"pair_repulsion": True}, "covalent radii"),
        ({"l_max": -1}, "l_max is -1"),
    ],
)
def test_configurations_that_cannot_be_are_refused(change, text):
    with pytest.raises(InputError, match=text):
        MACEConfig(n_species=2, cutoff=3.6, **change)


def test_products_are_all_equivariant_polynomials():
    # Kills: a coupling that is no tensor, one that another contains, one left out (counts of invariants by hand: the
    # degrees 000 011 022 033 112 123 222 233 couple to a scalar once each).
    kinds = tuple(Irrep(l, (-1) ** l) for l in range(4))
    x = np.random.default_rng(0).normal(size=(16, 1))
    turn = Rotation.random(random_state=1).as_matrix() * -1
    blocks = [representation(l, turn) for l in range(4)]
    turned = block_diag(*blocks) @ x
    for out in (Irrep(0, 1), Irrep(1, -1), Irrep(2, 1)):
        for degree in (1, 2, 3, 4):
            couplings = symmetric_couplings(kinds, out, degree)
            here, there = (np.einsum("pmk,pu->km", couplings, powers(y, degree)[degree]) for y in (x, turned))
            assert np.abs(there - here @ blocks[out.l].T).max() < 1e-12 * np.abs(here).max()
            rank = np.linalg.matrix_rank(couplings.reshape(-1, couplings.shape[-1]))
            assert rank == couplings.shape[-1]
    assert [symmetric_couplings(kinds, Irrep(0, 1), degree).shape[-1] for degree in (1, 2, 3)] == [1, 4, 8]


def representation(l: int, turn: np.ndarray) -> np.ndarray:
    """The matrix by which harmonics of a degree turn, by least squares over some directions."""
    directions = np.random.default_rng(2).normal(size=(40, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    own = slice(l * l, (l + 1) ** 2)
    before, after = (harmonics(d, l)[:, own] for d in (directions, directions @ turn.T))
    return np.linalg.lstsq(before, after, rcond=None)[0].T
