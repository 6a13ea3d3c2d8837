"""Configurations: what is written is what is run, and what cannot be meant is refused by name."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ase_phonax.base.errors import InputError
from ase_phonax.base.settings import read_yaml
from ase_phonax.models.mace.config import MACEConfig
from ase_phonax.models.nequip.config import NequIPConfig
from ase_phonax.training import TrainingConfig, read_config
from ase_phonax.training.config import DataConfig, as_dict, config_from, relative_to
from ase_phonax.training.config_checks import CHOICES, LEAST

TEXT = """
data:
  train: [a.xyz, sub/b.h5, /abs/c.h5]
  valid: v.xyz
  keys: {energy: REF_energy}
  repeat: {sub/b.h5: 3}
network:
  cutoff: 4.5
  hidden_irreps: 4x0e + 4x1o
  radial_sizes: [8, 8]
  layer_norm: true
  elements: [Si, O]
  energies: {Si: -1e2, O: -3.5}
loss:
  curvature: 1e-3
  scales: {forces: 5e-2}
optimiser:
  learning_rate: 1e-3
  epochs: 1e2
run:
  output: out
  devices: all
"""


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(TEXT)
    return path


def test_yaml_becomes_the_configuration_with_paths_from_its_folder(written):
    config, folder = read_config(written), str(written.parent)
    assert config.data.train == (f"{folder}/a.xyz", f"{folder}/sub/b.h5", "/abs/c.h5")
    assert config.data.valid == (f"{folder}/v.xyz",)
    assert config.data.repeat == {f"{folder}/sub/b.h5": 3}
    assert config.run.output == f"{folder}/out"
    assert config.run.devices == "all"
    # YAML 1.1 reads 1e-3, without a point and a sign, as text.
    assert config.optimiser.learning_rate == 1e-3
    assert (config.optimiser.epochs, type(config.optimiser.epochs)) == (100, int)
    assert config.loss.curvature == 1e-3
    assert config.loss.scales == {"forces": 0.05}
    assert config.network.energies == {"Si": -100, "O": -3.5}
    assert config.network.elements == ("Si", "O")
    assert config.network.options == {
        "cutoff": 4.5,
        "hidden_irreps": "4x0e + 4x1o",
        "radial_sizes": (8, 8),
        "layer_norm": True,
    }


def test_a_configuration_survives_json(written):
    config = read_config(written)
    assert config_from(json.loads(json.dumps(as_dict(config)))) == config
    assert config_from({}) == TrainingConfig()


def test_a_part_to_hold_out_is_a_number_even_where_yaml_reads_text():
    assert config_from({"data": {"valid": "2e-1"}}).data.valid == 0.2
    assert config_from({"data": {"valid": 0}}).data.valid == 0
    assert config_from({"run": {"devices": "2"}}).run.devices == 2
    assert relative_to(config_from({"data": {"valid": 0.2}}), Path("/x")).data.valid == 0.2


@pytest.mark.parametrize(
    ("values", "key", "near"),
    [
        ({"los": {}}, "los", "loss"),
        ({"loss": {"force": 1}}, "loss.force", "forces"),
        ({"optimiser": {"learningrate": 1}}, "optimiser.learningrate", "learning_rate"),
        ({"optimiser": {"batchsize": 1}}, "optimiser.batchsize", "batch_size"),
        ({"network": {"cutof": 4}}, "network.cutof", "cutoff"),
        ({"network": {"options": {"n_layer": 4}}}, "network.n_layer", "n_layers"),
        ({"run": {"sead": 4}}, "run.sead", "seed"),
        ({"fine_tune": {"frosen": "a"}}, "fine_tune.frosen", "frozen"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(values, key, near):
    with pytest.raises(InputError, match="unknown key") as error:
        config_from(values)
    assert repr(key) in error.value.what
    assert repr(near) in error.value.remedy


def test_a_key_like_no_other_is_refused_with_all_there_are():
    with pytest.raises(InputError, match=r"unknown key .network.n_species"):
        config_from({"network": {"n_species": 3}})
    with pytest.raises(InputError, match=r"known here are .*fine_tune"):
        config_from({"xyz": 3})


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("loss", "energy", "much"),
        ("loss", "energy", True),
        ("loss", "columns", 1.5),
        ("loss", "columns", "1.5"),
        ("loss", "penalty", 3),
        ("loss", "scales", [1, 2]),
        ("loss", "scales", {"forces": "small"}),
        ("optimiser", "epochs", [3]),
        ("optimiser", "learning_rate", None),
        ("data", "train", [1, 2]),
        ("data", "train", 3),
        ("data", "repeat", {"a": "often"}),
        ("data", "repeat", {"a": 1.5}),
        ("network", "energies", {"Si": "low"}),
        ("network", "cutoff", "near"),
        ("network", "radial_sizes", ["a"]),
        ("network", "layer_norm", "yes, please"),
        ("network", "n_layers", 1.5),
        ("fine_tune", "frozen", {"a": 1}),
        ("run", "precision", 32),
        ("run", "devices", 1.5),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused_by_name(section, name, value):
    with pytest.raises(InputError, match=rf"{section}\.{name}") as error:
        config_from({section: {name: value}})
    # A scientist's words, not Python's.
    assert not re.search(r"\b(float|int|str|bool|NoneType|dict|tuple)\b", error.value.why)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("data", "train", 3),
        ("data", "repeat", {"a": 1.5}),
        ("loss", "energy", "much"),
        ("loss", "columns", True),
        ("optimiser", "epochs", 1.5),
        ("run", "devices", None),
    ],
)
def test_values_given_in_python_are_refused_as_those_of_yaml_are(section, name, value):
    """Kills: a TypeError of a comparison far from the value, or a run that ends with it."""
    kind = TrainingConfig.__dataclass_fields__[section].default_factory
    said = []
    for made in (
        lambda: TrainingConfig(**{section: kind(**{name: value})}),
        lambda: config_from({section: {name: value}}),
    ):
        with pytest.raises(InputError, match=rf"{section}\.{name}") as refused:
            made()
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_python_may_give_numbers_of_numpy_paths_and_mappings(tmp_path):
    config = TrainingConfig(
        data=DataConfig(train=[tmp_path / "a.xyz"]), loss={"energy": np.float64(2)}, network={"cutoff": np.float32(4)}
    )
    assert config == config_from(
        {"data": {"train": [str(tmp_path / "a.xyz")]}, "loss": {"energy": 2}, "network": {"cutoff": 4}}
    )
    assert type(config.loss.energy) is float
    json.dumps(dataclasses.asdict(config))


@pytest.mark.parametrize("values", [[], "text", {"loss": 3}, {"loss": [1]}, {"network": {"options": 3}}])
def test_what_is_no_mapping_is_refused(values):
    with pytest.raises(InputError, match="named settings inside"):
        config_from(values)


@pytest.mark.parametrize(("section", "name"), list(CHOICES))
def test_every_choice_is_checked(section, name):
    for choice in CHOICES[section, name]:
        assert getattr(getattr(config_from({section: {name: choice}}), section), name) == choice
    with pytest.raises(InputError, match=rf"{section}\.{name}") as error:
        config_from({section: {name: "other"}})
    assert CHOICES[section, name][0] in error.value.remedy


@pytest.mark.parametrize(("section", "name"), list(LEAST))
def test_every_number_has_its_bound(section, name):
    least, allowed = LEAST[section, name]
    kind = TrainingConfig.__dataclass_fields__[section].default_factory.__dataclass_fields__[name].type
    below = least - 1 if kind is int or allowed else least
    for value in (below, float("nan"), float("inf")):
        if kind is int and value != below:
            continue
        with pytest.raises(InputError, match=rf"{section}\.{name}"):
            config_from({section: {name: value}})
    if allowed and name != "epochs":
        assert getattr(getattr(config_from({section: {name: least}}), section), name) == least


def test_every_number_of_the_loss_and_the_optimiser_has_a_bound():
    # Kills: a new setting that nothing checks.
    for section in ("loss", "optimiser"):
        for field in dataclasses.fields(getattr(TrainingConfig(), section)):
            if field.type in (int, float):
                assert (section, field.name) in LEAST


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"loss": dict.fromkeys(("energy", "forces", "stress", "curvature"), 0)}, "every weight of the loss is 0"),
        ({"optimiser": {"accumulate": 3, "batch_size": 2}}, "optimiser.accumulate is 3 and optimiser.batch_size 2"),
        ({"optimiser": {"ema": 1}}, "optimiser.ema is 1"),
        ({"optimiser": {"warmup": 1.1}}, "warmup 1.1"),
        ({"data": {"repeat": {"a.xyz": 0}}}, "data.repeat.a.xyz is 0"),
        ({"network": {"architecture": "transformer"}}, "network.architecture is 'transformer'"),
        ({"network": {"average_neighbors": "many"}}, "network.average_neighbors is 'many'"),
        ({"network": {"scale": -1}}, "network.scale is -1"),
    ],
)
def test_what_cannot_be_trained_is_refused(values, words):
    with pytest.raises(InputError) as error:
        config_from(values)
    assert words in str(error.value)


def test_files_that_are_no_configuration_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_config(tmp_path / "nothing.yaml")
    path = tmp_path / "a.yaml"
    path.write_text("a: [1\n")
    with pytest.raises(InputError, match="is not YAML"):
        read_config(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not YAML"):
        read_config(path)
    path.write_text("[1, 2]")
    with pytest.raises(InputError, match="named settings inside"):
        read_config(path)
    path.write_text("")
    assert read_config(path).loss == TrainingConfig().loss


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run:\n  name: 2024-02-30\n", "is not YAML: ValueError: day is out of range for month"),
        ("run:\n  seed: 0x_\n", "is not YAML: ValueError"),
        ("run:\n  seed: " + "7" * 5000, "is not YAML: ValueError: Exceeds the limit"),
        ("loss: " + "[" * 5000, "is not YAML: ValueError: it is nested deeper than 100 levels"),
        ("? {a: 1}\n: 2\n", "is not YAML: ConstructorError"),
        ("loss:\n  energy: 1\n  forces: 1\n  energy: 2\n", "the key 'energy' stands twice, the second time on line 4"),
        ("loss: {energy: 1}\nloss: {forces: 1}\n", "the key 'loss' stands twice, the second time on line 2"),
        ("loss:\n  energy: .nan\n", "loss.energy is nan"),
        ("loss:\n  energy: -.inf\n", "loss.energy is -inf"),
        ("run:\n  seed: 1e300\n", "run.seed is"),
        ("run:\n  seed: 99999999999\n", "run.seed is 99,999,999,999"),
        ("run:\n  name: [a, b]\n", "run.name is ['a', 'b']"),
        ("network:\n  architecture: [nequip]\n", "network.architecture is ['nequip']"),
        ("optimiser:\n  epochs: true\n", "optimiser.epochs is True"),
        ("optimiser:\n  epochs: 1e15\n", "optimiser.epochs is 1,000,000,000,000,000"),
        ("data:\n  repeat: {a.xyz: 1e9}\n", "is 1000000000"),
        ("network: &a\n  cutoff: *a\n", "network.cutoff is {'cutoff': {'cutoff': {...}}}"),
    ],
)
def test_absurd_configurations_are_refused_in_words(tmp_path, text, words):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_config(path)
    assert words in str(error.value)


def test_merged_keys_of_yaml_are_no_repeated_ones(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("loss: &a {energy: 2, forces: 3}\n")
    assert read_config(path).loss.forces == 3
    path.write_text("base: &a {energy: 2, forces: 3}\nloss:\n  <<: *a\n  forces: 5\n")
    assert read_yaml(path)["loss"] == {"energy": 2, "forces": 5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden_irreps": "0x0e"}, "'0x0e' has no channels"),
        ({"hidden_irreps": "4x0e + 4x0e"}, "one of the two blocks would be lost"),
        ({"hidden_irreps": "999999999999x0e"}, "has no channels, or more than any memory holds"),
        ({"hidden_irreps": "4x0e + 4x50e"}, "give 1 to 100000 channels of a degree from 0 to 12"),
        ({"cutoff": 1e9}, "cutoff is 1000000000.0"),
        ({"l_max": 10**9}, "l_max is 1000000000"),
        ({"n_layers": 10**9}, "n_layers is 1000000000"),
        ({"n_basis": 10**9}, "n_basis is 1000000000"),
        ({"radial_sizes": (10**9,)}, r"radial_sizes is (1000000000,)"),
    ],
)
@pytest.mark.parametrize("kind", [NequIPConfig, MACEConfig])
def test_networks_that_fit_no_memory_are_refused_before_they_are_built(kind, options, words):
    with pytest.raises(InputError) as error:
        kind(**{"n_species": 1, "cutoff": 5.0} | options)
    if kind is NequIPConfig or "4x0e + 4x0e" not in options.values():
        assert words in str(error.value)
