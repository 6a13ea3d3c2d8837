"""Imaginary modes: all of them, each once."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax.base.errors import InputError
from ase_phonax.phonons.bands.structure import get_band_structure
from ase_phonax.phonons.instabilities.imaginary import find_imaginary_modes, special_points
from ase_phonax.phonons.supercell.constants import crystal_atoms
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy
from ase_phonax.studies.sections import instability

from .pair_potential import PairCalculator

CALC = PairCalculator(like=0.0)


def perovskite() -> Atoms:
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms("CaTiO3", scaled_positions=sites, cell=[3.9] * 3, pbc=True)


def test_every_star_of_the_supercell_and_the_path_is_looked_at_once():
    """A simple cubic 2x2x2 supercell has four stars: Γ, X, M, R; and they are the path's points as well."""
    phonopy = get_phonopy(perovskite(), CALC, 2)
    found = find_imaginary_modes(phonopy, threshold_thz=-1e9)  # every mode counts
    assert {mode.where for mode in found} == {"Γ", "X", "M", "R"}
    assert sum(mode.degeneracy for mode in found) == 4 * 15 - 3  # less the translations
    assert all(mode.commensurate for mode in found)


def test_imaginary_modes_are_those_of_the_whole_supercell():
    """Independent route: modes at Gamma of the supercell are those at all its wave vectors (1 Γ, 3 X, 3 M, 1 R)."""
    phonopy = get_phonopy(perovskite(), CALC, 2)
    found = find_imaginary_modes(phonopy)
    assert {(mode.where, mode.degeneracy) for mode in found} == {("R", 3), ("M", 1)}
    hessian = CALC.get_vibrations(crystal_atoms(phonopy.supercell)).get_hessian_2d()
    roots = np.repeat(np.sqrt(phonopy.supercell.masses), 3)
    eigenvalues = np.linalg.eigvalsh(hessian / np.outer(roots, roots))
    stars = {"R": 1, "M": 3}
    assert np.sum(eigenvalues < -1e-3) == sum(stars[mode.where] * mode.degeneracy for mode in found)
    lowest = -np.sqrt(-eigenvalues[0]) * 15.633302
    assert found[0].frequency_thz == pytest.approx(lowest, abs=1e-6)
    assert [mode.frequency_thz for mode in found] == sorted(mode.frequency_thz for mode in found)


def test_eigenvectors_are_those_of_the_exact_dynamical_matrix():
    phonopy = get_phonopy(perovskite(), CALC, 2)
    for mode in find_imaginary_modes(phonopy):
        matrix = CALC.get_dynamical_matrix(crystal_atoms(phonopy.primitive), [mode.qpoint])[0]
        vectors = mode.eigenvectors.reshape(mode.degeneracy, -1)
        np.testing.assert_allclose(vectors.conj() @ vectors.T, np.eye(mode.degeneracy), atol=1e-10)
        np.testing.assert_allclose(matrix @ vectors.T, -((mode.frequency_thz / 15.633302) ** 2) * vectors.T, atol=1e-8)


def test_points_between_those_of_the_supercell_are_told_apart_and_labels_are_asked_for():
    phonopy = get_phonopy(perovskite(), CALC, 2)
    asked = []

    def labels(q):
        asked.append(q)
        return {number: "T" for number in range(1, 16)}

    found = find_imaginary_modes(phonopy, [("somewhere", (0.4, 0.5, 0.5))], labels=labels)
    assert {(mode.where, mode.commensurate) for mode in found} == {("somewhere", False), ("", True)}
    assert {mode.label for mode in found} == {"T"}
    assert len(asked) == 3


def test_a_stable_crystal_has_none_whatever_the_noise_at_gamma():
    """Kills a search that takes acoustic noise for an instability: the threshold lies inside the noise here."""
    phonopy = get_phonopy(bulk("CsCl", "cesiumchloride", 3.5), CALC, 2)
    assert find_imaginary_modes(phonopy, threshold_thz=1e-12) == []


def test_special_points_are_in_the_basis_of_the_crystals_own_cell():
    skewed = perovskite()
    skewed.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]]) @ skewed.cell[:])
    for atoms in (perovskite(), skewed):
        phonopy = get_phonopy(atoms, CALC, 1)
        lengths = {name: np.linalg.norm(q @ atoms.cell.reciprocal()[:]) * 3.9 for name, q in special_points(phonopy)}
        assert lengths == pytest.approx({"GAMMA": 0, "X": 0.5, "M": 0.5**0.5, "R": 0.75**0.5}, abs=1e-9)


def test_an_empty_object_is_refused():
    with pytest.raises(InputError, match="no force constants"):
        find_imaginary_modes(build_phonopy(perovskite(), 1))


def test_names_come_from_the_bands_where_there_are_any():
    """Kills labels shifted by one where the path jumps (X–R|M–R in a simple cubic lattice)."""
    phonopy = get_phonopy(perovskite(), CALC, 2)
    assert instability._path_points(phonopy) is None
    get_band_structure(phonopy, spacing=0.5)
    points = instability._path_points(phonopy)
    places = {"Γ": (0, 0, 0), "X": (0, 0.5, 0), "M": (0.5, 0.5, 0), "R": (0.5, 0.5, 0.5)}
    assert {name for name, _ in points} == set(places)
    for name, q in points:
        np.testing.assert_allclose(np.sort(np.abs(q)), np.sort(places[name]), atol=1e-9)
