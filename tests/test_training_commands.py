"""`train`, `fine-tune` and `evaluate` as a user meets them, on a network that compiles in a second."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import write

from ase_phonax import evaluate, load_model, save_frames
from ase_phonax.base.claims import claimed_folder
from ase_phonax.cli import main
from ase_phonax.cli.training_runs import FINE_TUNING_TEMPLATE, TEMPLATE
from ase_phonax.training.config import TrainingConfig, config_from

from . import toy_network  # registers the architecture
from .labelled import moved_clusters, strained_crystals

assert "toy" in toy_network.architectures.ARCHITECTURES


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


def test_quiet_prints_nothing(folder, capsys):
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (folder / "out/model.h5").exists()


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
    assert main(["evaluate", model, file, "--key", "energy=REF_energy", "--key", "forces=REF_forces"]) == 0
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


def interrupted_by_ctrl_c(folder, monkeypatch, after: int) -> int:
    """Train and press Ctrl-C after some steps."""
    from ase_phonax.training import train

    def interrupted(*inputs, progress, **options):
        def step(done, total):
            if done >= after:
                raise KeyboardInterrupt

        return train(*inputs, progress=step, **options)

    with monkeypatch.context() as patched:
        patched.setattr("ase_phonax.training.train", interrupted)
        return main(["train", str(folder / "config.yaml"), "--quiet", *(["--overwrite"] if after < 0 else [])])


def test_ctrl_c_points_to_a_checkpoint_where_there_is_one(folder, capsys, monkeypatch):
    assert interrupted_by_ctrl_c(folder, monkeypatch, 1) == 130
    said = capsys.readouterr().err
    assert "interrupted before the first checkpoint, so there is nothing to --resume" in said
    assert not (folder / "out").exists()
    change(folder, "run", checkpoint_seconds=0.0)
    assert interrupted_by_ctrl_c(folder, monkeypatch, 2) == 130
    assert f"interrupted; go on with --resume (checkpoint in {folder / 'out'})" in capsys.readouterr().err
    assert (folder / "out" / "checkpoint.h5").exists()
    # The checkpoint that lies there is none of a run that starts anew.
    assert interrupted_by_ctrl_c(folder, monkeypatch, -1) == 130
    said = capsys.readouterr().err
    assert "interrupted before the first checkpoint" in said
    assert f"the earlier run in {folder / 'out'} is as it was" in said


def test_a_run_anew_leaves_the_earlier_one_whole_until_it_has_something_to_put_there(folder, capsys, monkeypatch):
    """Kills: an old checkpoint beside the history of a new run, from which --resume would go on with the old one."""
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 0
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    change(folder, "run", seed=1)
    assert interrupted_by_ctrl_c(folder, monkeypatch, -1) == 130
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == before

    from ase_phonax.training import loop

    seen = []
    save = loop.Run.save

    def saved_then_interrupted(self, where):
        save(self, where)
        seen.append(sorted(path.name for path in where.iterdir()))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop.Run, "save", saved_then_interrupted)
        assert main(["train", str(folder / "config.yaml"), "--quiet", "--overwrite"]) == 130
    assert seen == [[".lock", "checkpoint.h5"]]
    assert "go on with --resume" in capsys.readouterr().err
    assert main(["train", str(folder / "config.yaml"), "--quiet", "--resume"]) == 0


@pytest.mark.parametrize("options", [[], ["--resume"], ["--overwrite"]])
def test_a_folder_in_which_another_run_trains_is_refused(folder, capsys, options):
    with claimed_folder(folder / "out"):
        assert main(["train", str(folder / "config.yaml"), "--quiet", *options]) == 5
        assert os.listdir(folder / "out") == [".lock"]
    assert "another run is writing to" in capsys.readouterr().err


def test_a_model_that_lies_in_the_folder_is_no_less_a_result_than_a_checkpoint(folder, capsys):
    (folder / "out").mkdir()
    (folder / "out/model.h5").write_text("a model put there by hand")
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 5
    assert "its model.h5 would be lost" in capsys.readouterr().err


def test_a_model_is_not_tuned_onto_itself(folder, capsys):
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 0
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in settings.items() if k != "network"}))
    model = str(folder / "out/model.h5")
    assert main(["fine-tune", model, str(folder / "config.yaml"), "--quiet", "--overwrite"]) == 5
    assert "lies where this run would write its own" in capsys.readouterr().err


def test_parts_that_a_killed_run_left_are_removed_and_others_are_not(folder):
    (folder / "out").mkdir()
    for name in (".phonax-0a1b2c3d.part", "thesis.part"):
        (folder / "out" / name).touch()
    assert main(["train", str(folder / "config.yaml"), "--quiet"]) == 0
    assert [path.name for path in (folder / "out").glob("*.part")] == ["thesis.part"]


def test_a_reader_of_the_table_that_leaves_does_not_end_the_training(folder, monkeypatch):
    def left(*_, **__):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("ase_phonax.cli.training_runs.print_above", left)
    assert main(["train", str(folder / "config.yaml")]) == 0
    assert (folder / "out/model.h5").exists()
