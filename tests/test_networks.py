"""What every architecture must keep, trained or not: symmetry, smoothness, finite derivatives, phonon degeneracies."""

import dataclasses
import re

import e3nn_jax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import InputError
from ase_phonax.derivatives.compiled import responses
from ase_phonax.derivatives.compiled.exchange import Exchange
from ase_phonax.derivatives.compiled.graphs import build_graph, pad
from ase_phonax.models.architectures import ARCHITECTURES, get_network, make_potential
from ase_phonax.models.blocks.activations import SILU_NORM, TANH_NORM
from ase_phonax.models.elements import restricted
from ase_phonax.models.mace.config import MACEConfig
from ase_phonax.models.nequip.config import NequIPConfig
from ase_phonax.models.nequip.config import layer_irreps as nequip_irreps
from ase_phonax.models.o3.irreps import parse_irreps
from ase_phonax.models.o3.spherical import harmonics
from ase_phonax.testing import check_cutoff, check_dynamical_matrix, check_invariance, check_potential, check_stars

CUTOFF = 3.6
# Odd irreps first appear after two layers, and reach the energy after four: fewer would leave them untested.
ODD = NequIPConfig(
    n_species=2,
    cutoff=CUTOFF,
    hidden_irreps="3x0e + 2x0o + 2x1o + 2x1e",
    n_layers=4,
    l_max=1,
    n_basis=4,
    radial_sizes=(8,),
    embedding=3,
    radial_elements=True,
)
NEQUIX = NequIPConfig(
    n_species=2,
    cutoff=CUTOFF,
    hidden_irreps="4x0e + 3x1o + 2x2e",
    n_layers=2,
    l_max=2,
    n_basis=4,
    radial_sizes=(8,),
    embedding=0,
    self_connection="shared",
    layer_norm=True,
    average_neighbors=4.0,
)
MACE = MACEConfig(
    n_species=2,
    cutoff=CUTOFF,
    hidden_irreps="3x0e + 3x1o + 3x2e",
    l_max=2,
    n_basis=4,
    radial_sizes=(8,),
    readout_size=4,
    average_neighbors=4.0,
)
# As foundation models since MACE-MP-0b2 have it, and what else an edge or an atom can do.
DENSITIES = dataclasses.replace(
    MACE,
    hidden_irreps="3x0e + 3x1o",
    n_layers=3,
    correlation=(3, 2, 1),
    interactions=("density", "density residual"),
    distance_transform="agnesi",
    pair_repulsion=True,
    numbers=(6, 14),
    radii=(0.76, 1.11),
    scale=1.7,
)
# A new architecture is one line here: its key, a small configuration, and how the energy touches the cutoff:
# as (cutoff - r)**order, so that order - 1 derivatives are continuous. Envelope C² times Bessel basis: 4.
# Where the basis is evaluated at a function of the distance it does not vanish at the cutoff: 3.
CASES = {
    "nequip, odd irreps": ("nequip", ODD, 4),
    "nequip, as Nequix": ("nequip", NEQUIX, 4),
    "mace": ("mace", MACE, 4),
    "mace, densities": ("mace", DENSITIES, 3),
}


def untrained(architecture: str, config):
    """A potential of C and Si with float64 weights from a fixed seed."""
    network = get_network(architecture, config)
    with jax.enable_x64(True):
        exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
        init = jax.jit(network.init)
        parameters = init(jax.random.PRNGKey(3), jnp.ones((1, 3)), jnp.zeros(1, int), exchange)
    return make_potential(architecture, config, jax.tree.map(np.asarray, parameters), (6, 14), "untrained")


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A calculator whose capacity already holds every cluster here, and the order at the cutoff."""
    architecture, config, order = CASES[request.param]
    calc = PhonaxCalculator(untrained(architecture, config))
    calc.get_potential_energy(cluster())
    return calc, order


def cluster() -> Atoms:
    """Six atoms without any symmetry: left and right are different."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0.2], [2, 0, 0.5]])
    return Atoms("CSiCSi2C", positions=1.1 * corners + np.random.default_rng(8).uniform(-0.3, 0.3, (6, 3)))


def energy_and_forces(calc, atoms: Atoms):
    return calc.get_potential_energy(atoms), calc.get_forces(atoms)


@pytest.mark.parametrize("name", CASES)
def test_shapes_known_from_the_configuration_are_those_of_the_initialised_network(name):
    """By another route: JAX makes the parameters as the network asks for them."""
    architecture, config, _ = CASES[name]
    exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
    init = get_network(architecture, config).init
    made = jax.eval_shape(lambda: init(jax.random.PRNGKey(3), jnp.ones((1, 3)), jnp.zeros(1, int), exchange))
    assert ARCHITECTURES[architecture].shapes(config) == {
        module: {key: array.shape for key, array in own.items()} for module, own in made.items()
    }


def test_every_architecture_is_tested_here():
    # "toy" belongs to the tests of training, which may run in the same process.
    assert {architecture for architecture, *_ in CASES.values()} == set(ARCHITECTURES) - {"toy"}


@pytest.mark.parametrize("proper", [True, False], ids=["rotation", "rotation and inversion"])
def test_energies_are_invariant_and_forces_equivariant(case, proper):
    # Kills: an odd scalar used as a gate, as where a library merges or sorts scalar blocks anew (trap): then
    # the mirror image of a chiral cluster has another energy.
    calc, atoms = case[0], cluster()
    energy, forces = energy_and_forces(calc, atoms)
    turn = Rotation.random(random_state=6).as_matrix() * (1 if proper else -1)
    order = np.random.default_rng(0).permutation(len(atoms))
    moved = Atoms(atoms.numbers[order], positions=(atoms.positions @ turn.T)[order] + [1.0, -2.0, 3.0])
    other, found = energy_and_forces(calc, moved)
    assert np.abs(forces).max() > 1e-2
    assert abs(other - energy) < 1e-12 * max(1, abs(energy))
    assert np.abs(found - (forces @ turn.T)[order]).max() < 1e-12 * np.abs(forces).max()


def test_invariance_passes_the_check_that_ships(case):
    _, forces = check_invariance(case[0].potential, cluster(), tolerance=1e-12)
    assert np.abs(forces).max() > 1e-2


def turned(irreps, blocks: list[np.ndarray], turn: np.ndarray) -> list[np.ndarray]:
    """Scalars and vectors (u, n, i) in a turned frame; 0o and 1e also change sign with the hand."""
    result = []
    for (_, ir), block in zip(irreps, blocks, strict=True):
        hand = 1.0 if ir.p == (-1) ** ir.l else np.linalg.det(turn)
        result.append(hand * (block @ turn.T if ir.l else block))
    return result


def test_a_layer_is_equivariant_with_every_irrep_in_use():
    # In a whole network odd scalars reach the energy only after six layers. Here a layer is fed with all
    # irreps at once: an odd scalar that gates, or one in another than an odd function, shows immediately.
    config, index = dataclasses.replace(ODD, n_layers=5), 3
    potential = untrained("nequip", config)
    network = potential.parts(potential.parameters, np.dtype(float))
    part = network.layers[index]
    rng, species = np.random.default_rng(1), np.array([0, 1])
    irreps_in, irreps_out = nequip_irreps(config)[index]
    assert irreps_in == irreps_out == parse_irreps(ODD.hidden_irreps)

    def layer(features, vectors):
        """Two atoms, of which the first hears the second along three edges, and the second nothing."""
        blocks = part.mix(features, species)
        sums = [np.zeros((mul, 2, dim)) for mul, dim in part.outputs]
        kinds = np.tile([0, 1], (3, 1))
        weights = part.radial(network.basis(np.linalg.norm(vectors, axis=1), 0, kinds), kinds)[0]
        for r, w in zip(vectors, weights, strict=True):
            for path in part.paths:
                y = harmonics(r / np.linalg.norm(r), 1)[path.degree**2 : (path.degree + 1) ** 2]
                message = np.einsum("imk,m,ui->uk", path.coupling, y, blocks[path.block][:, 1])
                sums[path.out][path.rows, 0] += w[path.weights, None] * message
        new, skip = part.collect(sums, species), part.skip(features, species)
        return part.gate([a + b for a, b in zip(new, skip, strict=True)]).value

    features = [rng.standard_normal((mul, 2, ir.dim)) for mul, ir in irreps_in]
    vectors, turn = rng.uniform(0.5, 1.5, (3, 3)), -Rotation.random(random_state=2).as_matrix()
    here = layer(features, vectors)
    there = layer(turned(irreps_in, features, turn), vectors @ turn.T)
    for found, expected, value in zip(there, turned(irreps_out, here, turn), here, strict=True):
        assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
        assert np.abs(value[:, 0]).min() > 1e-4, "every channel of every irrep is in use"


def test_energy_touches_the_cutoff_with_continuous_derivatives(case):
    # Kills: a neighbour that enters with a jump in force or force constant.
    calc, order = case

    def energy(r):
        return calc.get_potential_energy(Atoms("CSiC", positions=[[0, 0, 0], [0, 2, 0], [r, 0, 0]]))

    beyond = energy(CUTOFF + 0.01)
    assert energy(CUTOFF + 5.0) == beyond
    steps = np.array([0.04, 0.02, 0.01])
    contact = np.abs([energy(CUTOFF - step) - beyond for step in steps])
    slopes = np.log2(contact[:-1] / contact[1:])
    # Terms of the next order shift the slope by a few times step / cutoff.
    assert np.abs(slopes - order).max() < 0.15
    # The check that ships takes the pair of elements that touches least gently.
    assert abs(check_cutoff(calc.potential) - order) < 0.15
    assert order >= 3, "force constants must be continuous"


def test_exact_matrices_pass_the_checks_that_ship(case):
    potential = case[0].potential
    matrices = check_dynamical_matrix(potential, tolerance=1e-11)
    assert np.abs(matrices[2].imag).max() > 1e-2 * np.abs(matrices).max(), "a conjugate would show"
    check_stars(potential, tolerance=1e-11)


@pytest.mark.slow
def test_every_architecture_passes_all_checks_that_ship(case):
    """The function form as well, compiled: its trials, and everything that arrays are compared with."""
    check_potential(case[0].potential, tolerance=1e-10)


def test_an_isolated_atom_is_finite_with_all_derivatives(case):
    # Trap: no neighbours is where norms and square roots give NaN, first in a derivative.
    calc = case[0]
    energy, forces = energy_and_forces(calc, Atoms("Si"))
    assert np.isfinite(energy)
    assert not forces.any()
    graph = pad(build_graph(Atoms("Si"), CUTOFF, calc.potential.numbers))

    def total(parameters, positions):
        return jnp.sum(responses.node_energies(calc.potential.node_energies, CUTOFF, parameters, graph, positions))

    @jax.jit
    def slopes(parameters, positions):
        second = jax.jvp(lambda x: jax.grad(total, 1)(parameters, x), (positions,), (jnp.ones_like(positions),))[1]
        return jax.grad(total)(parameters, positions), second

    with jax.enable_x64(True):
        by_parameters, second = slopes(calc.potential.parameters, graph.nodes["positions"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(by_parameters))
    assert not second.any()


def multiplicities(eigenvalues: np.ndarray) -> list[int]:
    """How often each eigenvalue occurs, ascending; equal within 1e-11 of the largest."""
    gaps = np.diff(eigenvalues) > 1e-11 * np.abs(eigenvalues).max()
    return np.diff(np.concatenate([[0], np.flatnonzero(gaps) + 1, [len(eigenvalues)]])).tolist()


CRYSTALS = {"diamond": bulk("Si", "diamond", 4.6), "zincblende": bulk("SiC", "zincblende", 4.6)}


@pytest.mark.parametrize("name", CRYSTALS)
def test_random_weights_have_the_degeneracies_and_the_sum_rule(case, name):
    atoms, t = CRYSTALS[name], 0.173
    points = {"Γ": [0, 0, 0], "Δ": [t, t, 0], "X": [0.5, 0.5, 0], "Λ": [t, t, t], "general": [0.11, 0.27, -0.38]}
    matrices = case[0].get_dynamical_matrix(atoms, list(points.values()))
    found = {point: np.linalg.eigvalsh(matrix) for point, matrix in zip(points, matrices, strict=True)}
    scale = np.abs(np.array(list(found.values()))).max()
    assert np.abs(matrices - matrices.conj().swapaxes(1, 2)).max() < 1e-13 * scale
    assert multiplicities(found["Γ"]) == [3, 3]
    masses = np.repeat(np.sqrt(atoms.get_masses()), 3).reshape(2, 3)[:, 0]
    translations = np.kron(masses, np.eye(3))
    assert np.abs(matrices[0] @ translations.T).max() < 1e-12 * scale * masses.max()
    for point in ("Δ", "Λ"):  # along fourfold and threefold axes transverse modes come in pairs
        assert sorted(multiplicities(found[point])) == [1, 1, 2, 2]
    # At X the glide of diamond pairs the longitudinal modes as well; two kinds of atoms part them.
    assert sorted(multiplicities(found["X"])) == ([2, 2, 2] if name == "diamond" else [1, 1, 2, 2])
    assert multiplicities(found["general"]) == [1] * 6


@pytest.mark.parametrize("name", CRYSTALS)
def test_dynamical_matrix_turns_with_the_wave_vector(case, name):
    # With positions in the phase D(Wq) is D(q) turned and its atoms exchanged, without a phase factor. Kills
    # the lattice phase and the conjugate; no degeneracy sees those.
    atoms, q = CRYSTALS[name], np.array([0.11, 0.27, -0.38])
    scaled = atoms.get_scaled_positions(wrap=False)
    symmetry = spglib.get_symmetry((atoms.cell.array, scaled, atoms.numbers))
    assert len(symmetry["rotations"]) == (48 if name == "diamond" else 24)
    star = [q @ np.linalg.inv(w) for w in symmetry["rotations"]]
    matrices = case[0].get_dynamical_matrix(atoms, np.array([q, *star])).reshape(-1, 2, 3, 2, 3)
    for w, t, found in zip(symmetry["rotations"], symmetry["translations"], matrices[1:], strict=True):
        rotation = atoms.cell.array.T @ w @ np.linalg.inv(atoms.cell.array.T)
        moved = (scaled @ w.T + t)[:, None] - scaled
        image = np.abs(moved - np.rint(moved)).max(-1).argmin(1)
        expected = np.einsum("ab,ibjc,dc->iajd", rotation, matrices[0], rotation)
        assert np.abs(found[image][:, :, image] - expected).max() < 1e-11 * np.abs(expected).max()


def test_mirrored_edges_and_recomputing_give_the_same_energies_and_forces(case):
    # The network computes lengths and harmonics of one half only; odd degrees change sign at the other end.
    potential = case[0].potential
    graph = build_graph(cluster(), CUTOFF, potential.numbers)
    once = graph.receivers < graph.senders
    senders = np.concatenate([graph.senders[once], graph.receivers[once]])
    receivers = np.concatenate([graph.receivers[once], graph.senders[once]])
    with jax.enable_x64(True):

        def energy(positions, mirrored):
            exchange = Exchange(senders, receivers, len(positions), mirrored=mirrored, recompute=mirrored)
            vectors = positions[senders] - positions[receivers]
            species = graph.nodes["species"]
            return jnp.sum(potential.node_energies(potential.parameters, vectors, species, exchange))

        both = [jax.jit(jax.value_and_grad(lambda x, m=m: energy(x, m)))(cluster().positions) for m in (False, True)]
    (plain, slope), (halved, found) = ((float(e), np.asarray(g)) for e, g in both)
    assert abs(halved - plain) < 1e-12 * max(1, abs(plain))
    assert np.abs(found - slope).max() < 1e-12 * np.abs(slope).max()


def test_activations_have_unit_mean_square_as_e3nn_has_it():
    x = np.linspace(-3, 3, 7)
    with jax.enable_x64(True):
        for activation, norm in ((jax.nn.silu, SILU_NORM), (jnp.tanh, TANH_NORM)):
            expected = e3nn_jax.normalize_function(activation)(jnp.asarray(x))
            assert np.abs(activation(x) / norm - expected).max() < 1e-12


def test_equal_configurations_share_one_network_and_what_is_compiled():
    again, other = dataclasses.replace(ODD), dataclasses.replace(ODD, n_basis=5)
    assert get_network("nequip", ODD) is get_network("nequip", again)
    assert get_network("nequip", ODD) is not get_network("nequip", other)


@pytest.mark.parametrize(
    ("change", "text"),
    [({"self_connection": "none"}, "self_connection is 'none'"), ({"hidden_irreps": "4x1o"}, "have no even scalars")],
    ids=["self_connection", "no scalars for the gates"],
)
def test_configurations_that_cannot_be_are_refused(change, text):
    with pytest.raises(InputError, match=text):
        untrained("nequip", dataclasses.replace(ODD, **change))


OF_PAIRS = dataclasses.replace(
    ODD, n_layers=2, self_connection="species", scale_elements=True, repulsion_numbers=(6, 14), radial_elements=True
)


@pytest.mark.parametrize("number", [6, 14])
@pytest.mark.parametrize("name", [*CASES, "nequip, pairs"])
def test_energies_of_the_elements_that_are_kept_stay_what_they_are(name, number):
    """Kills: rows of the wrong element, one-hot features whose channels move, radii left behind."""
    architecture, config = CASES[name][:2] if name in CASES else ("nequip", OF_PAIRS)
    whole = untrained(architecture, config)
    module, references = ARCHITECTURES[architecture].references
    changed = dict(whole.parameters[module]) | {references: np.array([-3.0, 2.0])}
    whole = dataclasses.replace(whole, parameters=whole.parameters | {module: changed})
    one = restricted(whole, [number])
    atoms = cluster()
    atoms.numbers[:] = number
    energy, forces = energy_and_forces(PhonaxCalculator(whole), atoms)
    own, its = energy_and_forces(PhonaxCalculator(one), atoms)
    assert one.numbers == (number,)
    assert abs(forces).max() > 1e-3
    assert own == pytest.approx(energy, abs=1e-11)  # of some eV, in double precision
    np.testing.assert_allclose(its, forces, atol=1e-11)
    shapes = ARCHITECTURES[architecture].shapes(one.config)
    assert {m: {k: x.shape for k, x in own.items()} for m, own in one.parameters.items()} == shapes
    assert restricted(whole, [14, 6]) is whole


@pytest.mark.parametrize(("numbers", "text"), [([6, 8], r"does not know \[8\]"), ([], "no elements left")])
def test_elements_that_cannot_be_kept_are_refused(numbers, text):
    with pytest.raises(InputError, match="cannot be restricted") as error:
        restricted(untrained("nequip", NEQUIX), numbers)
    assert re.search(text, error.value.why)


def test_an_option_of_a_later_version_does_not_make_a_model_another_one():
    """Labels and checkpoints know their model by its fingerprint."""

    @dataclasses.dataclass(frozen=True)
    class Later(NequIPConfig):
        new_option: bool = False

    potential = untrained("nequip", NEQUIX)

    def fingerprint(config):
        return dataclasses.replace(potential, config=config).fingerprint()

    own = {f.name: getattr(NEQUIX, f.name) for f in dataclasses.fields(NEQUIX)}
    assert fingerprint(Later(**own)) == potential.fingerprint()
    assert fingerprint(Later(**own, new_option=True)) != potential.fingerprint()
    assert fingerprint(dataclasses.replace(NEQUIX, scale=1.5)) != potential.fingerprint()
