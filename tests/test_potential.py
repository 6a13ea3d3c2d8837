"""Plain JAX functions as potentials, against exact answers: a spring chain and Stillinger-Weber silicon."""

import copy
import functools
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from matscipy.calculators.manybody import Manybody
from matscipy.calculators.manybody.explicit_forms.stillinger_weber import (
    Stillinger_Weber_PRB_31_5262_Si,
    StillingerWeber,
)

from ase_phonax import PhonaxCalculator, Potential
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.base.units import THZ_PER_SQRT_EV_A2_AMU
from ase_phonax.derivatives.compiled import responses
from ase_phonax.derivatives.compiled.graphs import build_graph
from ase_phonax.derivatives.compiled.reference import extended_force_constants, extended_graph
from ase_phonax.derivatives.conventions import frequencies_thz
from ase_phonax.derivatives.evaluator import Evaluator
from ase_phonax.models.architectures import make_potential

from .analytic import SPRINGS, fresh, silicon_potential, spring_potential, springs, two_hop_potential

DOUBLE = np.dtype("float64")
# Incommensurate along the chain; the other two components are felt by nothing.
QPOINTS = np.array([[0.1234567, 0.2, 0.3], [np.sqrt(2) / 5, 0, -0.4], [-0.41, 0.1, 0], [1 / np.pi + 1, 0, 0]])


def chain() -> Atoms:
    """C and O in turn along x, off the origin; bonds of both rest lengths, so all forces vanish."""
    (short, long), x = SPRINGS, 0.3
    return Atoms("CO", positions=[[x, 1, 2], [x + short, 1, 2]], cell=[short + long, 9, 10], pbc=True)


def silicon(repeat=(1, 1, 1), seed: int = 1) -> Atoms:
    atoms = bulk("Si", "diamond", 5.431, cubic=True)
    # Beyond the scale of thermal motion: a few second neighbours come within the cutoff.
    atoms.rattle(0.08, seed=seed)
    return atoms.repeat(repeat)


def matscipy_silicon() -> Manybody:
    return Manybody(**StillingerWeber(Stillinger_Weber_PRB_31_5262_Si))


def test_chain_has_the_dispersion_of_two_masses_and_two_springs():
    atoms, (k1, k2) = chain(), SPRINGS.values()
    calc = PhonaxCalculator(spring_potential((6, 8)))
    assert np.abs(calc.get_forces(atoms)).max() < 1e-12
    m1, m2 = atoms.get_masses()
    mean = (k1 + k2) / 2 * (1 / m1 + 1 / m2)
    root = np.sqrt(mean**2 - 4 * k1 * k2 * np.sin(np.pi * QPOINTS[:, 0]) ** 2 / (m1 * m2))
    expected = np.sqrt(np.stack([mean - root, mean + root], 1)) * THZ_PER_SQRT_EV_A2_AMU
    frequencies = frequencies_thz(calc.get_dynamical_matrix(atoms, QPOINTS))
    assert np.abs(frequencies[:, 4:] / expected - 1).max() < 1e-10
    # Springs at rest resist no sideways motion: those eigenvalues are rounding, 1e-16 of the largest.
    assert np.abs(frequencies[:, :4]).max() < 1e-7 * expected.max()


def test_chain_has_phonopys_phase_and_not_its_conjugate():
    # Kills the opposite sign of q and the lattice phase without positions: no frequency shows either, but
    # the matrix of this chain, which has no inversion centre, does.
    atoms, (k1, k2) = chain(), SPRINGS.values()
    m1, m2 = atoms.get_masses()
    (short, long), q = SPRINGS, QPOINTS[:, 0]
    turn = 2j * np.pi * q / (short + long)
    coupling = -(k1 * np.exp(turn * short) + k2 * np.exp(-turn * long)) / np.sqrt(m1 * m2)
    along = PhonaxCalculator(spring_potential((6, 8))).get_dynamical_matrix(atoms, QPOINTS)[:, ::3, ::3]
    assert np.abs(along[:, 0, 1] - coupling).max() < 1e-13
    assert np.abs(along[:, 1, 0] - coupling.conj()).max() < 1e-13
    assert np.abs(along[:, [0, 1], [0, 1]] - (k1 + k2) / np.array([m1, m2])).max() < 1e-13
    assert np.abs(coupling.imag).max() > 0.01


def test_diatomic_has_five_zeros_and_the_frequency_of_its_spring():
    # Trap: six modes dropped (a linear molecule has five), and NaN where a mode is unstable.
    atoms = Atoms("CO", positions=[[1, 1, 1], np.array([1, 1, 1]) + 1.2 * np.array([2, -1, 2]) / 3])
    for stiffness, factor in ((7.0, 1), (-7.0, 1j)):
        calc = PhonaxCalculator(spring_potential((6, 8), {1.2: stiffness}))
        energies = calc.get_vibrations(atoms).get_energies()
        expected = factor * np.sqrt(7.0 / 12.011 + 7.0 / 15.999) * units._hbar * 1e10 / np.sqrt(units._e * units._amu)
        k = np.abs(energies).argmax()
        assert abs(energies[k] - expected) < 1e-7
        # Eigenvalues are zero to rounding, 1e-16 of the largest; frequencies are their roots.
        assert np.abs(np.delete(energies, k)).max() < 1e-6 * abs(expected)


@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 2, 2)], ids=["8 atoms", "64 atoms"])
def test_silicon_equals_matscipys_derivatives_by_hand(repeat):
    atoms, reference = silicon(repeat), silicon(repeat)
    if len(atoms) > 8:  # no copies of each other
        atoms.rattle(0.02, seed=2)
        reference.positions = atoms.positions
    atoms.calc, reference.calc = PhonaxCalculator(silicon_potential()), matscipy_silicon()
    # Both are float64 sums of the same terms in another order: 1e-12 is rounding, a wrong term is 1e-3.
    assert abs(atoms.get_potential_energy() / reference.get_potential_energy() - 1) < 1e-12
    for value, expected in ((atoms.get_forces(), reference.get_forces()), (atoms.get_stress(), reference.get_stress())):
        assert np.abs(value - expected).max() < 1e-11 * np.abs(expected).max()
    hessian = atoms.calc.get_hessian(atoms).reshape(3 * len(atoms), -1)
    expected = np.asarray(reference.calc.get_hessian(reference).todense())
    assert np.abs(hessian - expected).max() < 1e-9 * np.abs(expected).max()


def test_silicon_dynamical_matrix_is_the_fourier_sum_of_matscipys_supercell_hessian():
    # A third of a reciprocal vector has a complex phase, and the rattled cell no inversion centre: the
    # conjugate fails.
    atoms, n = silicon(), 3
    big = atoms.repeat((n, 1, 1))
    big.calc = matscipy_silicon()
    hessian = np.asarray(big.calc.get_hessian(big).todense()).reshape(n, 8, 3, n, 8, 3)[0]
    calc = PhonaxCalculator(silicon_potential())
    qpoints = np.array([[0, 0, 0], [1 / 3, 0, 0]])
    found = calc.get_dynamical_matrix(atoms, qpoints)
    distance = atoms.positions[None] - atoms.positions[:, None]
    masses = np.repeat(atoms.get_masses(), 3)
    for q, value in zip(qpoints, found, strict=True):
        k = 2 * np.pi * q @ np.linalg.inv(atoms.cell.array).T
        cells = np.arange(n)[:, None] * atoms.cell.array[0]
        phase = np.exp(1j * (distance @ k)[None] + 1j * (cells @ k)[:, None, None])
        expected = np.einsum("iaRjb,Rij->iajb", hessian, phase).reshape(24, 24) / np.sqrt(np.outer(masses, masses))
        assert np.abs(value - expected).max() < 1e-9 * np.abs(expected).max()
    assert np.abs(found[1].conj() - expected).max() > 1e-2 * np.abs(expected).max()
    gamma = calc.get_hessian(atoms).reshape(24, 24) / np.sqrt(np.outer(masses, masses))
    assert np.abs(found[0] - gamma).max() < 1e-12 * np.abs(gamma).max()


def test_relaxation_and_dynamics_compile_once_and_again_only_beyond_the_capacity():
    compiled, calc = responses.energy_forces_stress._cache_size, PhonaxCalculator(fresh(silicon_potential()))
    before = compiled()
    atoms = silicon()
    atoms.calc = calc
    BFGS(atoms, logfile=None).run(fmax=1e-4, steps=100)
    assert np.abs(atoms.get_forces()).max() < 1e-4
    spread = np.sqrt(units.kB * 600 * atoms.get_masses()[:, None])
    atoms.set_momenta(spread * np.random.default_rng(0).standard_normal((8, 3)))
    energies = []
    dynamics = VelocityVerlet(atoms, timestep=1.0 * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(100)
    assert np.ptp(energies) < 0.02 * atoms.get_kinetic_energy(), "forces are the slope of the energy"
    assert compiled() - before == 1
    for factor, expected in ((0.9, 2), (1.0, 2), (0.9, 2)):  # 12 second neighbours come into reach, and leave
        atoms.set_cell(silicon().cell * factor, scale_atoms=True)
        atoms.get_forces()
        assert compiled() - before == expected


def test_importing_and_computing_flips_no_jax_setting():
    # Trap: an import that turns on NaN debugging or float64 for everything else in the process.
    script = """
import jax
before = dict(jax.config.values)
import numpy as np
from ase.build import bulk
from tests.analytic import silicon_potential
from ase_phonax import PhonaxCalculator, get_phonopy
from ase_phonax.models import architectures, loading
atoms = bulk("Si")
calc = PhonaxCalculator(silicon_potential())
calc.get_forces(atoms), calc.get_hessian(atoms), calc.get_dynamical_matrix(atoms, [0.1, 0.2, 0.3])
changed = {k: (v, jax.config.values[k]) for k, v in before.items() if jax.config.values[k] != v}
assert len(before) > 50 and not changed, changed
assert jax.numpy.ones(1).dtype == "float32"
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr


def test_one_hop_too_few_gives_other_constants():
    # Trap: where the caller states the layers by hand, one too few is a few per cent off and nothing says
    # so. Here a Potential knows its own layers; this is what the number must mean.
    atoms = Atoms(
        "SiO", positions=[[0, 0, 0], [1.3, 1.2, 1.4]], cell=[[2.6, 0.2, 0], [0, 2.7, 0.3], [0.1, 0, 2.8]], pbc=True
    )
    potential = two_hop_potential(2.4)
    graph = build_graph(atoms, potential.cutoff, potential.numbers)
    parameters = responses.cast(potential.parameters, DOUBLE)
    q = np.array([0.21, -0.37, 0.13])
    found = {}
    for hops in (potential.n_layers - 1, potential.n_layers, potential.n_layers + 1):
        extended, home, cells = extended_graph(graph, hops)
        with jax.enable_x64(True):
            constants = extended_force_constants(
                potential.node_energies, potential.cutoff, parameters, extended, len(atoms), home, cells
            )
        found[hops] = sum(np.exp(2j * np.pi * np.dot(q, shift)) * phi for shift, phi in constants.items()).reshape(6, 6)
    exact = Evaluator(potential, DOUBLE).lattice_matrices(atoms, q)[0]
    scale = np.abs(exact).max()
    assert np.abs(found[2] - exact).max() < 1e-12 * scale
    assert np.abs(found[3] - exact).max() < 1e-12 * scale
    assert np.abs(found[1] - exact).max() > 1e-2 * scale


def test_a_network_knows_its_own_cutoff_and_layers(untrained):
    made = make_potential("nequip", untrained.config, untrained.parameters, untrained.numbers, "again")
    assert (made.cutoff, made.n_layers) == (untrained.config.cutoff, untrained.config.n_layers)
    assert made.node_energies is untrained.node_energies, "equal configurations share what is compiled"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cutoff": 0.0}, "the cutoff is 0.0 Å"),
        ({"cutoff": -3.0}, "the cutoff is -3.0 Å"),
        ({"cutoff": np.nan}, "the cutoff is nan Å"),
        ({"cutoff": np.inf}, "the cutoff is inf Å"),
        ({"n_layers": 0}, "the number of layers is 0"),
        ({"n_layers": 1.5}, "the number of layers is 1.5"),
        ({"numbers": (14, 6)}, r"the atomic numbers are \(14, 6\)"),
        ({"numbers": (6, 6)}, "give them ascending, once each"),
        ({"numbers": ("Si",)}, r"the atomic numbers are \('Si',\)"),
        ({"numbers": (6, 200)}, "from 1 to 118"),
        ({"cutoff": None}, "the cutoff is None Å"),
        ({"n_layers": "2"}, "the number of layers is '2'"),
    ],
    ids=str,
)
def test_a_potential_that_cannot_be_is_refused(change, text):
    good = {"cutoff": 3.0, "n_layers": 1, "numbers": (6, 14)}
    with pytest.raises(InputError, match=text):
        Potential.from_function(springs, **(good | change))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda vectors, exchange: None, r"takes \(vectors, exchange\): too many positional arguments"),
        (lambda parameters, vectors, species, exchange, cell: None, "missing a required argument: 'cell'"),
        (lambda parameters, vectors, species, exchange, *, cell: None, "missing a required argument: 'cell'"),
        (jax.jit(lambda vectors: None), r"takes \(vectors\)"),
        (np.zeros(3), "of the type ndarray"),
        ("phonax-small", "is 'phonax-small', of the type str"),
    ],
    ids=["two", "five", "one by name", "compiled", "an array", "a name"],
)
def test_a_function_of_other_arguments_is_refused_when_it_is_given(function, text):
    with pytest.raises(InputError, match=text) as error:
        Potential.from_function(function, cutoff=3.0, n_layers=1, numbers=(14,))
    assert "(parameters, edge_vectors, species, exchange)" in error.value.why


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(lambda scale, *inputs: springs(*inputs), 2.0),
        lambda *inputs: springs(*inputs),
        jax.jit(springs, static_argnums=3),
        lambda parameters, vectors, species, exchange, scale=1.0: springs(parameters, vectors, species, exchange),
    ],
    ids=["partial", "any number", "compiled", "one more with a default"],
)
def test_functions_that_can_be_called_with_the_four_arguments_are_taken(function):
    assert Potential.from_function(function, cutoff=3.0, n_layers=1, numbers=(14,)).node_energies is function


def test_an_element_that_a_function_was_not_made_for_is_refused_with_a_true_reason():
    # Nobody has trained a function.
    calc = PhonaxCalculator(spring_potential((6, 8)))
    with pytest.raises(StructureError, match=r"does not know N\n.*it was not made for that element"):
        calc.get_potential_energy(Atoms("NO", positions=[[0, 0, 0], [1.2, 0, 0]]))


def test_a_potential_is_data_that_copies_share():
    potential = spring_potential((6, 8))
    assert copy.deepcopy({"inside": potential})["inside"] is potential
    assert potential.n_parameters == 2 * len(SPRINGS)
    assert repr(potential) == "<Potential 'springs': 2 elements, 4 parameters, cutoff 2.5 Å>"
    assert potential.architecture is None
    assert potential.parts is None
    with pytest.raises(AttributeError):
        potential.cutoff = 3.0
