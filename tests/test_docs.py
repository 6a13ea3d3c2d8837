"""The pages: what they show of Python runs, and their commands and options exist.

Each page is a script: its Python blocks, one after the other, in an empty folder. A block that cannot run here says
why in a line above it, `<!-- not run: REASON -->`, which readers do not see; how many there are stands below.
"""

import os
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

import ase_phonax
from ase_phonax import PhonaxCalculator, Potential, cli, get_phonopy, load_model
from ase_phonax.training.config import as_config
from ase_phonax.training.loop import TrainingResult

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
NOT_RUN = {"docs/mace.md": 1, "docs/molecules.md": 1, "docs/polar.md": 1, "docs/screening.md": 2, "docs/upstream.md": 3}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def python_blocks(page: str) -> list[tuple[str, str]]:
    """Reason why it is not run, "" where it is, and code of each block."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"(?:^<!-- not run: *(.*?) *-->\n\n)?^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def phonons_page(folder: Path) -> None:
    """The page shows a BORN file; it is that one."""
    (born,) = [text for text in blocks("docs/phonons.md", "text") if text.startswith("14.400")]
    (folder / "BORN").write_text(born, encoding="utf-8")


def training_page(folder: Path) -> None:
    """Results of calculations, which are the reader's own: silicon by the model that ships."""
    calc, frames = PhonaxCalculator("phonax-small"), []
    for seed in range(4):
        atoms = bulk("Si", a=5.4 + 0.02 * seed)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = calc
        atoms.get_forces(), atoms.get_stress()
        frames.append(atoms)
    write(folder / "train.extxyz", frames)
    get_phonopy(bulk("Si"), calc, 2).save(folder / "phonopy_params.yaml", settings={"force_constants": True})


# What readers have already where a page begins: files, and the names in its blocks that are theirs.
FILES: dict[str, Callable[[Path], None]] = {"docs/phonons.md": phonons_page, "docs/training.md": training_page}


def run_page(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    FILES.get(page, lambda folder: None)(folder)
    script = folder / "page.py"
    script.write_text("\n".join(code for reason, code in python_blocks(page) if not reason), encoding="utf-8")
    runpy.run_path(str(script))


RUN = [page for page in PAGES if any(not reason for reason, _ in python_blocks(page))]
LONG = {"docs/training.md"}  # trainings are compiled; a twin below runs without them


# What a page says of its crystals, such as where an unstable one leads, is part of what it shows.
@pytest.mark.filterwarnings("ignore::ase_phonax.base.errors.UnstableWarning")
@pytest.mark.parametrize("page", [pytest.param(p, marks=pytest.mark.slow if p in LONG else ()) for p in RUN])
def test_python_of_a_page_runs_from_its_first_line_to_its_last(page, tmp_path, monkeypatch):
    """Each page is a script of its own; kills names that have gone and objects that a page does not make."""
    run_page(page, tmp_path, monkeypatch)


def test_the_page_of_trainings_runs_but_for_them(tmp_path, monkeypatch):
    """Configurations are read and nothing is learned: the model that ships comes out."""
    trained = TrainingResult(load_model("phonax-small"), (), tmp_path)

    def train(config):
        assert all(map(os.path.exists, as_config(config).data.train))
        return trained

    def fine_tune(model, config):
        assert isinstance(model, Potential)
        return train(config)

    def imitate(config, teacher, frames, structures):
        as_config(config)
        assert {len(atoms) for atoms in structures} == {2 * len(frame.atoms) for frame in frames}
        return load_model(teacher)

    for stand_in in (train, fine_tune, imitate):
        monkeypatch.setattr(ase_phonax, stand_in.__name__, stand_in)
    run_page("docs/training.md", tmp_path, monkeypatch)


def test_blocks_that_do_not_run_are_known_and_say_why():
    """Kills a block that is set aside because it fails, and a mark that has lost its block."""
    reasons = {page: [reason for reason, _ in python_blocks(page) if reason] for page in PAGES}
    assert {page: len(given) for page, given in reasons.items() if given} == NOT_RUN
    marks = sum((ROOT / page).read_text(encoding="utf-8").count("<!-- not run") for page in PAGES)
    assert marks == sum(NOT_RUN.values())


def test_every_public_name_is_on_the_page_of_the_api():
    listed = re.findall(r"^::: ase_phonax\.(\w+)$", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(set(ase_phonax.__all__) - {"__version__"})


def commands() -> list[tuple[str, str]]:
    pages = ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))]
    lines = [
        (page, line)
        for page in pages
        for block in blocks(page, "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [(page, line) for page, line in lines if line.startswith("ase-phonax ")]


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_of_the_pages_are_taken_by_the_command_line(page, line):
    """Parsed, not run; kills options and commands that have gone."""
    parser, subcommands = cli._parser()
    words = shlex.split(line, comments=True)[1:]
    words = words[: next((k for k, word in enumerate(words) if word in (">", "|", "&&")), len(words))]
    cli.parse(parser, subcommands, words)
