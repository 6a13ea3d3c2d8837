"""Second derivatives of a potential, formed once per edge: all that linear response needs of a structure.

A convolution is linear in the senders' features h and local in its edge vector r. With the cotangent A
of its output it is a sum over edges of a scalar L(A, h, r), so that

    T = d²L/dA dh,   J = d²L/dA dr,   C = d²L/dh dr,   K = d²L/dr²

hold its share of every second derivative of the energy. T is kept as its factors, harmonics and radial
weights, which can be summed over edges before they are multiplied out.

Receivers with the same senders are taken together while their tensors are small: fewer, larger products.

Axes: n atoms, g receivers of a group, p their senders, s edges of a pair, m components of harmonics, u channels,
i components of h, k of a, x y Cartesian. The flat axes of a and of h, irreps one after the other, channels last, are
D and H.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from ...base.cores import one_blas_thread
from ...models.o3.spherical import harmonics_and_derivatives
from ...models.parts import NetworkParts
from .energies import EdgeFunctions, LayerState, SortedEdges, layer_states

# Bytes of J up to which receivers are added to a group.
GROUP_BYTES = 4e6
# Indices of atoms; a slice where they follow one another, so that nothing is copied.
Places = slice | np.ndarray


@dataclass(frozen=True)
class Pairs:
    """The edges of a group of receivers in a dense table, sorted by sender; padding repeats the first edge of a pair.

    Attributes:
        receivers: (g,) atoms, all different.
        senders: (p,) atoms, all different; every receiver of the group has edges from all of them.
        table: (g, p, s) which edges join each receiver and sender.
        real: (g, p, s) 1 for an edge, 0 for padding.
        harmonics: per degree (g, p, s, m) values on these edges.
    """

    receivers: Places
    senders: Places
    table: np.ndarray
    real: np.ndarray
    harmonics: list[np.ndarray]


@dataclass(frozen=True)
class GroupTensors:
    """Second derivatives of one layer, for the edges of a group of receivers; they vanish on padding.

    Attributes:
        weights: per degree (g, p, U, s) radial weights of its paths, one path after the other: with harmonics, T.
        slope: J (g, p, s, 3, D).
        cross: C (g, p, s, 3, H); None in the first layer, whose h is the same however the atoms move.
    """

    weights: list[np.ndarray]
    slope: np.ndarray
    cross: np.ndarray | None


@dataclass(frozen=True)
class LayerTensors:
    """Second derivatives of one layer, for all edges of a structure.

    Attributes:
        state: features, cotangents and gate that they are taken around.
        groups: the tensors of each group of receivers, in the order of `Expansion.pairs`.
        slope_sums: (n, 3, D) of J over the edges of each receiver.
        cross_sums: (n, 3, H) of C over the edges of each sender.
    """

    state: LayerState
    groups: list[GroupTensors]
    slope_sums: np.ndarray
    cross_sums: np.ndarray | None


@dataclass(frozen=True)
class Expansion:
    """All that linear response needs of a network and a structure.

    Attributes:
        network: whose second derivatives these are.
        edges: the structure's.
        pairs: edges of each group of receivers; atoms that receive nothing are in none.
        layers: tensors of each layer, in order.
        curvature: (e, 3, 3) K, summed over layers, with the curvature of energies of pairs.
        curvature_sums: (n, 3, 3) of those over the edges of each receiver and of each sender.
    """

    network: NetworkParts
    edges: SortedEdges
    pairs: list[Pairs]
    layers: list[LayerTensors]
    curvature: np.ndarray
    curvature_sums: np.ndarray

    @property
    def n_bytes(self) -> int:
        """Memory of the tensors of all edges."""
        tensors = [group for layer in self.layers for group in layer.groups]
        arrays = [a for r in tensors for a in (r.slope, r.cross, *r.weights) if a is not None]
        return sum(a.nbytes for a in arrays)


def expand(network: NetworkParts, edges: SortedEdges) -> Expansion:
    """Primal values forward and back through the network, and the tensors of every edge."""
    with one_blas_thread():
        return _expand(network, edges)


def _expand(network: NetworkParts, edges: SortedEdges) -> Expansion:
    geometry = _Geometry.of(edges.vectors, network.l_max, network.dtype)
    widest = max(_width(layer.outputs) for layer in network.layers)
    largest = int(GROUP_BYTES / (3 * widest * network.dtype.itemsize))
    groups = [_Group(receivers, table, real, edges, geometry) for receivers, table, real in _tables(edges, largest)]
    kinds = edges.kinds
    basis = network.basis(geometry.lengths, 2, kinds)
    radial = [layer.radial(basis, kinds) for layer in network.layers]
    states = layer_states(network, edges, EdgeFunctions(geometry.harmonics, radial))
    layers = [
        _layer_tensors(layer, edges, groups, radial[number], first=number == 0) for number, layer in enumerate(states)
    ]
    curvature = np.zeros((len(edges.vectors), 3, 3), network.dtype)
    for group in groups:
        real = group.pairs.real.astype(bool)
        curvature[group.pairs.table[real]] = group.curvatures()[real]
    if network.pairs is not None:
        curvature += _pair_curvatures(network, edges, geometry)
    sums = np.zeros((edges.n_atoms, 3, 3), network.dtype)
    for ends in (edges.receivers, edges.senders):
        np.add.at(sums, ends, curvature)
    return Expansion(network, edges, [group.pairs for group in groups], layers, curvature, sums)


def _pair_curvatures(network: NetworkParts, edges: SortedEdges, geometry: "_Geometry") -> np.ndarray:
    """d²/dr² of energies of edges that depend on their lengths alone: (e, 3, 3)."""
    assert network.pairs is not None
    _, slope, bend = network.pairs(geometry.lengths, 2, edges.kinds)
    along = geometry.frames[:, 2]
    radial = along[:, :, None] * along[:, None]
    across = (slope / geometry.lengths).astype(network.dtype)[:, None, None]
    return across * np.eye(3, dtype=network.dtype) + (bend.astype(network.dtype)[:, None, None] - across) * radial


def _contracted(coupling: np.ndarray, features: np.ndarray) -> np.ndarray:
    """sum over i of coupling (i, m, k) and features (n, i, u): (n, m, k, u)."""
    i, m, k = coupling.shape
    return (coupling.reshape(i, m * k).T @ features).reshape(len(features), m, k, -1)


def frames_of(vectors: np.ndarray) -> np.ndarray:
    """Two directions across each vector (e, 3), and the one along it: (e, 3, 3)."""
    along = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    # The axis least along the edge starts the directions across it.
    axes = np.eye(3, dtype=vectors.dtype)[np.abs(along).argmin(axis=1)]
    first = np.cross(along, axes)
    first /= np.linalg.norm(first, axis=1)[:, None]
    return np.stack([first, np.cross(along, first), along], 1)


@dataclass(frozen=True)
class _Geometry:
    """Lengths (e,) of edges, frames (e, 3, 3) whose last row is along the edge, harmonics with their derivatives."""

    lengths: np.ndarray
    frames: np.ndarray
    harmonics: list[tuple[np.ndarray, ...]]

    @classmethod
    def of(cls, vectors: np.ndarray, l_max: int, dtype: np.dtype) -> "_Geometry":
        lengths = np.linalg.norm(vectors, axis=1)
        frames = frames_of(vectors)
        harmonics = harmonics_and_derivatives(vectors, l_max)
        return cls(
            lengths, frames.astype(dtype), [tuple(part.astype(dtype) for part in orders) for orders in harmonics]
        )


def _tables(edges: SortedEdges, largest: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Groups with up to so many places for edges, or one receiver: receivers (g,), edges and whether real (g, p, s)."""
    groups: dict[tuple, list[list]] = {}
    for x in range(edges.n_atoms):
        begin, end = edges.starts[x : x + 2]
        if begin == end:
            continue
        senders, begins, counts = np.unique(edges.senders[begin:end], return_index=True, return_counts=True)
        slots = np.arange(counts.max())
        real = slots < counts[:, None]
        own = groups.setdefault((senders.tobytes(), len(slots)), [])
        if not own or (len(own[-1]) + 1) * real.size > largest:
            own.append([])
        own[-1].append((x, begin + begins[:, None] + np.where(real, slots, 0), real))
    stacked = (zip(*group, strict=True) for own in groups.values() for group in own)
    return [(np.array(receivers), np.array(table), np.array(real)) for receivers, table, real in stacked]


def _places(indices: np.ndarray) -> Places:
    """Ascending indices as a slice where they are one."""
    first, end = int(indices[0]), int(indices[-1]) + 1
    return slice(first, end) if end - first == len(indices) else indices


def _layer_tensors(
    layer: LayerState, edges: SortedEdges, groups: list["_Group"], radial: list[np.ndarray], first: bool
) -> LayerTensors:
    parts, dtype = layer.parts, radial[0].dtype
    # coupling . h of every atom: per path (n, m, k, u).
    with_features = [_contracted(p.coupling.astype(dtype), layer.mixed[p.block].swapaxes(0, 1)) for p in parts.paths]
    tensors = [group.tensors(layer, radial, with_features, first) for group in groups]
    slope_sums = np.zeros((edges.n_atoms, 3, _width(parts.outputs)), dtype)
    cross_sums = None if first else np.zeros((edges.n_atoms, 3, _width(parts.inputs)), dtype)
    for group, own in zip(groups, tensors, strict=True):
        slope_sums[group.pairs.receivers] = own.slope.sum(axis=(1, 2))
        if cross_sums is not None and own.cross is not None:
            cross_sums[group.pairs.senders] += own.cross.sum(axis=(0, 2))
    return LayerTensors(layer, tensors, slope_sums, cross_sums)


class _Group:
    """What forms the tensors of some receivers, layer by layer."""

    def __init__(
        self, receivers: np.ndarray, table: np.ndarray, real: np.ndarray, edges: SortedEdges, geometry: _Geometry
    ):
        self.lengths = geometry.lengths[table].astype(geometry.frames.dtype)
        self.harmonics = [tuple(part[table] for part in orders) for orders in geometry.harmonics]
        values = [value for value, _, _ in self.harmonics]
        senders = edges.senders[table[0, :, 0]]
        self.pairs = Pairs(_places(receivers), _places(senders), table, real.astype(self.lengths.dtype), values)
        # In the frame of an edge, two directions across it and one along, the derivative of Y w is a product:
        # the slopes of Y times w, and Y times the slope of w.
        self.frames = geometry.frames[table]  # (g, p, s, 3, 3), rows are directions
        self.turns = np.ascontiguousarray(self.frames.swapaxes(3, 4))  # to Cartesian components
        self.moved = [
            np.concatenate([self.frames[..., :2, :] @ gradient, value[..., None, :]], 3).reshape(
                *table.shape[:2], -1, value.shape[-1]
            )
            for value, gradient, _ in self.harmonics
        ]  # (g, p, 3 s, m)
        # Values, slopes and curvatures of the weights times both ends of the message, for each harmonic: of all layers.
        self.along = [np.zeros_like(moved) for moved in self.moved]

    def tensors(
        self, layer: LayerState, radial: list[np.ndarray], with_features: list[np.ndarray], first: bool
    ) -> GroupTensors:
        """J and C of a layer; its share of K is added to `along`."""
        parts, pairs, shape = layer.parts, self.pairs, self.pairs.table.shape
        n_g, n_p = shape[:2]
        dtype = self.frames.dtype
        # (g, p, s, n_weights): values, slopes and curvatures; zero on padding, and with them all tensors.
        value, bent, curved = (w[pairs.table] * pairs.real[..., None] for w in radial)
        orders = np.concatenate([value, bent, curved], 2)  # (g, p, 3 s, n_weights)
        factors = np.stack([value, value, bent], 3)  # (g, p, s, 3, n_weights)
        slope, slopes = _flat_and_blocks((*shape, 3), parts.outputs, dtype)
        cross, crosses = (None, []) if first else _flat_and_blocks((*shape, 3), parts.inputs, dtype)
        begun: set[int] = set()
        for path, features in zip(parts.paths, with_features, strict=True):
            i, m, n_k = path.coupling.shape
            own = factors[..., None, path.weights]
            product = self.moved[path.degree] @ features[pairs.senders].reshape(n_p, m, -1)
            into = slopes[path.out][..., path.rows]
            np.multiply(product.reshape(into.shape), own, out=into)
            bar = layer.out_bar[path.out][:, pairs.receivers, path.rows].swapaxes(0, 1)  # (g, k, u)
            with_bar = path.coupling.transpose(1, 0, 2).reshape(m * i, n_k).astype(dtype) @ bar
            h = layer.mixed[path.block][:, pairs.senders]
            both = np.einsum("gmiu,ipu->gpum", with_bar.reshape(n_g, m, i, -1), h)
            self.along[path.degree] += orders[..., path.weights] @ both
            if cross is not None:
                product = self.moved[path.degree] @ with_bar.reshape(n_g, 1, m, -1)
                into = crosses[path.block]
                product = product.reshape(into.shape)
                if path.block in begun:
                    product *= own
                    into += product
                else:
                    np.multiply(product, own, out=into)
                begun.add(path.block)
        channels = value.swapaxes(2, 3)
        weights = [
            np.concatenate([channels[:, :, p.weights] for p in own] or [channels[:, :, :0]], 2)
            for own in parts.by_degree
        ]
        return GroupTensors(weights, self.turns @ slope, None if cross is None else self.turns @ cross)

    def curvatures(self) -> np.ndarray:
        """K, d²/dr² of the messages contracted with both of their ends: (g, p, s, 3, 3)."""
        shape = self.lengths.shape
        direction = self.frames[..., 2, :]
        radial = direction[..., None] * direction[..., None, :]
        across = (np.eye(3, dtype=radial.dtype) - radial) / self.lengths[..., None, None]
        k = np.zeros((*shape, 3, 3), radial.dtype)
        for orders, (y, gradient, hessian) in zip(self.along, self.harmonics, strict=True):
            value, slope, bend = np.moveaxis(orders.reshape(*shape[:2], 3, shape[2], -1), 2, 0)
            k += (hessian @ value[..., None, :, None])[..., 0]
            tilted = (gradient @ slope[..., None]) * direction[..., None, :]
            k += tilted + tilted.swapaxes(3, 4)
            k += np.sum(slope * y, axis=-1)[..., None, None] * across
            k += np.sum(bend * y, axis=-1)[..., None, None] * radial
        return k


def _width(irreps: tuple[tuple[int, int], ...]) -> int:
    """Length of the flat axis of irreps."""
    return sum(mul * dim for mul, dim in irreps)


def _flat_and_blocks(
    shape: tuple[int, ...], irreps: tuple[tuple[int, int], ...], dtype: np.dtype
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Zeros (*shape, flat axis of irreps), and views (*shape, components, channels) of its blocks."""
    flat = np.zeros((*shape, _width(irreps)), dtype)
    return flat, [
        block.reshape(*shape, dim, mul) for block, (mul, dim) in zip(split(flat, irreps), irreps, strict=True)
    ]


def split(flat: np.ndarray, irreps: tuple[tuple[int, int], ...], axis: int = -1) -> list[np.ndarray]:
    """Blocks (..., components channels) of the flat axis of irreps."""
    before = (slice(None),) * (axis % flat.ndim)
    ends = accumulate((mul * dim for mul, dim in irreps), initial=0)
    return [flat[(*before, slice(begin, end))] for begin, end in pairwise(ends)]
