"""Operations of CIF files: every setting makes the crystal that it means, and what is ambiguous is said."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import spglib
from ase.geometry import cellpar_to_cell

from ase_phonax.base.errors import StructureError, UnstableWarning
from ase_phonax.cli import loading
from ase_phonax.structures.cif_symmetry import parse_operation
from ase_phonax.structures.space_groups import get_space_group

CUBIC = (5.43, 5.43, 5.43, 90, 90, 90)
DIAMOND = [("Si", 0.125, 0.125, 0.125)]  # with the centre at the origin
PEROVSKITE = [("Ti", 0, 0.5, 0), ("Ca", 0.99, 0.03, 0.25), ("O", 0.07, 0.48, 0.25), ("O", 0.71, 0.29, 0.04)]
ORTHORHOMBIC = (5.2, 5.5, 7.6, 90, 90, 90)
HEXAGONAL, RHOMBOHEDRAL = (4.55, 4.55, 11.86, 90, 90, 120), (4.75, 4.75, 4.75, 57.23, 57.23, 57.23)


def cif(cell, symmetry, sites, operations=()) -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{name} {x}" for name, x in zip(names, cell, strict=True)), *symmetry]
    if operations:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{text}'" for text in operations)]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol", *(f"_atom_site_fract_{x}" for x in "xyz")]
    lines += [f"{symbol}{k} {symbol} {x} {y} {z}" for k, (symbol, x, y, z) in enumerate(sites)]
    return "\n".join(lines) + "\n"


def operations(hall: int, origin=(0, 0, 0)) -> list[str]:
    """Those of spglib's tables, with the origin moved."""
    found, texts = spglib.get_symmetry_from_database(hall), []
    for w, t in zip(found["rotations"], found["translations"], strict=True):
        rows = []
        for row, shift in zip(w, t + np.array(origin) - w @ np.array(origin), strict=True):
            axes = "".join(("-" if n < 0 else "+") + x for n, x in zip(row, "xyz", strict=True) if n)
            fraction = Fraction(float(shift)).limit_denominator(24)
            rows.append(axes.removeprefix("+") + (f"{'+' if fraction > 0 else ''}{fraction}" if fraction else ""))
        texts.append(",".join(rows))
    return texts


def read(tmp_path, text):
    path = tmp_path / "x.cif"
    path.write_text(text)
    return loading.read_structure(str(path))


def number(n: int) -> str:
    return f"_space_group_IT_number {n}"


def symbol(text: str) -> str:
    return f"_space_group_name_H-M_alt '{text}'"


def hall(text: str) -> str:
    return f"_space_group_name_Hall '{text}'"


@pytest.mark.parametrize(
    "symmetry",
    [
        [hall("-F 4vw 2vw 3")],
        [hall("-F 4vw 2vw 3"), number(227)],
        ["_symmetry_space_group_name_Hall '-F 4vw 2vw 3'"],
        [symbol("F d -3 m :2")],
        [symbol("F d -3 m Z"), number(227)],
        [symbol("F d 3 m :2"), number(227)],
        [number(227), "_symmetry_space_group_setting 2"],
    ],
)
def test_the_origin_that_a_file_names_is_the_one_that_is_taken(tmp_path, symmetry):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnstableWarning)
        atoms = read(tmp_path, cif(CUBIC, symmetry, DIAMOND))
    assert len(atoms) == 8
    assert str(get_space_group(atoms)) == "Fd-3m (227)"


@pytest.mark.parametrize("symmetry", [[number(227)], [symbol("F d -3 m")], [symbol("F d -3 m"), number(227)]])
def test_an_origin_that_is_not_stated_is_said(tmp_path, symmetry):
    with pytest.warns(UnstableWarning, match="which of two origins of the space group number 227 .* choice 1 was"):
        assert len(read(tmp_path, cif(CUBIC, symmetry, [("Si", 0, 0, 0)]))) == 8


@pytest.mark.parametrize("origin", [(0, 0, 0), (1 / 8, 0, 0), (1 / 4, 1 / 4, 0)])
def test_listed_operations_with_any_origin_make_the_same_crystal(tmp_path, origin):
    site = np.array((0.03, 0.25, 0.12))
    text = cif((9.5, 5.9, 4.8, 90, 90, 90), [number(62)], [("Si", *(site + origin))], operations(292, origin))
    atoms = read(tmp_path, text)
    assert len(atoms) == 4
    assert str(get_space_group(atoms)) == "Pnma (62)"


@pytest.mark.parametrize("symmetry", [[symbol("P b n m")], [symbol("P b n m"), number(62)], [hall("-P 2c 2ab")]])
def test_a_symbol_says_the_setting_and_a_number_does_not_undo_that(tmp_path, symmetry):
    atoms = read(tmp_path, cif(ORTHORHOMBIC, symmetry, PEROVSKITE))
    listed = read(tmp_path, cif(ORTHORHOMBIC, [number(62)], PEROVSKITE, operations(294)))
    assert atoms.symbols.formula.count() == {"Ti": 4, "Ca": 4, "O": 12}
    distances = [np.sort(a.get_all_distances(mic=True).ravel()) for a in (atoms, listed)]
    np.testing.assert_allclose(*distances, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("cell", "symmetry", "hall_number"),
    [
        ((5, 6, 7, 90, 100, 90), [symbol("P 21/n"), number(14)], 82),
        ((5, 6, 7, 90, 100, 90), [symbol("P 1 21/n 1")], 82),
        ((5, 6, 7, 90, 100, 90), [symbol("P 21/c")], 81),
        ((5, 6, 7, 90, 90, 100), [symbol("P 1 1 21/b"), number(14)], 86),
        ((5, 6, 7, 90, 90, 100), [symbol("P 21/b")], 86),
    ],
)
def test_monoclinic_symbols_name_their_axis_and_glide(tmp_path, cell, symmetry, hall_number):
    sites = [("Si", 0.1, 0.2, 0.3)]
    atoms, expected = (
        read(tmp_path, text)
        for text in (cif(cell, symmetry, sites), cif(cell, [number(14)], sites, operations(hall_number)))
    )
    distances = [np.sort(a.get_all_distances(mic=True).ravel()) for a in (atoms, expected)]
    np.testing.assert_allclose(*distances, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "symmetry", [[number(166)], [symbol("R -3 m")], [number(166), "_symmetry_cell_setting trigonal"]]
)
@pytest.mark.parametrize(
    ("cell", "site", "n"), [(HEXAGONAL, ("Bi", 0, 0, 0.234), 6), (RHOMBOHEDRAL, ("Bi", 0.234, 0.234, 0.234), 2)]
)
def test_axes_of_hexagons_and_rhombohedra_are_told_apart_by_the_cell(tmp_path, cell, site, n, symmetry):
    atoms = read(tmp_path, cif(cell, symmetry, [site]))
    assert len(atoms) == n
    assert get_space_group(atoms).number == 166
    assert atoms.get_volume() / n == pytest.approx(abs(np.linalg.det(cellpar_to_cell(HEXAGONAL))) / 6, rel=1e-2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (cif((5, 5, 7, 90, 90, 90), [number(186)], [("Zn", 0.3, 0.6, 0)]), "5 5 7 90 90 90 does not have the symmetry"),
        (cif((5, 6, 7, 90, 90, 100), [number(14)], [("Si", 0.1, 0.2, 0.3)]), "number 14 alone, .* 3 settings"),
        (cif(CUBIC, [number(62), symbol("P 21/n")], DIAMOND), "P 21/n, number 14, and the number 62"),
        (cif((5, 5, 7, 90, 90, 90), [], DIAMOND, operations(523)), "does not have the symmetry of its operations"),
        (cif(CUBIC, [hall("-Q 1")], DIAMOND), "states the space group '-Q 1', lists no symmetry operations"),
        (cif(CUBIC, [number(1)], DIAMOND, ["x,y,q"]), "'x,y,q' is no symmetry operation"),
    ],
)
def test_symmetry_that_cannot_be_is_refused(tmp_path, text, words):
    with pytest.raises(StructureError, match=words):
        read(tmp_path, text)


def test_a_group_and_operations_of_another_are_said_unless_the_crystal_has_that_group(tmp_path):
    salt = [("Na", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5)]
    without_centring = [text for text in operations(523) if "1/2" not in text]
    with pytest.warns(UnstableWarning, match=r"number 225, and the 48 operations .* its crystal has number 221"):
        assert len(read(tmp_path, cif(CUBIC, [number(225)], salt, without_centring))) == 2
    with pytest.warns(UnstableWarning, match="number 225, and the 1 operations"):
        assert len(read(tmp_path, cif(CUBIC, [number(225)], [("Na", 0, 0, 0), ("Cl", 0.3, 0.35, 0.4)], ["x,y,z"]))) == 2
    whole = read(tmp_path, cif(CUBIC, [number(225)], salt, operations(523)))
    sites = [(a.symbol, *a.scaled_position) for a in whole]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnstableWarning)
        assert len(read(tmp_path, cif(CUBIC, [number(225)], sites, ["x,y,z"]))) == 8


def test_translations_of_few_digits_are_the_fractions_that_they_stand_for_and_others_stay():
    for text, value in (("x+0.333", 1 / 3), ("x+0.667", 2 / 3), ("x+.1667", 1 / 6), ("x+0.1234", 0.1234)):
        assert parse_operation(f"{text},y,z")[1][0] == value
