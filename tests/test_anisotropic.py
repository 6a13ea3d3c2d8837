"""The quasi-harmonic approximation in all strains that symmetry allows."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from ase_phonax import (
    PhonaxCalculator,
    PolarCalculator,
    get_anisotropic_expansion,
    get_exact_gruneisen,
    get_phonopy,
    get_quasi_harmonic,
    gruneisen_tensors,
    phonons_at_volumes,
    predict_charges,
    relax,
)
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.cli import main
from ase_phonax.phonons.anharmonic.expansion import StrainedModes
from ase_phonax.phonons.anharmonic.strained_constants import invariant_strains
from ase_phonax.phonons.volumes import anisotropic

CALC = PhonaxCalculator()
TIGHT = {"fmax": 1e-6, "smax": 1e-8}


@pytest.fixture(scope="module")
def magnesium():
    return relax(bulk("Mg", "hcp", a=3.2, c=5.2), CALC, **TIGHT)[0]


def free_energy(atoms, temperature: float, matrix, mesh) -> float:
    """Of a strained crystal, by its own phonons [eV]."""
    phonopy = get_phonopy(atoms, CALC, matrix)
    found = phonopy.run_mesh(mesh, is_gamma_center=True)
    modes = StrainedModes(np.zeros((0, 3, 3)), found.frequencies, np.zeros((0, 1, 1)), found.weights, 1.0)
    return atoms.get_potential_energy() + modes.free_energy(temperature)


def test_free_energies_of_strained_crystals_have_their_minimum_there(magnesium):
    """Kills: slopes of another strain, a minimum of the volume alone, atoms that stay."""
    matrix, temperature = [3, 3, 2], 250.0
    found = get_anisotropic_expansion(magnesium, CALC, matrix, temperature, mesh_length=20.0)
    mesh = get_phonopy(magnesium, CALC, matrix).run_mesh(20.0, is_gamma_center=True).mesh_numbers

    def strained(strain: np.ndarray) -> float:
        atoms = magnesium.copy()
        atoms.set_cell(found.cells[-1] @ (np.eye(3) + strain), scale_atoms=True)
        atoms.calc = CALC
        return free_energy(atoms, temperature, matrix, [int(n) for n in mesh])

    basis, step = invariant_strains(magnesium), 2e-3
    assert len(basis) == 2
    here = strained(np.zeros((3, 3)))
    assert found.free_energies[-1] == pytest.approx(here, abs=2e-5)
    both = np.array([[strained(step * own), strained(-step * own)] for own in basis])
    slopes, bends = (both[:, 0] - both[:, 1]) / (2 * step), (both.sum(axis=1) - 2 * here) / step**2
    amounts = np.einsum("kxy,xy->k", basis, found.strains[-1])
    # By how much the minimum would move, against how far heat has moved it.
    assert np.abs(slopes / bends).max() < 2e-3 * np.abs(amounts).max()
    assert found.n_evaluations <= 5


def test_cubic_crystals_swell_as_by_volumes():
    atoms = relax(bulk("MgO", "rocksalt", a=4.2), CALC, **TIGHT)[0]
    found = get_anisotropic_expansion(atoms, CALC, 2, 600.0, mesh_length=20.0)
    points = phonons_at_volumes(atoms, CALC, 2, [0.99, 1.0, 1.01, 1.02, 1.03, 1.04])
    by_volumes = get_quasi_harmonic(points, t_max=600.0, mesh_length=20.0)
    expected = by_volumes.at(600.0)
    assert found.temperatures[-1] == 600
    assert 300.0 in found.temperatures
    assert found.volumes[-1] == pytest.approx(expected["volume"], rel=1e-4)
    assert np.trace(found.expansion[-1]) == pytest.approx(expected["thermal_expansion_per_k"], rel=0.03)
    # phonopy's runs have odd meshes.
    assert found.free_energies[-1] == pytest.approx(expected["gibbs_free_energy"], abs=5e-4)
    assert np.abs(found.expansion - found.expansion[:, :1, :1] * np.eye(3)).max() < 1e-12
    assert found.volumes[0] > atoms.get_volume()  # by what vibrates at 0 K
    assert np.abs(found.expansion[0]).max() < 1e-12


def test_what_cannot_be_heated_is_refused(magnesium):
    with pytest.raises(InputError, match="highest temperature"):
        get_anisotropic_expansion(magnesium, CALC, 2, -5.0)
    with pytest.raises(StructureError, match=r"no minimum near the crystal|imaginary modes"):
        get_anisotropic_expansion(magnesium, CALC, [3, 3, 2], 3000.0, mesh_length=15.0)
    with pytest.raises(StructureError, match="no minimum near the crystal at 1000000 K"):
        get_anisotropic_expansion(magnesium, CALC, 2, 1e6, mesh_length=12.0)
    with pytest.raises(StructureError, match="relax cell and positions first"):
        get_anisotropic_expansion(bulk("Mg", "hcp", a=3.4, c=5.2), CALC, 2)


def test_single_precision_finds_the_same(magnesium):
    calc = PhonaxCalculator(dtype="float32")
    atoms = relax(magnesium, calc)[0]
    single, double = (
        get_anisotropic_expansion(own, c, 2, 150.0, mesh_length=12.0) for own, c in ((atoms, calc), (magnesium, CALC))
    )
    assert single.volumes[-1] == pytest.approx(double.volumes[-1], rel=1e-3)
    assert np.trace(single.expansion[-1]) == pytest.approx(np.trace(double.expansion[-1]), rel=0.1)


@pytest.mark.parametrize(
    ("highest", "step"), [(1000.0, 25.0), (600.0, 20.0), (250.0, 10.0), (333.0, 10.0), (0.5, 0.02), (5000.0, 200.0)]
)
def test_temperatures_are_round_and_end_where_they_were_asked_to(highest, step):
    found = anisotropic._temperatures(highest)
    assert found[0] == 0
    assert found[-1] == highest
    assert np.diff(found)[:-1] == pytest.approx(step)
    assert 0 < found[-1] - found[-2] < 1.001 * step
    assert len(found) < 45


def test_charges_are_refused():
    atoms = relax(bulk("MgO", "rocksalt", a=4.2), CALC, **TIGHT)[0]
    polar = PolarCalculator(CALC, atoms, predict_charges(atoms))
    point = phonons_at_volumes(atoms, CALC, 2, [1.0])[0]
    for ask in (
        lambda: get_anisotropic_expansion(atoms, polar, 2, 300.0),
        lambda: get_exact_gruneisen(point, polar),
        lambda: gruneisen_tensors(atoms, polar, [0.5, 0, 0]),
    ):
        with pytest.raises(InputError, match="with charges"):
            ask()


def test_the_command_writes_cells_and_expansion(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("Mg.cif", bulk("Mg", "hcp", a=3.2, c=5.2))
    few = ["--supercell", "3", "3", "2", "--mesh-length", "15", "--max-temperature", "250"]
    assert main(["expansion", "Mg.cif", *few]) == 0
    shown = capsys.readouterr().out
    assert "thermal expansion" in shown
    folder = Path("Mg-expansion")
    summary = json.loads((folder / "summary.json").read_text())
    assert {path.name for path in folder.iterdir()} == set(summary["files"])
    assert "not stated" not in summary["units"].values()
    assert "THz RMS" in shown
    assert summary["interpolation_error_thz"] > 0
    frames = read(folder / "cells.extxyz", ":")
    assert len(frames) == len(summary["temperatures_K"])
    assert [atoms.get_volume() for atoms in frames] == pytest.approx(summary["volumes_angstrom3"], rel=1e-7)
    alpha = np.array(summary["expansion_tensors_per_k"])
    assert alpha[-1, 0, 0] == pytest.approx(alpha[-1, 1, 1], rel=1e-6)
    assert alpha[-1, 2, 2] > 0
    lengths = np.array(summary["lattice_lengths_angstrom"])
    slope = np.gradient(np.log(lengths[:, 2]), summary["temperatures_K"])
    assert slope[-3] == pytest.approx(alpha[-3, 2, 2], rel=0.02)
