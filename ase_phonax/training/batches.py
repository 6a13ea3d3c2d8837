"""Frames -> padded batches of graphs: few shapes, so that nothing is compiled after the first pass.

A batch is one `jraph.GraphsTuple` with its labels inside. Of each second derivative only the product with a
direction travels: directions are drawn here, for each batch anew, from a seed and the batch's own number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jraph
import numpy as np

from ..base.errors import StructureError
from ..base.units import THZ_PER_SQRT_EV_A2_AMU
from ..derivatives.compiled.graphs import size_class
from ..structures.checks import check_finite
from ..structures.neighbours import Neighbours, check_atoms, find_neighbours
from .labels.frames import Frame

# What a batch has to compute; each is a compiled function of its own.
KINDS = ("first", "real", "wave", "spectrum")
SOFTEST = 0.05  # frequency, of the highest of the frame, below which modes move no farther in thermal directions
BATCHES = 4  # that a padded size of its own is worth


class Shape(NamedTuple):
    """What a compiled step is made for.

    Attributes:
        kind: "first" (no second derivatives), "real" (products with the Hessian), "wave" (products with
            D(q)), "spectrum" (whole matrices).
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
    """A frame with its graph: one edge for every pair of neighbours; `losses.predict` adds those from the other end."""

    frame: Frame
    graph: jraph.GraphsTuple
    kind: str

    @property
    def n_edges(self) -> int:
        """Pairs of neighbours."""
        return int(self.graph.n_edge[0])


def _kind(frame: Frame, curvature: bool, spectrum: bool) -> str:
    if spectrum and (frame.second is not None or frame.spectrum is not None):
        return "spectrum"
    if curvature and frame.second is not None:
        return "real" if frame.second.is_real else "wave"
    return "first"


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
        cutoff, numbers, name: of the potential.
        curvature, spectrum: whether these labels are wanted; without, they cost nothing.

    Raises:
        StructureError: as `neighbours.check_atoms`; the message names the frame.
    """
    items: list[Item] = []
    for frame in frames:
        try:
            check_finite(frame.atoms)
            check_atoms(frame.atoms, numbers, name)
            graph = _graph(frame, cutoff, numbers)
        except StructureError as error:
            where = frame.origin or f"frame {len(items)} ({frame.atoms.get_chemical_formula()})"
            raise StructureError(f"{where}: {error.what}", error.why, error.remedy) from error
        items.append(Item(frame, graph, _kind(frame, curvature, spectrum)))
    return items


def _graph(frame: Frame, cutoff: float, numbers: tuple[int, ...]) -> jraph.GraphsTuple:
    found = find_neighbours(frame.atoms, cutoff, numbers)
    once = _one_of_each_pair(found)
    n = len(frame.atoms)
    periodic = bool(frame.atoms.pbc.all())

    def weight(label: str, value: Any) -> np.ndarray:
        return np.array([0.0 if value is None else frame.weight(label)])

    return jraph.GraphsTuple(
        nodes={
            "positions": found.positions,
            "species": found.species,
            "forces": np.zeros((n, 3)) if frame.forces is None else frame.forces,
            "masses": frame.atoms.get_masses(),
        },
        edges={"offsets": found.shifts[once] @ found.cell, "shifts": found.shifts[once].astype(float)},
        globals={
            "n_atoms": np.array([float(n)]),
            "volume": np.array([frame.atoms.get_volume() if periodic else 1.0]),
            "energy": np.array([0.0 if frame.energy is None else frame.energy]),
            "stress": (np.zeros((3, 3)) if frame.stress is None else frame.stress)[None],
            "energy_weight": weight("energy", frame.energy),
            "forces_weight": weight("forces", frame.forces),
            "stress_weight": weight("stress", frame.stress),
        },
        senders=found.senders[once],
        receivers=found.receivers[once],
        n_node=np.array([n], np.int32),
        n_edge=np.array([once.sum()], np.int32),
    )


def _one_of_each_pair(found: Neighbours) -> np.ndarray:
    """(n_edges,) True for one of the two edges that join a pair; atoms are joined to their own images too."""
    first = np.zeros(len(found.shifts), int)  # the first component of the shift that is not zero
    for axis in (2, 1, 0):
        first = np.where(found.shifts[:, axis] != 0, found.shifts[:, axis], first)
    return (found.receivers < found.senders) | ((found.receivers == found.senders) & (first > 0))


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
        dtype: Any = np.float32,
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
        each = -(-min(self.batch_size, len(members)) // self.n_stacked)
        nodes = sorted((len(self.items[k].frame.atoms) for k in members), reverse=True)
        edges = sorted((self.items[k].n_edges for k in members), reverse=True)

        def most(sizes: list[int]) -> int:
            return size_class(sum(sizes[:each]) + 1)

        columns = {"first": 0, "spectrum": 3 * nodes[0]}.get(kind, self.n_columns)
        return Shape(kind, each + 1, most(nodes), most(edges), columns, nodes[0])

    def epoch(self, seed: int, number: int) -> list[tuple[Shape, np.ndarray]]:
        """The batches of an epoch, in order: shape and positions of frames. The same for the same seed and number."""
        rng = np.random.default_rng((seed, number, 0))
        batches = []
        for shape, members in self.groups:
            order = rng.permutation(members)
            batches += [(shape, order[i : i + self.batch_size]) for i in range(0, len(order), self.batch_size)]
        return [batches[k] for k in rng.permutation(len(batches))]

    def in_order(self) -> list[tuple[Shape, np.ndarray]]:
        """Every frame once, groups one after the other, for validation."""
        return [
            (shape, members[i : i + self.batch_size])
            for shape, members in self.groups
            for i in range(0, len(members), self.batch_size)
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
        nodes, edges, values = _second_order(item, shape, self.directions, rng)
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


def _second_order(item: Item, shape: Shape, directions: str, rng: np.random.Generator) -> tuple[dict, dict, dict]:
    """Directions, products with the label, and the phases of the edges.

    Node arrays are (n, n_columns, parts, 3), parts 1 for real numbers and 2 for real and imaginary ones.
    """
    frame, n = item.frame, len(item.frame.atoms)
    second = frame.second
    source: Any = frame.spectrum if shape.kind == "spectrum" and second is None else second
    which = int(rng.integers(len(source.qpoints)))
    q = source.qpoints[which]
    parts = 1 if shape.kind == "real" else 2
    if shape.kind == "spectrum":
        moved = np.zeros((shape.n_columns, 3 * n), complex)
        moved[: 3 * n] = np.eye(3 * n) * (3 * n) ** 0.5
    else:
        moved = _draw(shape.n_columns, 3 * n, directions, parts == 2 and bool(q.any()), rng)
        if directions == "thermal" and second is not None:
            moved = _as_heat_moves(moved, second.matrices[which], frame.atoms.get_masses())
    left = _draw(shape.n_columns, 3 * n, "random", parts == 2 and bool(q.any()), rng)
    response = np.zeros_like(moved) if second is None else moved @ second.matrices[which].T

    def split(x: np.ndarray) -> np.ndarray:
        pieces = [x.real] if parts == 1 else [x.real, x.imag]
        return np.stack([p.reshape(-1, n, 3) for p in pieces], 1).transpose(2, 0, 1, 3)

    nodes = {"direction": split(moved), "left": split(left), "response": split(response)}
    edges = {}
    if parts == 2:
        phase = 2 * np.pi * item.graph.edges["shifts"] @ q
        edges = {"cos": np.cos(phase), "sin": np.sin(phase)}
    values = {"curvature_weight": np.array([0.0 if second is None else frame.weight("curvature")])}
    if shape.kind == "spectrum":
        values |= _spectrum(frame, which, shape.largest)
    return nodes, edges, values


def _draw(count: int, n: int, directions: str, is_complex: bool, rng: np.random.Generator) -> np.ndarray:
    """(count, n) with mean square 1: columns of the identity times sqrt(n), or normal numbers.

    No column comes twice before all have come: n of them are the whole matrix, without noise.
    """
    if directions == "columns":
        return np.eye(n)[np.resize(rng.permutation(n), count)] * n**0.5 + 0j
    real = rng.normal(size=(2, count, n))
    return (real[0] + 1j * real[1]) / 2**0.5 if is_complex else real[0] + 0j


def _as_heat_moves(normal: np.ndarray, matrix: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(count, n) normal numbers made displacements of the harmonic classical distribution, mean square 1.

    u = M^-1/2 sum_k e_k ξ_k / ω_k: soft modes move far and stiff ones little, so that products with the label weigh
    absolute errors of all frequencies alike. Unstable modes count by |ω|, those below SOFTEST of the stiffest as such.
    """
    root = np.sqrt(np.repeat(masses, 3))
    weighted = (matrix + matrix.conj().T) / (2 * np.outer(root, root))
    eigenvalues, modes = np.linalg.eigh(weighted if weighted.imag.any() else weighted.real)
    sizes = np.sqrt(np.abs(eigenvalues))
    patterns = modes.T / np.maximum(sizes, max(SOFTEST * sizes.max(), 1e-6))[:, None] / root
    return normal @ patterns * (len(patterns) ** 0.5 / np.linalg.norm(patterns))


def _spectrum(frame: Frame, which: int, largest: int) -> dict[str, np.ndarray]:
    """Sorted frequencies [THz] padded to the largest frame, and their weight."""
    if frame.spectrum is not None:
        found = np.sort(frame.spectrum.frequencies[which])
    else:
        assert frame.second is not None
        root = np.sqrt(np.repeat(frame.atoms.get_masses(), 3))
        eigenvalues = np.linalg.eigvalsh(frame.second.matrices[which] / np.outer(root, root))
        found = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU
    padded = np.zeros((1, 3 * largest))
    padded[0, : len(found)] = found
    return {"spectrum": padded, "spectrum_weight": np.array([frame.weight("spectrum")])}


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
) -> Iterator:
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
