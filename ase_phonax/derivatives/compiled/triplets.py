"""Third derivatives along three waves by nested derivatives of a potential's energy, on the primitive cell.

The independent reference of `derivatives.arrays.triplets`, and the way for plain functions.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array

from ...base.progress import Progress
from ...models.potential import NodeEnergies
from .nested_exchange import NestedExchange
from .responses import Tree, cell_offsets, edge_vectors, masks, unit_directions


@partial(jax.jit, static_argnums=(0, 1))
def _columns(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    q: Array,
    first: Array,
    directions: Array,
) -> Array:
    """Changes of the gradient with two waves at q (2, 3), the first along one displacement (n_nodes, 3).

    Returns:
        (n_directions, 4, n_nodes, 3): along the second; parts of the first wave, then of the second one.
    """
    positions, n = graph.nodes["positions"], graph.nodes["species"].shape[0]
    phases = 2 * jnp.pi * q.astype(positions.dtype) @ graph.edges["shifts"].astype(positions.dtype).T
    exchange = NestedExchange(graph.senders, graph.receivers, jnp.cos(phases), jnp.sin(phases), n)
    copies = exchange.n_copies
    offsets, species = (
        jnp.tile(cell_offsets(graph, positions.dtype), (copies, 1)),
        jnp.tile(graph.nodes["species"], copies),
    )
    real_nodes, real_edges = (jnp.tile(own, copies) for own in masks(graph))

    def energy(x: Array) -> Array:
        vectors = edge_vectors(x, offsets, real_edges, cutoff, exchange)
        return jnp.sum(jnp.where(real_nodes, function(parameters, vectors, species, exchange), 0.0))

    at_rest = jnp.tile(positions, (copies, 1))
    # Real amplitudes: the cosine part of the own level, whatever the other level's part is.
    parts = jnp.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]], positions.dtype)

    def wave(level: int, direction: Array) -> Array:
        return (parts[level][:, None, None] * direction).reshape(-1, 3)

    def along_first(x: Array) -> Array:
        return jax.jvp(jax.grad(energy), (x,), (wave(0, first),))[1]

    def along_both(direction: Array) -> Array:
        return jax.jvp(along_first, (at_rest,), (wave(1, direction),))[1].reshape(copies, n, 3)

    return jax.vmap(along_both)(directions)


def triplet_matrices(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    qpoints: np.ndarray,
    triplets: np.ndarray,
    progress: Progress | None = None,
) -> np.ndarray:
    """What `Route.triplet_matrices` describes."""
    n = int(graph.n_node[0])
    directions = unit_directions(graph, np.arange(n))
    result = np.empty((len(triplets), 3 * n, 3 * n, 3 * n), complex)
    for number, (_, second, third) in enumerate(triplets):
        q = np.asarray(qpoints[[second, third]])
        for column, first in enumerate(directions):
            parts = np.array(_columns(function, cutoff, parameters, graph, q, first, directions), float)[:, :, :n]
            whole = parts[:, 0] - parts[:, 3] + 1j * (parts[:, 1] + parts[:, 2])
            result[number, :, column] = whole.reshape(3 * n, 3 * n).T
        if progress:
            progress(number + 1, len(triplets))
    return result
