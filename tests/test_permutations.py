"""Composed permutations against phonopy's search."""

import time

import numpy as np
import pytest
from ase.build import bulk, molecule
from phonopy import Phonopy
from phonopy.structure import cells as phonopy_cells
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax.phonons.supercell.objects import build_phonopy
from ase_phonax.structures.permutations import operation_permutations

from .crystals import CRYSTALS

pytestmark = [
    pytest.mark.filterwarnings("ignore:The supercell keeps:ase_phonax.base.errors.UnstableWarning"),
    pytest.mark.filterwarnings("ignore:Warning. Point group symmetries:UserWarning"),  # phonopy says the same
]


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_phonopy_object_is_the_one_phonopy_builds(name):
    atoms, matrix = CRYSTALS[name]
    matrix = 2 * matrix
    unitcell = PhonopyAtoms(
        numbers=atoms.numbers, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions(wrap=False)
    )
    theirs, ours = Phonopy(unitcell, matrix, primitive_matrix="P"), build_phonopy(atoms, matrix)
    for a, b in (
        (theirs.symmetry, ours.symmetry),
        (theirs.primitive_symmetry, ours.primitive_symmetry),
        (theirs.primitive, ours.primitive),
    ):
        np.testing.assert_array_equal(a.atomic_permutations, b.atomic_permutations)
    np.testing.assert_array_equal(theirs.symmetry.get_map_operations(), ours.symmetry.get_map_operations())
    assert phonopy_cells.compute_all_sg_permutations.__module__ == phonopy_cells.__name__  # put back


def test_a_molecule_in_a_box_has_no_translations_to_compose():
    atoms = molecule("CH4", cell=[6.0] * 3, pbc=True)
    scaled = atoms.get_scaled_positions()
    turn = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]])
    found = operation_permutations(scaled, turn, np.zeros((2, 3)), atoms.cell.array.T, 1e-5, atoms.numbers)
    assert found is not None
    for permutation, w in zip(found, turn, strict=True):
        difference = scaled[permutation] - scaled @ w.T
        assert np.abs(difference - np.rint(difference)).max() < 1e-12
    # A wrong operation is refused, not answered.
    assert operation_permutations(scaled, turn, np.full((2, 3), [0, 0, 0.1]), atoms.cell.array.T, 1e-5, None) is None


def test_a_large_supercell_takes_seconds_not_a_minute():
    start = time.perf_counter()
    phonopy = build_phonopy(bulk("Si"), 8)
    assert time.perf_counter() - start < 10  # phonopy's own search takes 15 to 25 s
    assert len(phonopy.symmetry.atomic_permutations) == 48 * 512


def test_beyond_the_limit_meshes_and_irreps_keep_the_symmetry():
    phonopy = build_phonopy(bulk("Cu"), 13)
    assert len(phonopy.supercell) == 2197
    assert len(phonopy.primitive_symmetry.pointgroup_operations) == 48
    assert len(phonopy.symmetry.pointgroup_operations) == 1
