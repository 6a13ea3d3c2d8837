"""Derivatives of a potential's energy: forces, stress, Hessian-vector products, Hessian, D(q).

Pure functions of arrays. Graphs are the padded `jraph.GraphsTuple` of `graphs.pad`, or the unpadded
ones; `node_energies` is `Potential.node_energies`. Jitted functions here are keyed by that function,
so equal configurations share what is compiled.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array

from ...base.progress import Progress
from ...models.potential import NodeEnergies, NodeOutputs
from .blocks import NO_LIMIT, Room, in_blocks
from .exchange import Exchange, TwistedExchange, twisted_exchange
from .nested_exchange import NestedExchange

# Arrays in whatever nested containers a function takes: the parameters of a potential, above all.
Tree = Any


def edge_vectors(
    positions: Array, offsets: Array, mask: Array, cutoff: float, exchange: Exchange | TwistedExchange | NestedExchange
) -> Array:
    """Receiver to sender (n_edges, 3) [Å]; padded edges get a harmless vector beyond the cutoff.

    The `where` is on the vector, not on a function of it: a filler there keeps every later derivative
    finite, where masking a function of a vanishing vector would give 0 * NaN.
    """
    vectors = exchange.gather(positions) - exchange.at_receivers(positions) + offsets
    filler = jnp.array([2.0, 0.0, 0.0], positions.dtype) * cutoff
    return jnp.where(mask[:, None], vectors, filler)


def cast(tree: Tree, dtype: np.dtype) -> Tree:
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


def cell_offsets(graph: jraph.GraphsTuple, dtype: np.dtype) -> Array:
    """Where the senders' cells lie: (n_edges, 3) [Å]."""
    return graph.edges["shifts"].astype(dtype) @ graph.globals["cell"][0].astype(dtype)


def node_energies(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    positions: Array,
    strain: Array | None = None,
) -> Array:
    """Energies of the real nodes, zero on padding: (n_nodes,) [eV].

    Args:
        positions: (n_nodes, 3) [Å]; in place of the graph's own.
        strain: (3, 3) or None; edges are stretched by r -> r (1 + strain).
    """
    real_nodes, real_edges = masks(graph)
    exchange = Exchange(graph.senders, graph.receivers, positions.shape[0])
    vectors = edge_vectors(positions, cell_offsets(graph, positions.dtype), real_edges, cutoff, exchange)
    if strain is not None:
        vectors = vectors + jnp.where(real_edges[:, None], vectors @ strain, 0.0)
    return jnp.where(real_nodes, function(parameters, vectors, graph.nodes["species"], exchange), 0.0)


@partial(jax.jit, static_argnums=(0, 1))
def outputs(function: NodeOutputs, cutoff: float, parameters: Tree, graph: jraph.GraphsTuple) -> dict[str, Array]:
    """Every output of a potential by its name: (n_nodes, components), with arbitrary numbers on padding."""
    positions = graph.nodes["positions"]
    exchange = Exchange(graph.senders, graph.receivers, positions.shape[0])
    vectors = edge_vectors(positions, cell_offsets(graph, positions.dtype), masks(graph)[1], cutoff, exchange)
    return function(parameters, vectors, graph.nodes["species"], exchange)


@partial(jax.jit, static_argnums=(0, 1))
def energy_forces_stress(
    function: NodeEnergies, cutoff: float, parameters: Tree, graph: jraph.GraphsTuple
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
    function: NodeEnergies, cutoff: float, parameters: Tree, graph: jraph.GraphsTuple, directions: Array
) -> Array:
    """H u of the total energy for every direction.

    Args:
        directions: (n_directions, n_nodes, 3) displacements [Å].

    Returns:
        (n_directions, n_nodes, 3) [eV/Å].
    """
    gradient = jax.grad(lambda x: jnp.sum(node_energies(function, cutoff, parameters, graph, x)))
    return jax.vmap(lambda u: jax.jvp(gradient, (graph.nodes["positions"],), (u,))[1])(directions)


@partial(jax.jit, static_argnums=(0, 1))
def strain_derivatives(
    function: NodeEnergies, cutoff: float, parameters: Tree, graph: jraph.GraphsTuple
) -> tuple[Array, Array]:
    """Second derivatives by positions and strains (n_nodes, 3, 3, 3) [eV/Å], and by strains (3, 3, 3, 3) [eV].

    Edges are r (1 + strain) + u_j - u_x: displacements are in the axes of the strained crystal.
    """
    real_nodes, real_edges = masks(graph)
    positions, species = graph.nodes["positions"], graph.nodes["species"]
    exchange = Exchange(graph.senders, graph.receivers, positions.shape[0])
    vectors = edge_vectors(positions, cell_offsets(graph, positions.dtype), real_edges, cutoff, exchange)

    def total(u, strain):
        changes = vectors @ strain + exchange.gather(u) - exchange.at_receivers(u)
        moved = vectors + jnp.where(real_edges[:, None], changes, 0.0)
        return jnp.sum(jnp.where(real_nodes, function(parameters, moved, species, exchange), 0.0))

    at_rest = jnp.zeros_like(positions), jnp.zeros((3, 3), positions.dtype)
    gradient = jax.grad(total, argnums=(0, 1))

    def along(strain):
        return jax.jvp(gradient, at_rest, (at_rest[0], strain))[1]

    of_positions, of_strains = jax.vmap(along)(jnp.eye(9, dtype=positions.dtype).reshape(9, 3, 3))
    return jnp.moveaxis(of_positions, 0, -1).reshape(-1, 3, 3, 3), of_strains.reshape(3, 3, 3, 3)


def lattice_columns(
    function: NodeEnergies, cutoff: float, parameters: Tree, graph: jraph.GraphsTuple, q: Array, directions: Array
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
    return jax.vmap(partial(_column, function, cutoff, parameters, graph, False, q))(directions)


def _column(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    with_slopes: bool,
    q: Array,
    direction: Array,
) -> Array:
    """One of `lattice_columns`, and its derivatives along components of q: (2 or 8, n_nodes, 3)."""
    real_nodes, real_edges = masks(graph)
    n = graph.nodes["species"].shape[0]
    positions = graph.nodes["positions"]
    exchange = twisted_exchange(
        graph.senders, graph.receivers, graph.edges["shifts"], q.astype(positions.dtype), n, with_slopes=with_slopes
    )
    copies = exchange.n_copies
    offsets, species = (
        jnp.tile(cell_offsets(graph, positions.dtype), (copies, 1)),
        jnp.tile(graph.nodes["species"], copies),
    )
    real_nodes, real_edges = jnp.tile(real_nodes, copies), jnp.tile(real_edges, copies)

    def energy(x):
        vectors = edge_vectors(x, offsets, real_edges, cutoff, exchange)
        return jnp.sum(jnp.where(real_nodes, function(parameters, vectors, species, exchange), 0.0))

    wave = jnp.concatenate([direction, jnp.zeros(((copies - 1) * n, 3), direction.dtype)])
    response = jax.jvp(jax.grad(energy), (jnp.tile(positions, (copies, 1)),), (wave,))[1]
    return response.reshape(copies, n, 3)


@partial(jax.jit, static_argnums=(0, 1, 4))
def _columns_of_waves(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    with_slopes: bool,
    qpoints: Array,
    directions: Array,
) -> Array:
    """Columns of several waves, (n_waves, 3) and (n_waves, n_nodes, 3): (n_waves, 2 or 8, n_nodes, 3)."""
    return jax.vmap(partial(_column, function, cutoff, parameters, graph, with_slopes))(qpoints, directions)


@partial(jax.jit, static_argnums=(0, 1))
def strain_slopes(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    q: Array,
    strains: Array,
    displacements: Array,
    directions: Array,
) -> Array:
    """Derivatives of `lattice_columns` by strains (c, 3, 3) with displacements (c, n_nodes, 3) beside them.

    Returns:
        (c, n_directions, 2, n_nodes, 3).
    """

    def columns(positions: Array, cell: Array) -> Array:
        moved = graph._replace(nodes=graph.nodes | {"positions": positions}, globals=graph.globals | {"cell": cell})
        return lattice_columns(function, cutoff, parameters, moved, q, directions)

    at_rest = graph.nodes["positions"], graph.globals["cell"]

    def along(strain: Array, displacement: Array) -> Array:
        changes = at_rest[0] @ strain + displacement, at_rest[1] @ strain
        return jax.jvp(columns, at_rest, changes)[1]

    return jax.lax.map(lambda own: along(*own), (strains, displacements))


def unit_directions(graph: jraph.GraphsTuple, atoms: np.ndarray) -> np.ndarray:
    """(3 len(atoms), n_nodes, 3): each Cartesian displacement of each of the atoms."""
    basis = np.zeros((len(atoms), 3, graph.nodes["species"].shape[0], 3), graph.nodes["positions"].dtype)
    for row, atom in enumerate(atoms):
        basis[row, range(3), atom, range(3)] = 1
    return basis.reshape(-1, *basis.shape[2:])


def hessian(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    atoms: np.ndarray,
    progress: Progress | None = None,
    room: Room = NO_LIMIT,
) -> np.ndarray:
    """What `Route.hessian` describes: rows of the given atoms, (len(atoms), 3, n, 3) [eV/Å²]."""
    n, directions = int(graph.n_node[0]), unit_directions(graph, atoms)
    shared, rows = (function, cutoff, parameters, graph), list[np.ndarray]()
    for block in in_blocks(hessian_vector_products, shared, lambda k: (directions[k],), len(directions), room):
        rows.extend(block[:, :n])
        if progress:
            progress(len(rows), len(directions))
    return np.array(rows).reshape(len(atoms), 3, n, 3)


def dynamical_matrices(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    qpoints: np.ndarray,
    displacements: Sequence[np.ndarray] | None = None,
    progress: Progress | None = None,
    room: Room = NO_LIMIT,
) -> list[np.ndarray]:
    """What `Route.lattice_matrices` describes, by the twisted graph."""
    columns = _waves((function, cutoff, parameters, graph, False), qpoints, displacements, progress, room)
    return [wave[:, 0] for wave in columns]


def dynamical_slopes(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    qpoints: np.ndarray,
    progress: Progress | None = None,
    room: Room = NO_LIMIT,
) -> np.ndarray:
    """What `Route.lattice_slopes` describes, by copies of the twisted graph that carry derivatives."""
    n = int(graph.n_node[0])
    columns = _waves((function, cutoff, parameters, graph, True), qpoints, None, progress, room)
    return np.array([wave[:, 1:].swapaxes(0, 1) for wave in columns]).reshape(-1, 3, 3 * n, 3 * n)


def _waves(
    shared: tuple,
    qpoints: np.ndarray,
    displacements: Sequence[np.ndarray] | None,
    progress: Progress | None,
    room: Room,
) -> list[np.ndarray]:
    """For each q-point (3n, 1 or 4, c) complex: the columns, and their derivatives along q where they are carried."""
    graph = shared[3]
    n, n_nodes, dtype = int(graph.n_node[0]), graph.nodes["species"].shape[0], graph.nodes["positions"].dtype
    qpoints = np.asarray(qpoints, dtype)
    if displacements is None:
        displacements = [np.eye(3 * n)] * len(qpoints)
    counts = np.array([u.shape[1] for u in displacements], int)
    ends = np.cumsum(counts)
    waves = np.repeat(np.arange(len(counts)), counts)

    def rows(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        directions = np.zeros((len(chosen), n_nodes, 3), dtype)
        for row, number in enumerate(chosen):
            k = waves[number]
            directions[row, :n] = displacements[k][:, number - ends[k]].reshape(n, 3)
        return qpoints[waves[chosen]], directions

    columns = np.empty((len(waves), 8 if shared[4] else 2, 3 * n), dtype)
    done = 0
    for block in in_blocks(_columns_of_waves, shared, rows, len(waves), room):
        columns[done : done + len(block)] = block[:, :, :n].reshape(len(block), -1, 3 * n)
        done += len(block)
        if progress:
            progress(done, len(waves))
    amplitudes = (columns[:, 0::2] + 1j * columns[:, 1::2]).astype(complex)  # (waves, 1 or 4, 3n)
    return [own.transpose(2, 1, 0) for own in np.split(amplitudes, ends[:-1])] if len(counts) else []
