"""What a terminal adds to a report: styles, and not a character."""

import io
import sys

import pytest
from rich.console import Console

from ase_phonax.cli.terminal import print_report, styled
from ase_phonax.studies.report import Report
from ase_phonax.studies.words import interpolation_in_words, symmetry_in_words

from .screen import Screen

HEAD = ("T (K)", "V (Å³)", "β (10⁻⁶/K)", "B (GPa)", "Cp (J/K/mol)", "G (eV)", "γ", "doubt")
SOUND, DOUBTFUL = (interpolation_in_words(error, 0.1, 0.05, 9.0, "(0.1, 0.2, 0.3)") for error in (0.01, 0.06))


def report() -> Report:
    """One of everything."""
    text = Report("BaTiO3   Amm2 (38)   a-model, float64, and so many words that the title takes two lines at 80")
    text.row("errors", "0.26 THz " * 20)
    text.group("structure, a heading of so many words that it takes two lines where the terminal is a narrow one")
    text.row("cell", "2 atoms as given, primitive")
    text.row("", "a row without a label")
    text.paragraph("a paragraph, " * 12)
    text.columns(
        HEAD,
        [(f"{100 * k}", f"{19.5 + k:.4f}", "44.5", "150.62", "40.2", "-1", "–", "a" * k) for k in (0, 1)],
        doubtful=[1],
    )
    text.columns(("ratio", "state"), [("0.96", "a long story of many words " * 5), ("1", "stable")], prose=True)
    text.group("notes")
    text.paragraph("- The volume changed by 30 %.")
    return text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_styles_change_no_character(columns, monkeypatch):
    plain = report().text(columns)
    assert styled(report(), columns).plain == plain
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_report(report())
    screen = Screen(columns)
    screen.feed(terminal.getvalue())
    assert screen.lines() == plain.splitlines()
    assert "\x1b[1m" in terminal.getvalue()


@pytest.mark.parametrize(
    ("stream", "name", "value"),
    [(io.StringIO, "TERM", "xterm"), (Terminal, "NO_COLOR", "1"), (Terminal, "TERM", "dumb")],
)
def test_a_pipe_a_dumb_terminal_and_who_wants_no_colours_get_text(stream, name, value, monkeypatch):
    out = stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    print_report(report())
    assert out.getvalue() == report().text(80) + "\n"


def styles(text: Report, columns: int) -> dict[str, str]:
    """Line without its indentation -> the styles of its first and last character."""
    console = Console(file=io.StringIO(), force_terminal=True)
    of_line = {}
    for line in styled(text, columns).split("\n"):
        first = len(line.plain) - len(line.plain.lstrip())
        ends = (str(line.get_style_at_offset(console, k)) for k in (first, len(line) - 1))
        of_line[line.plain.strip()] = " ".join(ends)
    return of_line


def test_headings_are_bold_labels_coloured_and_doubts_yellow():
    text = Report("NaCl")
    text.group("checks")
    for words, doubt in (SOUND, DOUBTFUL):
        text.row("row", words, doubt=doubt)
    text.row("row", "UNSTABLE: there are imaginary modes")
    text.row("space group", symmetry_in_words(1.0))
    text.group("notes")
    text.paragraph("- The volume changed by 30 %.", doubt=True)
    by_line = styles(text, 400)
    assert by_line["NaCl"] == by_line["checks"] == "bold bold"
    rows = [style for line, style in by_line.items() if line.startswith("row ")]
    assert rows == ["cyan none", "yellow yellow", "yellow yellow"]
    assert by_line["- The volume changed by 30 %."] == "yellow yellow"
    assert next(style for line, style in by_line.items() if line.startswith("space")) == "yellow yellow"


def test_a_temperature_with_doubts_is_yellow_in_every_block():
    text = Report("MgO")
    text.columns(HEAD, [(str(k), "19.5", "44.51", "150", "40.2", "-11.7", "–", "a" * k) for k in (0, 1)], doubtful=[1])
    for columns, n_blocks in ((120, 1), (50, 2)):
        by_line = styles(text, columns)
        assert len(by_line) >= 3 * n_blocks
        for line, style in by_line.items():
            if line and line != "MgO":
                assert style == {"T": "cyan cyan", "0": "none none", "1": "yellow yellow"}[line[0]]
