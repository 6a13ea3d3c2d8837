"""Graphs of one to three atoms on which a function of node energies is tried: what it must not mind, and must.

Edges are given and not searched. Lengths are parts of the cutoff, kinds are positions in the potential's `numbers`.
"""

from collections.abc import Iterable, Sequence

import jraph
import numpy as np

BOND = 0.5  # of the cutoff: length of the edges that stay
# In directions without any symmetry: three images of one neighbour, and another atom.
_NEIGHBOURS = np.array([[0.52, 0.13, -0.21], [-0.35, 0.48, 0.1], [0.11, -0.3, 0.62], [0.2, 0.37, 0.41]])


def small_graph(
    kinds: Sequence[int], positions: np.ndarray, cell: np.ndarray, pairs: Iterable[tuple[int, int, Sequence[int]]]
) -> jraph.GraphsTuple:
    """Some atoms and the edges between them.

    Args:
        kinds: of the n atoms.
        positions: (n, 3) [Å]; cell: (3, 3) [Å].
        pairs: receiver, sender and its cell (3,) of each edge; the same edge seen from its other end is added.
    """
    both = [edge for i, j, s in pairs for edge in ((i, j, *s), (j, i, *(-x for x in s)))]
    table = np.array(both, np.int32).reshape(-1, 5)
    return jraph.GraphsTuple(
        nodes={"positions": np.asarray(positions, float), "species": np.array(kinds, np.int32)},
        edges={"shifts": table[:, 2:]},
        globals={"cell": np.asarray(cell, float)[None]},
        receivers=table[:, 0],
        senders=table[:, 1],
        n_node=np.array([len(kinds)], np.int32),
        n_edge=np.array([len(table)], np.int32),
    )


def lone_atom(cutoff: float, kind: int) -> jraph.GraphsTuple:
    """An atom without neighbours."""
    return small_graph([kind], np.zeros((1, 3)), BOND * cutoff * np.eye(3), [])


def row_of_one(cutoff: float, kind: int) -> jraph.GraphsTuple:
    """An atom halfway between two images of itself."""
    return small_graph([kind], np.zeros((1, 3)), BOND * cutoff * np.eye(3), [(0, 0, (1, 0, 0))])


def row_of_two(cutoff: float, kinds: Sequence[int], step: float, joined: bool = True) -> jraph.GraphsTuple:
    """Two atoms in a row, short and long edges in turn; the long ones end `step` before the cutoff, or are left out."""
    axis = np.array([2.0, -1.0, 2.0]) / 3
    cell = BOND * cutoff * np.eye(3)
    cell[0] = (BOND + 1 - step) * cutoff * axis
    pairs = [(0, 1, (0, 0, 0)), (1, 0, (1, 0, 0))]
    return small_graph(kinds, BOND * cutoff * np.array([0 * axis, axis]), cell, pairs if joined else pairs[:1])


def pair_and_bystander(
    cutoff: float, kinds: Sequence[int], length: float | None, bonded: bool = True
) -> jraph.GraphsTuple:
    """Two atoms with a bond, or none, and a third with edges of some length to its own images, or none."""
    axis = np.array([1.0, 2.0, 2.0]) / 3
    cell = BOND * cutoff * np.eye(3)
    cell[0] = (length or 1.0) * cutoff * axis
    pairs = ([(0, 1, (0, 0, 0))] if bonded else []) + ([] if length is None else [(2, 2, (1, 0, 0))])
    return small_graph(kinds, cutoff * np.array([0 * axis, BOND * axis, 9 * axis]), cell, pairs)


def disorder(cutoff: float, kinds: Sequence[int], turn: np.ndarray, bonded: bool = True) -> jraph.GraphsTuple:
    """An atom with three images of a second and a third atom around it, without any symmetry; turned by (3, 3)."""
    around = cutoff * _NEIGHBOURS @ turn.T
    cell = np.array([around[1] - around[0], around[2] - around[0], np.cross(around[0], around[1])])
    pairs = [(0, 1, (0, 0, 0)), (0, 1, (1, 0, 0)), (0, 1, (0, 1, 0)), (0, 2, (0, 0, 0))]
    return small_graph(kinds, np.array([0 * around[0], around[0], around[3]]), cell, pairs if bonded else [])


def renumbered(graph: jraph.GraphsTuple, order: Sequence[int]) -> jraph.GraphsTuple:
    """The same atoms, the new k-th being the old order[k], and the same edges from the last to the first."""
    places = np.argsort(order).astype(np.int32)
    return graph._replace(
        nodes={name: values[list(order)] for name, values in graph.nodes.items()},
        edges={name: values[::-1] for name, values in graph.edges.items()},
        receivers=places[graph.receivers[::-1]],
        senders=places[graph.senders[::-1]],
    )


def padded_to(graph: jraph.GraphsTuple, n_nodes: int, n_edges: int) -> jraph.GraphsTuple:
    """What `graphs.pad` gives, without the functions that jraph compiles for every number of edges."""
    n, e = len(graph.nodes["species"]), len(graph.senders)

    def filled(values: np.ndarray, size: int) -> np.ndarray:
        return np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])

    ends = np.full(n_edges - e, n, np.int32)
    return graph._replace(
        nodes={name: filled(values, n_nodes) for name, values in graph.nodes.items()},
        edges={name: filled(values, n_edges) for name, values in graph.edges.items()},
        globals={name: filled(values, 2) for name, values in graph.globals.items()},
        receivers=np.concatenate([graph.receivers, ends]),
        senders=np.concatenate([graph.senders, ends]),
        n_node=np.array([n, n_nodes - n], np.int32),
        n_edge=np.array([e, n_edges - e], np.int32),
    )


def improper_turn() -> np.ndarray:
    """(3, 3) about no axis of anything, with determinant -1: its negative is a rotation."""
    turn = np.linalg.qr(np.array([[1.0, 0.3, -0.6], [0.2, -1.0, 0.5], [0.7, 0.4, 1.0]]))[0]
    return -turn * np.linalg.det(turn)
