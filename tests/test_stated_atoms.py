"""Isotopes and magnetic moments that a file states, and masses given on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers
from ase.io import write

from ase_phonax.base.errors import StructureError
from ase_phonax.cli import loading, main
from ase_phonax.cli.loading import read_structure
from ase_phonax.structures.species import HYDROGEN_ISOTOPES
from ase_phonax.studies.notes import collected_warnings

from .pair_potential import PairCalculator

CIF = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li1 Li 0 0 0
X1 X 0.5 0.5 0.5
"""
MOMENTS = """loop_
_atom_site_moment_label
_atom_site_moment_crystalaxis_x
_atom_site_moment_crystalaxis_y
_atom_site_moment_crystalaxis_z
Li1 1 0 0
"""
LATTICE = 'Lattice="4 0 0 0 4 0 0 0 4" pbc="T T T"'
FILES = {
    "a.xyz": "2\nwater's ghost\nLi 0 0 0\nX 2 2 2\n",
    "a.extxyz": f"2\n{LATTICE} Properties=species:S:1:pos:R:3\nLi 0 0 0\nX 2 2 2\n",
    "POSCAR": "x\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi X\n1 1\nDirect\n0 0 0\n.5 .5 .5\n",
    "a.cif": CIF,
    "a.gen": "2 C\n Li X\n1 1 0 0 0\n2 2 2 2 2\n",
}


@pytest.mark.parametrize("element", ["Ts", "Og"])
def test_the_heaviest_elements_are_not_taken_for_isotopes_of_hydrogen(element, tmp_path):
    """They stand for D and T while ASE reads a file that has those, and for themselves in every other."""
    path = tmp_path / "a.xyz"
    path.write_text(FILES["a.xyz"].replace("X", element), encoding="utf-8")
    assert read_structure(str(path)).symbols[1] == element


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("isotope", ["D", "T"])
def test_deuterium_and_tritium_are_hydrogen_of_their_masses_in_every_format(name, isotope, tmp_path):
    """ASE alone knows D, in CIF files, with the mass of a bare deuteron."""
    path = tmp_path / name
    path.write_text(FILES[name].replace("X", isotope), encoding="utf-8")
    atoms = read_structure(str(path))
    assert str(atoms.symbols) == "LiH"
    np.testing.assert_allclose(atoms.get_masses(), [6.94, HYDROGEN_ISOTOPES[isotope]], atol=1e-6)
    assert isotope not in atomic_numbers


def test_an_isotope_beside_an_element_that_would_stand_for_it_is_refused(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("2\n\nOg 0 0 0\nD 2 2 2\n", encoding="utf-8")
    with pytest.raises(StructureError, match="names D or T"):
        read_structure(str(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.extxyz", f"1\n{LATTICE} Properties=species:S:1:pos:R:3:magmoms:R:1\nFe 0 0 0 2.0\n"),
        ("a.extxyz", f"1\n{LATTICE} Properties=species:S:1:pos:R:3:initial_magmoms:R:1\nFe 0 0 0 2.0\n"),
        ("a.extxyz", f"1\n{LATTICE} magmom=2.0 Properties=species:S:1:pos:R:3\nFe 0 0 0\n"),
        ("a.cif", CIF.replace("X", "H") + MOMENTS),
    ],
)
def test_magnetic_moments_of_a_file_are_said_to_be_ignored(name, text, tmp_path):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with collected_warnings() as notes:
        read_structure(str(path))
    assert len(notes) == 1
    assert "magnetic moments. They are ignored" in notes[0]


def phonons_of(folder: Path, *options: str) -> dict:
    code = main(["phonons", str(folder / "a.extxyz"), "--supercell", "2", "--no-relax", "--quiet", *options])
    assert code == 0
    return json.loads((folder / "a-phonons" / "summary.json").read_text(encoding="utf-8"))


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "load_calculator", lambda model, dtype: PairCalculator(like=0.0))
    return tmp_path


def test_masses_given_to_phonons_are_those_of_its_atoms_and_of_its_symmetry(inside):
    """An atom counted in the file, whose cell would otherwise be reduced to two atoms; moments are a note."""
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    atoms.set_initial_magnetic_moments([1.0, *[0.0] * 7])
    write(inside / "a.extxyz", atoms)
    found = phonons_of(inside, "--mass", "Cl=35.0", "2=37.0", "--supercell", "1")
    assert found["n_atoms_primitive"] == 8
    assert sorted(found["masses_amu"]) == pytest.approx([22.98976928] * 4 + [35.0] * 3 + [37.0])
    assert found["space_group"] == "Pm-3m"
    assert any("magnetic moments" in note for note in found["warnings"])
    found = phonons_of(inside, "--mass", "Cl=35.0", "--overwrite")
    assert (found["n_atoms_primitive"], found["space_group"]) == (2, "Fm-3m")
    labels = [mode["label"] for mode in found["irreps"][0]["modes"]]
    assert labels == ["T1u", "T1u"]


def test_a_mass_of_an_element_that_is_not_there_is_refused(inside, capsys):
    write(inside / "a.extxyz", bulk("NaCl", "rocksalt", 5.6))
    for command in ("phonons", "gruneisen", "qha"):
        assert main([command, str(inside / "a.extxyz"), "--mass", "H=2.014"]) == 2
        assert "a mass is given for H, which is not in ClNa" in " ".join(capsys.readouterr().err.split())


def test_masses_reach_molecules_as_before(inside):
    write(inside / "a.xyz", Atoms("NaCl", positions=[[0, 0, 0], [2.8, 0, 0]]))
    assert main(["molecule", str(inside / "a.xyz"), "--mass", "1=20.0", "--no-relax"]) == 0
    light = json.loads((inside / "a-molecule" / "summary.json").read_text(encoding="utf-8"))["wavenumbers_cm1"]
    assert main(["molecule", str(inside / "a.xyz"), "--no-relax", "--overwrite"]) == 0
    heavy = json.loads((inside / "a-molecule" / "summary.json").read_text(encoding="utf-8"))["wavenumbers_cm1"]
    reduced = [m * 35.45 / (m + 35.45) for m in (20.0, 22.98976928)]
    assert light[0] / heavy[0] == pytest.approx(np.sqrt(reduced[1] / reduced[0]), rel=1e-6)
