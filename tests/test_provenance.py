"""What every result says of where it came from, and of the units of its numbers."""

import argparse
import hashlib
import json
import re
import shutil
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ase
import numpy as np
import phonopy
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ase_phonax import PhonaxCalculator, __version__, save_frames
from ase_phonax.cli import loading, main
from ase_phonax.cli.provenance import provenance
from ase_phonax.cli.training_runs import EpochTable
from ase_phonax.models.registry import list_models
from ase_phonax.studies import summary_units

from . import toy_network  # registers the architecture
from .labelled import moved_clusters
from .pair_potential import PairCalculator

assert "toy" in toy_network.architectures.ARCHITECTURES
BLOCK = {"date", "command", "versions", "sha256"}


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def shipped(name: str) -> Path:
    return Path(next(card.location for card in list_models() if card.name == name))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(block: dict, command: list[str], files: dict[str, Path]) -> None:
    """Against the clock, the file system and the libraries themselves."""
    assert block.keys() == BLOCK
    age = datetime.now(UTC) - datetime.strptime(block["date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(seconds=-1) < age < timedelta(minutes=10)
    assert block["command"] == " ".join(["ase-phonax", *command])
    assert block["sha256"] == {name: sha256(path) for name, path in files.items()}
    versions = block["versions"]
    assert (versions["ase-phonax"], versions["ase"], versions["numpy"]) == (
        __version__,
        ase.__version__,
        np.__version__,
    )
    assert re.fullmatch(r"3\.\d+\.\d+.*", versions["python"])


def check_units(found: dict) -> None:
    """Kills: a number whose unit nobody wrote down."""
    units = found["units"]
    assert units == summary_units.units_of({key: value for key, value in found.items() if key != "units"})
    assert [name for name, unit in units.items() if unit == summary_units.NOT_STATED] == []


SECTIONS = ["--thermal-displacements", "300", "--participation-ratio", "--animate", "0", "0", "0", "1"]
SECTIONS += ["--modulate", "0.5", "0", "0", "1", "0.1", "0", "--follow", "0.5", "0.5", "0.5", "1"]


@pytest.mark.parametrize(
    "options", [["--supercell", "2", "--mesh", "3", "3", "3", *SECTIONS], ["--supercell", "1", "--exact"]]
)
def test_phonons_say_where_they_come_from_and_every_unit(inside, monkeypatch, options):
    """With every section that writes numbers, a mode followed among them, and with a series of meshes."""
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: PairCalculator())
    write("sc.cif", bulk("Po", "sc", a=2.9))
    command = ["phonons", "sc.cif@0", *options]
    assert main(command) == 0
    found = json.loads(Path("sc-phonons/summary.json").read_text())
    check(found["provenance"], command, {"sc.cif@0": Path("sc.cif"), "phonax-small": shipped("phonax-small")})
    assert found["provenance"]["versions"]["phonopy"] == phonopy.__version__
    check_units(found)
    units = found["units"]
    assert units["thermal.per_formula_unit.entropy_J_K_mol"] == "J/K/mol"
    assert units["energy"] == "eV"
    assert units["gamma_frequencies_thz"] == units["irreps[].modes[].frequency_thz"] == "THz"
    assert units["cell"] == "Å"
    assert units["timings_s.total"] == "s"
    assert units["supercell_matrix"] == "1"


def test_heat_is_also_per_formula_unit(inside, monkeypatch, capsys):
    """The same crystal in cells of one and of four formula units: per mole of NaCl nothing changes."""
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: PairCalculator(like=0.0))
    for name, cubic in (("one", False), ("four", True)):
        write(f"{name}.cif", bulk("NaCl", "rocksalt", a=5.6, cubic=cubic))
        flags = ["--supercell", "4" if name == "one" else "2", "--mesh-length", "60", "--keep-cell"]
        assert main(["phonons", f"{name}.cif", *flags]) == 0
    one, four = (json.loads(Path(f"{name}-phonons/summary.json").read_text()) for name in ("one", "four"))
    assert (one["formula_units_per_cell"], four["formula_units_per_cell"]) == (1, 4)
    for name, value in one["thermal"]["per_formula_unit"].items():
        assert value == one["thermal"][name]
        assert four["thermal"]["per_formula_unit"][name] == pytest.approx(value, rel=5e-3)  # another mesh
        assert four["thermal"][name] == pytest.approx(4 * value, rel=5e-3)
    text = capsys.readouterr().out
    assert text.count("heat at 300 K, per mole of NaCl") == 2
    assert " ".join(text.split()).count("per mole of cells of 4 NaCl, 4 times as much") == 1


def test_a_molecule_says_where_it_comes_from_and_every_unit(inside, monkeypatch, capsys):
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: PairCalculator())
    write("dimer.xyz", Atoms("Cu2", positions=[[0, 0, 0], [0, 1.5, 2.2]]))
    command = ["molecule", "dimer.xyz", "--quiet", "--log", "run.jsonl"]
    assert main(command) == 0
    assert capsys.readouterr() == ("", "")
    found = json.loads(Path("dimer-molecule/summary.json").read_text())
    check(
        found["provenance"], command, {"dimer.xyz": Path("dimer.xyz"), "phonax-molecules": shipped("phonax-molecules")}
    )
    check_units(found)
    assert found["units"]["ideal_gas.entropy"] == "eV/K"
    assert found["units"]["sets[].wavenumbers_cm1"] == "1/cm"
    lines = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    assert lines[-2]["provenance"] == found["provenance"]


def test_volumes_say_where_they_come_from_and_every_unit(inside, monkeypatch):
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: PairCalculator())
    write("Cu.cif", bulk("Cu", "fcc", a=3.9))
    for command in (
        ["gruneisen", "Cu.cif", "--finite"],
        ["qha", "Cu.cif", "--n-volumes", "5", "--max-temperature", "300"],
    ):
        command += ["--supercell", "2", "--mesh-length", "15", "--quiet"]
        assert main(command) == 0
        found = json.loads(Path(f"Cu-{command[0]}/summary.json").read_text())
        check(found["provenance"], command, {"Cu.cif": Path("Cu.cif"), "phonax-small": shipped("phonax-small")})
        check_units(found)
        assert found["units"]["volumes[].energy"] == "eV"
        assert found["formula_units_per_cell"] == 1


def test_training_and_evaluation_say_where_they_come_from(inside):
    save_frames(moved_clusters(8), "clusters.h5")
    settings = {
        "data": {"train": ["clusters.h5"], "valid": 0.25},
        "network": {"architecture": "toy", "cutoff": 4.5},
        "optimiser": {"epochs": 2, "batch_size": 3},
        "run": {"output": "out"},
    }
    Path("config.yaml").write_text(yaml.safe_dump(settings))
    command = ["train", "config.yaml", "--quiet"]
    assert main(command) == 0
    assert main([*command, "--resume"]) == 0
    first, second = json.loads(Path("out/provenance.json").read_text())["runs"]
    check(first, command, {"config.yaml": Path("config.yaml")})
    check(second, [*command, "--resume"], {"config.yaml": Path("config.yaml")})
    assert "jax" in first["versions"]
    command = ["evaluate", "out/model.h5", "clusters.h5", "--json", "scores.json", "--quiet"]
    assert main(command) == 0
    block = json.loads(Path("scores.json").read_text())["provenance"]
    check(block, command, {"clusters.h5": Path("clusters.h5"), "out/model.h5": Path("out/model.h5")})


def test_labels_say_where_they_come_from_and_go_on_at_another_time(inside):
    write("Al.extxyz", bulk("Al"))
    Path("recipe.yaml").write_text("relax: false\nperturbations:\n  - {positions: 0.05}\n")
    command = ["label", "Al.extxyz", "--recipe", "recipe.yaml", "--output", "labels", "--workers", "1", "--quiet"]
    assert main(command) == 0
    note = json.loads(Path("labels/labels.json").read_text())
    files = {name: Path(name) for name in ("Al.extxyz", "recipe.yaml")} | {"phonax-small": shipped("phonax-small")}
    check(note["provenance"], command, files)
    note["provenance"]["date"] = "2000-01-01T00:00:00Z"  # a start of another day is of the same labels
    Path("labels/labels.json").write_text(json.dumps(note))
    shutil.rmtree("labels/frames")
    Path("labels/frames").mkdir()
    assert main(command) == 0


def test_the_scores_written_are_in_the_units_that_stand_beside_them(inside, capsys):
    """Kills: a stress in eV/Å³ whose unit is that of the table, meV/Å³."""
    frame = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    frame.calc = SinglePointCalculator(frame, energy=-27.0, forces=np.zeros((8, 3)), stress=np.zeros(6))
    write("frame.extxyz", frame)
    assert main(["evaluate", "phonax-small", "frame.extxyz", "--json", "scores.json"]) == 0
    found = json.loads(Path("scores.json").read_text())
    frame.calc = PhonaxCalculator()
    stress = frame.get_stress(voigt=False)  # ASE's unit: eV/Å³
    assert found["mae"]["stress"] == pytest.approx(np.abs(stress).mean(), rel=1e-10)
    assert found["units"]["stress"] == "eV/Å³"
    thousandth = {"energy": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³"}
    text = capsys.readouterr().out
    for label, unit in thousandth.items():
        assert found["units"][label] == unit.removeprefix("m")
        assert f"{1e3 * found['mae'][label]:.4g}, {1e3 * found['rmse'][label]:.4g} {unit}" in text


@pytest.mark.parametrize(("columns", "last"), [(120, "s"), (80, "s"), (60, "S meV/Å³")])
def test_epochs_stand_under_their_headings_at_every_width(columns, last, monkeypatch, capsys):
    """Kills: lines of 97 characters in a terminal of 80."""
    monkeypatch.setenv("COLUMNS", str(columns))
    table = EpochTable(quiet=False)
    names = ("epoch", "loss", "valid_loss", "energy_mae", "forces_mae", "stress_mae", "curvature_mae", "learning_rate")
    row = dict.fromkeys(names, 0.25) | {"epoch": 7, "seconds": 12.5}
    table.show(row)
    table.show(row | {"loss": 123456.789, "epoch": 1000})
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= columns
    assert last in lines[0]
    assert "1.2e+05" in lines[2]


def test_a_model_that_is_gone_after_a_computation_costs_a_checksum_and_no_result(inside):
    arguments = argparse.Namespace(typed=["phonons"])
    block = provenance(arguments, [], "gone.h5")
    assert block["sha256"] == {}


def test_what_nothing_vouches_for_is_not_said_again_for_the_checksum(inside):
    shutil.copy(shipped("phonax-small"), "mine.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block = provenance(argparse.Namespace(), [], "mine.h5")
    assert block["sha256"] == {"mine.h5": sha256(Path("mine.h5"))}
