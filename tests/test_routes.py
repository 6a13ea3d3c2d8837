"""Both routes to derivatives, arrays and compiled functions, pass the same cases, and give the same numbers."""

import dataclasses
import pickle
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import InputError, StructureError
from ase_phonax.derivatives.compiled import devices, responses
from ase_phonax.derivatives.compiled.blocks import FEW, Room, in_blocks
from ase_phonax.derivatives.compiled.route import CompiledRoute
from ase_phonax.derivatives.evaluator import Evaluator

from .analytic import silicon_potential
from .test_arrays import crystal
from .test_networks import CASES, MACE, untrained
from .toy_network import toy_potential

DOUBLE = np.dtype(float)
GENERAL = np.array([0.13, -0.29, 0.41])
QPOINTS = np.array([[0.0, 0, 0], GENERAL])
SMALL_MACE = dataclasses.replace(
    MACE, cutoff=3.2, hidden_irreps="2x0e + 2x1o", l_max=1, n_basis=3, radial_sizes=(4,), correlation=(2, 2)
)
# Networks have both forms, the toy one is a function alone. Those of many irreps take JAX half a minute to compile.
SOURCES = ("nequip", "mace", "toy")
MANY_IRREPS = ("nequip, as Nequix", "mace, densities")
ROUTES = [
    # Compiling all of MACE takes a minute; that both routes agree is in the default run.
    pytest.param(both, marks=[pytest.mark.slow] if both == ("mace", "compiled") else [], id=" by ".join(both))
    for both in product(SOURCES, ("arrays", "compiled"))
    if both != ("toy", "arrays")
]


@pytest.fixture(scope="module")
def potentials(tiny):
    return {"nequip": tiny, "mace": untrained("mace", SMALL_MACE), "toy": toy_potential((6, 14))}


@pytest.fixture(scope="module", params=ROUTES)
def evaluator(request, potentials):
    name, route = request.param
    return Evaluator(potentials[name], DOUBLE, route)


def relative(values, expected) -> float:
    values, expected = np.asarray(values), np.asarray(expected)
    assert values.shape == expected.shape
    return np.abs(values - expected).max() / np.abs(expected).max()


def differences(function, step: float) -> np.ndarray:
    """Central differences of sixth order of function(distance) at 0."""
    odd = [function(k * step) - function(-k * step) for k in (1, 2, 3)]
    return np.tensordot([45, -9, 1], odd, 1) / (60 * step)


def moved(direction: np.ndarray, distance: float) -> Atoms:
    atoms = crystal()
    atoms.positions += distance * direction
    return atoms


def test_forces_and_stress_are_slopes_of_the_energy(evaluator):
    energies, forces, virial = evaluator.energy_forces_stress(crystal())
    assert energies.shape == (3,)
    direction = np.random.default_rng(1).standard_normal((3, 3))
    slope = differences(lambda x: evaluator.energy_forces_stress(moved(direction, x))[0].sum(), 2e-3)
    # Truncation (2e-3 Å)^6, rounding 1e-15 / 2e-3.
    assert abs(slope + np.sum(forces * direction)) < 1e-9 * np.abs(forces).max()
    strain = direction + direction.T

    def stretched(x):
        atoms = crystal()
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + x * strain), scale_atoms=True)
        return evaluator.energy_forces_stress(atoms)[0].sum()

    assert abs(differences(stretched, 5e-4) - np.sum(virial * strain)) < 1e-8 * np.abs(virial).max()


def test_the_hessian_is_the_slope_of_the_forces_and_that_of_waves_of_no_phase(evaluator):
    hessian = evaluator.hessian(crystal(), np.arange(3))
    direction = np.random.default_rng(2).standard_normal((3, 3))
    slope = differences(lambda x: evaluator.energy_forces_stress(moved(direction, x))[1], 1e-3)
    # Between the positions edges of the toy pass its cutoff, where three derivatives are continuous.
    assert np.abs(np.einsum("iajb,jb->ia", hessian, direction) + slope).max() < 1e-8 * np.abs(hessian).max()
    assert relative(evaluator.hessian(crystal(), np.array([2, 0])), hessian[[2, 0]]) < 1e-12
    gamma = evaluator.lattice_matrices(crystal(), QPOINTS[:1])[0]
    assert relative(gamma, hessian.reshape(9, 9)) < 1e-12


def test_products_with_displacements_are_those_of_whole_matrices(evaluator):
    """Of different numbers of columns at each wave vector, as symmetry leaves them; kills columns of another's q."""
    rng = np.random.default_rng(3)
    qpoints = np.array([*QPOINTS, [0.5, 0.5, 0]])
    u = [rng.standard_normal((9, c)) for c in (1, 5, 2)]
    whole, products = evaluator.lattice_matrices(crystal(), qpoints), evaluator.lattice_matrices(crystal(), qpoints, u)
    assert np.abs(whole[1].imag).max() > 1e-2 * np.abs(whole[1]).max()
    for matrix, displacements, columns in zip(whole, u, products, strict=True):
        assert relative(columns, matrix @ displacements) < 1e-12
        assert relative(matrix, matrix.conj().T) < 1e-12


def test_slopes_of_matrices_equal_their_differences(evaluator):
    """Kills: a sign or a missing path in the derivative of the phases, which no symmetry hides at a general q."""
    slopes = evaluator.lattice_slopes(crystal(), GENERAL)[0]
    step = 2e-3  # truncation (2 pi S step)^6 / 140 is 3e-9 for constants that reach S = 5 cells
    for axis, slope in zip(np.eye(3), slopes, strict=True):
        points = np.array([GENERAL + k * step * axis for k in (1, 2, 3, -1, -2, -3)])
        there = np.array(evaluator.lattice_matrices(crystal(), points))
        assert relative(np.tensordot([45, -9, 1], there[:3] - there[3:], 1) / (60 * step), slope) < 1e-7
        assert relative(slope, slope.conj().T) < 1e-12


@pytest.mark.parametrize("name", ["nequip", "toy"])
def test_symmetry_saves_columns_by_both_routes_and_changes_nothing(name, potentials):
    """Stars and little groups ask the route of a potential for few columns at few wave vectors."""
    calc = PhonaxCalculator(potentials[name])
    assert evaluator_route(calc.evaluator) == {"nequip": "arrays", "toy": "compiled"}[name]
    atoms = Atoms("CSi", scaled_positions=[[0, 0, 0], [0.25, 0.25, 0.25]], cell=2.1 * (1 - np.eye(3)), pbc=True)
    star = [[0.1, 0, 0], [0, 0.1, 0], [-0.1, 0, 0], [0, 0, 0]]
    columns: dict[bool, int] = {}

    def ask(symmetry):
        return calc.get_dynamical_matrix(
            atoms, star, symmetry=symmetry, progress=lambda _, total: columns.update({symmetry: total})
        )

    assert relative(ask(True), ask(False)) < 1e-10
    assert columns[False] == 24
    assert columns[True] < 12


def evaluator_route(evaluator: Evaluator) -> str:
    return "compiled" if isinstance(evaluator.route, CompiledRoute) else "arrays"


QUESTIONS = {
    "energies, forces, virial": lambda e: np.concatenate([z.ravel() for z in e.energy_forces_stress(crystal())]),
    "D(q)": lambda e: np.array(e.lattice_matrices(crystal(), QPOINTS)),
    "Hessian": lambda e: e.hessian(crystal(), np.arange(3)),
    "slopes": lambda e: e.lattice_slopes(crystal(), QPOINTS),
}


def answers_by_both_routes(potential, question: str) -> list[np.ndarray]:
    arrays, compiled = (Evaluator(potential, DOUBLE, route) for route in ("arrays", "compiled"))
    assert isinstance(compiled.route, CompiledRoute)
    assert not isinstance(arrays.route, CompiledRoute)
    return [QUESTIONS[question](evaluator) for evaluator in (compiled, arrays)]


@pytest.mark.parametrize(
    ("name", "question"),
    [
        pytest.param(name, question, marks=[pytest.mark.slow] if (name, question) == ("mace", "slopes") else [])
        for name, question in product(["nequip", "mace"], QUESTIONS)
    ],
)
def test_both_routes_give_the_same(name, question, potentials):
    # Sums of the same terms in another order; 1e-14 is usual.
    assert relative(*answers_by_both_routes(potentials[name], question)) < 1e-10


@pytest.mark.slow  # JAX compiles for half a minute each
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", MANY_IRREPS)
def test_both_routes_give_the_same_for_networks_of_many_irreps(name, question):
    assert relative(*answers_by_both_routes(untrained(*CASES[name][:2]), question)) < 1e-10


def test_calculators_by_both_routes_give_the_same_in_phonopys_convention(potentials):
    atoms = crystal()
    atoms.calc = arrays = PhonaxCalculator(potentials["nequip"], route="arrays")
    compiled = PhonaxCalculator(potentials["nequip"], route="compiled")
    assert relative(compiled.get_stress(atoms), arrays.get_stress(atoms)) < 1e-10
    for ask in ("get_dynamical_matrix", "get_dynamical_matrix_gradient"):
        assert relative(getattr(compiled, ask)(atoms, QPOINTS), getattr(arrays, ask)(atoms, QPOINTS)) < 1e-10
    assert relative(compiled.get_hessian(atoms), arrays.get_hessian(atoms)) < 1e-10


# Blocks


def test_little_memory_means_more_blocks_and_the_same_numbers(potentials):
    potential = potentials["toy"]
    neighbours = Evaluator(potential, DOUBLE).neighbours(crystal())
    expected = CompiledRoute(potential, DOUBLE, n_bytes=1e12)
    columns: list[int] = []
    small = CompiledRoute(potential, DOUBLE, n_bytes=1)  # whatever is asked needs more
    matrices = small.lattice_matrices(neighbours, QPOINTS, None, lambda done, _: columns.append(done))
    assert columns == list(range(1, 19)), "one at a time"
    assert relative(matrices, expected.lattice_matrices(neighbours, QPOINTS)) < 1e-13
    columns.clear()
    hessian = small.hessian(neighbours, np.arange(3), lambda done, _: columns.append(done))
    assert columns == list(range(1, 10))
    assert relative(hessian, expected.hessian(neighbours, np.arange(3))) < 1e-13


@jax.jit
def row_sums(shift, x):
    """Sums of a table that needs memory of its own for each row: to be sorted, it has to be there."""
    return jnp.sort(x[:, :, None] * np.arange(64, dtype=np.float32) + shift, axis=2).sum(axis=(1, 2))


def sizes_of_blocks(n: int, room: Room) -> list[int]:
    x = np.random.default_rng(0).random((n, 64), np.float32)
    blocks = list(in_blocks(row_sums, (np.float32(1),), lambda k: (x[k],), n, room))
    if n:
        assert relative(np.concatenate(blocks), row_sums(np.float32(1), x)) < 1e-5  # rounding of single precision
    return [len(block) for block in blocks]


def test_blocks_are_as_wide_as_memory_allows():
    eight = np.zeros((FEW, 64), np.float32)
    needed = row_sums.lower(np.float32(1), eight).compile().memory_analysis().temp_size_in_bytes
    assert needed >= FEW * 64 * 64 * 4, "the compiler counts the table"
    assert sizes_of_blocks(20, Room(4.1 * needed)) == [8, 8, 4], "CPUs gain nothing from more"
    assert sizes_of_blocks(20, Room(needed / 2)) == [4] * 5
    assert sizes_of_blocks(20, Room(needed / 1000)) == [1] * 20, "never none"
    # Accelerators: up to the power of two that takes all at once.
    assert sizes_of_blocks(70, Room(4.1 * needed, widen=True)) == [32, 32, 6]
    assert sizes_of_blocks(70, Room(1e12, widen=True)) == [70]
    assert sizes_of_blocks(5, Room(1e12, widen=True)) == [5]
    assert sizes_of_blocks(0, Room(1e12)) == []


class Accelerator:
    """What JAX says of one: bytes there are, and bytes in use."""

    def memory_stats(self):
        return {"bytes_limit": 1000, "bytes_in_use": 400}


def test_the_room_for_blocks_is_what_an_accelerator_has_free_or_a_part_of_the_memory():
    assert devices.memory_for_blocks(Accelerator()) == pytest.approx(0.7 * 600)
    assert 1e8 < devices.memory_for_blocks(None) < 1e15
    assert devices.memory_for_blocks(jax.devices("cpu")[0]) == devices.memory_for_blocks(None)


def test_a_device_whose_memory_does_not_suffice_is_named(potentials, monkeypatch):
    def exhausted(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123456789 bytes.")

    monkeypatch.setattr(responses, "hessian", exhausted)
    calc = PhonaxCalculator(potentials["toy"])
    with pytest.raises(StructureError, match=r'(?s)3 atoms need more memory than .*cpu:0 has free.*dtype="float32"'):
        calc.get_hessian(crystal())


# Words


def test_the_route_follows_what_is_asked_and_what_there_is(potentials):
    def route(name, **asked):
        return evaluator_route(PhonaxCalculator(potentials[name], **asked).evaluator)

    assert route("nequip") == route("nequip", device="cpu") == route("nequip", route="arrays") == "arrays"
    assert route("nequip", route="compiled") == route("nequip", compiled=True) == "compiled"
    assert route("toy") == route("toy", route="compiled") == "compiled"


def test_a_calculator_says_what_it_is(potentials):
    assert repr(PhonaxCalculator("phonax-small")) == (
        "<PhonaxCalculator 'phonax-small': float64, route arrays, device cpu>"
    )
    compiled = PhonaxCalculator(potentials["toy"], "float32")
    assert (
        repr(compiled)
        == f"<PhonaxCalculator {potentials['toy'].name!r}: float32, route compiled, device as JAX chooses>"
    )
    elsewhere = pickle.loads(pickle.dumps(Evaluator(silicon_potential(), DOUBLE, "compiled", "tpu:7")))
    assert repr(elsewhere).endswith(": float64, route compiled, device tpu:7>"), "JAX is not asked for it"


@pytest.mark.parametrize(
    ("asked", "what", "remedy"),
    [
        ({"route": "jax"}, "the route is 'jax'", 'give "arrays"'),
        ({"route": "Compiled"}, "the route is 'Compiled'", '"compiled"'),
        ({"route": "arrays", "compiled": True}, "compiled=True was given beside route='arrays'", "leave `compiled`"),
        ({"device": "abacus"}, "the device is 'abacus', and JAX has none of that kind here", "cpu:0"),
        ({"device": "cpu:99"}, "the device is 'cpu:99', and JAX has only", "cpu:0"),
        ({"device": "gpu 0"}, "the device is 'gpu 0'", '"gpu:1" or a jax.Device'),
        ({"device": 0}, "the device is 0", '"gpu:1" or a jax.Device'),
        ({"device": object}, "the device is <class 'object'>", '"gpu:1" or a jax.Device'),
    ],
)
def test_words_that_name_no_route_and_no_device_are_refused(potentials, asked, what, remedy):
    with pytest.raises(InputError) as refused:
        PhonaxCalculator(potentials["nequip"], **asked)
    assert what in refused.value.what
    assert remedy in refused.value.remedy
    assert refused.value.why


def test_an_accelerator_that_is_not_there_is_refused_at_once(potentials):
    if any(device.platform != "cpu" for device in jax.devices()):
        pytest.skip("there is one")
    for route in (None, "compiled"):
        with pytest.raises(InputError, match=r"(?s)the device is 'gpu:0', and JAX has none.*or leave `device` out"):
            PhonaxCalculator(potentials["nequip"], route=route, device="gpu:0")


def test_a_route_that_the_potential_or_the_device_cannot_take_is_refused(potentials):
    with pytest.raises(InputError, match="a function without a form as arrays"):
        PhonaxCalculator(silicon_potential(), route="arrays")
    with pytest.raises(InputError, match=r"(?s)the route is 'arrays' and the device 'gpu'.*leave `device` out"):
        Evaluator(potentials["nequip"], DOUBLE, "arrays", "gpu")


def test_what_was_computed_elsewhere_is_read_without_its_accelerator():
    """An evaluator of another machine's accelerator is unpickled, and refused when it is asked."""
    other = pickle.loads(pickle.dumps(Evaluator(silicon_potential(), DOUBLE, "compiled", "tpu:7")))
    with pytest.raises(InputError, match="the device is 'tpu:7', and JAX has none"):
        other.energy_forces_stress(Atoms("Si"))


def test_a_dictionary_of_a_calculator_makes_it_again_by_the_same_route_and_on_the_same_device():
    for asked in ({}, {"route": "arrays"}, {"route": "compiled", "device": "cpu:0"}, {"compiled": True}):
        calc = PhonaxCalculator("phonax-small", **asked)
        expected = {"model": "phonax-small", "dtype": "float64", "compiled": "compiled" in [*asked, *asked.values()]}
        if expected["compiled"]:
            expected["route"] = "compiled"
        assert calc.todict() == expected | {key: asked[key] for key in asked if key != "compiled"}
        other = PhonaxCalculator(**calc.todict())
        assert other.todict() == calc.todict()
        assert evaluator_route(other.evaluator) == evaluator_route(calc.evaluator)


def test_a_device_of_jax_is_known_by_its_name(potentials):
    calc = PhonaxCalculator(potentials["toy"], device=jax.devices("cpu")[0])
    assert calc.todict()["device"] == calc.evaluator.device == "cpu:0"
    anywhere = PhonaxCalculator(potentials["toy"])
    assert relative(calc.get_forces(crystal()), anywhere.get_forces(crystal())) < 1e-14
