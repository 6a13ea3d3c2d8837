"""Structure files: what they state of themselves is compared with what was read; cells that are skewed."""

import os
import time
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import minkowski_reduce
from ase.io import read, write
from ase.spacegroup import Spacegroup

from ase_phonax import PhonaxCalculator, relax
from ase_phonax.base.errors import StructureError, UnstableWarning, why_unread
from ase_phonax.cli import loading, main
from ase_phonax.phonons.bands.paths import crystal_path
from ase_phonax.phonons.supercell.objects import build_phonopy
from ase_phonax.structures.checks import require_crystal
from ase_phonax.structures.cif_symmetry import parse_operation
from ase_phonax.structures.lattices import is_skewed, short_vectors, with_short_vectors
from ase_phonax.structures.neighbours import check_atoms, neighbour_list
from ase_phonax.structures.space_groups import (
    get_conventional_matrix,
    get_operations,
    get_primitive_matrix,
    get_space_group,
)

SILICON = """data_x
_cell_length_a 5.43
_cell_length_b 5.43
_cell_length_c 5.43
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
{symbol}loop_
_symmetry_equiv_pos_as_xyz
{operations}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 Si 0.125 0.125 0.125
"""

ZIRCONIA = """data_x
_cell_length_a 5.21
_cell_length_b 5.26
_cell_length_c 5.38
_cell_angle_alpha 90
_cell_angle_beta 99.2
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P2(1)/n'
loop_
_symmetry_equiv_pos_as_xyz
'x,y,z'
'-x+1/2,y+1/2,-z+1/2'
'-x,-y,-z'
'x+1/2,-y+1/2,z+1/2'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Zr1 Zr 0.28 0.04 0.21
O2 O 0.07 0.33 0.34
O3 O 0.45 0.76 0.48
"""

ZINCITE = """data_x
_cell_length_a 3.25
_cell_length_b 3.25
_cell_length_c 5.207
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_symmetry_space_group_name_H-M 'P 63 m c'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Zn1 Zn 0.333 0.667 0
O1 O 0.333 0.667 0.382
"""

RUTILE = """data_x
_chemical_formula_sum 'O2 Ti'
_cell_formula_units_Z 2
_cell_length_a 4.6
_cell_length_b 4.6
_cell_length_c 2.96
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 136
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Ti1 Ti 0 0 0
O1 O 0.305 0.305 0
"""

VASP4 = """rocksalt at 300 K
  5.64
 1 0 0
 0 1 0
 0 0 1
 4 4
Direct
 0.0 0.0 0.0
 0.0 0.5 0.5
 0.5 0.0 0.5
 0.5 0.5 0.0
 0.5 0.5 0.5
 0.5 0.0 0.0
 0.0 0.5 0.0
 0.0 0.0 0.5
"""


def as_text(rotation: np.ndarray, shift: np.ndarray) -> str:
    """An operation as CIF files list it."""
    rows = []
    for row, t in zip(rotation, shift, strict=True):
        terms = "".join(("-" if w < 0 else "+") + axis for w, axis in zip(row, "xyz", strict=True) if w)
        rows.append(terms.removeprefix("+") + (f"+{round(24 * t)}/24" if t else ""))
    return "'" + ",".join(rows) + "'"


def operations_of_silicon() -> str:
    # The second setting has its centre at the origin.
    return "\n".join(as_text(w, t % 1) for w, t in Spacegroup(227, 2).get_symop())


# ---- CIF -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["", "_symmetry_space_group_name_H-M 'F d 3 m'\n"])
def test_a_cif_without_a_number_is_read_by_its_operations(tmp_path, symbol):
    path = tmp_path / "Si.cif"
    path.write_text(SILICON.format(symbol=symbol, operations=operations_of_silicon()))
    atoms = loading.read_structure(str(path))
    assert str(atoms.symbols) == "Si8"
    assert str(get_space_group(atoms)) == "Fd-3m (227)"
    assert atoms.get_all_distances(mic=True)[0, 1:].min() == pytest.approx(5.43 * np.sqrt(3) / 4, abs=1e-12)


def test_a_symbol_in_the_spelling_of_shelx_is_read_by_the_operations(tmp_path):
    path = tmp_path / "ZrO2.cif"
    path.write_text(ZIRCONIA)
    atoms = loading.read_structure(str(path))
    assert atoms.get_chemical_formula() == "O8Zr4"
    assert str(get_space_group(atoms)) == "P2_1/c (14)"


@pytest.mark.parametrize(
    ("text", "point", "image"),
    [
        ("x,y,z", (0.1, 0.2, 0.3), (0.1, 0.2, 0.3)),
        ("-y, x-y, z+1/3", (0.1, 0.2, 0.3), (-0.2, -0.1, 0.3 + 1 / 3)),
        ("1/2-X,Y+0.5,-z", (0.1, 0.2, 0.3), (0.4, 0.7, -0.3)),
        ("y,x,0.3333-z", (0.1, 0.2, 0.3), (0.2, 0.1, 1 / 3 - 0.3)),
    ],
)
def test_operations_do_to_a_point_what_they_say(text, point, image):
    rotation, shift = parse_operation(text)
    np.testing.assert_allclose(rotation @ point + shift, image, rtol=0, atol=1e-15)


@pytest.mark.parametrize("text", ["x,y", "x,y,q", "x,y,", "x,x,z", "x,y,z+", "x,y,z,x", "x,y,1/0"])
def test_what_is_no_operation_is_refused(text):
    with pytest.raises((ValueError, ZeroDivisionError)):
        parse_operation(text)


def test_a_space_group_nobody_knows_is_named_with_what_is_missing(tmp_path):
    path = tmp_path / "x.cif"
    path.write_text(RUTILE.replace("_space_group_IT_number 136", "_symmetry_space_group_name_H-M 'P 42/q q m'"))
    with pytest.raises(StructureError, match=r"the space group 'P 42/q q m', lists no symmetry operations") as caught:
        loading.read_structure(str(path))
    assert "add the number of the space group" in caught.value.remedy


def test_rounded_special_positions_are_named_with_the_tolerance_that_joins_them(tmp_path):
    path = tmp_path / "ZnO.cif"
    path.write_text(ZINCITE)
    with pytest.raises(StructureError, match=r"special positions are rounded: .* Zn up to 0\.00325 Å apart") as caught:
        loading.read_structure(str(path))
    assert "`site_tolerance=0.004`" in caught.value.remedy
    atoms = loading.read_structure(str(path), 0.004)
    assert str(atoms.symbols.formula.reduce()[0]) == "ZnO"
    assert len(atoms) == 4
    # The mean of the images is the special position itself, to rounding: the group holds at the tightest tolerance.
    assert str(get_space_group(atoms, 1e-8)) == "P6_3mc (186)"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("O1 O 0.305 0.305 0\n", "", r"states the formula O2 Ti1, and its atoms are Ti2?\n"),
        ("_space_group_IT_number 136\n", "", r"states the formula O2 Ti1, and its atoms are TiO\n"),
        ("_formula_units_Z 2", "_formula_units_Z 4", r"states 4 units of O2 Ti1 in the cell, and 2 were read"),
        ("O1 O 0.305 0.305 0\n", "O1 O 0.305 0.305\n", r"cannot be read: .*incomplete row"),
        ("O1 O 0.305 0.305 0\n", "O1 O 0.305 0.305 0 1 2 3\n", r"a row of a table is not complete"),
        ("_cell_length_c 2.96\n", "", r"states no cell: _cell_length_c is missing"),
        ("_cell_length_c 2.96\n", "_cell_length_c ?\n", r"states no cell: _cell_length_c is \?"),
        ("Ti1 Ti 0 0 0\n", "Ti1 Ti ? 0 0\n", r"cannot be read: a symbol or coordinate is none"),
        ("Ti1 Ti 0 0 0\n", "Ti1 Qq 0 0 0\n", r"cannot be read: a symbol or coordinate is none"),
        ("_atom_site_fract_x\n", "_atom_site_frac_x\n", r"no data block of it has atoms with symbols and coordinates"),
    ],
)
def test_a_cif_that_contradicts_itself_is_refused_with_both_sides(tmp_path, old, new, text):
    path = tmp_path / "TiO2.cif"
    path.write_text(RUTILE)
    assert str(loading.read_structure(str(path)).symbols.formula.reduce()[0]) == "TiO2"
    assert old in RUTILE
    path.write_text(RUTILE.replace(old, new))
    with pytest.raises(StructureError, match=text):
        loading.read_structure(str(path))


@pytest.mark.parametrize("formula", ["'Ti2 O4'", "'Ti O2'", "?", "'Ti2 O4, 2(H2 O)'"])
def test_a_formula_of_the_whole_cell_or_of_none_is_no_contradiction(tmp_path, formula):
    path = tmp_path / "TiO2.cif"
    path.write_text(RUTILE.replace("'O2 Ti'", formula))
    assert len(loading.read_structure(str(path))) == 6


def test_a_cif_without_any_symmetry_is_read_and_that_is_said(tmp_path):
    path = tmp_path / "TiO2.cif"
    path.write_text(RUTILE.replace("_space_group_IT_number 136\n", "").replace("_chemical", "_other"))
    with pytest.warns(UnstableWarning, match="states no symmetry"):
        assert len(loading.read_structure(str(path).replace("_cell_formula", "_x"))) == 2


# ---- POSCAR and xyz --------------------------------------------------------------------------------


def test_a_vasp_4_file_without_symbols_is_named_so(tmp_path):
    path = tmp_path / "x.vasp"
    path.write_text(VASP4)
    with pytest.raises(StructureError, match="it is a VASP 4 file, and its first line is 'rocksalt at 300 K'"):
        loading.read_structure(str(path))
    # "K" would be potassium to ASE, where one symbol is enough.
    path.write_text(VASP4.replace(" 4 4", " 8"))
    with pytest.raises(StructureError, match="VASP 4 file"):
        loading.read_structure(str(path))
    for line in ("Na Cl rocksalt at 300 degrees", "NaCl rocksalt"):
        path.write_text(VASP4.replace("rocksalt at 300 K", line))
        with pytest.warns(UnstableWarning, match="its elements Na Cl were taken from its first line"):
            assert str(loading.read_structure(str(path)).symbols) == "Na4Cl4"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (" 4 4", " Na Cl\n 4 3", r"counts 4 \+ 3 = 7 atoms, and 8 lines of coordinates follow"),
        (" 4 4", " Na Cl\n 4 5", r"counts 4 \+ 5 = 9 atoms, and 8 lines of coordinates follow"),
        (" 4 4", " Na Cl Br\n 4 4", r"names 3 elements \(Na Cl Br\) and gives 2 counts"),
        (" 4 4", " Na\n 4 4", r"names 1 elements \(Na\) and gives 2 counts"),
    ],
)
def test_a_poscar_whose_counts_do_not_fit_is_refused(tmp_path, old, new, text):
    path = tmp_path / "POSCAR"
    path.write_text(VASP4.replace(old, new))
    with pytest.raises(StructureError, match=text):
        loading.read_structure(str(path))


def test_a_poscar_with_velocities_and_selective_dynamics_passes(tmp_path):
    path = tmp_path / "CONTCAR"
    atoms = bulk("NaCl", "rocksalt", 5.64)
    write(path, atoms, format="vasp")
    path.write_text(path.read_text().rstrip() + "\n\n" + " 0.0 0.0 0.0\n" * 2)
    assert len(loading.read_structure(str(path))) == 2
    head, coordinates = VASP4.split("Direct\n")
    head = head.replace(" 4 4", " Na Cl ! symbols\n 4 4 ! counts") + "Selective dynamics\nDirect\n"
    path.write_text(head + coordinates.replace("\n", " T T F\n"))
    assert len(loading.read_structure(str(path))) == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2\nfirst\nH 0 0 0\nH 0 0 .74\n\n2\nsecond\nH 0 0 0\nH 0 0 .8\n", "line 5 is empty, after 1 frames"),
        ("1\nfirst\nH 0 0 0\nH 0 0 .74\n", "line 4 is 'H 0 0 .74' where a number of atoms has to stand"),
        ("3\nfirst\nH 0 0 0\nH 0 0 .74\n", "line 1 announces 3 atoms, and 2 lines of atoms follow"),
    ],
)
@pytest.mark.parametrize("index", ["", "@0"])
def test_an_xyz_file_whose_counts_do_not_fit_is_refused(tmp_path, text, words, index):
    path = tmp_path / "h2.xyz"
    path.write_text(text)
    with pytest.raises(StructureError, match=words):
        loading.read_structure(f"{path}{index}")


def test_empty_lines_at_the_end_of_an_xyz_file_are_no_matter(tmp_path):
    path = tmp_path / "h2.xyz"
    path.write_text("2\n\nH 0 0 0\nH 0 0 .74\n\n  \n")
    assert len(loading.read_structure(str(path))) == 2


# ---- paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a" * 300 + ".cif", "cannot be reached: File name too long"),
        ("loop.cif", "cannot be reached: Too many levels of symbolic links"),
        ("pipe.cif", "is a pipe or a device"),
        ("nul\0.cif", "is no path: embedded null byte"),
        ("folder.cif", "is a folder"),
        ("empty.cif", "is empty"),
        ("salt.cif/x.cif", "does not exist"),
        ("salt.xyz@7", "has no image 7"),
    ],
)
def test_paths_that_the_system_refuses_are_errors_in_words(tmp_path, monkeypatch, capsys, name, words):
    monkeypatch.chdir(tmp_path)
    os.symlink("loop.cif", "loop.cif")
    os.mkfifo("pipe.cif")
    os.mkdir("folder.cif")
    open("empty.cif", "w").close()
    write("salt.cif", bulk("NaCl", "rocksalt", 5.64))
    write("salt.xyz", bulk("NaCl", "rocksalt", 5.64), format="extxyz")
    assert main(["phonons", name]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.startswith("error: ")
    assert "Traceback" not in printed


# ---- files of another kind -------------------------------------------------------------------------

OTHER_KINDS = {
    "a letter": ("a.cif", "Dear reader,\n", "something else stands in it than its reader looks for (AssertionError)"),
    "a program": ("a.cif", "def f():\n    pass\n", "something else stands in it than its reader looks for"),
    "an xyz file": ("a.cif", "1\n\nH 0 0 0\n", "something else stands in it than its reader looks for"),
    "a cut file": ("a.cif", "data_x\n_cell_length_a\n", "it ends, or a line of it, before what its reader looks for"),
    "a table": (
        "POSCAR",
        "a b c\n1 2 3\n",
        "something else stands in it than its reader looks for (ValueError: operands",
    ),
    "an unknown element": ("a.xyz", "1\n\nQq 0 0 0\n", "a name that its reader looks for is missing or unknown"),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_file_of_another_kind_is_refused_in_words_about_the_file(tmp_path, kind):
    name, text, words = OTHER_KINDS[kind]
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(StructureError) as error:
        loading.read_structure(str(path))
    assert f"{path} cannot be read: {words}" in error.value.what


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AssertionError(), "something else stands in it than its reader looks for (AssertionError)"),
        (AttributeError("'NoneType' object has no attribute 'group'"), "something else stands in it"),
        (KeyError("Qq"), "a name that its reader looks for is missing or unknown (KeyError: 'Qq')"),
        (StopIteration(), "it ends, or a line of it, before what its reader looks for (StopIteration)"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "its bytes are no text (UnicodeDecodeError"),
        (MemoryError(), "what it announces fits no memory (MemoryError)"),
        (ValueError(), "its reader gives no reason (ValueError)"),
        (ValueError("could not convert\n string to float: 'a'"), "could not convert string to float: 'a'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_readers_raise_is_told_in_words(error, words):
    assert why_unread(error).startswith(words)


# ---- skewed cells and far atoms --------------------------------------------------------------------


def skewed(n: int) -> tuple[Atoms, Atoms]:
    """Rock salt, and the same with its third vector n (a - b) further."""
    usual = bulk("NaCl", "rocksalt", 5.64)
    cell = usual.cell.array.copy()
    cell[2] += n * (cell[0] - cell[1])
    other = usual.copy()
    other.set_cell(cell)
    return usual, other


@pytest.mark.parametrize("n", [3, 1000, 100_000])
def test_the_edges_of_a_skewed_cell_are_those_of_the_usual_one(n):
    """A search in the cell as given takes a time of n²: eight seconds for a thousand."""
    usual, other = skewed(n)
    for atoms in (usual, other):
        i, j, shifts = neighbour_list(atoms, 6.0)
        vectors = atoms.positions[j] + shifts @ atoms.cell.array - atoms.positions[i]
        found = np.array(sorted(np.column_stack((i, j, np.round(vectors, 6) + 0.0)).tolist()))
        if atoms is usual:
            expected = found
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_energy_and_matrices_of_a_skewed_cell_are_those_of_the_usual_one():
    usual, other = skewed(10)
    calc = PhonaxCalculator()
    energies = [calc.get_potential_energy(atoms) for atoms in (usual, other)]
    assert energies[1] == pytest.approx(energies[0], abs=1e-12)
    gamma = [calc.get_dynamical_matrix(atoms, [[0, 0, 0]])[0] for atoms in (usual, other)]
    np.testing.assert_allclose(gamma[1], gamma[0], rtol=0, atol=1e-12)
    require_crystal(other)


@pytest.mark.parametrize("n", [3, 30, 1000])
def test_operations_of_a_skewed_cell_are_those_of_the_usual_one(n):
    """spglib finds no group in vectors some hundred times too long: it is asked in short ones."""
    usual, other = skewed(n)
    for atoms in (usual, other):
        atoms.positions += [0.1, 0.2, 0.3]  # the origin is no centre of symmetry: translations count
    assert str(get_space_group(other)) == "Fm-3m (225)"
    rotations, translations = get_operations(other)
    longer = np.array([[1, 0, 0], [0, 1, 0], [n, -n, 1]])  # f of the usual cell is longer.T @ f of the other
    shorter = np.array([[1, 0, 0], [0, 1, 0], [-n, n, 1]])
    expected = shorter.T @ get_operations(usual)[0] @ longer.T
    assert len(rotations) == 48
    assert sorted(rotations.tolist()) == sorted(expected.tolist())
    scaled = other.get_scaled_positions(wrap=False)
    off = scaled @ rotations.swapaxes(1, 2) + translations[:, None] - scaled
    # Coordinates of the size n, rotations of n²: that much of 1e-16 is lost.
    assert np.abs((off - np.rint(off)) @ longer).max() < 1e-15 * n**3 + 1e-12
    conventional = get_conventional_matrix(other).T @ other.cell.array
    np.testing.assert_allclose(np.linalg.norm(conventional, axis=1), 5.64, rtol=0, atol=1e-8)


def test_the_primitive_cell_of_a_skewed_supercell_is_the_usual_one():
    usual, _ = skewed(0)
    other = usual.repeat((2, 1, 1))
    other.set_cell(np.array([[1, 0, 0], [700, 1, 0], [-300, 500, 1]]) @ other.cell.array)
    primitive = get_primitive_matrix(other).T @ other.cell.array
    assert abs(np.linalg.det(primitive)) == pytest.approx(usual.get_volume(), rel=1e-8)
    whole = primitive @ np.linalg.inv(usual.cell.array)
    np.testing.assert_allclose(whole, np.rint(whole), rtol=0, atol=1e-7)


@pytest.mark.parametrize("n", [10, 1000])
def test_matrices_by_symmetry_of_a_skewed_cell_are_those_without_and_of_the_usual_one(n):
    usual, other = skewed(n)
    calc, k = PhonaxCalculator(), np.random.default_rng(0).uniform(-0.2, 0.2, (3, 3))  # [1/Å], without 2 pi
    found = [calc.get_dynamical_matrix(other, k @ other.cell.array.T, symmetry=how) for how in (True, False)]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-12)
    # A wave vector in a long cell is known to n parts in 1e16.
    expected = calc.get_dynamical_matrix(usual, k @ usual.cell.array.T)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-13 * n)
    assert len(calc._crystals.stars.last.operations.rotations) == 48


def test_the_band_path_of_a_skewed_cell_goes_through_the_points_of_the_usual_one():
    ends = []
    for atoms in skewed(1000):
        reciprocal = np.linalg.inv(atoms.cell.array).T
        ends.append(
            [(s.start, s.end, *np.linalg.norm(s.qpoints[[0, -1]] @ reciprocal, axis=1)) for s in crystal_path(atoms)]
        )
    for usual, other in zip(*ends, strict=True):
        assert usual[:2] == other[:2]
        np.testing.assert_allclose(other[2:], usual[2:], rtol=0, atol=1e-8)


def test_where_others_hand_spglib_long_vectors_short_ones_are_advised():
    """phonopy and ASE ask spglib about the cell as it is: what it raises there is no error of ours."""
    _, other = skewed(1000)
    for compute in (lambda: build_phonopy(other, 1), lambda: relax(other, PhonaxCalculator())):
        with pytest.raises(StructureError, match=r"finds no space group for NaCl.*\n.*\n.*minkowski_reduce"):
            compute()
    other.set_cell(minkowski_reduce(other.cell)[0])
    assert len(build_phonopy(other, 1).primitive_symmetry.pointgroup_operations) == 48


@pytest.mark.data
def test_the_skewed_case_has_the_group_and_matrices_of_rock_salt(data):
    path = data / "cases" / "NaCl-skew2.vasp"
    if not path.is_file():
        pytest.skip("the cases are not at hand")
    atoms, calc = read(path), PhonaxCalculator()
    assert str(get_space_group(atoms)) == "Fm-3m (225)"
    qpoints = [[0.1, 0.2, 0.3], [0.5, 0, 0]]
    found = [calc.get_dynamical_matrix(atoms, qpoints, symmetry=how) for how in (True, False)]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-12)


def test_short_vectors_span_the_same_lattice_and_are_the_shortest():
    usual, other = skewed(50)
    assert is_skewed(other.cell.array)
    assert not is_skewed(usual.cell.array)
    vectors, matrix = short_vectors(other.cell.array, other.pbc)
    np.testing.assert_allclose(matrix @ other.cell.array, vectors, rtol=0, atol=1e-10)
    assert abs(round(np.linalg.det(matrix))) == 1
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 5.64 / np.sqrt(2), rtol=0, atol=1e-10)
    assert np.linalg.det(with_short_vectors(other).cell.array) * np.linalg.det(other.cell.array) > 0


def test_the_layer_in_a_skewed_cell_has_the_edges_of_the_usual_one():
    """Directions without periodicity are no vectors of the lattice: they are never mixed into the others."""
    layer = Atoms("C2", [[0, 0, 0], [0, 1.42, 0]], cell=[[2.46, 0, 0], [1.23, 2.13, 0], [0, 0, 0]], pbc=(1, 1, 0))
    expected = len(neighbour_list(layer, 6.0)[0])
    cell = layer.cell.array.copy()
    cell[1] += 500 * cell[0]
    cell[2] = 3 * cell[1] + [0, 0, 0.01]
    layer.set_cell(cell)
    assert len(neighbour_list(layer, 6.0)[0]) == expected


def test_phonons_of_a_skewed_cell_takes_a_reduced_one_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("skew.vasp", skewed(1000)[1], format="vasp")
    assert main(["phonons", "skew.vasp", "--supercell", "1", "1", "1", "--no-relax", "--mesh", "2", "2", "2"]) == 0
    assert "the cell of skew.vasp is skewed" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("far", [1e8, 1e12])
def test_coordinates_that_rounding_spoils_are_refused_for_energies_and_phonons(far):
    atoms = bulk("NaCl", "rocksalt", 5.64)
    atoms.positions[1, 0] += far
    for check in (require_crystal, lambda atoms: check_atoms(atoms, (11, 17), "a model")):
        with pytest.raises(StructureError, match=r"the position 1 is \[.*\] Å\n.* rounded to more than 1e-10 Å"):
            check(atoms)
    atoms = bulk("NaCl", "rocksalt", 5.64)
    atoms.set_cell(atoms.cell.array * far)
    with pytest.raises(StructureError, match="the cell vector 0 is"):
        check_atoms(atoms, (11, 17), "a model")


def test_atoms_ten_thousand_cells_away_have_the_energy_of_those_at_home():
    atoms = bulk("NaCl", "rocksalt", 5.64)
    calc = PhonaxCalculator()
    expected = calc.get_potential_energy(atoms)
    atoms.positions[1] += 10_000 * atoms.cell.array[0]
    assert calc.get_potential_energy(atoms) == pytest.approx(expected, abs=1e-9)


def test_a_cell_smaller_than_an_atom_is_refused_without_a_search():
    """Its images within a cutoff are 10¹¹."""
    atoms = Atoms("Si", cell=[1e-3] * 3, pbc=True)
    with warnings.catch_warnings(), pytest.raises(StructureError, match=r"atoms 0 and 0 .* are 0\.0010 Å apart"):
        PhonaxCalculator().get_potential_energy(atoms)


@pytest.mark.parametrize("name", ["skewed.cif", "POSCAR"])
def test_a_cell_that_repeats_an_atom_at_once_is_refused_and_not_searched(tmp_path, name):
    path = tmp_path / name
    text = SILICON.format(symbol="", operations="'x,y,z'").replace("_angle_gamma 90", "_angle_gamma 0.001")
    if name == "POSCAR":
        text = "Si\n1\n5 0 0\n4.99999 0.00008 0\n0 0 5\nSi\n1\nDirect\n0 0 0\n"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(StructureError, match=r"repeats every atom after [0-9.]+e-05 Å"):
        loading.read_structure(str(path))
    assert time.monotonic() - began < 5


def test_an_empty_line_among_the_atoms_is_named(tmp_path):
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0\n\nH 0 0 1\nH 0 1 0\n")
    with pytest.raises(StructureError, match="line 4 is empty, among the 3 atoms that line 1 counts"):
        loading.read_structure(str(tmp_path / "water.xyz"))
