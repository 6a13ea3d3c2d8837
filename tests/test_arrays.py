"""The network as arrays against JAX's derivatives of the network as a function, and its pieces against others' code."""

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import StructureError
from ase_phonax.derivatives.arrays.displacement_waves import DisplacementWaves
from ase_phonax.derivatives.arrays.linear_response import second_derivatives
from ase_phonax.derivatives.arrays.perturbations import Phases
from ase_phonax.derivatives.arrays.route import ArraysRoute
from ase_phonax.derivatives.compiled import responses
from ase_phonax.derivatives.compiled.graphs import build_graph, pad
from ase_phonax.derivatives.compiled.route import CompiledRoute
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.models.blocks.activations import silu, tanh
from ase_phonax.models.blocks.radial import closed_basis, radial_weights
from ase_phonax.models.o3.irreps import Irrep, parse_irreps
from ase_phonax.models.o3.spherical import clebsch_gordan, harmonics, harmonics_and_derivatives

from .test_networks import CASES, CUTOFF, untrained

DOUBLE = np.dtype(float)
DEGREES = range(5)


def crystal() -> Atoms:
    """Three atoms without symmetry, so small a cell that pairs of atoms share several edges."""
    atoms = Atoms(
        "CSiC", positions=[[0, 0, 0], [1.3, 1.2, 1.4], [0.2, 1.6, 2.9]], cell=np.diag([2.7, 2.9, 4.1]), pbc=True
    )
    atoms.set_cell(atoms.cell.array + 0.2 * np.random.default_rng(5).uniform(-1, 1, (3, 3)), scale_atoms=True)
    return atoms


def twins(architecture, config):
    """The same weights as arrays, and as a plain function."""
    potential = untrained(architecture, config)
    graph = responses.cast(pad(build_graph(crystal(), CUTOFF, potential.numbers)), DOUBLE)
    return Evaluator(potential, DOUBLE), (potential.node_energies, CUTOFF, potential.parameters, graph)


def expansion(evaluator: Evaluator, atoms: Atoms):
    """The tensors that the route of arrays keeps of a structure."""
    return evaluator.route.expansion(evaluator.neighbours(atoms))


@pytest.mark.parametrize("name", CASES)
def test_energies_forces_and_stress_equal_those_of_the_function(name):
    arrays, function = twins(*CASES[name][:2])
    energies, forces, virial = arrays.energy_forces_stress(crystal())
    with jax.enable_x64(True):
        expected = [np.asarray(z) for z in responses.energy_forces_stress(*function)]
    assert np.abs(forces).max() > 1e-3
    # Sums of the same terms in another order.
    assert np.abs(energies - expected[0][:3]).max() < 1e-13 * np.abs(energies).max()
    assert np.abs(forces - expected[1][:3]).max() < 1e-12 * np.abs(forces).max()
    assert np.abs(virial - expected[2]).max() < 1e-12 * np.abs(virial).max()


def test_a_compiled_calculator_gives_the_same():
    potential = untrained(*CASES["nequip, as Nequix"][:2])
    here, there = (PhonaxCalculator(potential, compiled=compiled) for compiled in (False, True))
    for ask in ("get_potential_energy", "get_forces", "get_stress"):
        found, expected = (getattr(calc, ask)(crystal()) for calc in (here, there))
        assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
    assert isinstance(here.evaluator.route, ArraysRoute)
    assert isinstance(there.evaluator.route, CompiledRoute)


@pytest.mark.parametrize("name", CASES)
def test_lattice_matrices_equal_those_of_the_twisted_function(name):
    # Kills: a wrong term of any second derivative, a conjugate phase: the crystal has no symmetry to hide it.
    arrays, function = twins(*CASES[name][:2])
    qpoints = np.array([[0.0, 0, 0], [0.5, 0, 0], [0.13, -0.29, 0.41]])
    found = np.array(arrays.lattice_matrices(crystal(), qpoints))
    with jax.enable_x64(True):
        expected = responses.dynamical_matrices(*function, qpoints)
    assert np.abs(found[2].imag).max() > 1e-2 * np.abs(found).max()
    assert np.abs(found - expected).max() < 1e-11 * np.abs(expected).max()
    hessian = arrays.hessian(crystal(), np.array([2, 0])).reshape(2, 3, 9)
    assert np.abs(hessian - found[0].real.reshape(3, 3, 9)[[2, 0]]).max() < 1e-12 * np.abs(found).max()


def test_single_precision_is_single_precision_throughout():
    # Kills: a float64 constant that makes everything after it double, and a speed that nobody gets.
    potential = untrained(*CASES["nequip, as Nequix"][:2])
    single, double = (Evaluator(potential, np.dtype(d)) for d in ("float32", "float64"))
    assert single.energy_forces_stress(crystal())[0].dtype == np.float32
    tensors = expansion(single, crystal()).layers[1].groups[0]
    assert {tensors.slope.dtype, tensors.cross.dtype, tensors.weights[0].dtype} == {np.dtype("float32")}
    q = np.array([[0.13, -0.29, 0.41]])
    found, expected = (np.array(e.lattice_matrices(crystal(), q)) for e in (single, double))
    # Rounding of 6e-8 in sums over a few dozen terms, twice differentiated.
    assert 1e-9 < np.abs(found - expected).max() / np.abs(expected).max() < 2e-5


def test_the_tensors_of_the_last_structure_are_kept_and_no_others():
    arrays = Evaluator(untrained(*CASES["nequip, as Nequix"][:2]), DOUBLE)
    first, moved = crystal(), crystal()
    kept = expansion(arrays, first)
    assert expansion(arrays, crystal()) is kept
    moved.positions[1, 2] += 1e-9
    assert expansion(arrays, moved) is not kept
    swapped = crystal()
    swapped.numbers[:] = [14, 6, 6]
    assert expansion(arrays, swapped) is not expansion(arrays, moved)


def test_a_response_can_be_asked_again():
    arrays = Evaluator(untrained(*CASES["nequip, as Nequix"][:2]), DOUBLE)
    tensors = expansion(arrays, crystal())
    phases = Phases.at(np.array([[0.1, 0.2, 0.3]]), tensors)
    waves = DisplacementWaves.of(tensors, phases, np.eye(9)[None])
    assert np.array_equal(second_derivatives(waves), second_derivatives(waves))


def test_couplings_are_those_of_e3nn():
    # Public weights are stored in its basis: other signs would give another network.
    for l1 in DEGREES:
        for l2 in DEGREES:
            for l3 in range(abs(l1 - l2), min(4, l1 + l2) + 1):
                expected = np.asarray(e3nn_jax.clebsch_gordan(l1, l2, l3)) * np.sqrt(2 * l3 + 1)
                # e3nn-jax keeps single precision unless told otherwise.
                assert np.abs(clebsch_gordan(l1, l2, l3) - expected).max() < 2e-6


def test_couplings_are_orthonormal_and_complete():
    for l1 in DEGREES:
        for l2 in DEGREES:
            rows = [clebsch_gordan(l1, l2, l3).reshape(-1, 2 * l3 + 1) for l3 in range(abs(l1 - l2), l1 + l2 + 1)]
            unitary = np.concatenate([r / np.linalg.norm(r, axis=0) for r in rows], 1)
            assert np.abs(unitary @ unitary.T - np.eye(len(unitary))).max() < 1e-12


def test_harmonics_and_their_derivatives_are_those_of_e3nn():
    vectors = np.random.default_rng(3).standard_normal((7, 3))
    irreps = e3nn_jax.Irreps([(1, (l, (-1) ** l)) for l in DEGREES])

    def reference(v):
        return e3nn_jax.spherical_harmonics(irreps, v, normalize=True, normalization="component").array

    with jax.enable_x64(True):
        expected = [
            np.asarray(jax.vmap(f)(vectors)) for f in (reference, jax.jacfwd(reference), jax.hessian(reference))
        ]
    directions = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    assert np.abs(harmonics(directions, DEGREES[-1]) - expected[0]).max() < 1e-13
    found = [np.concatenate(order, -1) for order in zip(*harmonics_and_derivatives(vectors, DEGREES[-1]), strict=True)]
    assert np.abs(found[0] - expected[0]).max() < 1e-13
    assert np.abs(found[1] - np.moveaxis(expected[1], 1, -1)).max() < 1e-11
    assert np.abs(found[2] - np.moveaxis(expected[2], 1, -1)).max() < 1e-10


def test_the_radial_network_and_its_derivatives_are_those_of_the_function():
    rng, cutoff, p = np.random.default_rng(4), 5.0, 6
    matrices, rows = [rng.standard_normal(shape) for shape in ((6, 9), (9, 4))], rng.standard_normal((3, 9))
    lengths, kinds = np.array([0.7, 2.1, 3.3, 4.9, 5.0, 5.6]), np.tile([2, 0], (6, 1))

    def basis(r):
        # By hand: both forms of a network take theirs from the functions that are tested here.
        x, k = r / cutoff, jnp.arange(1, 7)
        closing = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
        return 2 / cutoff * jnp.sin(k * jnp.pi * x) / r * jnp.where(x < 1, closing, 0.0)

    def network(r):
        return jax.nn.silu(basis(r) @ matrices[0]) @ matrices[1]

    def of_elements(r):
        return jax.nn.silu(basis(r) @ matrices[0] * rows[0] * rows[2]) @ matrices[1]

    orders = closed_basis(lengths, 2, n_basis=6, cutoff=cutoff, p=p, dtype=np.dtype(float))
    for function, found in (
        (basis, orders),
        (network, radial_weights(orders, kinds, matrices=matrices)),
        (of_elements, radial_weights(orders, kinds, matrices=matrices, elements=rows)),
    ):
        with jax.enable_x64(True):
            forms = function, jax.jacfwd(function), jax.jacfwd(jax.jacfwd(function))
            expected = [np.array([f(jnp.asarray(r)) for r in lengths]) for f in forms]
        for value, reference in zip(found, expected, strict=True):
            assert np.abs(value - reference).max() < 1e-11 * np.abs(reference).max()
        assert not found[0][lengths >= cutoff].any()


@pytest.mark.parametrize(("ours", "theirs"), [(silu, jax.nn.silu), (tanh, jnp.tanh)])
def test_activations_and_their_derivatives(ours, theirs):
    x = np.array([-800.0, -3.0, -0.1, 0.0, 0.4, 2.0, 800.0])
    with jax.enable_x64(True):
        first = jax.grad(theirs)
        expected = [np.array([f(z) for z in x]) for f in (theirs, first, jax.grad(first))]
    for value, reference in zip(ours(x, 2.0), expected, strict=True):
        assert np.abs(value - reference / 2).max() < 1e-12 * max(1, np.abs(reference).max())


def test_irreps_are_read_and_ordered_as_stored_weights_are():
    assert parse_irreps("16x0e+8x1o + 1e") == ((16, Irrep(0, 1)), (8, Irrep(1, -1)), (1, Irrep(1, 1)))
    ours = [Irrep(l, p) for l in DEGREES for p in (1, -1)]
    theirs = sorted(e3nn_jax.Irrep(str(ir)) for ir in ours)
    assert [str(ir) for ir in sorted(ours, key=lambda ir: ir.rank)] == [str(ir) for ir in theirs]
    assert [str(ir) for ir in Irrep(2, -1).times(Irrep(1, -1))] == ["1e", "2e", "3e"]


def test_a_crystal_with_one_atom_has_matrices_and_one_without_neighbours_is_refused():
    calc = PhonaxCalculator(untrained(*CASES["nequip, as Nequix"][:2]))
    dense = bulk("Si", "fcc", a=3.2)
    assert np.abs(calc.get_dynamical_matrix(dense, [[0.1, 0.2, 0.3]])).max() > 1e-4
    far = bulk("Si", "sc", a=9.0)
    assert not calc.get_hessian(far).any()
    assert not calc.get_forces(far).any()
    with pytest.raises(StructureError, match="no atom has a neighbour"):  # frequencies of zero would be believed
        calc.get_dynamical_matrix(far, [[0.1, 0.2, 0.3]])
