"""PyTorch MACE models converted and compared live. Collected where torch and mace-torch are installed (conftest)."""

import os
from pathlib import Path

import mace
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from ase_phonax import load_model
from ase_phonax.base.errors import ModelError
from ase_phonax.cli import main
from ase_phonax.models.files.mace_checkpoint import check_fields, read_mace

from .mace_models import HEAD, MODELS, structures, torch_model, torch_results
from .test_mace import TOLERANCE, errors
from .test_mace import found as results_of

assert mace  # before e3nn: its constants can be read only after it
pytestmark = pytest.mark.filterwarnings("ignore")  # the other packages' own


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_installed_mace_torch_converts_and_agrees(name, tmp_path):
    model = torch_model(name, seed=5)
    torch.save(model, tmp_path / "random.model")
    potential = read_mace(tmp_path / "random.model", trust=True, head=HEAD.get(name))
    expected = {key: torch_results(model, atoms, HEAD.get(name)) for key, atoms in structures().items()}
    worst = errors(potential, expected)
    assert all(worst[key] <= TOLERANCE[key] for key in worst), worst


def test_fields_that_are_not_known_are_named():
    model = torch_model("residual, two heads")
    check_fields(model)
    model.charge_equilibration = torch.nn.Linear(2, 2)
    model.interactions[1].attention = torch.nn.Linear(2, 2)
    model.long_range = True
    with pytest.raises(ModelError, match=r"charge_equilibration, interactions\[1\].attention, long_range"):
        check_fields(model)


def test_options_that_no_network_here_has_are_named(tmp_path):
    for options, text in (
        ({"use_so3": True}, "use_so3"),
        ({"radial_type": "chebyshev"}, "the radial basis ChebychevBasis"),
        ({"gate": torch.abs}, "the activation abs"),
        ({"interaction": "RealAgnosticResidualNonLinearInteractionBlock"}, "RealAgnosticResidualNonLinear"),
    ):
        model = torch_model("correlation 1", **options)
        torch.save(model, tmp_path / "x.model")
        with pytest.raises(ModelError, match=text):
            read_mace(tmp_path / "x.model", trust=True)


def test_the_command_writes_a_file_that_needs_no_torch(tmp_path, capsys):
    torch.save(torch_model("correlation 1"), tmp_path / "x.model")
    command = ["convert", str(tmp_path / "x.model"), str(tmp_path / "x.h5"), "--trust", "--licence", "MIT"]
    assert main(command) == 0
    assert "2 elements, 2 layers, cutoff 3.6 Å" in capsys.readouterr().out
    potential = load_model(tmp_path / "x.h5")
    assert (potential.architecture, potential.provenance.licence) == ("mace", "MIT")
    assert main(command) == 5
    assert "--overwrite" in capsys.readouterr().err


def test_what_is_in_the_file_is_checked_before_it_is_believed(tmp_path):
    # Kills: numbers that are none, constants that do not follow from the cutoff, several models, half a precision.
    path = tmp_path / "x.model"

    def refused(change, text):
        model = torch_model("correlation 1")
        changed = change(model)
        torch.save(model if changed is None else changed, path)
        with pytest.raises(ModelError, match=text):
            read_mace(path, trust=True)

    def spoilt(model):
        model.node_embedding.linear.weight.data[0] = float("nan")

    def shorter(model):
        model.radial_embedding.cutoff_fn.r_max = torch.tensor(2.0)

    refused(spoilt, "not finite")
    refused(shorter, "a cutoff of its own in the envelope")
    refused(lambda model: [model, model], "2 objects at once")
    refused(lambda model: setattr(model, "radial_embedding", torch.nn.Linear(1, 1)), "not as MACE's own are")
    torch.save(torch_model("correlation 1").bfloat16(), path)
    potential = read_mace(path, trust=True)
    assert {a.dtype for arrays in potential.parameters.values() for a in arrays.values()} == {np.dtype(float)}
    assert "sha256" in potential.provenance.source


PUBLIC = {
    "acesuit2022_GeSbTe_L1_mace_swa": bulk("GeTe", "rocksalt", 6.0),
    "aims-PAX_Si": bulk("Si"),
    "mace01_swa": molecule("CH3CH2OH"),
    "mace_PracI_Sec3_200conf_swa": molecule("CH3CH2OH"),
}


@pytest.mark.skipif("PHONAX_DATA" not in os.environ, reason="public weights are not at hand")
@pytest.mark.parametrize("name", PUBLIC)
def test_public_trained_models_convert_and_agree(name):
    path = Path(os.environ["PHONAX_DATA"]) / "weights/mace" / f"{name}.model"
    atoms = PUBLIC[name].copy()
    atoms.rattle(0.05, seed=2)
    model = torch.load(path, weights_only=False, map_location="cpu")
    expected, found = torch_results(model, atoms, None), results_of(read_mace(path, trust=True), atoms)
    for key, value in expected.items():
        assert np.abs(found[key] - value).max() <= 1e-9 * np.abs(value).max(), key


def test_the_layout_of_2022_is_read(tmp_path):
    """Linear maps that join the blocks of an irrep, and plain attributes in the place of buffers."""
    model = torch_model("three layers", seed=3)
    for block in model.interactions:
        old = block.linear
        block.linear = type(old)(old.irreps_in.simplify(), old.irreps_out).double()
    atoms = structures()["crystal"]
    expected = torch_results(model, atoms, None)
    for name in ("r_max", "atomic_numbers"):
        value = getattr(model, name)
        del model._buffers[name]
        setattr(model, name, float(value) if name == "r_max" else value.tolist())
    torch.save(model, tmp_path / "old.model")
    found = results_of(read_mace(tmp_path / "old.model", trust=True), atoms)
    for key, value in expected.items():
        assert np.abs(found[key] - value).max() <= 1e-12 * np.abs(value).max(), key
