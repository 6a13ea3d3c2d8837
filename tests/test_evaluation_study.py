"""`evaluate` with a folder for its results, and the same from Python."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from ase_phonax import evaluation_study
from ase_phonax.base.errors import InputError
from ase_phonax.cli import main
from ase_phonax.studies.study import Study

RUN = ["evaluate", "phonax-small", "frame.extxyz", "--key", "energy=REF_energy", "--key", "forces=REF_forces"]
KEYS = {"energy": "REF_energy", "forces": "REF_forces"}


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = bulk("NaCl", "rocksalt", a=5.6)
    frame.info["REF_energy"], frame.arrays["REF_forces"] = -7.0, np.zeros((2, 3))
    write("frame.extxyz", frame)
    return tmp_path


def test_a_folder_holds_what_single_files_hold(inside, capsys):
    files = ["--json", "scores.json", "--csv", "scores.csv", "--log", "run.jsonl"]
    assert main([*RUN, *files, "--output", "out"]) == 0
    printed = capsys.readouterr().out
    assert "results in out" in printed
    assert sorted(path.name for path in Path("out").iterdir()) == ["frames.csv", "summary.json"]
    assert json.loads(Path("out/summary.json").read_text()) == json.loads(Path("scores.json").read_text())
    assert Path("out/frames.csv").read_bytes() == Path("scores.csv").read_bytes()
    events = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    assert [event["mae"] for event in events if event["event"] == "results"] == [
        json.loads(Path("scores.json").read_text())["mae"]
    ]


def test_quiet_prints_nothing_and_writes_all_files(inside, capsys):
    assert main([*RUN, "--quiet", "--output", "out", "--json", "scores.json"]) == 0
    assert capsys.readouterr() == ("", "")
    assert Path("out/frames.csv").exists()
    assert Path("scores.json").exists()


def test_earlier_results_are_replaced_on_request_only(inside, capsys):
    assert main([*RUN, "--output", "out"]) == 0
    assert main([*RUN, "--output", "out"]) == 5
    assert "--overwrite" in capsys.readouterr().err
    assert main([*RUN, "--output", "out", "--overwrite"]) == 0
    assert main([*RUN, "--output", "out", "--overwrite", "--json", "out/scores.json"]) == 5
    assert "where the results go" in capsys.readouterr().err
    assert main([*RUN, "--overwrite"]) == 2
    assert "without --output" in capsys.readouterr().err


def test_python_gets_the_same(inside, capsys):
    study = evaluation_study("phonax-small", "frame.extxyz", keys=KEYS)
    assert capsys.readouterr() == ("", "")
    assert isinstance(study, Study)
    assert study.model["licence"] == study.to_dict()["licence"] != ""
    study.write("here")
    assert main([*RUN, "--output", "out"]) == 0
    printed = capsys.readouterr().out
    assert study.report(Path("out")).text() + "\n" == printed
    mine, theirs = (json.loads(Path(folder, "summary.json").read_text()) for folder in ("here", "out"))
    for summary in (mine, theirs):
        del summary["provenance"]
    assert mine == theirs
    assert Path("here/frames.csv").read_bytes() == Path("out/frames.csv").read_bytes()


def test_what_names_no_precision_and_no_labels_is_refused(inside):
    with pytest.raises(InputError, match="the precision is 'float16'"):
        evaluation_study("phonax-small", "frame.extxyz", keys=KEYS, dtype="float16")
    with pytest.raises(InputError, match=r"keys is \['energy'\]"):
        evaluation_study("phonax-small", "frame.extxyz", keys=["energy"])


@pytest.mark.parametrize(
    "keys", ["[energy=REF_energy, forces=REF_forces]", "[[energy=REF_energy], [forces=REF_forces]]"]
)
def test_options_come_from_a_file(inside, capsys, keys):
    """Kills: a list for an option that takes one value each time, read as one option with two values."""
    Path("run.yaml").write_text(f"key: {keys}\njson: scores.json\n")
    assert main(["evaluate", "phonax-small", "frame.extxyz", "--config", "run.yaml"]) == 0
    assert set(json.loads(Path("scores.json").read_text())["mae"]) == {"energy", "forces"}
    Path("run.yaml").write_text("jason: scores.json\n")
    assert main(["evaluate", "phonax-small", "frame.extxyz", "--config", "run.yaml"]) == 2
    assert "did you mean 'json'?" in capsys.readouterr().err
