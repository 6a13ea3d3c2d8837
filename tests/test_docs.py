"""The pages: what they show of Python runs, and their commands and options exist."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

import ase_phonax
from ase_phonax import cli

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs/tutorials").glob("*.md"))]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_of_a_page_runs_from_its_first_line_to_its_last(page, tmp_path, monkeypatch):
    """Each page is a script of its own; kills names that have gone and objects that a page does not make."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    runpy.run_path(str(script))


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
