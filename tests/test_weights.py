"""Model files: what is written comes back, and nothing else is taken for a model."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import PhonaxCalculator, list_models, load_model, predict_charges, predict_density, save_model
from ase_phonax.base import hdf5
from ase_phonax.base.errors import InputError, ModelError, OutputError
from ase_phonax.models.potential import Potential


@pytest.fixture
def saved(untrained, tmp_path):
    path = tmp_path / "model.h5"
    save_model(untrained, path)
    return path


def test_a_saved_model_comes_back_bit_for_bit(untrained, saved):
    loaded = load_model(saved)
    assert loaded.config == untrained.config
    assert loaded.numbers == untrained.numbers
    assert loaded.provenance == untrained.provenance
    for module, arrays in untrained.parameters.items():
        for name, array in arrays.items():
            assert np.array_equal(loaded.parameters[module][name], array)
            assert loaded.parameters[module][name].dtype == array.dtype
    # Equal configurations share their functions, and with them everything that was compiled.
    assert loaded.node_energies is untrained.node_energies


def test_a_model_file_holds_numbers_and_text_only(saved):
    with h5py.File(saved) as file:
        header = json.loads(file.attrs["header"])
        assert header["format"] == "ase-phonax model"
        kinds = []
        file.visititems(lambda _, item: kinds.append(item.dtype.kind) if isinstance(item, h5py.Dataset) else None)
    assert set(kinds) == {"f"}


def test_an_existing_model_file_is_not_overwritten_unasked(untrained, saved):
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        save_model(untrained, saved)
    assert saved.read_bytes() == before
    save_model(untrained, saved, overwrite=True)
    assert [p.name for p in saved.parent.iterdir()] == ["model.h5"], "a temporary file was left behind"


def test_a_folder_that_does_not_exist_is_named(untrained, tmp_path):
    with pytest.raises(OutputError, match=r"nowhere.*cannot be written"):
        save_model(untrained, tmp_path / "nowhere" / "model.h5")


def test_a_plain_function_cannot_be_saved(tmp_path):
    function = Potential.from_function(lambda p, r, s, e: e.aggregate(r[:, 0]), cutoff=3.0, n_layers=1, numbers=(14,))
    with pytest.raises(InputError, match="wraps a plain function"):
        save_model(function, tmp_path / "model.h5")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a model file ran code",))


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".pth", ".model", ".nqx", ".h5"])
def test_a_pickle_is_refused_under_any_name_and_never_loaded(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError):
        load_model(path)


def test_a_pickled_array_inside_a_checkpoint_is_refused(tmp_path):
    header = {
        "atomic_numbers": [14],
        "hidden_irreps": "4x0e",
        "lmax": 1,
        "cutoff": 3.0,
        "n_layers": 1,
        "scale": 1.0,
        "shift": 0.0,
    }
    path = tmp_path / "model.nqx"
    with open(path, "wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError, match="block 0 is damaged"):
        load_model(path)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_native_file_is_refused(saved, keep):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ModelError, match=r"not a complete model file|is empty"):
        load_model(saved)


@pytest.mark.data
@pytest.mark.parametrize("keep", [0.001, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(data, tmp_path, keep):
    content = (data / "weights" / "nequix-mp-1.nqx").read_bytes()
    path = tmp_path / "cut.nqx"
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ModelError, match=r"is damaged|is missing|not JSON"):
        load_model(path)


@pytest.mark.data
def test_the_public_checkpoint_has_the_published_number_of_parameters(data):
    potential = load_model(data / "weights" / "nequix-mp-1-pft.nqx")
    assert potential.n_parameters == 707_658
    assert len(potential.numbers) == 89
    assert (potential.cutoff, potential.n_layers) == (6.0, 4)


@pytest.mark.data
def test_a_checkpoint_saved_natively_gives_the_same_energy(data, tmp_path):
    original = load_model(data / "weights" / "nequix-mp-1-pft.nqx")
    save_model(original, tmp_path / "native.h5")
    native = load_model(tmp_path / "native.h5")
    for module, arrays in original.parameters.items():
        assert all(np.array_equal(native.parameters[module][name], array) for name, array in arrays.items())
    assert native.node_energies is original.node_energies


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_model(tmp_path / "absent.h5")
    with pytest.raises(ModelError, match="name the registered nequix-mp-1"):
        load_model("nequix-mp-1.nqx")
    with pytest.raises(ModelError, match="neither a registered name nor a file"):
        load_model("absent")
    with pytest.raises(ModelError, match="did you mean 'phonax-small'"):
        load_model("phonax-smal")
    foreign = tmp_path / "other.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1.0
    with pytest.raises(ModelError, match="not a complete model file"):
        load_model(foreign)
    text = tmp_path / "notes.nqx"
    text.write_text("no model at all\n")
    with pytest.raises(ModelError, match="not JSON"):
        load_model(text)


def test_a_newer_format_is_refused_with_its_version(saved):
    content = hdf5.read(saved)
    header = json.loads(content.attributes[""]["header"])
    saved.write_bytes(hdf5.pack(content.arrays, {"": {"header": json.dumps(header | {"version": 99})}}))
    with pytest.raises(ModelError, match="99"):
        load_model(saved)


def test_every_shipped_model_loads_and_agrees_with_its_card():
    cards = [card for card in list_models() if card.state == "shipped"]
    assert "phonax-small" in [card.name for card in cards]
    for card in cards:
        potential = load_model(card.name)
        assert potential.n_parameters == card.n_parameters
        for name in ("level_of_theory", "training_set", "licence", "citation"):
            # The file's go into every summary.json, the card's into lists.
            assert getattr(potential.provenance, name) == getattr(card, name) != ""
        assert not Path(potential.provenance.training["configuration"]["run"]["output"]).is_absolute()
        if card.purpose == "charges":
            assert predict_charges(bulk("MgO", "rocksalt", a=4.21), card.name).doubt is None
            continue
        if card.purpose == "densities":
            assert predict_density(bulk("MgO", "rocksalt", a=4.21), card.name).expected_error < 0.1
            continue
        atoms = Atoms(
            [card.elements[0]] * 2, positions=[[0, 0, 0], [0, 0, 1.2]], calculator=PhonaxCalculator(card.name)
        )
        assert np.isfinite(atoms.get_potential_energy())


def test_the_small_model_gives_the_energy_and_forces_it_shipped_with():
    # Frozen from the file; the compiled network gives the same. Edge vectors turned the wrong way round would flip
    # the odd harmonics.
    atoms = bulk("SiC", "zincblende", 4.38)
    atoms.positions[1] += [0.05, -0.02, 0.03]
    atoms.calc = PhonaxCalculator("phonax-small")
    assert atoms.get_potential_energy() == pytest.approx(-15.05006308233187, abs=1e-9)
    forces = [0.9672111599164589, -0.4673563817054587, 0.6224908384706827]
    assert atoms.get_forces()[0] == pytest.approx(forces, abs=1e-9)
