"""Frames -> padded batches of graphs: few shapes, so that nothing is compiled after the first pass.

A batch is one `jraph.GraphsTuple` with its labels inside. Of each second derivative only the product with a
direction travels: directions are drawn here, for each batch anew, from a seed and the batch's own number.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jraph
import numpy as np
from numpy.typing import DTypeLike

from ..base.errors import StructureError
from ..derivatives.compiled.graphs import size_class
from ..structures.checks import check_finite
from ..structures.neighbours import Neighbours, check_atoms, find_neighbours
from .directions import KINDS, WHOLE, kind_of_batch, second_order
from .images import Images, images_of, no_images
from .labels.frames import Frame
from .targets import TARGETS

BATCHES = 4  # that a padded size of its own is worth


class Shape(NamedTuple):
    """What a compiled step is made for.

    Attributes:
        kind: "first" (no second derivatives), "real" (products with the Hessian), "wave" (products with
            D(q)), "spectrum" (whole matrices D(q)), "real spectrum" (whole Hessians).
        n_graphs, n_nodes, n_edges: sizes, padding included; pairs of neighbours count once.
        n_columns: directions at once.
        largest: atoms of the largest frame.
    """

    kind: str
    n_graphs: int
    n_nodes: int
    n_edges: int
    n_columns: int
    largest: int


@dataclass(frozen=True, eq=False)
class Item:
    """A frame with its graph: one edge for every pair of neighbours; training adds those from the other end.

    Attributes:
        images: of atoms whose columns of a whole Hessian follow from those of others.
    """

    frame: Frame
    graph: jraph.GraphsTuple
    kind: str
    images: Images

    @property
    def n_edges(self) -> int:
        """How many pairs of neighbours there are."""
        return int(self.graph.n_edge[0])


def prepare(
    frames: Sequence[Frame],
    cutoff: float,
    numbers: tuple[int, ...],
    name: str,
    *,
    curvature: bool,
    spectrum: bool,
) -> list[Item]:
    """Graphs of the frames with their first-order labels.

    Args:
        cutoff: of the potential [Å].
        numbers: atomic numbers that it knows.
        name: what it is called.
        curvature, spectrum: whether these labels are wanted; they cost nothing where they are not.

    Where a frame is in an electric field, all graphs have the global "field", (1, 3) [V/Å], zero for those without.

    Raises:
        StructureError: a frame whose atoms cannot be computed, or are not known to the potential; it is named.
    """
    items: list[Item] = []
    known: dict[int, Item] = {}  # frames may be given several times
    in_fields = any(frame.field is not None for frame in frames)
    for frame in frames:
        if id(frame) in known:
            items.append(known[id(frame)])
            continue
        try:
            check_finite(frame.atoms)
            check_atoms(frame.atoms, numbers, name)
            graph = _graph(frame, cutoff, numbers, in_fields)
        except StructureError as error:
            where = frame.origin or f"frame {len(items)} ({frame.atoms.get_chemical_formula()})"
            raise StructureError(f"{where}: {error.what}", error.why, error.remedy) from error
        kind = kind_of_batch(frame, curvature, spectrum)
        # Of a Hessian that is a label, all columns are compared.
        symmetric = kind == "real spectrum" and frame.second is None and frame.field is None
        items.append(Item(frame, graph, kind, images_of(frame.atoms) if symmetric else no_images(len(frame.atoms))))
        known[id(frame)] = items[-1]
    return items


def _graph(frame: Frame, cutoff: float, numbers: tuple[int, ...], in_fields: bool) -> jraph.GraphsTuple:
    neighbours = find_neighbours(frame.atoms, cutoff, numbers)
    once = _one_of_each_pair(neighbours)
    n = len(frame.atoms)
    volume = frame.atoms.get_volume() if frame.atoms.pbc.all() else 1.0
    of_nodes, of_graph = _labels(frame)
    if in_fields:
        of_graph["field"] = np.zeros((1, 3)) if frame.field is None else frame.field[None]
    return jraph.GraphsTuple(
        nodes={
            "positions": neighbours.positions,
            "species": neighbours.species,
            "masses": frame.atoms.get_masses(),
            **of_nodes,
        },
        edges={
            "offsets": neighbours.shifts[once] @ neighbours.cell,
            "shifts": neighbours.shifts[once].astype(float),
        },
        globals={"n_atoms": np.array([float(n)]), "volume": np.array([volume]), **of_graph},
        senders=neighbours.senders[once],
        receivers=neighbours.receivers[once],
        n_node=np.array([n], np.int32),
        n_edge=np.array([once.sum()], np.int32),
    )


def _labels(frame: Frame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels and their weights among node arrays and those of the graph; an unknown label is zero, of weight zero.

    Labels at wave vectors are left out: of these another part travels with each batch (`directions`).
    """
    of_nodes, of_graph = {}, {}
    for target in (t for t in TARGETS if t.per != "wave"):
        value = target.of(frame)
        numbers = np.zeros(target.parts[0].shape(len(frame.atoms), 0)) if value is None else np.asarray(value)
        if target.per == "atom":
            of_nodes[target.name] = numbers
        else:
            of_graph[target.name] = numbers[None]
        of_graph[f"{target.name}_weight"] = np.array([0.0 if value is None else frame.weight(target.name)])
    return of_nodes, of_graph


def _one_of_each_pair(pairs: Neighbours) -> np.ndarray:
    """(n_edges,) True for one of the two edges that join a pair; atoms are joined to their own images too."""
    first = np.zeros(len(pairs.shifts), int)  # the first component of the shift that is not zero
    for axis in (2, 1, 0):
        first = np.where(pairs.shifts[:, axis] != 0, pairs.shifts[:, axis], first)
    return (pairs.receivers < pairs.senders) | ((pairs.receivers == pairs.senders) & (first > 0))


class Planner:
    """Which frames share a padded shape, and the batches of an epoch.

    Frames of one kind are sorted by their edges and cut into groups where the waste of padding is least, at most
    `n_shapes` and one for every `BATCHES` batches; batches are drawn within a group.

    Args:
        items: of `prepare`.
        batch_size: frames in a batch.
        n_shapes: compiled sizes for each kind of label.
        n_columns: directions for each second derivative.
        directions: "columns" (unit displacements, of length sqrt(3n)), "random" (normal), or "thermal".
        dtype: of all floating arrays.
        n_stacked: batches are made of that many equal parts, stacked.
    """

    def __init__(
        self,
        items: Sequence[Item],
        batch_size: int,
        *,
        n_shapes: int = 3,
        n_columns: int = 1,
        directions: str = "columns",
        dtype: DTypeLike = np.float32,
        n_stacked: int = 1,
    ):
        self.items, self.batch_size, self.n_columns = list(items), batch_size, n_columns
        self.directions, self.dtype, self.n_stacked = directions, np.dtype(dtype), n_stacked
        self.groups: list[tuple[Shape, np.ndarray]] = []
        for kind in KINDS:
            own = np.array([k for k, item in enumerate(items) if item.kind == kind], int)
            own = own[np.argsort([items[k].n_edges for k in own], kind="stable")]
            # Each group ends an epoch with a batch that is not full: not worth it below some batches.
            n_parts = max(1, min(n_shapes, len(own) // (BATCHES * batch_size)))
            for part in _cut([self.items[k].n_edges for k in own], n_parts):
                self.groups.append((self._shape(kind, own[part]), own[part]))

    def _shape(self, kind: str, members: np.ndarray) -> Shape:
        members = self._passes(members)[0]
        each = -(-min(self.batch_size, len(members)) // self.n_stacked)
        nodes = sorted((len(self.items[k].frame.atoms) for k in members), reverse=True)
        edges = sorted((self.items[k].n_edges for k in members), reverse=True)

        def most(sizes: list[int]) -> int:
            return size_class(sum(sizes[:each]) + 1)

        whole = 3 * max((len(self.items[k].images.displaced) for k in members), default=0)
        columns = 0 if kind == "first" else whole if kind in WHOLE else self.n_columns
        return Shape(kind, each + 1, most(nodes), most(edges), columns, nodes[0])

    def epoch(self, seed: int, number: int) -> list[tuple[Shape, np.ndarray]]:
        """The batches of an epoch, in order: shape and positions of frames. The same for the same seed and number."""
        rng = np.random.default_rng((seed, number, 0))
        batches = []
        for shape, members in self.groups:
            for own in self._passes(members):
                order = rng.permutation(own)
                batches += [(shape, order[i : i + self.batch_size]) for i in range(0, len(order), self.batch_size)]
        return [batches[k] for k in rng.permutation(len(batches))]

    def _passes(self, members: np.ndarray) -> list[np.ndarray]:
        """Frames that were given several times are in no batch twice: each pass has one of each that is left."""
        times = Counter[int]()
        passes: list[list[int]] = []
        for k in members:
            nth = times[id(self.items[k].frame)]
            times[id(self.items[k].frame)] += 1
            passes += [[]] if nth == len(passes) else []
            passes[nth].append(k)
        return [np.array(own, int) for own in passes]

    def in_order(self) -> list[tuple[Shape, np.ndarray]]:
        """Every frame once, groups one after the other, for validation."""
        return [
            (shape, own[i : i + self.batch_size])
            for shape, members in self.groups
            for own in self._passes(members)
            for i in range(0, len(own), self.batch_size)
        ]

    def batch(self, shape: Shape, members: Sequence[int] | np.ndarray, key: tuple[int, ...]) -> jraph.GraphsTuple:
        """A padded batch; random directions depend on `key` alone.

        Returns:
            arrays of the sizes of `shape`; with several parts all have a leading axis of that length.
        """
        rng = np.random.default_rng((*key, 1))
        graphs = [self._with_directions(self.items[k], shape, rng) for k in members]
        parts = [
            _cast(_padded(graphs[d :: self.n_stacked] or [_nothing_like(graphs[0])], shape), self.dtype)
            for d in range(self.n_stacked)
        ]
        if self.n_stacked == 1:
            return parts[0]
        import jax

        return jax.tree.map(lambda *x: np.stack(x), *parts)

    def _with_directions(self, item: Item, shape: Shape, rng: np.random.Generator) -> jraph.GraphsTuple:
        graph = item.graph
        if shape.kind == "first":
            return graph._replace(edges={"offsets": graph.edges["offsets"]})
        nodes, edges, values = second_order(item, shape, self.directions, rng)
        return graph._replace(
            nodes=graph.nodes | nodes, edges={"offsets": graph.edges["offsets"]} | edges, globals=graph.globals | values
        )


def _cut(sizes: Sequence[int], n_parts: int) -> list[slice]:
    """Cut ascending sizes into at most n_parts runs so that the sum of (largest - own) is least."""
    n = len(sizes)
    if n == 0:
        return []
    padded = np.array([size_class(s) for s in sizes], float)
    edges = [0, *(np.flatnonzero(np.diff(padded)) + 1).tolist(), n]  # cuts are worth making only between classes
    total = np.concatenate([[0.0], np.cumsum(np.asarray(sizes, float))])
    best = {0: (0.0, [0])}  # end -> (waste, cuts)
    for part in range(min(n_parts, len(edges) - 1)):
        better = dict(best)
        for start, (waste, cuts) in best.items():
            if len(cuts) != part + 1:
                continue
            for stop in edges:
                if stop > start:
                    cost = waste + padded[stop - 1] * (stop - start) - (total[stop] - total[start])
                    if stop not in better or cost < better[stop][0] - 1e-9:
                        better[stop] = (cost, [*cuts, stop])
        best = better
    cuts = best[n][1]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _padded(graphs: list[jraph.GraphsTuple], shape: Shape) -> jraph.GraphsTuple:
    return jraph.pad_with_graphs(jraph.batch_np(graphs), shape.n_nodes, shape.n_edges, shape.n_graphs)


def _nothing_like(graph: jraph.GraphsTuple) -> jraph.GraphsTuple:
    """A graph without nodes, for a device that the last batch of an epoch leaves without a frame."""
    return graph._replace(
        nodes={key: x[:0] for key, x in graph.nodes.items()},
        edges={key: x[:0] for key, x in graph.edges.items()},
        globals={key: 0 * x for key, x in graph.globals.items()},
        senders=graph.senders[:0],
        receivers=graph.receivers[:0],
        n_node=0 * graph.n_node,
        n_edge=0 * graph.n_edge,
    )


def _cast(graph: jraph.GraphsTuple, dtype: np.dtype) -> jraph.GraphsTuple:
    def convert(x: Any) -> np.ndarray:
        x = np.asarray(x)
        return x.astype(dtype if x.dtype.kind == "f" else np.int32)

    import jax

    return jax.tree.map(convert, graph)


def iterate(
    planner: Planner, plan: Sequence[tuple[Shape, np.ndarray]], key: tuple[int, ...], start: int = 0
) -> Iterator[tuple[Shape, np.ndarray, jraph.GraphsTuple]]:
    """Shape, members and batch of each entry of a plan from `start` on, made ahead in a thread.

    Two batches are kept ready: making one takes less time than a step.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        ready: list = []
        for number in range(start, len(plan) + 2):
            if number < len(plan):
                shape, members = plan[number]
                ready.append((shape, members, pool.submit(planner.batch, shape, members, (*key, number))))
            if number >= start + 2 and ready:
                shape, members, future = ready.pop(0)
                yield shape, members, future.result()
