"""D(q) over a star of wave vectors from one member, against the direct computation."""

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from ase_phonax import PhonaxCalculator
from ase_phonax.derivatives import stars
from ase_phonax.derivatives.conventions import phonopy_dynamical_matrices

from .crystals import CRYSTALS


@pytest.fixture(scope="module")
def calc(untrained):
    return PhonaxCalculator(untrained)


def lattice(calc, atoms, qpoints):
    return np.array(products(calc, atoms, qpoints, None))


def products(calc, atoms, qpoints, displacements):
    return calc.evaluator.lattice_matrices(atoms, qpoints, displacements)


SYMMETRIC = ["zincblende, no inversion", "wurtzite, polar", "left-handed rutile", "quartz, chiral"]


@pytest.mark.parametrize("name", SYMMETRIC)
def test_a_star_is_unfolded_to_what_each_member_has(name, calc):
    """Kills: a conjugate q, W for its transpose, a missing phase of atoms that land in other cells."""
    atoms, _ = CRYSTALS[name]
    operations = stars.exact_operations(atoms, 1e-5)
    start = np.array([0.13, -0.28, 0.41])
    picked = np.random.default_rng(1).permutation(len(operations.rotations))[:5]
    # q' with W^T q' = q, one of them with time reversal, two of them in other Brillouin zones.
    members = np.array([np.linalg.solve(operations.rotations[k].T, start) for k in picked])
    members = np.concatenate([[start], members, -members[:1], members[-2:] + [1, -2, 0]])
    found = stars.Stars(operations)
    unfolded = found.lattice_matrices(members, lambda q, u: products(calc, atoms, q, u))
    assert len(found) == 1
    direct = lattice(calc, atoms, members)
    # Sums in other orders, and positions that are symmetric to 1e-15.
    assert np.abs(unfolded - direct).max() < 1e-11 * np.abs(direct).max()


def test_an_operation_turns_phonopys_matrix_without_a_phase(calc):
    atoms, _ = CRYSTALS["quartz, chiral"]
    operations = stars.exact_operations(atoms, 1e-5)
    q = np.array([0.13, -0.28, 0.41])
    masses, scaled = atoms.get_masses(), atoms.get_scaled_positions(wrap=False)
    for index in range(len(operations.rotations)):
        there = np.linalg.solve(operations.rotations[index].T, q)
        both = np.array([q, there])
        here, expected = phonopy_dynamical_matrices(lattice(calc, atoms, both), both, scaled, masses)
        assert np.abs(stars.rotated(here, index, operations) - expected).max() < 1e-11 * np.abs(expected).max()


def test_operations_that_a_rounded_file_leaves_are_no_group_and_do_no_harm(calc):
    """Atoms moved by what a file rounds off: some operations are obeyed to 1e-8 Å and their products are not.

    Kills: an atom that is taken to be reached by the inverse of an operation which is not there.
    """
    atoms, _ = CRYSTALS["left-handed rutile"]
    qpoints = np.array([[0, 0, 0], [0.5, 0, 0.5], [0.2, 0.2, 0.1], [0, 0, 0.3]])
    open_sets = 0
    for seed in range(12):
        rounded = atoms.copy()
        rounded.positions += np.random.default_rng(seed).uniform(-5e-9, 5e-9, atoms.positions.shape)
        operations = stars.exact_operations(rounded, 1e-5)
        there = {r.tobytes() for r in operations.rotations}
        open_sets += any((a @ b).tobytes() not in there for a in operations.rotations for b in operations.rotations)
        found = stars.Stars(operations).lattice_matrices(qpoints, lambda q, u, a=rounded: products(calc, a, q, u))
        direct = lattice(calc, rounded, qpoints)
        # 1e-8 Å times third derivatives.
        assert np.abs(found - direct).max() < 1e-6 * np.abs(direct).max()
    assert open_sets > 3


def test_a_structure_symmetric_only_within_tolerance_keeps_its_wave_vectors():
    atoms, _ = CRYSTALS["perovskite"]
    assert len(stars.exact_operations(atoms, 1e-3).rotations) == 48
    moved = atoms.copy()
    moved.positions[2] += [0, 0, 3e-4]  # within symprec of cubic, but tetragonal
    assert len(stars.exact_operations(moved, 1e-3).rotations) == 8
    strained = atoms.copy()
    strained.set_cell(atoms.cell[:] * [1, 1, 1.0001], scale_atoms=True)
    assert len(stars.exact_operations(strained, 1e-3).rotations) == 16


def test_known_stars():
    """The 64 wave vectors of 4 x 4 x 4 cells of a face-centred lattice fall into 8 stars, with 48 operations."""
    atoms, _ = CRYSTALS["diamond"]
    grid = np.stack(np.meshgrid(*[np.arange(4) / 4] * 3, indexing="ij"), -1).reshape(-1, 3)
    found, computed = stars.Stars(stars.exact_operations(atoms, 1e-5)), []

    def compute(qpoints, displacements):
        computed.extend(qpoints)
        return [np.zeros(u.shape, complex) for u in displacements]

    found.lattice_matrices(grid, compute)
    assert len(found) == len(computed) == 8
    found.lattice_matrices(-grid[::-1] + [0, 1, 0], compute)
    assert len(computed) == 8


@pytest.mark.parametrize("name", [*SYMMETRIC, "diamond", "perovskite", "triclinic, no symmetry"])
def test_few_displacements_give_the_whole_matrix(name, calc):
    """At Gamma, on a face, on a line and in general; kills a little group without time reversal, or its conjugate."""
    atoms, _ = CRYSTALS[name]
    turn = Rotation.from_euler("zyx", [20, 50, 70], degrees=True).as_matrix()  # no Cartesian axis is special
    atoms = Atoms(atoms.numbers, atoms.positions @ turn.T, cell=atoms.cell[:] @ turn.T, pbc=True)
    found = stars.Stars(stars.exact_operations(atoms, 1e-5))
    qpoints = np.array([[0, 0, 0], [0.5, 0, 0], [0.3, 0.3, 0], [0, 0, 0.21], [0.13, -0.28, 0.41]])
    counts = []

    def compute(qpoints, displacements):
        counts.extend(u.shape[1] for u in displacements)
        return products(calc, atoms, qpoints, displacements)

    reduced, direct = found.lattice_matrices(qpoints, compute), lattice(calc, atoms, qpoints)
    print(name, counts, "of", 3 * len(atoms))
    # Solving for D magnifies rounding by at most 1 / EVEN.
    assert np.abs(reduced - direct).max() < 2e-11 * np.abs(direct).max()
    if name in ("diamond", "perovskite"):
        assert counts[0] * 5 <= 3 * len(atoms) + 4
    if name == "triclinic, no symmetry":
        assert counts == [3 * len(atoms)] * 5
