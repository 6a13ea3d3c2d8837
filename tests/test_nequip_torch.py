"""NequIP checkpoints compared live. Collected where torch and nequip are installed (conftest)."""

import numpy as np
import pytest

from ase_phonax import PhonaxCalculator
from ase_phonax.models.files.nequip_package import read_nequip

from .mace_models import structures
from .nequip_models import MODELS, save, torch_model, torch_results

pytestmark = pytest.mark.filterwarnings("ignore")  # the other packages' own


@pytest.mark.parametrize("name", MODELS)
def test_a_network_of_the_installed_nequip_agrees(name, tmp_path):
    model, checkpoint = torch_model(name, seed=11)
    calc = PhonaxCalculator(read_nequip(save(checkpoint, tmp_path / "x.ckpt")))
    for atoms in structures().values():
        atoms.calc = calc
        found = {"energies": atoms.get_potential_energies(), "forces": atoms.get_forces()}
        found |= {"stress": atoms.get_stress()} if atoms.pbc.all() else {}
        for key, value in torch_results(model, atoms).items():
            assert np.abs(found[key] - value).max() <= 1e-10 * np.abs(value).max(), key


def test_averaged_weights_take_the_place_of_the_last_ones(tmp_path):
    # Kills: averages given to other parameters than theirs.
    model, checkpoint = torch_model("trained basis", seed=1)
    averaged = [1.1 * value.detach() for value in model.parameters()]
    state = checkpoint["state_dict"]
    state |= {f"ema.ema_weight_{k}": value for k, value in enumerate(averaged)}
    path = save(checkpoint, tmp_path / "x.ckpt")
    atoms = structures()["crystal"]
    import torch

    with torch.no_grad():
        for value, other in zip(model.parameters(), averaged, strict=True):
            value.copy_(other)
    expected = torch_results(model, atoms)
    atoms.calc = PhonaxCalculator(read_nequip(path))
    assert np.abs(atoms.get_forces() - expected["forces"]).max() <= 1e-10 * np.abs(expected["forces"]).max()
