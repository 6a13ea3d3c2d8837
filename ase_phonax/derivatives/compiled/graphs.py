"""Graphs of structures for JAX, padded to size classes so that compiled functions serve many of them."""

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ...structures.neighbours import Neighbours, find_neighbours

if TYPE_CHECKING:
    import jraph

# Capacity kept free when a graph is padded, so that a moving structure seldom needs a larger class.
MARGIN = 1.1


def build_graph(atoms: Atoms, cutoff: float, numbers: tuple[int, ...]) -> "jraph.GraphsTuple":
    """The edges that are found in a structure, as a graph for JAX (`graph_of`)."""
    return graph_of(find_neighbours(atoms, cutoff, numbers))


def graph_of(neighbours: Neighbours) -> "jraph.GraphsTuple":
    """The edges of a structure as a graph for JAX, in NumPy, without padding.

    Returns:
        nodes: positions (n, 3) [Å], species (n,) positions in `numbers`; edges: shifts (n_edges, 3);
        globals: cell (1, 3, 3) [Å].
    """
    import jraph

    return jraph.GraphsTuple(
        nodes={"positions": neighbours.positions, "species": neighbours.species},
        edges={"shifts": neighbours.shifts},
        globals={"cell": neighbours.cell[None]},
        senders=neighbours.senders,
        receivers=neighbours.receivers,
        n_node=np.array([len(neighbours.species)], np.int32),
        n_edge=np.array([len(neighbours.senders)], np.int32),
    )


def size_class(n: int) -> int:
    """The smallest of 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ... that holds n: four classes per octave."""
    step = 1 << max(0, int(n).bit_length() - 3)
    return max(4, -(-int(n) // step) * step)


def pad(graph: "jraph.GraphsTuple", n_nodes: int | None = None, n_edges: int | None = None) -> "jraph.GraphsTuple":
    """Add one padding graph up to the given sizes, or to the size classes with `MARGIN`.

    There is always at least one padding node and edge; padding edges join padding nodes.
    """
    nodes, edges = int(graph.n_node[0]), int(graph.n_edge[0])
    n_nodes = n_nodes or size_class(nodes + 1)
    n_edges = n_edges or size_class(int(np.ceil(MARGIN * (edges + 1))))
    import jraph

    padded = jraph.pad_with_graphs(graph, n_nodes, n_edges, 2)
    return padded._replace(
        nodes={k: np.asarray(v) for k, v in padded.nodes.items()},
        edges={k: np.asarray(v) for k, v in padded.edges.items()},
        globals={k: np.asarray(v) for k, v in padded.globals.items()},
        senders=np.asarray(padded.senders, np.int32),
        receivers=np.asarray(padded.receivers, np.int32),
    )
