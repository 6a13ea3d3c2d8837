"""Supercells that keep the symmetry, and the smallest of them that is large enough."""

import numpy as np
import pytest
from ase.build import bulk
from ase.geometry import minkowski_reduce
from ase.spacegroup import crystal

from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.phonons.supercell.checks import PROBES
from ase_phonax.phonons.supercell.choice import choose_supercell, supercell_candidates
from ase_phonax.phonons.supercell.constants import interpolated_dynamical_matrices
from ase_phonax.phonons.supercell.objects import get_phonopy
from ase_phonax.structures.space_groups import get_operations

from .crystals import CRYSTALS, left_handed, triclinic
from .pair_potential import PairCalculator

ANATASE = crystal(
    ("Ti", "O"),
    [(0, 0, 0), (0, 0, 0.208)],
    spacegroup=141,
    cellpar=[3.785, 3.785, 9.514, 90, 90, 90],
    primitive_cell=True,
)
CASES = {
    "diamond": bulk("Si"),
    "anatase, body-centred": ANATASE,
    "left-handed": left_handed(bulk("Si")),
    "wurtzite": CRYSTALS["wurtzite, polar"][0],
    "monoclinic": CRYSTALS["monoclinic"][0],
    "triclinic": triclinic(),
    "one atom": bulk("Cu"),
}


@pytest.mark.parametrize("name", CASES)
def test_candidates_grow_keep_the_point_group_and_stay_below_the_cap(name):
    atoms = CASES[name]
    rotations = np.unique(get_operations(atoms)[0], axis=0)
    found = supercell_candidates(atoms, 300)
    np.testing.assert_array_equal(found[0], np.eye(3))
    assert len(found) >= 3
    sizes, distances = [], []
    for matrix in found:
        sizes.append(round(np.linalg.det(matrix)) * len(atoms))
        lattice = matrix.T @ atoms.cell[:]
        distances.append(np.linalg.norm(minkowski_reduce(lattice)[0], axis=1).min())
        for w in rotations:
            turned = np.linalg.inv(matrix) @ w @ matrix
            np.testing.assert_allclose(turned, np.rint(turned), atol=1e-9)
    assert sizes == sorted(set(sizes))
    assert max(sizes) <= 300
    assert distances == sorted(distances)


def test_a_body_centred_cell_is_not_repeated_into_a_needle():
    """Repeats of the primitive vectors alone leave anatase 14 x 14 x 11 Å across with 384 atoms."""
    best = max(supercell_candidates(ANATASE, 700), key=lambda matrix: np.linalg.det(matrix))
    lengths = np.linalg.norm(minkowski_reduce(best.T @ ANATASE.cell[:])[0], axis=1)
    assert lengths.max() / lengths.min() < 1.3


def test_a_vacuum_is_not_repeated():
    atoms = bulk("Cu", "sc", 2.6)
    atoms.set_cell([2.6, 2.6, 15.0])
    for matrix in supercell_candidates(atoms, 60, (True, True, False)):
        assert matrix[2].tolist() == matrix[:, 2].tolist() == [0, 0, 1]
    assert len(supercell_candidates(atoms, 60, (True, True, False))) > 3


@pytest.mark.parametrize("name", ["rocksalt", "wurtzite"])
def test_the_choice_is_the_smallest_candidate_within_the_tolerance(name):
    """Against every candidate computed by hand."""
    calc = PairCalculator(like=0.0)
    atoms = bulk("NaCl", "rocksalt", a=5.8) if name == "rocksalt" else bulk("ZnO", "wurtzite", a=3.6, c=5.88)
    exact = frequencies_thz(calc.get_dynamical_matrix(atoms, PROBES))
    errors = []
    for matrix in supercell_candidates(atoms, 250):
        phonopy = get_phonopy(atoms, calc, matrix)
        found = frequencies_thz(interpolated_dynamical_matrices(phonopy, PROBES))
        errors.append((np.sqrt(np.mean((found - exact) ** 2)), len(phonopy.supercell)))
    for tolerance in (0.3, 0.05, 1e-3):
        expected = next((n for error, n in errors if error <= tolerance), errors[-1][1])
        choice = choose_supercell(atoms, calc, tolerance, 250)
        assert choice.n_atoms == expected
        assert choice.reached == (min(errors)[0] <= tolerance)
        assert choice.error_thz == pytest.approx(dict((n, e) for e, n in errors)[choice.n_atoms], abs=1e-10)


def test_a_cell_larger_than_the_cap_is_taken_alone():
    calc = PairCalculator()
    choice = choose_supercell(bulk("Cu"), calc, 1e-9, 0)
    assert choice.n_atoms == 1
    assert not choice.reached
