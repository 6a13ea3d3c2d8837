"""A run on a molecule as a function: what the command gives, for Python, in threads, and sent between processes."""

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

from ase_phonax import MoleculeSettings, molecule_study
from ase_phonax.base.errors import InputError, OutputError, StructureError, UnstableWarning
from ase_phonax.cli import main
from ase_phonax.studies.watch import Watch

from .pair_potential import PairCalculator

DIMER = Atoms("Cu2", positions=[[0, 0, 0], [0, 1.5, 2.2]])
# Held on a saddle point by its symmetry; it folds into a tetrahedron.
SQUARE = Atoms("Cu4", positions=2.75 * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]))
OF_A_RUN = ("provenance", "timings_s", "units")


@pytest.fixture
def inside(tmp_path, monkeypatch):
    calc = PairCalculator()
    monkeypatch.setattr("ase_phonax.cli.loading.load_calculator", lambda model, dtype: calc)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers_of(summary: dict) -> dict:
    """As JSON has them, without what differs from run to run."""
    return {key: value for key, value in json.loads(json.dumps(summary)).items() if key not in OF_A_RUN}


def test_python_gets_what_the_command_writes(inside, capsys):
    write("square.xyz", SQUARE)
    atoms = read("square.xyz")
    before = atoms.copy()
    followed = molecule_study(atoms, PairCalculator(), MoleculeSettings(animate=[1, 2]))
    mode = followed.modes.imaginary[0]
    study = molecule_study(atoms, PairCalculator(), MoleculeSettings(animate=[1, 2], follow=mode))
    assert capsys.readouterr() == ("", "")
    assert atoms == before
    assert main(["molecule", "square.xyz", "--animate", "1", "2", "--follow", str(mode)]) == 0
    printed = capsys.readouterr().out
    of_command = json.loads(Path("square-molecule/summary.json").read_text())
    assert numbers_of(study.to_dict()) == numbers_of(of_command)
    assert set(of_command) == set(study.to_dict())
    assert study.write("here") == Path("here")
    names = sorted(path.name for path in Path("here").iterdir())
    assert names == sorted(path.name for path in Path("square-molecule").iterdir()) == list(study.files)
    for name in ("relaxed.extxyz", "modes.molden", "mode_1.extxyz", f"follow_{mode}_plus.extxyz"):
        assert Path("here", name).read_text() == Path("square-molecule", name).read_text()
    assert study.report(Path("square-molecule")).text() + "\n" == printed


def test_results_are_written_whole_and_replace_only_their_own(inside):
    study = molecule_study(DIMER, PairCalculator())
    study.write("out")
    with pytest.raises(OutputError, match="exists already"):
        study.write("out")
    study.write("out", overwrite=True)
    Path("out/diary.txt").touch()
    with pytest.raises(OutputError, match=r"diary\.txt"):
        study.write("out", overwrite=True)


def test_a_study_can_be_sent_and_copied_and_holds_no_calculator():
    study = molecule_study(SQUARE, PairCalculator(), MoleculeSettings(follow=1))
    for other in (pickle.loads(pickle.dumps(study)), copy.deepcopy(study)):
        assert other.to_dict() == study.to_dict()
        assert other.report().text() == study.report().text()
    assert not any(b"PairCalculator" in pickle.dumps(part) for part in (study, study.modes, study.sides))


def test_threads_get_their_own_results_and_notes():
    """Kills: the note of a radical, which the dimer is not, in the results of both."""
    trimer = Atoms("Cu3", positions=[[0, 0, 0], [0, 0, 2.6], [0, 2.3, 1.3]])
    molecules = [DIMER, trimer, DIMER, trimer]
    with ThreadPoolExecutor(4) as pool, pytest.warns(UnstableWarning, match="87 electrons"):
        studies = list(pool.map(lambda atoms: molecule_study(atoms, PairCalculator()), molecules))
    for study, atoms in zip(studies, molecules, strict=True):
        assert len(study.atoms) == len(atoms)
        assert [note[:12] for note in study.notes] == ["87 electrons"] * (len(atoms) == 3)
    assert np.array_equal(studies[0].modes.wavenumbers, studies[2].modes.wavenumbers)
    assert np.array_equal(studies[1].modes.wavenumbers, studies[3].modes.wavenumbers)


def test_a_watch_is_told_of_sections():
    class Told(Watch):
        events: list = []

        def note(self, event, values):
            self.events.append((event, values["section"]))

    molecule_study(DIMER, PairCalculator(), watch=Told())
    assert Told.events == [("begin", "modes"), ("end", "modes")]


def test_settings_are_those_of_the_command_line_and_checked_as_there():
    settings = MoleculeSettings(atoms=["5-8", 2, "3"], animate=3, spin=0.5)
    assert settings.atoms == (2, 3, 5, 6, 7, 8)
    assert settings.animate == (3,)
    assert MoleculeSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    for values, words in (
        ({"atoms": ["2-1"]}, "runs backwards"),
        ({"atoms": [0]}, "0 is not a positive number"),
        ({"tolerance": "wide"}, "tolerance: 'wide' is not a positive number"),
        ({"pressure": float("inf")}, "pressure: inf is not a positive number"),
        ({"spin": 0.3}, "total spin is 0, 1/2"),
        ({"no_relax": 1}, "neither True nor False"),
        ({"folow": 1}, "did you mean 'follow'"),
    ):
        with pytest.raises(InputError, match=words) as error:
            MoleculeSettings.from_dict(values)
        assert error.value.remedy


def test_what_cannot_be_computed_is_refused_in_python_too():
    boxed = DIMER.copy()
    boxed.set_cell([9, 9, 9])
    boxed.pbc = True
    with pytest.raises(StructureError, match="pbc"):
        molecule_study(boxed, PairCalculator())
    assert molecule_study(boxed, PairCalculator(), MoleculeSettings(no_cell=True)).modes.point_group.symbol == "D∞h"
    assert boxed.pbc.all()
    with pytest.raises(InputError, match="names atom 3 of 2"):
        molecule_study(DIMER, PairCalculator(), MoleculeSettings(atoms=[3]))
    with pytest.raises(InputError, match="there is no mode 2"):
        molecule_study(DIMER, PairCalculator(), MoleculeSettings(animate=[2]))
    with pytest.raises(InputError, match="neither the name of a model nor a potential"):
        molecule_study(DIMER, "phonax-molecules")


def test_options_come_from_a_file_and_the_command_line_has_the_last_word(inside, capsys):
    write("free.xyz", DIMER)
    Path("run.yaml").write_text("no_relax: true\natoms: [2]\ntemperature: 77\nquiet: true\n")
    assert main(["molecule", "free.xyz", "--config", "run.yaml", "--log", "run.jsonl"]) == 0
    assert capsys.readouterr().out == ""
    summary = json.loads(Path("free-molecule/summary.json").read_text())
    assert (len(summary["wavenumbers_cm1"]), summary["relaxed"]) == (3, False)
    assert "run.yaml" in summary["provenance"]["sha256"]
    assert json.loads(Path("run.jsonl").read_text().splitlines()[-1])["event"] == "finished"
    assert main(["molecule", "free.xyz", "--config", "run.yaml", "--atoms", "1-2", "--overwrite"]) == 0
    assert json.loads(Path("free-molecule/summary.json").read_text())["ideal_gas"]["temperature"] == 77
    Path("run.yaml").write_text("temprature: 77\n")
    assert main(["molecule", "free.xyz", "--config", "run.yaml", "--overwrite"]) == 2
    assert "did you mean 'temperature'?" in capsys.readouterr().err
