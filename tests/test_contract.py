"""Functions that break what every potential must keep are refused with the reason, and those that keep it are not."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_phonax import PhonaxCalculator, Potential
from ase_phonax.base.errors import ContractError, InputError
from ase_phonax.derivatives.compiled import contract, probes, responses
from ase_phonax.derivatives.compiled.graphs import pad
from ase_phonax.testing import (
    check_arrays,
    check_dynamical_matrix,
    check_exchange,
    check_invariance,
    check_potential,
    check_stars,
)

from .analytic import fresh, silicon_potential, two_hop_potential

CUTOFF = 3.0


def lengths(vectors):
    return jnp.sqrt(jnp.sum(vectors**2, -1))


def fade(vectors, power=4):
    """(1 - r / cutoff)^power within the cutoff."""
    inside = jnp.maximum(1 - lengths(vectors) / CUTOFF, 0)
    return inside**power


def kept(vectors, exchange):
    return exchange.aggregate(fade(vectors))


def mean_density(p, vectors, species, exchange):
    density = kept(vectors, exchange)
    return density * jnp.mean(density)


def handed(p, vectors, species, exchange):
    a, b, c = (exchange.aggregate(fade(vectors, k)[:, None] * vectors) for k in (4, 5, 6))
    return jnp.sum(a * jnp.cross(b, c), -1)


def counted(p, vectors, species, exchange):
    return kept(vectors, exchange) / (1 + exchange.aggregate(jnp.ones(len(vectors))))


def cosine(p, vectors, species, exchange):
    r = lengths(vectors)
    return exchange.aggregate(jnp.where(r < CUTOFF, 0.5 * (1 + jnp.cos(jnp.pi * r / CUTOFF)), 0.0))


def squared(p, vectors, species, exchange):
    """As a magnetic field along x might have it."""
    return exchange.aggregate(fade(vectors) * vectors[:, 0] ** 2)


_CALLS = iter(range(10**9))

# What is wrong -> the function, the check that says so, and a part of what it says.
BROKEN = {
    "one energy for all": (lambda p, v, s, e: jnp.sum(fade(v)), "one energy per atom", r"gives float64 of shape \(\)"),
    "a column": (lambda p, v, s, e: kept(v, e)[:, None], "one energy per atom", r"of shape \(4, 1\) for 4 atoms"),
    "energies of edges": (lambda p, v, s, e: fade(v), "one energy per atom", r"of shape \(10,\) for 4 atoms"),
    "two results": (lambda p, v, s, e: (kept(v, e), 0.0), "one energy per atom", "gives a tuple for 4 atoms"),
    "whole numbers": (lambda p, v, s, e: jnp.zeros(e.n_nodes, int), "one energy per atom", "gives int64 of shape"),
    "no fade": (
        lambda p, v, s, e: e.aggregate(jnp.exp(-lengths(v))),
        "smooth at the cutoff",
        r"ends as \(cutoff - r\)\^0.00065.*it jumps",
    ),
    "shifted to zero": (
        lambda p, v, s, e: e.aggregate(jnp.exp(-lengths(v)) - jnp.exp(-CUTOFF)),
        "smooth at the cutoff",
        r"ends as \(cutoff - r\)\^1,.*its forces jump",
    ),
    "second derivative jumps": (
        lambda p, v, s, e: e.aggregate(fade(v, 2)),
        "smooth at the cutoff",
        r"ends as \(cutoff - r\)\^2,.*its force constants jump",
    ),
    "cosine": (cosine, "smooth at the cutoff", "its force constants jump.*a cosine or a square has one"),
    "neighbours counted": (counted, "smooth at the cutoff", "it jumps"),
    "mean over atoms": (mean_density, "nothing past exchange", "when others change to which no edges lead"),
    "the neighbour in the list": (
        lambda p, v, s, e: kept(v, e) + jnp.roll(kept(v, e), 1),
        "nothing past exchange",
        "sorted or rolled arrays",
    ),
    "the largest edge": (
        lambda p, v, s, e: kept(v, e) / (0.1 + jnp.max(fade(v))),
        "nothing past exchange",
        "take sums, means, largest values",
    ),
    "an axis": (lambda p, v, s, e: e.aggregate(fade(v) * v[:, 0]), "invariance", "where the same atoms are turned"),
    "a hand": (handed, "invariance", "where the same atoms are mirrored"),
    "an order of edges": (
        lambda p, v, s, e: e.aggregate(fade(v) * jnp.cumsum(fade(v))),
        "invariance",
        "where the same atoms are numbered in another order",
    ),
    "NaN": (lambda p, v, s, e: kept(v, e) * jnp.nan, "finite numbers", "not finite for an atom without neighbours"),
    "a norm": (
        lambda p, v, s, e: jnp.linalg.norm(e.aggregate(fade(v)[:, None] * v), axis=-1),
        "finite numbers",
        "not finite for an atom halfway between two others",
    ),
    "random numbers": (
        lambda p, v, s, e: kept(v, e) * np.random.default_rng().normal(),
        "repeatable",
        "not the same function when it is asked again",
    ),
    "a counter": (lambda p, v, s, e: kept(v, e) * next(_CALLS), "repeatable", "random numbers, clocks, counters"),
}


def wrapped(function, numbers=(14,), **options) -> Potential:
    return Potential.from_function(function, cutoff=CUTOFF, n_layers=1, numbers=numbers, name="mine", **options)


@pytest.mark.parametrize("what", BROKEN)
def test_a_function_that_breaks_the_contract_is_refused_with_the_reason(what):
    function, check, text = BROKEN[what]
    with pytest.raises(ContractError, match="(?s)the potential 'mine' .*" + text) as caught:
        PhonaxCalculator(wrapped(function)).get_potential_energy(bulk("Si"))
    error = caught.value
    assert error.check == check
    assert error.measured is not None
    assert error.tolerance is not None
    assert "check=False" in error.remedy


@pytest.mark.parametrize("question", ["get_hessian", "get_dynamical_matrix", "get_stress"])
def test_whatever_is_asked_first_is_refused(question):
    calc = PhonaxCalculator(wrapped(BROKEN["one energy for all"][0]))
    more = ([0.1, 0.2, 0.3],) if question == "get_dynamical_matrix" else ()
    with pytest.raises(ContractError, match="not 4 real numbers"):
        getattr(calc, question)(bulk("Si"), *more)


def test_without_checks_a_function_is_taken_as_it_is():
    atoms = bulk("Si")
    potential = wrapped(mean_density, check=False)
    assert np.isfinite(PhonaxCalculator(potential).get_potential_energy(atoms))
    with pytest.raises(ContractError, match="when others change"):
        check_exchange(potential)


def test_what_passes_beside_the_exchange_makes_other_matrices_than_a_supercell_has():
    """Why it is refused: energies and forces of the cell are those of the function, and D(q) is not."""
    with pytest.raises(ContractError, match=r"the fold of the Hessian|D\(q\) and its adjoint|the conjugate") as caught:
        check_dynamical_matrix(wrapped(mean_density))
    assert caught.value.measured > 1e-2


@pytest.mark.parametrize("power", [3, 4])
def test_a_function_with_two_continuous_derivatives_at_the_cutoff_passes(power):
    potential = wrapped(lambda p, v, s, e: e.aggregate(fade(v, power)))
    PhonaxCalculator(potential).get_potential_energy(bulk("Si"))
    assert abs(contract.order_at_cutoff(contract.Trial(potential), 0, 0) - power) < 0.01


def test_a_root_of_a_density_that_no_crystal_is_without_passes():
    """Of Finnis and Sinclair: a lone pair would touch the cutoff with half the power, an atom with a bond does not."""
    potential = wrapped(lambda p, v, s, e: -jnp.sqrt(kept(v, e) + 1e-30))
    assert contract.order_at_cutoff(contract.Trial(potential), 0, 0) > 3.9


def test_large_energies_of_free_atoms_hide_no_jump_and_make_none():
    for power in (2, 4):
        potential = wrapped(lambda p, v, s, e, k=power: e.aggregate(fade(v, k)) - 3e4)
        assert abs(contract.order_at_cutoff(contract.Trial(potential), 0, 0) - power) < 0.05


def test_every_pair_of_elements_in_the_structure_is_tried_and_no_other():
    def one_pair_jumps(p, vectors, species, exchange):
        one, other = exchange.gather(species), exchange.at_receivers(species)
        return exchange.aggregate(jnp.where((one == 0) & (other == 0), lengths(vectors) < CUTOFF, fade(vectors)))

    potential = wrapped(one_pair_jumps, (6, 14))
    calc = PhonaxCalculator(potential)
    calc.get_potential_energy(bulk("Si"))
    with pytest.raises(ContractError, match="does not fade"):
        calc.get_potential_energy(bulk("SiC", "zincblende", 4.36))


@pytest.fixture
def trials(monkeypatch):
    """Kinds of atoms of every trial that is made."""
    made = []
    monkeypatch.setattr(contract, "TRIALS", (lambda trial: made.append(trial.kinds),))
    return made


def test_a_potential_is_tried_once_for_each_set_of_elements(trials):
    potential = two_hop_potential(2.4)
    both, silicon, oxygen = bulk("SiO", "zincblende", 4.0), bulk("Si", a=4.0), bulk("O", "fcc", 3.0)
    for atoms in (silicon, silicon, both, oxygen, both):
        PhonaxCalculator(potential).get_potential_energy(atoms)
    assert trials == [[3], [2, 3]], "what was tried together need not be tried alone"
    copied = pickle.loads(pickle.dumps(two_hop_potential(2.4)))
    PhonaxCalculator(copied).get_potential_energy(silicon)
    assert trials[2:] == [[3]], "another process finds out for itself"


def test_threads_that_meet_a_potential_at_once_try_it_once(trials):
    potential = two_hop_potential(2.4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: PhonaxCalculator(potential).get_potential_energy(bulk("Si", a=4.0)), range(8)))
    assert len(trials) == 1


def test_graphs_of_trials_are_padded_like_those_of_structures():
    graph = probes.disorder(CUTOFF, (0, 1, 0), np.eye(3))
    ours, theirs = (jax.tree.leaves(padded(graph, 6, 12)) for padded in (probes.padded_to, pad))
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype or one.dtype == np.float64, "jraph pads in the precision of the moment"
        assert np.abs(one - other).max() < 1e-6


def test_the_trials_run_in_what_is_compiled_for_the_structure_anyway():
    before = responses.energy_forces_stress._cache_size()
    PhonaxCalculator(fresh(silicon_potential())).get_potential_energy(bulk("Si", cubic=True))
    assert responses.energy_forces_stress._cache_size() - before == 1


def test_an_honest_function_passes_in_single_precision():
    calc = PhonaxCalculator(fresh(two_hop_potential(2.4)), dtype="float32")
    assert np.isfinite(calc.get_potential_energy(bulk("Si", a=4.0)))


def single_inside(p, vectors, species, exchange):
    """Energies of edges rounded to single precision; an honest function otherwise."""
    return exchange.aggregate(fade(vectors).astype(jnp.float32))


def single_alone(p, vectors, species, exchange):
    """A loop that begins with a zero of single precision, and can carry nothing else."""
    return jax.lax.fori_loop(0, 2, lambda _, sums: sums + kept(vectors, exchange), jnp.zeros(exchange.n_nodes, "f4"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_single_precision_inside_an_honest_function_is_not_taken_for_a_jump(dtype):
    """Energies at the cutoff are those of free atoms but for rounding, which has no power of the distance."""
    potential = wrapped(lambda p, v, s, e: (single_inside(p, v, s, e) - 4.0).astype(v.dtype))
    assert np.isfinite(PhonaxCalculator(potential, dtype=dtype).get_potential_energy(bulk("Si")))
    jump = wrapped(lambda p, v, s, e: e.aggregate(jnp.exp(-lengths(v)).astype(jnp.float32)))
    with pytest.raises(ContractError, match="does not fade"):
        PhonaxCalculator(jump, dtype=dtype).get_potential_energy(bulk("Si"))


def test_a_function_of_single_precision_alone_is_tried_in_that_and_refused_in_double():
    potential = wrapped(single_alone)
    energy = PhonaxCalculator(potential, dtype="float32").get_potential_energy(bulk("Si"))
    kept_twice = wrapped(lambda p, v, s, e: 2 * kept(v, e))
    assert energy == pytest.approx(PhonaxCalculator(kept_twice).get_potential_energy(bulk("Si")), rel=1e-5)
    with pytest.raises(ContractError, match=r"(?s)'mine' cannot be computed in float64 .*edge_vectors\.dtype"):
        PhonaxCalculator(wrapped(single_alone)).get_potential_energy(bulk("Si"))
    broken = wrapped(lambda p, v, s, e: single_alone(p, v, s, e) * (1 + jnp.mean(kept(v, e))))
    with pytest.raises(ContractError, match="when others change to which no edges lead"):
        PhonaxCalculator(broken, dtype="float32").get_potential_energy(bulk("Si"))


def test_an_error_inside_a_function_is_its_own():
    def mistaken(p, vectors, species, exchange):
        return exchange.aggregate(fade(vectors)) + "a word"

    for dtype in ("float64", "float32"):
        with pytest.raises(TypeError, match="str"):
            PhonaxCalculator(wrapped(mistaken), dtype=dtype).get_potential_energy(bulk("Si"))


def test_a_refusal_survives_pickling():
    error = pickle.loads(pickle.dumps(ContractError("a", "b", "c", "invariance", 1.0, 2.0)))
    assert (str(error), error.check, error.measured) == (str(ContractError("a", "b", "c")), "invariance", 1.0)
    assert isinstance(error, ValueError)


def test_all_checks_pass_for_a_function_of_two_hops():
    check_potential(two_hop_potential(2.4))


def test_arrays_of_a_plain_function_and_checks_of_no_potential_are_refused():
    with pytest.raises(InputError, match="is a plain function"):
        check_arrays(two_hop_potential(2.4))
    with pytest.raises(InputError, match="which is no Potential"):
        check_potential(lambda *_: 0.0)


def test_forces_that_do_not_turn_with_the_atoms_are_found_in_a_structure():
    with pytest.raises(ContractError, match="of 4 atoms when they are turned differ by") as caught:
        check_invariance(wrapped(squared), Atoms("Si4", positions=2 * np.eye(4)[:, :3] + 0.1))
    assert caught.value.check == "invariance"


def test_matrices_without_the_symmetry_of_the_crystal_are_found():
    with pytest.raises(ContractError, match="turned from another member of its star"):
        check_stars(wrapped(squared))
