"""Fine-tuning to spectra as a user meets it: lines are learned, the rest is kept, and the files tell both."""

import csv

import numpy as np
import pytest
import yaml
from ase.build import bulk, molecule
from ase.io import write

from ase_phonax import Line, LineList, PhonaxCalculator, fine_tune_to_spectra, load_model
from ase_phonax.base.errors import InputError
from ase_phonax.base.settings import read_yaml
from ase_phonax.cli import main
from ase_phonax.cli.spectral_tuning import TEMPLATE
from ase_phonax.molecules.stationary import stationary_modes
from ase_phonax.training.replay import default_replay
from ase_phonax.training.spectral_tuning import DEFAULTS, settings_of

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
    """Three lines of one molecule, and nothing beside them: they are met to a wavenumber, and the files say so."""
    (water / "config.yaml").write_text(
        yaml.safe_dump({"optimiser": {"epochs": 3}, "run": {"output": "out", "precision": "float64"}})
    )
    write("none.xyz", molecule("CH4"))
    assert main(["fine-tune", "phonax-molecules", "config.yaml", "--spectrum", "water.yaml"]) == 0
    told = capsys.readouterr().out
    learned = load_model(water / "out/model.h5")
    modes, _ = stationary_modes(molecule("H2O"), PhonaxCalculator(learned))
    np.testing.assert_allclose(modes.wavenumbers, sorted(WATER), atol=3.0)
    rows = list(csv.DictReader((water / "out/lines.csv").open(encoding="utf-8")))
    assert [(row["species"], float(row["line_cm1"])) for row in rows] == [("A1", 3657), ("A1", 1595), ("B2", 3756)]
    for row in rows:
        assert (
            abs(float(row["after_cm1"]) - float(row["line_cm1"]))
            < 3
            < abs(float(row["before_cm1"]) - float(row["line_cm1"]))
        )
    assert (water / "out/lines.png").stat().st_size > 10_000
    assert "3 lines:" in told
    assert "drift on" in told


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
