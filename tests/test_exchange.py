"""The twisted exchange: values, D(q) at q = 0, and the derivatives *of* D(q) that a shortcut would get wrong."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ase_phonax.derivatives.compiled import reference, responses
from ase_phonax.derivatives.compiled.exchange import Exchange, twisted_exchange
from ase_phonax.derivatives.compiled.graphs import build_graph, pad

from .crystals import triclinic

DOUBLE = np.dtype("float64")
Q = np.array([0.21, -0.37, 0.13])


@pytest.fixture(scope="module")
def graph(untrained):
    """Three atoms without symmetry, so that D(q) is complex and nothing cancels."""
    atoms = triclinic()[[0, 1, 2]]
    return responses.cast(build_graph(atoms, untrained.cutoff, untrained.numbers), DOUBLE)


@pytest.fixture(scope="module")
def matrix(untrained, graph):
    """(parameters, strain, q) -> real and imaginary part of the stretched crystal's lattice matrix, compiled once."""

    def stretched_matrix(parameters, strain, q):
        stretch = jnp.eye(3) + strain
        nodes = graph.nodes | {"positions": graph.nodes["positions"] @ stretch}
        stretched = graph._replace(nodes=nodes, globals={"cell": graph.globals["cell"] @ stretch})
        return reference.lattice_dynamical_matrix(untrained.node_energies, untrained.cutoff, parameters, stretched, q)

    return jax.jit(stretched_matrix)


@pytest.fixture(scope="module")
def loss(matrix):
    """Re tr[W^+ D(q)] as a training loss has it: (parameters, strain) -> scalar, and its gradient."""
    weights = np.random.default_rng(5).standard_normal((2, 9, 9))

    def value(parameters, strain):
        return jnp.sum(weights * matrix(parameters, strain, Q))

    return value, jax.jit(jax.grad(value, argnums=(0, 1)))


def central(function, step: float) -> float:
    """Derivative at 0 from two central differences extrapolated: error O(step^4)."""
    coarse, fine = ((function(h) - function(-h)) / (2 * h) for h in (step, step / 2))
    return (4 * fine - coarse) / 3


def both(graph, q):
    """The plain and the twisted exchange of a graph."""
    n = len(graph.nodes["positions"])
    plain = Exchange(graph.senders, graph.receivers, n)
    return plain, twisted_exchange(graph.senders, graph.receivers, graph.edges["shifts"], jnp.asarray(q), n)


def test_twisting_changes_no_value(untrained, graph):
    with jax.enable_x64(True):
        plain, twisted = both(graph, Q)
        shifts = graph.edges["shifts"] @ graph.globals["cell"][0]
        vectors = graph.nodes["positions"][graph.senders] + shifts - graph.nodes["positions"][graph.receivers]
        species, energies = graph.nodes["species"], jax.jit(untrained.node_energies)
        once = energies(untrained.parameters, vectors, species, plain)
        twice = energies(untrained.parameters, np.tile(vectors, (2, 1)), np.tile(species, 2), twisted)
        assert twisted.n_nodes == 2 * plain.n_nodes
        assert np.abs(twice.reshape(2, -1) - once).max() < 1e-14 * np.abs(once).max()


def test_a_quadratic_form_of_every_kind_of_traffic_becomes_its_bloch_sum(graph):
    # An exact answer: E = 1/2 |B x|² + 1/2 |A x|² with sender minus receiver in B and sums onto receivers
    # in A. Its response at q is B(q)^+ B(q) + A(q)^+ A(q), senders carrying exp(2 pi i q.S).
    with jax.enable_x64(True):
        plain, twisted = both(graph, Q)
        rng = np.random.default_rng(0)
        n, m = plain.n_nodes, len(graph.senders)
        v, w = rng.standard_normal((2, m))

        def energy(x):
            read = twisted.gather(x)
            bonds = jnp.tile(v, 2) * (read - twisted.at_receivers(x))
            return (jnp.sum(bonds**2) + jnp.sum(twisted.aggregate(jnp.tile(w, 2) * read) ** 2)) / 2

        phase = np.exp(2j * np.pi * graph.edges["shifts"] @ Q)
        read = np.zeros((m, n), complex)
        read[np.arange(m), graph.senders] = phase
        onto = np.eye(n)[graph.receivers]
        b, a = v[:, None] * (read - onto), onto.T @ (w[:, None] * read)
        expected = b.conj().T @ b + a.conj().T @ a
        x = jnp.asarray(rng.standard_normal(2 * n))
        waves = jnp.concatenate([jnp.eye(n), jnp.zeros((n, n))], 1)
        response = jax.vmap(lambda u: jax.jvp(jax.grad(energy), (x,), (u,))[1])(waves).T
        assert np.abs(response[:n] + 1j * response[n:] - expected).max() < 1e-13 * np.abs(expected).max()


def test_at_gamma_the_lattice_matrix_is_the_hessian(untrained, graph, matrix):
    with jax.enable_x64(True):
        function = (untrained.node_energies, untrained.cutoff, untrained.parameters)
        hessian = responses.hessian(*function, responses.cast(pad(graph), DOUBLE), np.arange(3)).reshape(9, 9)
        found = matrix(untrained.parameters, np.zeros((3, 3)), np.zeros(3))
        scale = np.abs(hessian).max()
        assert np.abs(found[0] - hessian).max() < 1e-13 * scale
        assert np.abs(found[1]).max() < 1e-13 * scale


def test_the_matrix_is_hermitian_and_complex(untrained, matrix):
    with jax.enable_x64(True):
        traced = matrix(untrained.parameters, np.zeros((3, 3)), Q)
        traced = np.asarray(traced[0] + 1j * traced[1])
    scale = np.abs(traced).max()
    assert np.abs(traced - traced.conj().T).max() < 1e-13 * scale
    assert np.abs(traced.imag).max() > 1e-2 * scale, "a real matrix would hide a wrong sign of q"


def test_parameter_gradients_through_the_matrix_equal_finite_differences(untrained, loss):
    # Kills: a twist by stop_gradient. It gives the same D(q), but tangents of the parameters would be turned
    # as well, and these gradients silently wrong.
    value, gradient = loss
    with jax.enable_x64(True):
        parameters, still = jax.tree.map(jnp.asarray, untrained.parameters), jnp.zeros((3, 3))
        slopes = gradient(parameters, still)[0]
        rng = np.random.default_rng(11)
        scale = max(float(jnp.linalg.norm(g)) for g in jax.tree.leaves(slopes))
        leaves, tree = jax.tree.flatten(parameters)
        checked = 0
        for k, (leaf, slope) in enumerate(zip(leaves, jax.tree.leaves(slopes), strict=True)):
            direction = rng.standard_normal(leaf.shape)
            direction /= np.linalg.norm(direction)

            def along(h, k=k, leaf=leaf, direction=direction):
                return float(value(tree.unflatten([*leaves[:k], leaf + h * direction, *leaves[k + 1 :]]), still))

            expected = central(along, 2e-3)
            # 1e-7 of this array's own gradient; its direction may by chance be nearly perpendicular to it.
            size = float(jnp.linalg.norm(slope))
            error = abs(float(jnp.sum(slope * direction)) - expected)
            print(f"parameter array {k}: error {error / (size or 1.0):.0e} of its gradient")
            assert error <= 1e-7 * size + 1e-11 * scale
            checked += size > 1e-3 * scale
        assert checked > len(leaves) / 2, "gradients that vanish test nothing"


def test_strain_gradient_through_the_matrix_equals_a_stretched_cell(untrained, loss):
    value, gradient = loss
    with jax.enable_x64(True):
        parameters = jax.tree.map(jnp.asarray, untrained.parameters)
        slope = gradient(parameters, jnp.zeros((3, 3)))[1]
        direction = np.random.default_rng(12).standard_normal((3, 3))
        expected = central(lambda h: float(value(parameters, h * direction)), 1e-3)
        assert abs(float(jnp.sum(slope * direction)) - expected) <= 1e-7 * float(jnp.linalg.norm(slope))


def test_a_plain_jvp_of_the_energy_is_refused(untrained, graph):
    # Forward mode on the value would skip the rules and give the response of q = 0 in silence.
    with jax.enable_x64(True):
        _, twisted = both(graph, Q)
        species = jnp.tile(graph.nodes["species"], 2)
        offsets = jnp.tile(graph.edges["shifts"] @ graph.globals["cell"][0], (2, 1))
        mask = jnp.ones(len(offsets), bool)

        def energy(x):
            vectors = responses.edge_vectors(x, offsets, mask, untrained.cutoff, twisted)
            return jnp.sum(untrained.node_energies(untrained.parameters, vectors, species, twisted))

        x = jnp.tile(graph.nodes["positions"], (2, 1))
        with pytest.raises(TypeError, match="custom_vjp"):
            jax.jvp(energy, (x,), (jnp.ones_like(x),))
        jax.eval_shape(partial(jax.jvp, jax.grad(energy)), (x,), (x,))  # of the gradient: allowed
