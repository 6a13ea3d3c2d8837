"""Responses to strains against differences of stresses and forces, and what every perturbation says of its edges."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase.stress import voigt_6_to_full_3x3_stress

from ase_phonax import PhonaxCalculator
from ase_phonax.derivatives.arrays.columns import flat_columns
from ase_phonax.derivatives.arrays.displacement_waves import DisplacementWaves
from ase_phonax.derivatives.arrays.linear_response import second_derivatives
from ase_phonax.derivatives.arrays.perturbations import Phases, Together
from ase_phonax.derivatives.arrays.strains import Strains, strain_derivatives
from ase_phonax.models.architectures import ARCHITECTURES, make_potential

from .test_arrays import crystal
from .test_networks import CASES, CUTOFF, cluster

# Central differences of sixth order at three steps; strains of 3e-4 move no pair across the cutoff.
STEP, ORDER_6 = 1e-4, {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
# Truncation falls as STEP^6: with the roughest of these weights it is 2e-9 of the largest number at 2.5e-4, 1e-11 here.
# Rounding is 1e-16 / STEP times the root of some thousand terms.
TOLERANCE = 1e-8
# Sums of the same terms in another order.
ROUNDING = 1e-11
ANY_Q = np.array([[0.13, -0.29, 0.41], [0.31, 0.07, -0.2]])


def random_weights(architecture: str, config, numbers: tuple[int, ...] = (6, 14)):
    """A potential, of C and Si unless told otherwise, with random weights, made without compiling anything."""
    rng = np.random.default_rng(3)
    parameters = {
        module: {name: rng.standard_normal(shape) for name, shape in own.items()}
        for module, own in ARCHITECTURES[architecture].shapes(config).items()
    }
    return make_potential(architecture, config, parameters, numbers, "random")


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A calculator, the tensors of a crystal without symmetry, and its strain derivatives."""
    calc = PhonaxCalculator(random_weights(*CASES[request.param][:2]))
    expansion = calc.evaluator.route.expansion(calc.evaluator.neighbours(crystal()))
    return SimpleNamespace(calc=calc, expansion=expansion, found=strain_derivatives(expansion))


def strained(strain: np.ndarray):
    """The crystal after r -> r (1 + strain), atoms moving along."""
    atoms = crystal()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def virial(calc, atoms) -> np.ndarray:
    """dE/dstrain (3, 3) of atoms as they are, by the stress of the calculator."""
    return voigt_6_to_full_3x3_stress(calc.get_stress(atoms)) * atoms.get_volume()


def slope(function, strain: np.ndarray) -> np.ndarray:
    """Derivative of a function of strained crystals along a strain."""
    return (
        sum(
            weight * (function(strained(k * STEP * strain)) - function(strained(-k * STEP * strain)))
            for k, weight in ORDER_6.items()
        )
        / STEP
    )


def symmetric_strains() -> np.ndarray:
    """A basis of six: (6, 3, 3)."""
    return np.array([np.outer(a, b) + np.outer(b, a) for i, a in enumerate(np.eye(3)) for b in np.eye(3)[i:]]) / 2


def test_no_pair_of_the_crystal_crosses_the_cutoff_in_a_strain_of_these_tests(case):
    lengths = np.linalg.norm(case.expansion.edges.vectors, axis=1)
    assert len(lengths) > 50
    for atoms in (strained(s * 3 * STEP * e.reshape(3, 3)) for e in np.eye(9) for s in (1, -1)):
        assert len(case.calc.evaluator.neighbours(atoms).vectors) == len(lengths)
    assert (lengths < CUTOFF).all()


def test_second_derivatives_by_strain_equal_differences_of_the_stress(case):
    # Kills: a strain of the wrong side or sign, a missing term, forces of edges that are counted once.
    # The stress of a strained crystal is its slope by a further strain: (1 + eps) dE/deps = virial, so that
    # d²E/deps² = dvirial/deps - eps virial.
    basis, here = symmetric_strains(), virial(case.calc, crystal())
    expected = [slope(lambda atoms: virial(case.calc, atoms), along) - along @ here for along in basis]
    expected = np.einsum("pxy,qxy->pq", basis, expected)
    found = np.einsum("pxy,xyzw,qzw->pq", basis, case.found.of_strains, basis)
    assert np.abs(here).max() > 1e-2 * np.abs(found).max()  # the crystal is under stress: frames make a difference
    assert np.abs(found - expected).max() < TOLERANCE * np.abs(expected).max()


def test_force_strain_coupling_equals_differences_of_the_forces(case):
    # In any strain, with rotation or not: forces are in the axes of the strained crystal.
    expected = [-slope(case.calc.get_forces, along.reshape(3, 3)) for along in np.eye(9)]
    expected = np.moveaxis(expected, 0, -1).reshape(3, 3, 3, 3)
    found = case.found.of_positions_and_strains
    assert np.abs(found.sum(axis=0)).max() < ROUNDING * np.abs(found).max()  # no strain pulls the whole crystal
    assert np.abs(found - expected).max() < TOLERANCE * np.abs(expected).max()


def test_a_strain_that_rotates_turns_forces_and_costs_nothing(case):
    here, forces = virial(case.calc, crystal()), case.calc.get_forces(crystal())
    scale = np.abs(case.found.of_strains).max()
    for turn in np.cross(np.eye(3)[:, None], np.eye(3)):
        # E((1 + eps) exp turn) = E(1 + eps), to first order in both: eps'' along eps turn times the slope.
        along = np.einsum("xyzw,zw->xy", case.found.of_strains, turn)
        assert np.abs(along + here @ turn.T).max() < ROUNDING * scale
        turned = np.einsum("izxy,xy->iz", case.found.of_positions_and_strains, turn)
        assert np.abs(turned + forces @ turn).max() < ROUNDING * scale


def test_the_strain_of_a_molecule_is_a_displacement_of_its_atoms(case):
    # Kills: a wrong sum of edges times tensors: the Hessian takes others.
    atoms, n = cluster(), len(cluster())
    hessian = case.calc.get_hessian(atoms)
    found = strain_derivatives(case.calc.evaluator.route.expansion(case.calc.evaluator.neighbours(atoms)))
    mixed = np.einsum("izjy,jx->izxy", hessian, atoms.positions)
    assert mixed.shape == (n, 3, 3, 3)
    assert np.abs(found.of_positions_and_strains - mixed).max() < ROUNDING * np.abs(mixed).max()
    strains = np.einsum("iyzw,ix->xyzw", mixed, atoms.positions)
    assert np.abs(found.of_strains - strains).max() < ROUNDING * np.abs(strains).max()


def test_second_derivatives_do_not_depend_on_which_kind_is_asked_first(case):
    phases = Phases.at(np.zeros((1, 3)), case.expansion, real=True)
    moved = DisplacementWaves.of(case.expansion, phases, np.eye(9)[None])
    unstrained = Strains(case.expansion, phases, np.zeros((3, 3, 9)))
    rows = second_derivatives(Together((moved, unstrained)))[0].real
    coupling, strains = case.found.of_positions_and_strains.reshape(9, 9), case.found.of_strains.reshape(9, 9)
    assert np.abs(rows[:9] - case.calc.get_hessian(crystal()).reshape(9, 9)).max() < ROUNDING * np.abs(rows).max()
    assert np.abs(rows[9:] - coupling.T).max() < ROUNDING * np.abs(coupling).max()
    assert np.abs(strains - strains.T).max() < ROUNDING * np.abs(strains).max()


def perturbations(expansion):
    """One of each kind, of random amplitudes, and waves whose phases are complex."""
    rng = np.random.default_rng(6)
    phases = Phases.at(ANY_Q, expansion)
    yield DisplacementWaves.of(expansion, phases, rng.standard_normal((2, 9, 4)))
    some = np.where(np.arange(9)[:, None] < 3, rng.standard_normal((2, 9, 4)), 0)  # one atom moves
    yield DisplacementWaves.of(expansion, phases, some)
    phases = Phases.at(np.array([[0.5, 0, 0.5]]), expansion, real=True)
    yield DisplacementWaves.of(expansion, phases, rng.standard_normal((1, 9, 4)))
    phases = Phases.at(np.zeros((1, 3)), expansion, real=True)
    strains = Strains(expansion, phases, rng.standard_normal((3, 3, 4)))
    yield strains
    yield Together((DisplacementWaves.of(expansion, phases, rng.standard_normal((1, 9, 4))), strains))


def test_what_a_perturbation_does_to_a_layer_follows_from_its_changes_of_edges(case):
    # The contract, edge by edge without sums that are shared: kills a conjugate phase or an edge left out of one.
    expansion = case.expansion
    for given in perturbations(expansion):
        changes, p = given.edge_changes(), given.phases.as_complex()
        columns, n = given.columns, expansion.edges.n_atoms
        k = np.einsum("exy,eyqc->exqc", expansion.curvature, changes)
        assert np.abs(given.curvature() - given.rows_of_edges(k)).max() < ROUNDING * np.abs(k).max()
        for layer in expansion.layers[1:]:
            da = np.zeros((n, layer.slope_sums.shape[-1], columns.n_q, columns.n_columns), complex)
            dh = np.zeros((n, layer.cross_sums.shape[-1], columns.n_q, columns.n_columns), complex)
            for tensors, pairs in zip(layer.groups, expansion.pairs, strict=True):
                dr, own = changes[pairs.table], p[pairs.table]
                da[pairs.receivers] += np.einsum("gpsxd,gpsxqc->gdqc", tensors.slope, dr)
                dh[pairs.senders] += np.einsum("gpsxh,gpsxqc,gpsq->phqc", tensors.cross, dr, own.conj())
            messages, kept = given.messages(layer)
            cotangents, rows = given.cotangents(layer, None)
            assert rows is None
            for found, expected in ((messages, da), (cotangents, dh)):
                flat = columns.as_numbers(flat_columns(found))
                assert np.abs(flat - expected).max() < ROUNDING * np.abs(expected).max()
            # The way back is the transpose: what columns of da give there, dotted with amplitudes, is known here.
            back = given.rows_of_messages(layer, kept, messages)
            for again, both in ((back, da), (given.cotangents(layer, cotangents)[1], dh)):
                assert again.shape == back.shape
                known = np.einsum("ndqc,ndqe->qce", both.conj(), both)
                found = np.einsum("rqc,rqe->qce", amplitudes(given), again)
                assert np.abs(found - known).max() < ROUNDING * np.abs(known).max()


def amplitudes(given) -> np.ndarray:
    """(rows, q, c), real."""
    if isinstance(given, Together):
        return np.concatenate([amplitudes(kind) for kind in given.kinds])
    if isinstance(given, Strains):
        return given.amplitudes.reshape(9, 1, -1)
    return given.amplitudes.reshape(-1, *given.amplitudes.shape[2:])


def test_perturbations_of_different_wave_vectors_are_not_put_together(case):
    still = np.zeros((1, 9, 4))
    waves = [DisplacementWaves.of(case.expansion, Phases.at(q[None], case.expansion), still) for q in ANY_Q]
    with pytest.raises(AssertionError, match="different wave vectors"):
        Together(tuple(waves))
    with pytest.raises(AssertionError, match="wave vector 0"):
        Strains(case.expansion, Phases.at(ANY_Q[:1], case.expansion), np.zeros((3, 3, 4)))
