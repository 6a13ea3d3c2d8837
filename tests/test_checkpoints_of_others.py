"""Checkpoints of SevenNet and NequIP: networks of random weights against what their packages find, and bad files.

The frozen ones were made by tests/reference/make_sevennet_reference.py and make_nequip_reference.py.
"""

import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from ase_phonax import PhonaxCalculator, load_model
from ase_phonax.base.errors import ModelError
from ase_phonax.cli import main
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.derivatives.stars import exact_operations, rotated
from ase_phonax.models import registry
from ase_phonax.models.files.nequip_package import read_nequip
from ase_phonax.models.files.sevennet import read_sevennet
from ase_phonax.models.files.torch_archives import read_archive

from .mace_models import structures
from .nequip_models import MODELS as NEQUIP
from .sevennet_models import MODELS as SEVENNET

FOLDER = Path(__file__).parent / "reference"
READERS = {"sevennet": (read_sevennet, ".pth"), "nequip": (read_nequip, ".ckpt")}
EVERY = [("sevennet", name) for name in SEVENNET] + [("nequip", name) for name in NEQUIP]
# Both compute in double precision, of the same numbers: what is left is rounding.
TOLERANCE = 1e-12


def file_of(package: str, name: str) -> Path:
    return FOLDER / package / (name.replace(",", "").replace(" ", "-") + READERS[package][1])


def saved(package: str, name: str):
    return READERS[package][0](file_of(package, name))


@pytest.mark.parametrize(("package", "name"), EVERY)
def test_results_equal_those_of_the_package(package, name):
    # Kills: any wrong convention: direction of edges, order of products, signs of couplings, norms, units.
    expected = json.loads((FOLDER / f"{package}.json").read_text())[name]
    calc = PhonaxCalculator(saved(package, name))
    for key, atoms in structures().items():
        atoms.calc = calc
        found = {"energies": atoms.get_potential_energies(), "forces": atoms.get_forces()}
        found |= {"stress": atoms.get_stress()} if atoms.pbc.all() else {}
        for what, value in expected[key].items():
            off = np.abs(found[what] - np.array(value)).max()
            assert off <= TOLERANCE * np.abs(value).max(), (key, what, off)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("sevennet", "rotations alone"),
        ("sevennet", "parity, elements"),
        ("nequip", "parity, elements, repulsion"),
        ("nequip", "trained basis"),
    ],
)
def test_the_function_for_jax_equals_the_arrays(package, name):
    potential, atoms = saved(package, name), structures()["crystal"]
    arrays, function = Evaluator(potential, np.dtype(float)), Evaluator(replace(potential, parts=None), np.dtype(float))
    for a, b in zip(arrays.energy_forces_stress(atoms), function.energy_forces_stress(atoms), strict=True):
        assert np.abs(a - b).max() <= TOLERANCE * np.abs(a).max()
    q = np.array([[0.1, 0.3, -0.2]])
    a, b = arrays.lattice_matrices(atoms, q)[0], function.lattice_matrices(atoms, q)[0]
    assert np.abs(a - b).max() <= 1e-11 * np.abs(a).max()


def test_a_network_without_parity_keeps_rotations_alone():
    # Kills: matrices unfolded by mirrors that this network does not obey.
    atoms, q = bulk("SiC", "zincblende", 4.3), [[0.1, 0.2, 0.35], [0.5, 0.1, 0.0]]
    operations = exact_operations(atoms, 1e-5)
    improper = np.flatnonzero(np.linalg.det(operations.cartesian) < 0)[0]
    for name, breaks in (("rotations alone", True), ("parity, elements", False)):
        calc = PhonaxCalculator(saved("sevennet", name))
        found, each = (calc.get_dynamical_matrix(atoms, q, symmetry=own) for own in (True, False))
        assert np.abs(found - each).max() <= 1e-12 * np.abs(each).max()
        moved = np.linalg.solve(operations.rotations[improper].T, q[0])
        image = calc.get_dynamical_matrix(atoms, [moved], symmetry=False)[0]
        asymmetry = np.abs(rotated(each[0], improper, operations) - image).max() / np.abs(image).max()
        assert bool(asymmetry > 1e-3) is breaks, asymmetry


def test_a_network_without_parity_is_named_in_results(tmp_path):
    from ase.io import write

    write(tmp_path / "SiC.cif", bulk("SiC", "zincblende", 4.3))
    path = file_of("sevennet", "rotations alone")
    command = ["phonons", str(tmp_path / "SiC.cif"), "--model", str(path), "--no-relax", "--supercell", "1"]
    assert main([*command, "--output", str(tmp_path / "out"), "--quiet"]) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert "rotations alone" in summary["model_symmetry"]
    assert summary["checks"]["space_group_residual"] > 1e-4  # measured by a mirror


def test_columns_of_older_versions_are_put_in_order(tmp_path):
    """Before 0.11, SevenNet's radial weights stood in the order of the products."""
    # Layer 2: 4x0e+4x1o+4x2e with harmonics up to 2 into 0e, 1o, 1e, 2o, 2e.
    names = ["0e", "1o", "2e", "1o", "0e", "1e", "2e", "1o", "2o", "2e", "1o", "2o", "0e", "1e", "2e"]
    order = sorted(range(len(names)), key=lambda k: (names[k][0], names[k][1] == "e"))

    def make_old(content, today=False):
        weights = content["model_state_dict"]["1_convolution.weight_nn.layer2.weight"]
        old = np.empty_like(weights)
        for place, k in enumerate(order):
            old[:, 4 * k : 4 * k + 4] = weights[:, 4 * place : 4 * place + 4]
        content["model_state_dict"]["1_convolution.weight_nn.layer2.weight"] = old
        content["config"]["version"] = "0.11.0" if today else "0.10.4"

    old = changed(tmp_path, "sevennet", "parity, elements", make_old)
    new, found = (read_sevennet(path).parameters for path in (file_of("sevennet", "parity, elements"), old))
    assert all(np.array_equal(new["layer_1"][name], found["layer_1"][name]) for name in new["layer_1"])
    as_today = read_sevennet(changed(tmp_path, "sevennet", "parity, elements", lambda c: make_old(c, today=True)))
    assert not np.array_equal(as_today.parameters["layer_1"]["radial_2"], new["layer_1"]["radial_2"])


def test_they_are_named_like_any_model_and_converted_without_trust(tmp_path, capsys):
    for package, name in (("sevennet", "one layer, one scale"), ("nequip", "one layer")):
        path, out = file_of(package, name), tmp_path / f"{package}.h5"
        with pytest.warns(match="registered nowhere"):
            direct = load_model(path)
        assert main(["convert", str(path), str(out), "--licence", "MIT"]) == 0
        assert "2 elements, 1 layers" in capsys.readouterr().out
        found = load_model(out)
        assert found.provenance.licence == "MIT"
        assert replace(found, name=direct.name).fingerprint() == direct.fingerprint()
    assert main(["convert", str(path), str(tmp_path / "x.h5"), "--head", "a"]) == 2
    assert "has none" in capsys.readouterr().err


def test_a_registered_one_is_found_inside_its_package(tmp_path, monkeypatch):
    source = file_of("sevennet", "one layer, one scale")
    folder = tmp_path / "site/somebody/models"
    folder.mkdir(parents=True)
    (tmp_path / "site/somebody/__init__.py").write_text("raise SystemExit('imported')")
    shutil.copy(source, folder / "one.pth")
    card = {
        **{
            "name": "one",
            "elements": ["C", "Si"],
            "level_of_theory": "none",
            "n_parameters": 1,
            "training_set": "none",
        },
        **{"licence": "MIT", "purpose": "both", "summary": "", "errors": "", "citation": "", "n_bytes": 1},
        **{"url": "https://example.org/one.pth", "sha256": registry.sha256_of(source)},
        "package_file": "somebody/models/one.pth",
    }
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards/one.json").write_text(json.dumps(card))
    monkeypatch.setattr(registry, "MODEL_FOLDERS", (tmp_path / "cards",))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert load_model("one").fingerprint() == load_model(folder / "one.pth").fingerprint()
    (folder / "one.pth").unlink()
    with pytest.raises(ModelError, match="models get one"):
        load_model("one")


def changed(tmp_path, package, name, change):
    """A checkpoint whose content was changed, written without PyTorch: numbers lie in the pickle."""
    content = read_archive(file_of(package, name))
    change(content)
    path = tmp_path / f"x{READERS[package][1]}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(content, protocol=4))
    return path


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("readout_as_fcn", True, "a readout of several layers"),
        ("use_modality", True, "several levels of theory"),
        ("_normalize_sph", False, "harmonics of vectors of their own length"),
        ("act_radial", "ssp", "a radial activation"),
        ("use_bias_in_linear", True, "biases"),
        ("self_connection_type", ["linear", "nequip", "nequip"], "self-connections"),
        ("lmax_edge", 1, "other degrees"),
        ("irreps_manual", ["4x0e", "4x0e+2x0o+4x1o", "4x0e+4x1o", "4x0e"], "the irreps"),
    ],
)
def test_options_of_sevennet_that_no_network_here_has_are_named(tmp_path, option, value, text):
    path = changed(tmp_path, "sevennet", "parity, elements", lambda content: content["config"].update({option: value}))
    with pytest.raises(ModelError, match=text):
        read_sevennet(path)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("readout_mlp_hidden_layers_depth", 1, "readout_mlp_hidden_layers_depth 1"),
        ("convnet_resnet", True, "convnet_resnet"),
        ("per_edge_type_cutoff", {"Si": 2.0}, "per_edge_type_cutoff"),
        ("convnet_nonlinearity_type", "norm", "convnet_nonlinearity_type"),
        ("avg_num_neighbors", {"Si": 3.0, "C": 4.0}, "numbers of neighbours of each element"),
        ("pair_potential", {"_target_": "nequip.nn.pair_potential.LennardJones"}, "the pair potential"),
        ("type_names", ["Si", "water"], "types water"),
        ("_target_", "allegro.model.AllegroModel", "Allegro"),
        ("_target_", "nequip.model.ModelFromCheckpoint", "nequip.model.ModelFromCheckpoint"),
    ],
)
def test_options_of_nequip_that_no_network_here_has_are_named(tmp_path, option, value, text):
    def change(content):
        content["hyper_parameters"]["model"][option] = value

    with pytest.raises(ModelError, match=text):
        read_nequip(changed(tmp_path, "nequip", "parity, elements, repulsion", change))


class Boom:
    """Its pickle would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("package", READERS)
def test_nothing_of_a_pickle_is_run(tmp_path, package):
    read, ending = READERS[package]
    path = tmp_path / f"x{ending}"
    for protocol in (2, 4):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", pickle.dumps(Boom(str(tmp_path / "made")), protocol=protocol))
        with pytest.raises(ModelError, match=r"it names (posix|nt)\.mkdir"):
            read(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("package", READERS)
def test_files_that_are_none_are_refused(tmp_path, package):
    read, ending = READERS[package]
    path = tmp_path / f"x{ending}"
    with pytest.raises(ModelError, match="does not exist"):
        read(path)
    source = file_of(package, "one layer" + (", one scale" if package == "sevennet" else ""))
    path.write_bytes(source.read_bytes()[:-4000])
    with pytest.raises(ModelError, match="no archive of PyTorch"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"weights": [1.0]}, protocol=2))
    with pytest.raises(ModelError, match="not what a checkpoint of"):
        read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(1000))
    with pytest.raises(ModelError, match="compressed"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        half = b"(X\x07\x00\x00\x00storagectorch\nHalfStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ."
        archive.writestr("x/data.pkl", b"\x80\x02" + half)
    with pytest.raises(ModelError, match="half precision"):
        read(path)


def test_missing_and_superfluous_numbers_are_noticed(tmp_path):
    def without(name):
        return lambda content: content["model_state_dict"].pop(name)

    def shorter(name):
        def change(content):
            content["model_state_dict"][name] = content["model_state_dict"][name][:-1]

        return change

    for change in (
        without("0_convolution.weight_nn.layer1.weight"),
        without("1_convolution.convolution._compiled_main_left_right._w3j_1_1_1"),
        shorter("2_self_interaction_2.linear.weight"),
        shorter("1_self_connection_intro.fc_tensor_product.weight"),
    ):
        with pytest.raises(ModelError, match="its modules are not as SevenNet's own are"):
            read_sevennet(changed(tmp_path, "sevennet", "parity, elements", change))


TRAINING = FOLDER / "nequip_training"


def test_a_training_of_nequip_0_6_gives_what_it_found():
    # Kills: the last layer's gates taken for scalars, a scale of all energies left out.
    expected = json.loads((TRAINING / "results.json").read_text())
    with pytest.warns(match="registered nowhere"):
        calc = PhonaxCalculator(TRAINING / "best_model.pth")
    for key, atoms in structures().items():
        atoms.calc = calc
        for found, what in ((atoms.get_potential_energies(), "energies"), (atoms.get_forces(), "forces")):
            value = np.array(expected[key][what])
            assert np.abs(found - value).max() <= TOLERANCE * np.abs(value).max(), (key, what)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("resnet", True, "resnet True"),
        ("nonlinearity_scalars", {"e": "ssp", "o": "tanh"}, "nonlinearity_scalars"),
        ("model_builders", ["allegro.model.Allegro"], "Allegro"),
        ("avg_num_neighbors", "auto", "avg_num_neighbors 'auto'"),
        ("num_features", 4, "not as NequIP 0.5 and 0.6 have them"),
    ],
)
def test_options_of_a_training_that_no_network_here_has_are_named(tmp_path, option, value, text):
    import yaml

    shutil.copy(TRAINING / "best_model.pth", tmp_path)
    with pytest.raises(ModelError, match=r"configuration of the training .* does not exist"):
        load_model(tmp_path / "best_model.pth")
    settings = yaml.safe_load((TRAINING / "config.yaml").read_text()) | {option: value}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ModelError, match=text):
        load_model(tmp_path / "best_model.pth")


def test_numbers_are_no_objects_and_no_addresses(tmp_path):
    """NumPy's own kinds may hold pointers: a pickle that gives them a state could read from anywhere."""
    kind = np.dtype("V8")
    for content in (
        {"config": kind},
        {"config": np.array([None, 1], object)},
        {"config": np.zeros(2, [("a", "f8"), ("b", "i4")])},
        {"config": np.zeros(3, ">f8")},
    ):
        path = tmp_path / "x.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", pickle.dumps(content, protocol=2))
        with pytest.raises(ModelError, match=r"kind|parts|order|no numbers|names"):
            read_archive(path)


@pytest.mark.parametrize("case", ["memo", "nested", "keys", "tensors", "layers", "degrees"])
def test_small_files_take_no_large_memory_or_long_time(tmp_path, case):
    import time
    import tracemalloc

    nested: object = 1
    for _ in range(64):
        nested = (nested, nested)
    memo = b"\x80\x02K\x01r" + (3 * 10**9).to_bytes(4, "little") + b"."
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\x00\x00\x10\x00tQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00J\x00\x00\x10\x00\x85K\x01\x85tR"
    contents = {
        "memo": memo,
        "nested": pickle.dumps({"config": nested}, protocol=2),
        "keys": b"\x80\x02}K\x01" + b"2\x86" * 64 + b"K\x01s.",  # a tuple of itself, 64 times: hashing it never ends
        "tensors": b"\x80\x02](" + tensor * 100 + b"e.",
    }
    path, start = tmp_path / "x.pth", time.perf_counter()
    tracemalloc.start()
    if case in contents:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", contents[case])
            archive.writestr("x/data/0", bytes(4 << 20))
    else:
        option = {"num_convolution_layer": 10**9} if case == "layers" else {"lmax": 3000}
        path = changed(tmp_path, "sevennet", "parity, elements", lambda content: content["config"].update(option))
    with pytest.raises(ModelError):
        read_sevennet(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert time.perf_counter() - start < 20
