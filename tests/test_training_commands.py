"""`train`, `fine-tune` and `evaluate` as a user meets them, on a network that compiles in a second."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import write

from ase_phonax import evaluate, load_model, save_frames
from ase_phonax.cli import main
from ase_phonax.cli.training_runs import FINE_TUNING_TEMPLATE, TEMPLATE
from ase_phonax.training.config import TrainingConfig, config_from

from . import toy_network  # registers the architecture
from .labelled import moved_clusters, strained_crystals

assert "toy" in toy_network.networks.ARCHITECTURES


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Frames, and a configuration of a short training."""
    save_frames(moved_clusters(8), tmp_path / "clusters.h5")
    settings = {
        "data": {"train": ["clusters.h5"], "valid": 0.25},
        "network": {"architecture": "toy", "cutoff": 4.5},
        "optimiser": {"epochs": 3, "batch_size": 3},
        "run": {"output": "out", "name": "clusters", "licence": "CC0"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def change(folder: Path, section: str, **values) -> None:
    path = folder / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings.setdefault(section, {}).update(values)
    path.write_text(yaml.safe_dump(settings))


@pytest.mark.parametrize("template", [TEMPLATE, FINE_TUNING_TEMPLATE])
def test_templates_are_the_defaults_in_words(template):
    """A default changed in one place only would be found here, and a rate that ruins a model one goes on from."""
    told, default = config_from(yaml.safe_load(template)), TrainingConfig()
    assert told.loss == default.loss
    assert told.run == default.run
    assert told.optimiser == default.optimiser
    assert told.fine_tune == default.fine_tune
    assert told.data.valid == default.data.valid
    assert (template is TEMPLATE) == (told.network != default.network)


def test_train_then_evaluate(folder, capsys):
    assert main(["train", str(folder / "config.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "F meV/Å" in printed
    assert "H eV/Å²" in printed
    model = load_model(folder / "out/model.h5")
    assert model.name == "clusters"
    assert model.provenance.licence == "CC0"
    assert model.provenance.training["configuration"]["optimiser"]["epochs"] == 3
    assert (folder / "out/history.png").stat().st_size > 5000
    with (folder / "out/history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]

    report = folder / "scores.json"
    arguments = ["evaluate", str(folder / "out/model.h5"), str(folder / "clusters.h5"), "--json", str(report)]
    assert main([*arguments, "--csv", str(folder / "frames.csv"), "--quiet"]) == 0
    scores = evaluate(model, folder / "clusters.h5")
    found = json.loads(report.read_text())
    assert found["mae"] == pytest.approx(dict(scores.mae), rel=1e-12)
    assert len((folder / "frames.csv").read_text().splitlines()) == 1 + 8
    # Against the model's own forces and matrices, not through the code that trained it.
    frame = moved_clusters(8)[0]
    from ase_phonax import PhonaxCalculator

    calc = PhonaxCalculator(model)
    error = np.abs(calc.get_forces(frame.atoms) - frame.forces).mean()
    assert scores.per_frame[0]["forces"] == pytest.approx(error, rel=1e-10)


def test_resume_goes_on_and_a_second_start_is_refused(folder, capsys):
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 0
    once = load_model(folder / "out/model.h5").parameters
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 5
    assert "--resume" in capsys.readouterr().err
    assert main(["train", str(folder / "config.yaml"), "--quiet", "--resume"]) == 0  # nothing left to do
    again = load_model(folder / "out/model.h5").parameters
    assert all(np.array_equal(once[m][k], again[m][k]) for m in once for k in once[m])


def test_fine_tune_keeps_what_is_frozen(folder, capsys):
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 0
    before = load_model(folder / "out/model.h5").parameters
    change(folder, "fine_tune", frozen=["layer_0/*"])
    assert main(["fine-tune", str(folder / "out/model.h5"), str(folder / "config.yaml"), "--quiet"]) == 2
    assert "leave out the section network" in capsys.readouterr().err
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in settings.items() if k != "network"}))
    change(folder, "run", output="tuned", name="")
    assert main(["fine-tune", str(folder / "out/model.h5"), str(folder / "config.yaml"), "--quiet"]) == 0
    tuned = load_model(folder / "tuned/model.h5")
    assert tuned.name == "clusters-tuned"
    assert all(np.array_equal(before["layer_0"][k], tuned.parameters["layer_0"][k]) for k in before["layer_0"])
    assert not np.array_equal(before["~"]["readout"], tuned.parameters["~"]["readout"])


def test_keys_of_labels_can_be_named(folder, capsys):
    frames = strained_crystals(6)
    for atoms in frames:
        results, atoms.calc = atoms.calc.results, None
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = results["energy"], results["forces"]
    write(folder / "named.extxyz", frames)
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 0
    model, file = str(folder / "out/model.h5"), str(folder / "named.extxyz")
    assert main(["evaluate", model, file, "--quiet"]) == 2
    assert "keys" in capsys.readouterr().err
    assert main(["evaluate", model, file, "--key", "energy=REF_energy", "--key", "forces=REF_forces", "--quiet"]) == 0
    assert "stress" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("section", "values", "code", "said"),
    [
        ("optimiser", {"epoch": 3}, 2, "epochs"),
        ("data", {"train": ["nothing.extxyz"]}, 2, "nothing.extxyz"),
        ("data", {"valid": 0.01}, 2, "validation"),
        ("network", {"elements": ["C", "H"]}, 2, "Si"),
        ("loss", {"spectrum": 1.0, "projections": -1}, 2, "projections"),
        ("optimiser", {"learning_rate": 1e30, "clip": 0}, 6, "learning_rate"),
    ],
)
def test_what_cannot_work_is_said(folder, capsys, section, values, code, said):
    change(folder, section, **values)
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (folder / "out/model.h5").exists()


def test_without_a_configuration_the_way_to_one_is_shown(capsys):
    assert main(["train"]) == 2
    assert "--template" in capsys.readouterr().err
    assert main(["train", "--template"]) == 0
    assert capsys.readouterr().out == TEMPLATE


@pytest.mark.parametrize(
    ("section", "values", "code", "words"),
    [
        ("network", {"cutoff": -5}, 2, "cutoff is -5"),
        ("network", {"cutoff": 0.3}, 2, "no atom of the frames has another within"),
        ("network", {"l_max": -1}, 2, "l_max is -1"),
        ("network", {"n_basis": 0}, 2, "n_basis is 0"),
        ("network", {"radial_sizes": [-3]}, 2, "radial_sizes is"),
        ("network", {"n_layers": "two"}, 2, "config.yaml: network.n_layers is 'two'"),
        ("run", {"output": "config.yaml"}, 5, "cannot be made a folder"),
    ],
)
def test_what_makes_no_network_and_no_folder_is_refused_in_words(folder, capsys, section, values, code, words):
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    if section == "network":
        settings["network"] = {"architecture": "nequip", "hidden_irreps": "2x0e", "n_layers": 1}
    settings[section] |= values
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == code
    assert words in capsys.readouterr().err


def test_ctrl_c_points_to_resume(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ase_phonax.training.train", interrupted)
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 130
    assert "--resume" in capsys.readouterr().err
