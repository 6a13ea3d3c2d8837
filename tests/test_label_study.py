"""Labels from Python: what the command writes, started again, replaced, and never mixed or lost."""

import json
import os
import textwrap
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write

from ase_phonax import LabelRecipe, PhonaxCalculator, label_structures, read_frames
from ase_phonax.base.errors import InputError, OutputError, StructureError
from ase_phonax.base.settings import build
from ase_phonax.cli import label as command
from ase_phonax.cli import main
from ase_phonax.studies.study import Study
from ase_phonax.studies.watch import Watch
from ase_phonax.training.labels import teacher
from ase_phonax.training.labels.frames import fingerprint
from ase_phonax.training.labels.teacher import Perturbation

DOCS = Path(__file__).parents[1] / "docs"
SALTS = [bulk("NaCl", "rocksalt", 5.6), bulk("Fe"), bulk("MgO", "rocksalt", 4.2)]
ROWS = [{"waves": 1}, {"positions": 0.1, "waves": 0}]
RECIPE = LabelRecipe(relax=False, perturbations=ROWS)
RUN = ["label", "salts.xyz", "--model", "phonax-small", "--recipe", "recipe.yaml", "--output", "out", "--workers", "1"]


@pytest.fixture(scope="module")
def calc():
    return PhonaxCalculator("phonax-small")


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("salts.xyz", SALTS)
    Path("recipe.yaml").write_text(yaml.safe_dump({"relax": False, "perturbations": ROWS}))
    return tmp_path


class Told(Watch):
    """Remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.structures = []

    def note(self, event, values):
        if event == "structure":
            self.structures.append(values)


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_python_gets_what_the_command_writes(inside, calc, capsys):
    watch = Told()
    names = [f"salts.xyz@{k}" for k in range(3)]
    study = label_structures(SALTS, calc, "here", RECIPE, names=names, n_workers=1, watch=watch)
    assert capsys.readouterr() == ("", "")
    assert [told["structure"] for told in watch.structures] == names
    assert main(RUN) == 0
    assert below(inside / "here/frames") == below(inside / "out/frames")
    assert below(inside / "here")["failures.csv"] == below(inside / "out")["failures.csv"]
    notes = [json.loads(Path(folder, "labels.json").read_text()) for folder in ("here", "out")]
    assert [list(note) for note in notes] == [list(notes[0])] * 2
    assert [note["structures"] for note in notes] == [notes[0]["structures"]] * 2
    assert [note["files"] for note in notes] == [["salts.xyz"]] * 2
    (failure,) = study.failures
    assert (failure.number, failure.name, failure.formula) == (1, "salts.xyz@1", "Fe")
    assert "Fe" in failure.problem
    assert not failure.path.exists()
    assert fingerprint(study.frames()) == fingerprint(read_frames("out/frames/*.h5"))
    summary = json.loads(json.dumps(study.to_dict()))
    assert (summary["n_structures"], summary["n_labelled"]) == (3, 2)
    assert summary["failures"] == [{"structure": "salts.xyz@1", "formula": "Fe", "problem": failure.problem}]
    assert isinstance(study, Study)
    assert sorted(study.files) == sorted(below(inside / "here"))
    assert study.report().title == "2 of 3 structures labelled, in here/frames"
    with pytest.raises(OutputError, match="lie in here already"):
        study.write("elsewhere")


def test_processes_give_the_same_labels_and_a_second_start_labels_what_is_missing(inside, calc):
    alone = label_structures(SALTS, calc, "one", RECIPE, n_workers=1)
    study = label_structures(SALTS, calc, "two", RECIPE, n_workers=2)
    assert fingerprint(study.frames()) == fingerprint(alone.frames())
    study.structures[2].path.unlink()
    kept, watch = os.stat(study.structures[0].path).st_mtime_ns, Told()
    again = label_structures(SALTS, calc, "two", RECIPE, n_workers=1, watch=watch)
    assert [told["structure"] for told in watch.structures] == ["1", "2"]
    assert os.stat(study.structures[0].path).st_mtime_ns == kept
    assert fingerprint(again.frames()) == fingerprint(study.frames())


def test_labels_are_replaced_on_request_and_nothing_else_is(inside, calc, capsys):
    label_structures(SALTS, calc, "out", RECIPE, n_workers=1)
    other = LabelRecipe(relax=False, seed=1, perturbations=ROWS)
    with pytest.raises(InputError, match="other recipe"):
        label_structures(SALTS, calc, "out", other, n_workers=1)
    for name in ("diary.txt", "frames/mine.h5"):
        Path("out", name).touch()
        before = below(inside / "out")
        with pytest.raises(OutputError, match=name):
            label_structures(SALTS, calc, "out", other, n_workers=1, overwrite=True)
        assert below(inside / "out") == before
        Path("out", name).unlink()
    Path("recipe.yaml").write_text(yaml.safe_dump({"relax": False, "perturbations": ROWS, "seed": 1}))
    write("salts.xyz", SALTS[:1])
    assert main([*RUN, "--overwrite"]) == 0
    assert sorted(below(inside / "out")) == ["frames/0-NaCl.h5", "labels.json"]
    assert json.loads(Path("out/labels.json").read_text())["recipe"]["seed"] == 1


def test_what_is_labelled_from_inside_the_folder_is_not_replaced(inside, calc, capsys):
    label_structures(SALTS[:1], calc, "out", RECIPE, n_workers=1)
    write("out/salts.xyz", SALTS)
    words = ["out/salts.xyz" if word == "salts.xyz" else word for word in RUN]
    assert main([*words, "--overwrite"]) == 5
    assert "lies in" in capsys.readouterr().err
    assert Path("out/frames/0-NaCl.h5").exists()


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_ctrl_c_says_which_command_labels_the_rest(inside, capsys, monkeypatch, options):
    wrapped = teacher.label

    def interrupted(atoms, *arguments):
        if len(atoms) == 1:
            raise KeyboardInterrupt
        return wrapped(atoms, *arguments)

    monkeypatch.setattr(teacher, "label", interrupted)
    assert main([*RUN, *options, "--log", "run.jsonl"]) == 130
    again = "the same command without --overwrite" if options else "the same command"
    assert capsys.readouterr().err == f"interrupted; 1 of 3 structures are labelled, and {again} labels the rest\n"
    events = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    assert {"structure": "salts.xyz@0", "problem": ""}.items() <= events[-4].items()
    assert [event["event"] for event in events[-4:]] == ["structure", "end", "interrupted", "finished"]
    assert sorted(os.listdir("out")) == ["frames", "labels.json"]


def test_a_calculator_that_cannot_be_sent_labels_in_one_process(inside):
    calc = PhonaxCalculator("phonax-small")
    calc.mine = lambda: None
    with pytest.raises(InputError, match="cannot be sent to other processes") as error:
        label_structures(SALTS, calc, "out", RECIPE, n_workers=2)
    assert "`n_workers=1`" in error.value.remedy
    assert len(label_structures(SALTS[:1], calc, "out2", RECIPE, n_workers=1).frames()) == 2


def test_what_describes_no_labels_is_refused(tmp_path, calc):
    folder = tmp_path / "out"
    with pytest.raises(StructureError, match="there are no structures"):
        label_structures([], calc, folder)
    with pytest.raises(InputError, match="number of processes is 0"):
        label_structures(SALTS, calc, folder, n_workers=0)
    with pytest.raises(InputError, match="3 structures and 1 names"):
        label_structures(SALTS, calc, folder, names=["salt"])
    with pytest.raises(InputError, match="neither the name of a model nor a potential"):
        label_structures(SALTS, "phonax-small", folder)
    with pytest.raises(InputError, match="did you mean 'relax'"):
        label_structures(SALTS, calc, folder, {"relaxed": False})
    assert not folder.exists()
    for values in ({"fmax": -1.0}, {"max_atoms": 0}, {"seed": -1}):
        with pytest.raises(InputError, match="no structure could be relaxed or perturbed so"):
            LabelRecipe(**values)
    with pytest.raises(InputError, match=r"fmax is 'soon'\n.*it has to be a finite number"):
        LabelRecipe(fmax="soon")
    with pytest.raises(InputError, match=r"count is 1\.5"):
        Perturbation(count=1.5)
    for rows in (5, [5]):
        with pytest.raises(InputError, match="perturbations"):
            LabelRecipe(perturbations=rows)
    with pytest.raises(InputError, match=r"unknown key 'perturbations\[1\]\.position'"):
        LabelRecipe(perturbations=[{"waves": 1}, {"position": 0.1}])


def test_rows_may_be_mappings():
    assert RECIPE.perturbations == (Perturbation(waves=1), Perturbation(positions=0.1, waves=0))
    assert json.dumps(asdict(LabelRecipe(seed=np.int64(7)))) == json.dumps(asdict(LabelRecipe(seed=7)))


def test_the_recipe_of_the_help_and_of_the_page_is_the_default():
    """Kills: a default changed in one place only."""
    help_text = textwrap.dedent(command._EPILOG[command._EPILOG.index("  relax:") :])
    page = (DOCS / "training.md").read_text()
    block = page[page.index("```yaml\nrelax: true") :].removeprefix("```yaml\n")
    for text in (help_text, block[: block.index("```")]):
        assert build(LabelRecipe, yaml.safe_load(text), "the text") == LabelRecipe()


def test_quiet_tells_what_failed_and_nothing_else(inside, capsys):
    assert main([*RUN, "--quiet"]) == 0
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: 1 of 3 structures could not be labelled\n  salts.xyz@1: ")
    assert "out/failures.csv" in error
    assert Path("out/frames/0-NaCl.h5").exists()
    write("salts.xyz", SALTS[:1])
    assert main([*RUN, "--quiet", "--overwrite"]) == 0
    assert capsys.readouterr() == ("", "")


def test_options_come_from_a_file(inside, capsys):
    Path("run.yaml").write_text("recipe: recipe.yaml\noutput: out\nworkers: 1\n")
    assert main(["label", "salts.xyz", "--config", "run.yaml"]) == 0
    assert "2 of 3 structures labelled, in out/frames" in capsys.readouterr().out
    assert "run.yaml" in json.loads(Path("out/labels.json").read_text())["provenance"]["sha256"]
    Path("run.yaml").write_text("recipies: recipe.yaml\n")
    assert main(["label", "salts.xyz", "--config", "run.yaml"]) == 2
    assert "did you mean 'recipe'?" in capsys.readouterr().err
