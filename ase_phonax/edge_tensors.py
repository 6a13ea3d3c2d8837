"""Second derivatives of a potential, formed once per edge: all that linear response needs of a structure.

A convolution is linear in the senders' features h and local in its edge vector r. With the cotangent A
of its output it is a sum over edges of a scalar L(A, h, r), so that

    T = d²L/dA dh,   J = d²L/dA dr,   C = d²L/dh dr,   K = d²L/dr²

hold its share of every second derivative of the energy. T is kept as its factors, harmonics and radial
weights, which can be summed over edges before they are multiplied out.

Axes: n atoms, p senders of one receiver, s edges of a pair, m components of harmonics, u channels, i components
of h, k of a, x y Cartesian. The flat axes of a and of h, irreps one after the other, channels last, are D and H.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from .cores import one_blas_thread
from .layers import NetworkParts, Path
from .neighbour_sums import Edges, LayerState, layer_states
from .spherical import harmonics_and_derivatives


@dataclass(frozen=True)
class Pairs:
    """The edges of one receiver by sender, in a dense table; padding repeats the first edge of a pair.

    Attributes:
        senders: (p,) distinct.
        table: (p, s) indices of edges.
        real: (p, s) 1, and 0 on padding.
        harmonics: per degree (p, s, m).
    """

    senders: np.ndarray
    table: np.ndarray
    real: np.ndarray
    harmonics: list[np.ndarray]


@dataclass(frozen=True)
class ReceiverTensors:
    """One layer around one receiver; tensors vanish on padding.

    Attributes:
        weights: per degree (p, U, s) radial weights of its paths, one path after the other.
        slope: J (p, s, 3, D).
        cross: C (p, s, 3, H); None in the first layer, whose h is the same however the atoms move.
    """

    weights: list[np.ndarray]
    slope: np.ndarray
    cross: np.ndarray | None


@dataclass(frozen=True)
class LayerTensors:
    """One layer around a structure: its state, and the tensors of each receiver.

    Attributes:
        slope_sums: (n, 3, D) of J over the edges of each receiver.
        cross_sums: (n, 3, H) of C over the edges of each sender.
    """

    state: LayerState
    receivers: list[ReceiverTensors]
    slope_sums: np.ndarray
    cross_sums: np.ndarray | None


@dataclass(frozen=True)
class Expansion:
    """A structure's tensors.

    Attributes:
        pairs: of each receiver.
        layers: in order.
        curvature: (e, 3, 3) sum over layers of K.
    """

    network: NetworkParts
    edges: Edges
    pairs: list[Pairs]
    layers: list[LayerTensors]
    curvature: np.ndarray

    @property
    def n_bytes(self) -> int:
        """Memory of the tensors of all edges."""
        tensors = [r for layer in self.layers for r in layer.receivers]
        arrays = [a for r in tensors for a in (r.slope, r.cross, *r.weights) if a is not None]
        return sum(a.nbytes for a in arrays)


def expand(network: NetworkParts, edges: Edges) -> Expansion:
    """Primal values forward and back through the network, and the tensors of every edge."""
    with one_blas_thread():
        return _expand(network, edges)


def _expand(network: NetworkParts, edges: Edges) -> Expansion:
    geometry = _Geometry.of(edges.vectors, network.l_max, network.dtype)
    pairs = [_pairs(edges, x, geometry) for x in range(edges.n_atoms)]
    curvature = np.zeros((len(edges.vectors), 3, 3), network.dtype)
    layers = [
        _layer_tensors(layer, edges, pairs, geometry, curvature, first=number == 0)
        for number, layer in enumerate(layer_states(network, edges))
    ]
    if network.pairs is not None:
        curvature += _pair_curvatures(network, edges, geometry)
    return Expansion(network, edges, pairs, layers, curvature)


def _pair_curvatures(network: NetworkParts, edges: Edges, geometry: "_Geometry") -> np.ndarray:
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


@dataclass(frozen=True)
class _Geometry:
    """Of edges: lengths (e,), frames (e, 3, 3) whose last row is along the edge, harmonics and derivatives."""

    lengths: np.ndarray
    frames: np.ndarray
    harmonics: list[tuple[np.ndarray, ...]]

    @classmethod
    def of(cls, vectors: np.ndarray, l_max: int, dtype: np.dtype) -> "_Geometry":
        lengths = np.linalg.norm(vectors, axis=1)
        along = vectors / lengths[:, None]
        # The axis least along the edge starts the directions across it.
        axes = np.eye(3, dtype=vectors.dtype)[np.abs(along).argmin(axis=1)]
        first = np.cross(along, axes)
        first /= np.linalg.norm(first, axis=1)[:, None]
        frames = np.stack([first, np.cross(along, first), along], 1)
        harmonics = harmonics_and_derivatives(vectors, l_max)
        return cls(
            lengths, frames.astype(dtype), [tuple(part.astype(dtype) for part in orders) for orders in harmonics]
        )


def _pairs(edges: Edges, x: int, geometry: _Geometry) -> Pairs:
    begin, end = edges.starts[x : x + 2]
    senders, begins, counts = np.unique(edges.senders[begin:end], return_index=True, return_counts=True)
    slots = np.arange(counts.max(initial=0))
    real = slots < counts[:, None]
    table = begin + begins[:, None] + np.where(real, slots, 0)
    return Pairs(senders, table, real.astype(geometry.frames.dtype), [y[table] for y, _, _ in geometry.harmonics])


def _layer_tensors(
    layer: LayerState, edges: Edges, pairs: list[Pairs], geometry: _Geometry, curvature: np.ndarray, first: bool
) -> LayerTensors:
    parts, dtype = layer.parts, curvature.dtype
    radial = parts.radial(geometry.lengths, 2, edges.kinds)
    # coupling . h of every atom: per path (n, m, k, u).
    with_features = [_contracted(p.coupling.astype(dtype), layer.mixed[p.block].swapaxes(0, 1)) for p in parts.paths]

    width, cross_width = (sum(mul * dim for mul, dim in irreps) for irreps in (parts.outputs, parts.inputs))
    nothing = ReceiverTensors(
        [], np.zeros((0, 0, 3, width), dtype), None if first else np.zeros((0, 0, 3, cross_width), dtype)
    )
    receivers = [
        _ReceiverWork(layer, pair, geometry, radial, with_features, x).tensors(curvature, first)
        if len(pair.senders)
        else nothing
        for x, pair in enumerate(pairs)
    ]
    slope_sums = np.array([r.slope.sum(axis=(0, 1)) for r in receivers])
    cross_sums = None
    if not first:
        cross_sums = np.zeros((edges.n_atoms, 3, cross_width), dtype)
        for pair, tensors in zip(pairs, receivers, strict=True):
            assert tensors.cross is not None
            cross_sums[pair.senders] += tensors.cross.sum(axis=1)
    return LayerTensors(layer, receivers, slope_sums, cross_sums)


class _ReceiverWork:
    """What forms the tensors of one receiver."""

    def __init__(
        self,
        layer: LayerState,
        pairs: Pairs,
        geometry: _Geometry,
        radial: list[np.ndarray],
        with_features: list[np.ndarray],
        x: int,
    ):
        self.layer, self.pairs, self.with_features, self.x = layer, pairs, with_features, x
        table, real = pairs.table, pairs.real
        self.shape = table.shape
        # (p, s, n_weights): values, slopes and curvatures; zero on padding, and with them all tensors.
        self.radial = [w[table] * real[:, :, None] for w in radial]
        self.lengths = geometry.lengths[table].astype(geometry.frames.dtype)
        self.orders = np.concatenate(self.radial, 1)  # (p, 3 s, n_weights)
        self.harmonics = [tuple(part[table] for part in order) for order in geometry.harmonics]
        # In the frame of an edge, two directions across it and one along, the derivative of Y w is a product:
        # the slopes of Y times w, and Y times the slope of w.
        self.frames = geometry.frames[table]  # (p, s, 3, 3), rows are directions
        self.factors = np.stack([self.radial[0], self.radial[0], self.radial[1]], 2)  # (p, s, 3, n_weights)
        self.moved = [
            np.concatenate([self.frames[:, :, :2] @ gradient, value[:, :, None]], 2).reshape(
                len(table), -1, value.shape[-1]
            )
            for value, gradient, _ in self.harmonics
        ]  # (p, 3 s, m)

    def tensors(self, curvature: np.ndarray, first: bool) -> ReceiverTensors:
        """J and C; K into its places of `curvature`."""
        layer, (n_p, n_s) = self.layer, self.shape
        parts, dtype = layer.parts, curvature.dtype
        slope, slopes = _flat_and_blocks((n_p, n_s, 3), parts.outputs, dtype)
        cross, crosses = (None, []) if first else _flat_and_blocks((n_p, n_s, 3), parts.inputs, dtype)
        begun: set[int] = set()
        # Values, slopes and curvatures of the weights times both ends of the message, for each harmonic.
        along = [np.zeros((n_p, 3 * n_s, 2 * l + 1), dtype) for l in range(len(self.harmonics))]
        for path, features in zip(parts.paths, self.with_features, strict=True):
            i, m, n_k = path.coupling.shape
            product = self.moved[path.degree] @ self._at_senders(features).reshape(n_p, m, -1)
            self._slopes(path, product, slopes[path.out][..., path.rows])
            bar = layer.out_bar[path.out][:, self.x, path.rows]
            with_bar = path.coupling.transpose(1, 0, 2).reshape(m * i, n_k).astype(dtype) @ bar
            h = self._at_senders(layer.mixed[path.block].swapaxes(0, 1))
            both = np.einsum("miu,piu->pum", with_bar.reshape(m, i, -1), h)
            along[path.degree] += self.orders[..., path.weights] @ both
            if cross is not None:
                product = self.moved[path.degree] @ with_bar.reshape(m, -1)
                self._slopes(path, product, crosses[path.block], add=path.block in begun)
                begun.add(path.block)
        turns = np.ascontiguousarray(self.frames.swapaxes(2, 3))  # to Cartesian components
        slope = turns @ slope
        cross = None if cross is None else turns @ cross
        real = self.pairs.real.astype(bool)
        curvature[self.pairs.table[real]] += self._curvatures(along)[real]
        channels = self.radial[0].transpose(0, 2, 1)
        weights = [
            np.concatenate([channels[:, p.weights] for p in own] or [channels[:, :0]], 1) for own in parts.by_degree
        ]
        return ReceiverTensors(weights, slope, cross)

    def _slopes(self, path: Path, product: np.ndarray, into: np.ndarray, add: bool = False) -> None:
        """d/dr of Y w times the rest in the edges' frames, (p, s, 3, z, u), from the product (p, 3 s, z u)."""
        product = product.reshape(into.shape)
        factors = self.factors[:, :, :, None, path.weights]
        if add:
            product *= factors
            into += product
        else:
            np.multiply(product, factors, out=into)

    def _curvatures(self, along: list[np.ndarray]) -> np.ndarray:
        """d²/dr² of the messages contracted with both of their ends: (p, s, 3, 3)."""
        n_p, n_s = self.shape
        direction = self.frames[:, :, 2]
        radial = direction[..., None] * direction[:, :, None]
        across = (np.eye(3, dtype=radial.dtype) - radial) / self.lengths[..., None, None]
        k = np.zeros((n_p, n_s, 3, 3), radial.dtype)
        for orders, (y, gradient, hessian) in zip(along, self.harmonics, strict=True):
            value, slope, bend = orders.reshape(n_p, 3, n_s, -1).swapaxes(0, 1)
            k += (hessian @ value[:, :, None, :, None])[..., 0]
            tilted = (gradient @ slope[..., None]) * direction[:, :, None]
            k += tilted + tilted.swapaxes(2, 3)
            k += np.sum(slope * y, axis=-1)[..., None, None] * across
            k += np.sum(bend * y, axis=-1)[..., None, None] * radial
        return k

    def _at_senders(self, atoms: np.ndarray) -> np.ndarray:
        senders = self.pairs.senders
        return atoms if len(senders) == len(atoms) else atoms[senders]


def _flat_and_blocks(
    shape: tuple[int, ...], irreps: tuple[tuple[int, int], ...], dtype: np.dtype
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Zeros (*shape, flat axis of irreps), and views (*shape, components, channels) of its blocks."""
    flat = np.zeros((*shape, sum(mul * dim for mul, dim in irreps)), dtype)
    return flat, [
        block.reshape(*shape, dim, mul) for block, (mul, dim) in zip(split(flat, irreps), irreps, strict=True)
    ]


def split(flat: np.ndarray, irreps: tuple[tuple[int, int], ...], axis: int = -1) -> list[np.ndarray]:
    """Blocks (..., components channels) of the flat axis of irreps."""
    before = (slice(None),) * (axis % flat.ndim)
    ends = accumulate((mul * dim for mul, dim in irreps), initial=0)
    return [flat[(*before, slice(begin, end))] for begin, end in pairwise(ends)]
