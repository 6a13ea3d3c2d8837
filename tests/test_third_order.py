"""Third derivatives from first-order responses: against differences of exact D(q), and what they obey."""

import numpy as np
import pytest

from ase_phonax import PhonaxCalculator
from ase_phonax.derivatives.arrays.displacement_waves import DisplacementWaves
from ase_phonax.derivatives.arrays.perturbations import Phases
from ase_phonax.derivatives.arrays.strains import Strains
from ase_phonax.derivatives.arrays.third_order import third_derivatives

from .test_arrays import crystal
from .test_networks import CASES
from .test_perturbations import ORDER_6, STEP, random_weights, strained, symmetric_strains

Q1, Q2 = np.array([0.13, -0.29, 0.41]), np.array([0.31, 0.07, -0.2])
# As those of second derivatives by strain, of numbers that are a derivative higher.
TOLERANCE = 1e-8
ROUNDING = 1e-11


class Case:
    def __init__(self, name: str):
        self.calc = PhonaxCalculator(random_weights(*CASES[name][:2]))
        self.expansion = self.calc.evaluator.route.expansion(self.calc.evaluator.neighbours(crystal()))
        self.n = len(crystal())

    def wave(self, q: np.ndarray, amplitudes: np.ndarray | None = None) -> DisplacementWaves:
        amplitudes = np.eye(3 * self.n) if amplitudes is None else amplitudes
        return DisplacementWaves.of(self.expansion, Phases.at(q[None], self.expansion), amplitudes[None])

    def matrix(self, atoms, q: np.ndarray) -> np.ndarray:
        return self.calc.evaluator.lattice_matrices(atoms, q[None])[0]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return Case(request.param)


def difference(function) -> np.ndarray:
    return sum(w * (function(k * STEP) - function(-k * STEP)) for k, w in ORDER_6.items()) / STEP


def test_they_are_the_change_of_dq_with_a_displacement(case):
    third = third_derivatives((case.wave(0 * Q1), case.wave(Q1), case.wave(-Q1)))
    for atom, axis in ((0, 0), (1, 2), (2, 1)):

        def moved(step: float, atom: int = atom, axis: int = axis) -> np.ndarray:
            atoms = crystal()
            atoms.positions[atom, axis] += step
            return case.matrix(atoms, Q1)

        expected = difference(moved)
        # Columns of D(q) are the wave q, rows the wave -q.
        assert np.abs(third[3 * atom + axis].T - expected).max() < TOLERANCE * np.abs(expected).max()


def test_they_are_the_change_of_dq_with_a_strain(case):
    basis = symmetric_strains()
    strains = Strains(
        case.expansion, Phases.at(np.zeros((1, 3)), case.expansion, real=True), basis.transpose(1, 2, 0).copy()
    )
    third = third_derivatives((strains, case.wave(Q1), case.wave(-Q1)))
    for own, along in zip(third, basis, strict=True):
        # The same reduced wave vector: it rides with the lattice. Amplitudes are in the axes of the strained crystal.
        expected = difference(lambda step, along=along: case.matrix(strained(step * along), Q1))
        assert np.abs(own.T - expected).max() < TOLERANCE * np.abs(expected).max()


def test_any_triplet_is_symmetric_in_its_three_waves_and_a_shift_of_all_atoms_costs_nothing(case):
    q3 = -(Q1 + Q2)
    third = third_derivatives((case.wave(Q1), case.wave(Q2), case.wave(q3)))
    scale = np.abs(third).max()
    others = third_derivatives((case.wave(q3), case.wave(Q1), case.wave(Q2)))
    assert np.abs(others.transpose(1, 2, 0) - third).max() < ROUNDING * scale
    # A reciprocal vector more is the same wave in the lattice phase; all of them reversed are the conjugate.
    further = third_derivatives((case.wave(Q1), case.wave(Q2 + [1, 0, -2]), case.wave(q3)))
    assert np.abs(further - third).max() < ROUNDING * scale
    back = third_derivatives((case.wave(-Q1), case.wave(-Q2), case.wave(-q3)))
    assert np.abs(back - third.conj()).max() < ROUNDING * scale
    shifted = third_derivatives((case.wave(0 * Q1), case.wave(Q1), case.wave(-Q1)))
    sums = shifted.reshape(case.n, 3, 3 * case.n, 3 * case.n).sum(axis=0)
    assert np.abs(sums).max() < ROUNDING * np.abs(shifted).max()


def test_they_are_linear_in_each_amplitude(case):
    rng = np.random.default_rng(0)
    amplitudes = [rng.normal(size=(3 * case.n, c)) for c in (1, 2, 3)]
    whole = third_derivatives((case.wave(Q1), case.wave(Q2), case.wave(-Q1 - Q2)))
    waves = [case.wave(q, own) for q, own in zip((Q1, Q2, -Q1 - Q2), amplitudes, strict=True)]
    expected = np.einsum("xyz,xa,yb,zc->abc", whole, *amplitudes)
    assert third_derivatives(tuple(waves)) == pytest.approx(expected, abs=1e-10 * np.abs(expected).max())


def test_both_routes_give_the_same_slopes_by_strain(case):
    basis = symmetric_strains()[[0, 4]]
    moved = np.random.default_rng(1).normal(size=(2, case.n, 3))
    q = np.array([Q1, Q2])
    potential = case.calc.potential
    arrays, jax = (
        PhonaxCalculator(potential, route=route).evaluator.strain_slopes(crystal(), q, basis, moved)
        for route in ("arrays", "compiled")
    )
    assert arrays.shape == (2, 2, 3 * case.n, 3 * case.n)
    assert np.abs(arrays - jax).max() < 1e-9 * np.abs(jax).max()
