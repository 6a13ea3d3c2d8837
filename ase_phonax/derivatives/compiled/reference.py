"""The slow reference: the extended graph, on which message passing needs no exchange."""

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array

from ...models.potential import NodeEnergies
from .blocks import NO_LIMIT, in_blocks
from .responses import Tree, lattice_columns, node_energies, unit_directions


def lattice_dynamical_matrix(
    function: NodeEnergies, cutoff: float, parameters: Tree, graph: jraph.GraphsTuple, q: Array
) -> Array:
    """sum_R Phi(R) exp(2 pi i q.R) of an unpadded graph: (2, 3n, 3n) real and imaginary part [eV/Å²].

    The traced form, for losses and further derivatives; `dynamical_matrices` is the blocked one.
    """
    n = graph.nodes["species"].shape[0]
    basis = jnp.eye(3 * n, dtype=graph.nodes["positions"].dtype).reshape(3 * n, n, 3)
    columns = lattice_columns(function, cutoff, parameters, graph, q, basis)
    return columns.reshape(3 * n, 2, 3 * n).transpose(1, 2, 0)


def extended_force_constants(
    function: NodeEnergies,
    cutoff: float,
    parameters: Tree,
    graph: jraph.GraphsTuple,
    n_home: int,
    image_to_home: np.ndarray,
    cells: np.ndarray,
) -> dict[tuple[int, int, int], np.ndarray]:
    """Force constants from the explicit extended graph: the reference route.

    The home cell's energy is differentiated with both indices over the whole graph and folded by
    translation: Phi_ij(R) = sum_S d²E_home / dx_{S i} dx_{S+R j}.

    Args:
        graph: of `extended_graph`; `n_home` atoms first.

    Returns:
        lattice vector R -> Phi(R) (n_home, 3, n_home, 3) [eV/Å²].
    """
    n_ext = len(cells)
    home = jnp.arange(n_ext) < n_home

    def energy(x):
        return jnp.sum(jnp.where(home, node_energies(function, cutoff, parameters, graph, x), 0.0))

    columns = jax.jit(jax.vmap(lambda u: jax.jvp(jax.grad(energy), (graph.nodes["positions"],), (u,))[1]))
    basis = unit_directions(graph, np.arange(n_ext))
    full = np.concatenate(list(in_blocks(columns, (), lambda k: (basis[k],), len(basis), NO_LIMIT)))
    full = full.reshape(n_ext, 3, n_ext, 3)
    result: dict[tuple[int, int, int], np.ndarray] = {}
    for a in range(n_ext):
        for b in range(n_ext):
            x, y, z = (cells[b] - cells[a]).tolist()
            target = result.setdefault((x, y, z), np.zeros((n_home, 3, n_home, 3)))
            target[image_to_home[a], :, image_to_home[b], :] += full[a, :, b, :]
    return result


def extended_graph(graph: jraph.GraphsTuple, n_hops: int) -> tuple[jraph.GraphsTuple, np.ndarray, np.ndarray]:
    """The home cell and every image that a home node energy depends on, as independent nodes.

    The construction of Fang et al. (phonon predictions with E(3)-equivariant graph neural networks):
    from the home cell follow in-edges `n_hops` times. Edges into the last shell are left out, since
    the features there are not needed beyond their species.

    Args:
        graph: of the home cell, without padding.
        n_hops: number of message-passing layers.

    Returns:
        the extended graph (shifts all zero), its home atoms first and in order;
        image_to_home (n_ext,): which home atom each node is an image of;
        cells (n_ext, 3): its integer cell.
    """
    n = int(graph.n_node[0])
    by_receiver = [np.flatnonzero(graph.receivers == a) for a in range(n)]
    nodes = {(a, 0, 0, 0): a for a in range(n)}
    frontier, senders, receivers = list(nodes), [], []
    for _ in range(n_hops):
        reached = []
        for node in frontier:
            a, cell = node[0], np.array(node[1:])
            for e in by_receiver[a]:
                key = (int(graph.senders[e]), *(cell + graph.edges["shifts"][e]).tolist())
                if key not in nodes:
                    nodes[key] = len(nodes)
                    reached.append(key)
                senders.append(nodes[key])
                receivers.append(nodes[node])
        frontier = reached
    table = np.array(list(nodes), int)
    home, cells = table[:, 0], table[:, 1:]
    return (
        jraph.GraphsTuple(
            nodes={
                "positions": graph.nodes["positions"][home] + cells @ graph.globals["cell"][0],
                "species": graph.nodes["species"][home],
            },
            edges={"shifts": np.zeros((len(senders), 3), np.int32)},
            globals=graph.globals,
            senders=np.array(senders, np.int32),
            receivers=np.array(receivers, np.int32),
            n_node=np.array([len(table)], np.int32),
            n_edge=np.array([len(senders)], np.int32),
        ),
        home,
        cells,
    )
