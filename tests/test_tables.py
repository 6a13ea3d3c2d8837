"""Tables at the widths of the terminals that people have."""

import re

import pytest

from ase_phonax.cli import tables
from ase_phonax.cli.tables import Table

CONTENTS = (
    ("at Γ, m-3m", "T1u -2.959 (3) IR;  T1u 0.000 (3) acoustic;  T2u 3.474 (3) silent;  T1u 6.271 (3) IR"),
    ("meV per cell", ",  ".join(f"{-1.5 * k:.1f} at {0.05 * k:g} Å" for k in range(13))),
    ("supercell", "-3 3 3, 3 -3 3, 3 3 -3, 216 atoms, the smallest within 0.05 THz RMS (0.15 THz with 54)"),
    ("supercell", "10 × 10 × 12, 2400 atoms, as asked, in the largest cell that anybody has ever seen"),
    ("lowest", "that is interpolated; lowest exact one found: -6.107 at q = (0.3333, -0.3333, 0.25), here"),
    ("stability", "UNSTABLE: compare with a larger one (`ase-phonax models`), unless it is 12 meV off"),
    (
        "largest force, stress",
        "9.7e-16 eV/Å, 9.3e-09 eV/Å³ (before: 4.5e-15, 1.4e-02), heat 85.0 J/K/mol, 60.00 60.00 90.00°",
    ),
)
KEPT = (
    "-2.959 (3)",
    "6.271 (3) IR",
    "-3.0 at 0.1 Å",
    "-16.5 at 0.55 Å",
    "-3 3 3",
    "3 3 -3",
    "216 atoms",
    "0.05 THz",
    "10 × 10 × 12",
    "q = (0.3333, -0.3333, 0.25)",
    "12 meV",
    "9.3e-09 eV/Å³",
    "85.0 J/K/mol",
    "60.00 60.00 90.00°",
)


def table() -> Table:
    text = Table("BaTiO3   Amm2 (38)   a-model, float64")
    text.group("structure")
    for label, content in CONTENTS:
        text.row(label, content)
    return text


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_torn_from_its_unit(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = str(table())
    assert max(map(len, text.splitlines())) <= min(columns, 120)
    for kept in KEPT:
        assert kept in text
    # Nothing is lost on the way.
    assert (
        text.split()
        == " ".join(["BaTiO3 Amm2 (38) a-model, float64 structure"] + [f"{a} {b}" for a, b in CONTENTS]).split()
    )


def test_a_pipe_has_a_hundred_columns_and_a_very_wide_terminal_is_not_filled(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("shutil.os.get_terminal_size", lambda *a: (_ for _ in ()).throw(OSError))
    assert tables.width() == 100
    monkeypatch.setenv("COLUMNS", "300")
    assert tables.width() == 120  # longer lines are hard to follow
    monkeypatch.setenv("COLUMNS", "20")
    assert tables.width() == 50  # narrower ones have no room beside the labels


HEAD = ("T (K)", "V (Å³)", "β (10⁻⁶/K)", "B (GPa)", "Cp (J/K/mol)", "G (eV)", "γ")
ROWS = [(f"{100 * k}", f"{19.5 + k:.4f}", f"{44.51:.2f}", "150.62", "40.270", "-11.715420", "–") for k in range(3)]


@pytest.mark.parametrize("columns", [50, 60, 80, 120])
def test_columns_stand_under_their_headings_at_every_width(columns, monkeypatch):
    """Kills: rows wrapped at the end of the line, whose second half stands under other headings."""
    monkeypatch.setenv("COLUMNS", str(columns))
    text = Table("MgO")
    text.group("quasi-harmonic")
    text.columns(HEAD, ROWS)
    lines = str(text).splitlines()
    assert max(map(len, lines)) <= columns
    for k, name in enumerate(HEAD[1:], 1):
        (start,) = [number for number, line in enumerate(lines) if name in line]
        end = lines[start].index(name) + len(name)
        for line, row in zip(lines[start + 1 :], ROWS, strict=False):
            assert line.split()[0] == row[0]  # each block begins with what its rows belong to
            assert line[:end].endswith(row[k])
    assert sum("T (K)" in line for line in lines) == (1 if columns >= 80 else 2)


def test_a_last_column_of_text_goes_on_below_itself(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = Table("volumes")
    text.columns(("ratio", "state"), [("0.96", "a long story of many words " * 3), ("1", "stable")], prose=True)
    lines = str(text).splitlines()
    assert max(map(len, lines)) <= 60
    assert re.fullmatch(r"   0\.96  a long story .*", lines[2])
    assert re.match(r" {9}\w", lines[3])
    assert lines[-1] == "      1  stable"
