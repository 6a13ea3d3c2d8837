"""Derivatives of a potential's energy: forces, stress, Hessian-vector products, Hessian, D(q).

Pure functions of arrays. Graphs are the padded `jraph.GraphsTuple` of `graphs.pad`, or the unpadded
ones; `node_energies` is `Potential.node_energies`. Jitted functions here are keyed by that function,
so equal configurations share what is compiled.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array

from ...models.potential import NodeEnergies
from .exchange import Exchange, TwistedExchange, twisted_exchange

# Columns that are differentiated at once: enough to share the primal pass, few enough to fit.
COLUMNS_AT_ONCE = 8


def edge_vectors(
    positions: Array, offsets: Array, mask: Array, cutoff: float, exchange: Exchange | TwistedExchange
) -> Array:
    """Receiver to sender (n_edges, 3) [Å]; padded edges get a harmless vector beyond the cutoff.

    The `where` is on the vector, not on a function of it: a filler there keeps every later derivative
    finite, where masking a function of a vanishing vector would give 0 * NaN.
    """
    vectors = exchange.gather(positions) - exchange.at_receivers(positions) + offsets
    filler = jnp.array([2.0, 0.0, 0.0], positions.dtype) * cutoff
    return jnp.where(mask[:, None], vectors, filler)


def cast(tree: Any, dtype: np.dtype) -> Any:
    """Floating arrays of a tree in the given precision, as NumPy arrays."""

    def convert(x: Any) -> np.ndarray:
        return np.asarray(x, dtype) if np.asarray(x).dtype.kind == "f" else np.asarray(x)

    return jax.tree.map(convert, tree)


def masks(graph: jraph.GraphsTuple) -> tuple[Array, Array]:
    """True for real nodes (n_nodes,) and real edges (n_edges,)."""
    return (
        jnp.arange(graph.nodes["species"].shape[0]) < graph.n_node[0],
        jnp.arange(graph.senders.shape[0]) < graph.n_edge[0],
    )


def _offsets(graph: jraph.GraphsTuple, dtype: Any) -> Array:
    return graph.edges["shifts"].astype(dtype) @ graph.globals["cell"][0].astype(dtype)


def node_energies(
    function: NodeEnergies, cutoff: float, parameters: Any, graph: jraph.GraphsTuple, positions: Array, strain=None
) -> Array:
    """Energies of the real nodes, zero on padding: (n_nodes,) [eV].

    Args:
        positions: (n_nodes, 3) [Å]; in place of the graph's own.
        strain: (3, 3) or None; edges are stretched by r -> r (1 + strain).
    """
    real_nodes, real_edges = masks(graph)
    exchange = Exchange(graph.senders, graph.receivers, positions.shape[0])
    vectors = edge_vectors(positions, _offsets(graph, positions.dtype), real_edges, cutoff, exchange)
    if strain is not None:
        vectors = vectors + jnp.where(real_edges[:, None], vectors @ strain, 0.0)
    return jnp.where(real_nodes, function(parameters, vectors, graph.nodes["species"], exchange), 0.0)


@partial(jax.jit, static_argnums=(0, 1))
def energy_forces_stress(
    function: NodeEnergies, cutoff: float, parameters: Any, graph: jraph.GraphsTuple
) -> tuple[Array, Array, Array]:
    """Node energies (n_nodes,) [eV], forces (n_nodes, 3) [eV/Å], virial dE/dstrain (3, 3) [eV].

    The symmetric virial over the cell volume is ASE's stress (tension positive).
    """
    positions = graph.nodes["positions"]

    def total(positions, strain):
        energies = node_energies(function, cutoff, parameters, graph, positions, (strain + strain.T) / 2)
        return jnp.sum(energies), energies

    (slope, virial), energies = jax.grad(total, argnums=(0, 1), has_aux=True)(
        positions, jnp.zeros((3, 3), positions.dtype)
    )
    return energies, -slope, virial


@partial(jax.jit, static_argnums=(0, 1))
def hessian_vector_products(
    function: NodeEnergies, cutoff: float, parameters: Any, graph: jraph.GraphsTuple, directions: Array
) -> Array:
    """H u of the total energy for every direction.

    Args:
        directions: (n_directions, n_nodes, 3) displacements [Å].

    Returns:
        (n_directions, n_nodes, 3) [eV/Å].
    """
    gradient = jax.grad(lambda x: jnp.sum(node_energies(function, cutoff, parameters, graph, x)))
    return jax.vmap(lambda u: jax.jvp(gradient, (graph.nodes["positions"],), (u,))[1])(directions)


def lattice_columns(
    function: NodeEnergies, cutoff: float, parameters: Any, graph: jraph.GraphsTuple, q: Array, directions: Array
) -> Array:
    """Linear response of the gradient to displacement waves u exp(2 pi i q.R).

    Differentiable in `parameters` (and everything else): see `exchange.TwistedExchange`.

    Args:
        q: (3,) reduced wave vector.
        directions: (n_directions, n_nodes, 3) real displacements of the home cell [Å].

    Returns:
        (n_directions, 2, n_nodes, 3): real and imaginary part of the gradient's change in the home
        cell [eV/Å]: columns of sum_R Phi(R) exp(2 pi i q.R).
    """
    real_nodes, real_edges = masks(graph)
    n = graph.nodes["species"].shape[0]
    positions = graph.nodes["positions"]
    exchange = twisted_exchange(graph.senders, graph.receivers, graph.edges["shifts"], q.astype(positions.dtype), n)
    offsets, species = jnp.tile(_offsets(graph, positions.dtype), (2, 1)), jnp.tile(graph.nodes["species"], 2)

    def energy(x):
        vectors = edge_vectors(x, offsets, jnp.tile(real_edges, 2), cutoff, exchange)
        return jnp.sum(jnp.where(jnp.tile(real_nodes, 2), function(parameters, vectors, species, exchange), 0.0))

    x = jnp.concatenate([positions, positions])

    def column(u):
        wave = jnp.concatenate([u, jnp.zeros_like(u)])
        return jax.jvp(jax.grad(energy), (x,), (wave,))[1].reshape(2, n, 3)

    return jax.vmap(column)(directions)


_lattice_columns = jax.jit(lattice_columns, static_argnums=(0, 1))


def _unit_directions(graph: jraph.GraphsTuple, atoms: np.ndarray, dtype: Any) -> np.ndarray:
    """(3 len(atoms), n_nodes, 3): each Cartesian displacement of each of the atoms."""
    basis = np.zeros((len(atoms), 3, graph.nodes["species"].shape[0], 3), dtype)
    for row, atom in enumerate(atoms):
        basis[row, range(3), atom, range(3)] = 1
    return basis.reshape(-1, *basis.shape[2:])


def _in_blocks(columns, directions: np.ndarray, size: int):
    """Apply to blocks of equal size (the last padded with zeros), so that one shape is compiled."""
    size = min(size, len(directions))
    for start in range(0, len(directions), size):
        block = directions[start : start + size]
        count = len(block)
        if count < size:
            block = np.concatenate([block, np.zeros((size - count, *block.shape[1:]), block.dtype)])
        yield np.asarray(columns(block))[:count]


def hessian(
    function: NodeEnergies, cutoff: float, parameters: Any, graph: jraph.GraphsTuple, atoms: np.ndarray, progress=None
) -> np.ndarray:
    """Second derivatives of the total energy, rows of the given atoms: (len(atoms), 3, n, 3) [eV/Å²]."""
    n, dtype = int(graph.n_node[0]), graph.nodes["positions"].dtype
    directions = _unit_directions(graph, atoms, dtype)
    rows = []
    for block in _in_blocks(
        lambda d: hessian_vector_products(function, cutoff, parameters, graph, d), directions, COLUMNS_AT_ONCE
    ):
        rows.extend(block[:, :n])
        if progress:
            progress(len(rows), len(directions))
    return np.array(rows).reshape(len(atoms), 3, n, 3)


def dynamical_matrices(
    function: NodeEnergies, cutoff: float, parameters: Any, graph: jraph.GraphsTuple, qpoints: np.ndarray, progress=None
) -> np.ndarray:
    """sum_R Phi(R) exp(2 pi i q.R) by the twisted graph: (n_q, 3n, 3n) complex [eV/Å²]."""
    n, dtype = int(graph.n_node[0]), graph.nodes["positions"].dtype
    directions = _unit_directions(graph, np.arange(n), dtype)
    result = []
    for q in np.asarray(qpoints, dtype):
        blocks = _in_blocks(
            lambda d, q=q: _lattice_columns(function, cutoff, parameters, graph, q, d), directions, COLUMNS_AT_ONCE
        )
        columns = np.concatenate([b[:, :, :n] for b in blocks]).reshape(3 * n, 2, 3 * n)
        result.append((columns[:, 0] + 1j * columns[:, 1]).T)
        if progress:
            progress(len(result), len(qpoints))
    return np.array(result)
