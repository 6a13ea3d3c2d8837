"""Fine-tuning to spectra as a user meets it: lines are learned, the rest is kept, and the files tell both."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk, molecule
from ase.io import write

from ase_phonax import Line, LineList, PhonaxCalculator, fine_tune_to_spectra, load_model
from ase_phonax.base.errors import InputError, UnstableWarning
from ase_phonax.base.settings import read_yaml
from ase_phonax.cli import main
from ase_phonax.cli.spectral_tuning import TEMPLATE
from ase_phonax.molecules.stationary import stationary_modes
from ase_phonax.training.replay import default_replay, drift, replayed
from ase_phonax.training.spectral_tuning import DEFAULTS, _fitting, settings_of

# Three layers of 72,637 parameters, whose training steps compile in seconds.
SMALL = str(Path(__file__).resolve().parents[1] / "examples/spectrum_fine_tuning/start.h5")
WATER = (3657.0, 1595.0, 3756.0)  # cm⁻¹, measured


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def water(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("water.xyz", molecule("H2O"))
    a1, bend, b2 = WATER
    lines = [{"at": a1, "species": "A1"}, {"at": bend, "species": "A1"}, {"at": b2, "species": "b2"}]
    (tmp_path / "water.yaml").write_text(yaml.safe_dump({"structure": "water.xyz", "lines": lines}))
    return tmp_path


def test_a_model_learns_lines_from_the_command_line(water, capsys):
    """Three lines of one molecule, methane and ammonia kept beside: lines are met to 3 cm⁻¹, and the files say so."""
    (water / "config.yaml").write_text(
        yaml.safe_dump({"optimiser": {"epochs": 3}, "run": {"output": "out", "precision": "float64"}})
    )
    write("kept.xyz", [molecule("CH4"), molecule("NH3")])
    options = ["--spectrum", "water.yaml", "--replay", "kept.xyz"]
    assert main(["fine-tune", SMALL, "config.yaml", *options]) == 0
    told = capsys.readouterr().out
    learned = load_model(water / "out/model.h5")
    modes, _ = stationary_modes(molecule("H2O"), PhonaxCalculator(learned))
    np.testing.assert_allclose(modes.wavenumbers, sorted(WATER), atol=3.0)
    rows = list(csv.DictReader((water / "out/lines.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["species"], float(row["line_cm1"])) for row in rows] == [("A1", 3657), ("A1", 1595), ("B2", 3756)]
    for row in rows:
        assert (
            abs(float(row["after_cm1"]) - float(row["line_cm1"]))
            < 3
            < abs(float(row["before_cm1"]) - float(row["line_cm1"]))
        )
    assert (water / "out/lines.png").stat().st_size > 10_000
    assert "3 lines:" in told
    assert "drift on 1 structures held out from the replay of 2" in told
    drift = float(told.partition("forces ")[2].split()[0])
    assert 0 < drift < 100  # meV/Å


@pytest.mark.slow
def test_a_second_start_goes_on_with_the_same_frames(water, capsys):
    """Relaxed anew they would differ in the last digits, and be refused as others."""
    write("kept.xyz", [molecule("CH4"), molecule("NH3")])
    command = ["fine-tune", SMALL, "--spectrum", "water.yaml", "--replay", "kept.xyz"]
    (water / "config.yaml").write_text(yaml.safe_dump({"optimiser": {"epochs": 1}}))
    assert main([*command[:2], "config.yaml", *command[2:]]) == 0
    first = capsys.readouterr().out
    assert main([*command[:2], "config.yaml", *command[2:], "--resume"]) == 0
    assert first.partition("3 lines:")[2] == capsys.readouterr().out.partition("3 lines:")[2]


def test_what_is_replayed_by_default():
    """Closed shells of known elements; of crystals nothing, since no crystal is like all others."""
    potential = load_model("phonax-molecules")
    chosen = default_replay(potential, [molecule("H2O")])
    assert len(chosen) > 40
    assert all(set(atoms.numbers) <= set(potential.numbers) and atoms.numbers.sum() % 2 == 0 for atoms in chosen)
    assert "H2O" not in {atoms.get_chemical_formula() for atoms in chosen}
    assert default_replay(potential, [bulk("Si")]) == []


def test_the_template_is_the_defaults_in_words():
    told = settings_of(yaml.safe_load(TEMPLATE))
    assert told == settings_of(None)
    assert settings_of({"loss": {"scales": {"spectrum": 0.3}}}).loss.scales == {"spectrum": 0.3, "forces": 1.0}
    assert settings_of(None).optimiser.epochs == DEFAULTS["optimiser"]["epochs"]


def test_weights_are_of_what_there_is_to_learn():
    """Crystals have no replay by default, and then neither energies nor Hessians; intensities need a dipole."""
    lines = LineList("", (Line(15.5, mode=4),), unit="THz")
    potential, settings = load_model("phonax-small"), settings_of(None)
    found = _fitting(settings, potential, [(lines, bulk("Si"), "")], False).loss
    assert (found.energy, found.curvature, found.forces) == (0, 0, settings.loss.forces)
    assert _fitting(settings, potential, [(lines, bulk("Si"), "")], True) == settings
    strong = LineList("", (Line(1595.0, species="A1", intensity=60.0),))
    with pytest.raises(InputError, match="gives no dipole"):
        _fitting(settings, potential, [(strong, molecule("H2O"), "")], False)  # phonax-small


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": 3}, "loss"),
        ({"loss": None}, "loss"),
        ({"loss": {"scales": [1]}}, "scales"),
        ({"loss": {"spectrum": 0}}, "would not be learned"),
        ({"data": {"train": ["a.h5"]}}, "section data"),
        ({"optimizer": {}}, "optimiser"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        settings_of(settings)


def test_settings_of_a_file_are_completed_and_its_paths_its_own(tmp_path):
    (tmp_path / "config.yaml").write_text("run: {output: there}\n")
    found = settings_of(tmp_path / "config.yaml")
    assert found.loss == settings_of(None).loss
    assert found.run.output == str(tmp_path / "there")


def test_of_few_structures_the_last_judges_and_those_that_fall_apart_are_named():
    calc = PhonaxCalculator("phonax-molecules")
    learned, held = replayed([molecule("CH4"), molecule("H2O")], calc)
    assert {frame.atoms.get_chemical_formula() for frame in held} == {"H2O"}
    assert drift(calc.potential, held)["forces_mae"] < 1e-6
    with pytest.warns(UnstableWarning, match="H4Si is left out"):
        assert replayed([molecule("CH4"), molecule("SiH4")], calc)[1] == []
    with pytest.raises(InputError, match="none of the structures"), pytest.warns(UnstableWarning):
        replayed([molecule("SiH4")], calc)
    assert len(learned) == 4


def test_wrong_spectra_leave_nothing_behind(water, capsys):
    with pytest.raises(InputError, match="no spectrum"):
        fine_tune_to_spectra("phonax-molecules", [])
    wrong = LineList("", (Line(3657.0, species="E"),))
    with pytest.raises(InputError, match="no mode of the structure"):
        fine_tune_to_spectra("phonax-molecules", [(wrong, molecule("H2O"))])
    content = read_yaml(water / "water.yaml")
    (water / "twice.yaml").write_text(yaml.safe_dump({**content, "lines": [{"at": 1595, "mode": 1}] * 2}))
    assert main(["fine-tune", "phonax-molecules", "--spectrum", "twice.yaml"]) == 2
    assert "two lines are of mode 1" in capsys.readouterr().err
    assert main(["fine-tune", "phonax-molecules", "--replay", "water.xyz"]) == 2
    assert "--spectrum" in capsys.readouterr().err
    assert main(["fine-tune", "phonax-molecules", "--spectrum", "--template"]) == 0
    assert "species" in capsys.readouterr().out
    assert not (water / "training").exists()
