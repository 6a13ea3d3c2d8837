"""`ase-phonax dos` and what it is made of: many structures, alloys, comparisons, files."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write

from ase_phonax import (
    PhonaxCalculator,
    alloy_series,
    density_heat,
    density_study,
    exact_density,
    get_mesh,
    get_phonopy,
    get_thermal_properties,
    learned_features,
    mean_frequency,
    predict_density,
)
from ase_phonax.base.errors import InputError, ModelError, StructureError, UnstableWarning
from ase_phonax.cli import main
from ase_phonax.phonons.densities.alloys import mixed_on, read_mixture, stated_mixtures
from ase_phonax.structures.periodic_table import nearest

ALLOY = """data_alloy
_cell_length_a 5.8
_cell_length_b 5.8
_cell_length_c 5.8
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 {0}
K1 K 0 0 0 {1}
Cl1 Cl 0.5 0.5 0.5 1
"""


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def salts(n: int) -> list[Atoms]:
    return [bulk("MgO", "rocksalt", a=4.1 + 0.02 * k) for k in range(n)]


def test_one_structure_has_every_file_and_phonopy_s_format(inside, capsys):
    write("MgO.cif", salts(1)[0])
    assert main(["dos", "MgO.cif"]) == 0
    shown = capsys.readouterr().out
    assert "heat capacity" in shown
    names = {"summary.json", "dos.csv", "dos.png", "dos.pdf", "densities.h5", "total_dos.dat", "projected_dos.dat"}
    assert {path.name for path in Path("MgO-dos").iterdir()} == names
    found = predict_density(read("MgO.cif"), "phonax-dos")
    table = np.loadtxt("MgO-dos/total_dos.dat")
    assert table[:, 0] == pytest.approx(found.frequencies_thz, abs=1e-9)
    assert table[:, 1] == pytest.approx(2 * found.total, abs=1e-8)
    # Of the two atoms of the cell, in states for the cell, as phonopy has them.
    assert table[:, 1].sum() * table[1, 0] == pytest.approx(6, rel=1e-6)
    assert np.loadtxt("MgO-dos/projected_dos.dat")[:, 1:].sum(axis=1) == pytest.approx(table[:, 1], abs=1e-7)
    summary = json.loads(Path("MgO-dos/summary.json").read_text())
    heat = density_heat(found.frequencies_thz, found.total, 300.0).heat_capacity[0]
    assert summary["structures"][0]["heat_capacity_J_K_mol"] == pytest.approx(heat)
    assert "not stated" not in summary["units"].values()
    assert summary["model"] == "phonax-dos"
    assert main(["dos", "MgO.cif"]) == 5  # earlier results
    assert main(["dos", "MgO.cif", "--overwrite", "--quiet"]) == 0


def test_order_is_kept_and_failures_are_listed(inside, capsys):
    strange = bulk("MgO", "rocksalt", a=4.2)
    strange.numbers[0] = 94
    layer = bulk("MgO", "rocksalt", a=4.2)
    layer.pbc = (True, True, False)
    structures = salts(3) + [strange] + [layer] + salts(2)
    write("many.extxyz", structures)
    assert main(["dos", "many.extxyz"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 7 structures could not be computed" in shown
    with open("many-dos/dos.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["structure"] for row in rows] == [f"many.extxyz@{k}" for k in (0, 1, 2, 5, 6)]
    with open("many-dos/failures.csv", newline="") as file:
        failures = list(csv.DictReader(file))
    assert [row["structure"] for row in failures] == ["many.extxyz@3", "many.extxyz@4"]
    assert "has never seen Pu" in failures[0]["reason"]
    with h5py.File("many-dos/densities.h5") as file:
        assert file["total"].shape == (5, 201)
        assert file["first_atom"][()].tolist() == [0, 2, 4, 6, 8, 10]
        first = predict_density(structures[0], "phonax-dos")
        assert file["total"][0] == pytest.approx(first.total, abs=1e-7)
        assert file["by_atom"][:2] == pytest.approx(first.by_atom, abs=1e-6)
    write("bad.extxyz", [strange, layer])
    assert main(["dos", "bad.extxyz"]) == 2
    assert not Path("bad-dos").exists()
    # Of several files those that cannot be read are failures; a mass goes to whoever has the element.
    Path("broken.cif").write_text("data_x\nloop_\n")
    write("LiH.extxyz", bulk("LiH", "rocksalt", a=4.0))
    write("MgO.extxyz", salts(1)[0])
    files = ["MgO.extxyz", "broken.cif", "LiH.extxyz"]
    assert main(["dos", *files, "--mass", "H=2.014", "--output", "three"]) == 0
    with open("three/dos.csv", newline="") as file:
        assert [(row["formula"], row["isotopes"]) for row in csv.DictReader(file)] == [("MgO", ""), ("LiH", "H 2.014")]
    assert "broken.cif" in Path("three/failures.csv").read_text()
    assert main(["dos", *files, "--mass", "Pu=200", "--output", "four"]) == 2


def test_sites_that_a_file_shares_are_alloys_and_vacancies_are_refused(inside, capsys):
    Path("alloy.cif").write_text(ALLOY.format(0.6, 0.4))
    assert main(["dos", "alloy.cif"]) == 0
    shown = capsys.readouterr().out
    assert "Density of states of K0.4Na0.6Cl by phonax-dos" in shown
    assert "4 of 8 sites hold Na0.6K0.4" in shown
    atoms = read("alloy.cif")
    mixtures = stated_mixtures(atoms)
    assert len(mixtures) == 4
    assert set(np.array(atoms.get_chemical_symbols())[list(mixtures)]) == {"Na"}
    found = density_study(atoms).rows[0].density
    atoms.info.pop("occupancy")
    assert found.total == pytest.approx(predict_density(atoms, "phonax-dos", mixtures).total)
    assert np.abs(found.total - predict_density(atoms, "phonax-dos").total).max() > 0.01
    Path("empty.cif").write_text(ALLOY.format(0.6, 0.2))
    assert main(["dos", "empty.cif"]) == 2
    assert "vacancies are no element" in capsys.readouterr().err
    assert main(["phonons", "alloy.cif"]) == 2  # potentials refuse it as before


def test_a_series_goes_from_one_crystal_to_the_other(inside):
    first, last = bulk("NaCl", "rocksalt", a=5.6), bulk("KCl", "rocksalt", a=6.3)
    series = alloy_series(first, ("Na", "K"), "phonax-dos", fractions=[0, 0.5, 1], end=last)
    assert series.volumes[[0, 2]] == pytest.approx([first.get_volume(), last.get_volume()])
    for density, crystal in zip(series.densities[::2], (first, last), strict=True):
        assert density.total == pytest.approx(predict_density(crystal, "phonax-dos").total, abs=1e-5)
    write("NaCl.extxyz", first)
    write("KCl.extxyz", last)
    given = ["--alloy", "Na-K", "--end", "KCl.extxyz", "--compositions", "5"]
    assert main(["dos", "NaCl.extxyz", *given]) == 0
    with open("NaCl-dos/alloy.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["fraction"]) for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    assert Path("NaCl-dos/alloy.png").exists()
    with pytest.raises(StructureError, match="the other end has the atoms"):
        alloy_series(first, ("Na", "K"), "phonax-dos", end=bulk("KBr", "rocksalt", a=6.6))
    with pytest.raises(InputError, match="no site that would change"):
        alloy_series(first, ("Mg", "K"), "phonax-dos")
    with pytest.raises(InputError, match="shares of sites"):
        alloy_series(first, ("Na", "K"), "phonax-dos", fractions=[0, 2])
    # However the other end lies in space: volumes between the ends, and the same densities.
    turned = last.copy()
    turned.rotate(70, (1, 2, 3), rotate_cell=True)
    again = alloy_series(first, ("Na", "K"), fractions=[0, 0.5, 1], end=turned)
    assert again.volumes == pytest.approx(series.volumes)
    for one, other in zip(series.densities, again.densities, strict=True):
        assert other.total == pytest.approx(one.total, abs=1e-9)


def test_a_series_keeps_what_other_sites_share_and_what_it_starts_from():
    atoms = bulk("NaCl", "rocksalt", a=5.9)
    shared = {0: {"Na": 0.4, "K": 0.6}}
    series = alloy_series(atoms, ("Cl", "Br"), fractions=[0, 1], mixtures=shared)
    assert series.densities[0].total == pytest.approx(predict_density(atoms, mixtures=shared).total, abs=1e-6)
    both = predict_density(atoms, mixtures={0: shared[0], 1: {"Br": 1.0}})
    assert series.densities[1].total == pytest.approx(both.total, abs=1e-6)
    # Of a shared site the first element's part goes over.
    gone = alloy_series(atoms, ("Na", "K"), fractions=[0.5], mixtures=shared).densities[0]
    assert gone.total == pytest.approx(predict_density(atoms, mixtures={0: {"Na": 0.2, "K": 0.8}}).total, abs=1e-6)


def test_masses_count_and_are_refused_where_they_mean_nothing():
    atoms = bulk("LiH", "rocksalt", a=4.0)
    light = predict_density(atoms)
    heavy = atoms.copy()
    heavy.set_masses([6.94, 2.014])
    ratios = mean_frequency(light.frequencies_thz, light.by_atom[1]) / mean_frequency(
        light.frequencies_thz, predict_density(heavy).by_atom[1]
    )
    assert ratios == pytest.approx(np.sqrt(2.014 / 1.008), rel=2e-3)  # of the grid
    far = atoms.copy()
    far.set_masses([6.94, 1e-4])  # beyond the grid: on its last frequency
    assert predict_density(far).by_atom[1, -1] * light.frequencies_thz[1] == pytest.approx(3, rel=1e-2)
    for masses in ([6.94, 0], [np.nan, 1], [-1, 1]):
        strange = atoms.copy()
        strange.set_masses(masses)
        with pytest.raises(StructureError, match="the masses are"):
            predict_density(strange)
    with pytest.raises(InputError, match="on sites that several elements share"):
        predict_density(heavy, mixtures={1: {"H": 0.5, "F": 0.5}})


def test_atoms_without_neighbours_are_refused():
    with pytest.raises(StructureError, match="neighbour"):
        predict_density(bulk("NaCl", "rocksalt", a=14))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: predict_density("MgO.cif"), "a str"),
        (lambda a: predict_density(Atoms(cell=np.eye(3), pbc=True)), "no atoms"),
        (lambda a: predict_density(a, mixtures={0: "Na0.5K0.5"}), "the mixtures are"),
        (lambda a: predict_density(a, mixtures={True: {"Mg": 1.0}}), "the mixtures are"),
        (lambda a: density_study("MgO.cif"), "a str"),
        (lambda a: density_study(a, settings={"temperature": 3}), "the settings are"),
        (lambda a: density_study([a, a], names=["one"]), "1 names for 2"),
        (lambda a: alloy_series(a, "Mg-Ca"), "the series is 'Mg-Ca'"),
        (lambda a: alloy_series(a, ("Mg", "Ca"), fractions=[]), "shares of sites"),
        (lambda a: exact_density(a, PhonaxCalculator(), mesh_length=-5), "above zero"),
        (lambda a: exact_density(a, PhonaxCalculator(), smoothing_cm1=0), "above zero"),
        (lambda a: learned_features(molecule("H2O")), "pbc="),
    ],
)
def test_natural_mistakes_are_answered_in_words(call, words):
    with pytest.raises((InputError, StructureError), match=words):
        call(salts(1)[0])


def test_mixtures_are_read_as_they_are_written():
    assert read_mixture("Mg0.75Al0.25") == {"Mg": 0.75, "Al": 0.25}
    for text, words in [
        ("Mg0.75Al", "is no mixture"),
        ("Mg-Al", "is no mixture"),
        ("Mg0.7Al0.2", "add up to 0.9"),
        ("Mg0.5Xy0.5", "names Xy"),
        ("Mg0.5Mg0.5", "is no mixture"),
    ]:
        with pytest.raises(InputError, match=words):
            read_mixture(text)
    with pytest.raises(InputError, match="the structure has no K or Rb"):
        mixed_on(bulk("MgO", "rocksalt", a=4.2), {"K": 0.5, "Rb": 0.5})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--end", "MgO.extxyz"], "without a series"),
        (["--alloy", "Mg0.5"], "add up to 0.5"),
        (["--model", "phonax-small"], "take phonax-dos, which ships"),
        (["--model", "nothing"], "nothing"),
        (["--temperature", "-3"], "not a positive number"),
        (["--alloy", ""], "is no mixture"),
        (["--alloy", "Mg-"], "is no series"),
        (["--alloy", "MgCa"], "is no mixture"),
        (["--alloy", "Mg-Ca", "--compositions", "1"], "are no series"),
    ],
)
def test_what_makes_no_sense_is_refused(inside, capsys, options, words):
    write("MgO.extxyz", salts(1)[0])
    assert main(["dos", "MgO.extxyz", *options]) in (2, 3)
    assert words in capsys.readouterr().err
    assert not Path("MgO-dos").exists()


def test_what_a_potential_does_not_know_costs_the_comparison_alone(inside, capsys):
    write("two.extxyz", [bulk("MgO", "rocksalt", a=4.2), bulk("PbS", "rocksalt", a=5.9)])
    assert main(["dos", "two.extxyz", "--compare", "phonax-small"]) == 0
    shown = capsys.readouterr().out
    said = "1 of 2 structures are not compared; the first, two.extxyz@1: the model 'phonax-small' does not know"
    assert said in " ".join(shown.split())
    assert "of the modes at other frequencies" in shown
    with open("two-dos/dos.csv", newline="") as file:
        assert [row["formula"] for row in csv.DictReader(file)] == ["MgO", "PbS"]


def test_molecules_and_layers_are_refused_with_what_they_are():
    water = molecule("H2O", vacuum=8)
    water.pbc = True
    slab = bulk("MgO", "rocksalt", a=4.2) * (1, 1, 2)
    slab.center(vacuum=10, axis=2)
    for atoms, words in ((water, "a molecule in a box"), (slab, "a layer"), (molecule("H2O"), "pbc=")):
        with pytest.raises(StructureError, match=words):
            predict_density(atoms, "phonax-dos")
    with pytest.raises(ModelError, match="has no energies"):
        PhonaxCalculator("phonax-dos")


def test_the_most_similar_element_stands_in_on_request_only():
    assert [nearest(z, (12, 19, 20, 38, 57, 72)) for z in (56, 37, 94, 88)] == [38, 19, 57, 38]
    atoms = bulk("MgO", "rocksalt", a=5.0)
    atoms.numbers[0] = 94
    with pytest.raises(StructureError, match="never seen Pu"):
        predict_density(atoms, "phonax-dos")
    with pytest.warns(UnstableWarning, match="stands for Pu"):
        found = predict_density(atoms, "phonax-dos", stand_ins=True)
    other = atoms.copy()
    other.numbers[0] = nearest(94, tuple(z for z in range(1, 93) if z in _known()))
    other.set_masses([atoms.get_masses()[0], 15.999])
    assert found.total == pytest.approx(predict_density(other, "phonax-dos").total)
    assert found.stand_ins == {"Pu": other.get_chemical_symbols()[0]}
    assert found.expected_error is None  # its spread knows nothing of Pu
    with pytest.warns(UnstableWarning, match="stands for Pu"):
        predict_density(bulk("MgO", "rocksalt", a=5.0), mixtures={0: {"Pu": 0.1, "Mg": 0.9}}, stand_ins=True)


def _known():
    from ase_phonax import load_model

    return load_model("phonax-dos").numbers


def test_the_exact_density_has_the_heat_of_its_modes():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    calc = PhonaxCalculator("phonax-small")
    found = exact_density(atoms, calc, mesh_length=40)
    assert found.imaginary == 0
    assert found.by_atom.sum(axis=1) * found.frequencies_thz[1] == pytest.approx([3, 3])
    phonopy = get_phonopy(atoms, calc, 4)
    get_mesh(phonopy, 60)
    direct = get_thermal_properties(phonopy, [300.0]).heat_capacity[0] / 2
    # Smoothing by 15 1/cm and a supercell of four cells lie in between.
    assert density_heat(found.frequencies_thz, found.total, 300.0).heat_capacity[0] == pytest.approx(direct, rel=2e-3)
    larger = exact_density(atoms * (2, 1, 1), calc, mesh_length=40)
    assert larger.by_atom[::2] == pytest.approx(np.tile(larger.by_atom[0], (2, 1)), abs=1e-6)
    assert larger.total == pytest.approx(found.total, abs=0.03 * found.total.max())  # another mesh
