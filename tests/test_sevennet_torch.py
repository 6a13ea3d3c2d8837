"""SevenNet checkpoints compared live. Collected where torch and sevenn are installed (conftest)."""

from pathlib import Path

import numpy as np
import pytest
import sevenn
import torch
from ase.build import bulk
from sevenn.calculator import SevenNetCalculator

from ase_phonax import DisplacementCalculator, PhonaxCalculator, get_phonopy
from ase_phonax.models.files.sevennet import read_sevennet
from ase_phonax.models.registry import find_card

from .mace_models import structures
from .sevennet_models import MODELS, save, torch_model, torch_results

FOLDER = Path(sevenn.__file__).parent / "pretrained_potentials"
UNIVERSAL = {
    "sevennet-0": FOLDER / "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "sevennet-l3i5": FOLDER / "SevenNet_l3i5/checkpoint_l3i5.pth",
}
pytestmark = pytest.mark.filterwarnings("ignore")  # the other packages' own


def deviations(calc: PhonaxCalculator, expected: dict, atoms) -> dict[str, float]:
    atoms.calc = calc
    found = {"energies": atoms.get_potential_energies(), "forces": atoms.get_forces()}
    return {key: np.abs(found[key] - value).max() / np.abs(value).max() for key, value in expected.items()}


@pytest.mark.parametrize("name", MODELS)
def test_a_network_of_the_installed_sevenn_agrees(name, tmp_path):
    model, checkpoint = torch_model(name, seed=11)
    calc = PhonaxCalculator(read_sevennet(save(checkpoint, tmp_path / "x.pth")))
    for atoms in structures().values():
        worst = deviations(calc, torch_results(model, checkpoint["config"], atoms), atoms)
        assert max(worst.values()) < 1e-12, worst


@pytest.mark.parametrize("name", UNIVERSAL)
def test_universal_potentials_agree(name):
    potential, theirs = read_sevennet(UNIVERSAL[name]), SevenNetCalculator(str(UNIVERSAL[name]), device="cpu")
    card = find_card(name)
    assert card.location == str(UNIVERSAL[name])  # found inside the package
    assert len(card.elements) == len(potential.numbers)
    assert card.n_parameters == potential.n_parameters
    atoms = bulk("NaCl", "rocksalt", 5.6) * (2, 1, 1)
    atoms.rattle(0.1, seed=4)
    config = {"cutoff": theirs.cutoff, "_type_map": theirs.type_map}
    worst = deviations(PhonaxCalculator(potential), torch_results(theirs.model, config, atoms), atoms)
    assert max(worst.values()) < 1e-12, worst
    # And as its users have it, in single precision: constants by displacements.
    torch.set_default_dtype(torch.float32)
    single = SevenNetCalculator(str(UNIVERSAL[name]), device="cpu")
    still = bulk("NaCl", "rocksalt", 5.6)
    exact = get_phonopy(still, PhonaxCalculator(potential), 2).force_constants
    displaced = get_phonopy(still, DisplacementCalculator(single, 0.02), 2).force_constants
    assert np.abs(exact - displaced).max() < 3e-3 * np.abs(exact).max()
