"""Sums over neighbours, forward and back, as matrix products: energies and their slopes along every edge.

For one receiver and one path (`models.parts`) the message is a product in which the sum over neighbours and
components lies inside: a[k, u] = sum_(j i) M[(j i), k] (w h)[(j i), u], with M = Y . coupling. Receivers
are taken in chunks, so that what is read again has not gone far.

Axes: n receivers of a chunk, s their neighbours, e = (n, s) edges, i components of h, k of a, u channels, m components
of harmonics.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...base.cores import one_blas_thread
from ...models.o3.spherical import harmonics_and_derivatives
from ...models.parts import Blocks, GateAt, LayerParts, NetworkParts, Path

# Edges of a chunk.
CHUNK = 1024


@dataclass(frozen=True)
class SortedEdges:
    """Directed edges of a structure, sorted by receiver and then by sender.

    Attributes:
        species: (n_atoms,).
        vectors: (e, 3) receiver to sender [Å], in double precision.
        receivers, senders: (e,).
        shifts: (e, 3) integer cell of the sender.
        starts: (n_atoms + 1,) where the edges of each receiver begin.
    """

    species: np.ndarray
    vectors: np.ndarray
    receivers: np.ndarray
    senders: np.ndarray
    shifts: np.ndarray
    starts: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Atoms of the cell."""
        return len(self.species)

    @property
    def kinds(self) -> np.ndarray:
        """(e, 2) species of receivers and senders."""
        return self.species[np.stack([self.receivers, self.senders], 1)]

    def receiver_ranges(self) -> Iterator[slice]:
        """Receivers in groups with up to CHUNK edges, or one receiver."""
        first = 0
        for x in range(self.n_atoms):
            if x + 1 == self.n_atoms or self.starts[x + 2] - self.starts[first] > CHUNK:
                yield slice(first, x + 1)
                first = x + 1


@dataclass(frozen=True)
class EdgeFunctions:
    """What a network takes of its edge vectors alone, where it has been computed already.

    Attributes:
        harmonics: per degree (e, 2l + 1) and further arrays, not used here.
        radial: per layer (e, n_weights) and further arrays, not used here.
    """

    harmonics: list[tuple[np.ndarray, ...]]
    radial: list[list[np.ndarray]]


@dataclass(frozen=True)
class LayerState:
    """What second derivatives are taken around: values and cotangents of one layer.

    Attributes:
        parts: the layer.
        mixed: per block h (i, n, u).
        gate: around its values.
        out_bar: cotangents of a, per output irrep (k, n, u).
        value_bar: cotangents of the features that leave, blocks (u, n, i).
    """

    parts: LayerParts
    mixed: Blocks
    gate: GateAt
    out_bar: Blocks
    value_bar: Blocks


@dataclass(frozen=True)
class State:
    """A structure's energy and its first derivatives.

    Attributes:
        energies: (n,) of the atoms [eV].
        slopes: (e, 3) derivative of the energy with respect to each edge vector [eV/Å].
    """

    energies: np.ndarray
    slopes: np.ndarray


def evaluate(network: NetworkParts, edges: SortedEdges) -> State:
    """Energies of the atoms, and their slopes by one pass back."""
    slopes = np.zeros(edges.vectors.shape, network.dtype)
    with one_blas_thread():
        energies, _ = _forth_and_back(network, edges, slopes)
    if network.pairs is not None:
        lengths = np.linalg.norm(edges.vectors, axis=1)
        value, slope = (z.astype(network.dtype) for z in network.pairs(lengths, 1, edges.kinds))
        np.add.at(energies, edges.receivers, value)
        slopes += (slope / lengths)[:, None].astype(network.dtype) * edges.vectors.astype(network.dtype)
    return State(energies, slopes)


def evaluate_outputs(network: NetworkParts, edges: SortedEdges) -> dict[str, np.ndarray]:
    """Every output of the network by its name, (n, components) of the atoms; the energy [eV] is one of them."""
    further, last = network.outputs, len(network.layers) - 1
    with one_blas_thread():
        features = _all_features(network, edges)
        energies = _energies(network, edges, features[last + 1])
        if network.pairs is not None:
            pairs = network.pairs(np.linalg.norm(edges.vectors, axis=1), 0, edges.kinds)[0]
            np.add.at(energies, edges.receivers, pairs.astype(network.dtype))
        result = {"energy": energies[:, None]}
        leaving = [*features[1 : last + 1], features[-1]]
        for name, readouts in {} if further is None else further.readouts.items():
            shares = [
                _components_last(linear(blocks, edges.species))
                for linear, blocks in zip(readouts, leaving, strict=True)
                if linear is not None
            ]
            result[name] = np.sum(shares, axis=0)
    return result


def evaluate_features(network: NetworkParts, edges: SortedEdges) -> list[Blocks]:
    """What leaves each layer, blocks (u, n, i) of its irreps in order; where the network has outputs besides the
    energy, the last layer is the one that these are read from.
    """
    with one_blas_thread():
        features = _all_features(network, edges)[1:]
    return features if network.outputs is None else [*features[:-2], features[-1]]


def _all_features(network: NetworkParts, edges: SortedEdges) -> list[Blocks]:
    """First features, those that leave each layer, and those of the layer of the outputs, beside the last one."""
    last = len(network.layers) - 1
    layers = network.layers if network.outputs is None else (*network.layers, network.outputs.layer)
    chunks = _chunks(replace(network, layers=layers), edges)
    features = [_first_features(network, edges)]
    for number, layer in enumerate(layers):
        _, gate = _through(layer, number, edges, chunks, features[min(number, last)])
        features.append(gate.value)
    return features


def _components_last(blocks: Blocks) -> np.ndarray:
    """Blocks (u, n, i) -> (n, components), channel by channel."""
    return np.concatenate([block.swapaxes(0, 1).reshape(block.shape[1], -1) for block in blocks], 1)


def layer_states(network: NetworkParts, edges: SortedEdges, known: EdgeFunctions) -> list[LayerState]:
    """Values and cotangents of all layers of a structure, in order."""
    return _forth_and_back(network, edges, None, known)[1]


def _forth_and_back(
    network: NetworkParts, edges: SortedEdges, slopes: np.ndarray | None, known: EdgeFunctions | None = None
) -> tuple[np.ndarray, list[LayerState]]:
    """Energies (n,) and layers; adds the derivatives with respect to edges (e, 3) where they are wanted.

    These need the slopes of harmonics and weights, which are computed chunk by chunk; the layers alone do not.
    """
    chunks = _chunks(network, edges, known)
    features, forward = _first_features(network, edges), []
    for number, layer in enumerate(network.layers):
        mixed, gate = _through(layer, number, edges, chunks, features)
        forward.append((layer, mixed, gate))
        features = gate.value
    energies = _energies(network, edges, features)
    bar: Blocks = [network.readout_of(edges.species)[:, :, None]]
    layers = []
    for number, (layer, mixed, gate) in reversed(list(enumerate(forward))):
        before = gate.pull_back(bar)
        out_bar = [_components_first(b) for b in layer.collect.transposed(before, edges.species)]
        layers.append(LayerState(layer, mixed, gate, out_bar, bar))
        mixed_bar = [np.zeros_like(h) for h in mixed] if number else None
        for chunk in chunks if slopes is not None or mixed_bar is not None else ():
            weights = chunk.weights(number, 0 if slopes is None else 1)
            _pull_messages_back(layer, chunk, weights, mixed, out_bar, mixed_bar, slopes)
        if mixed_bar is not None:
            skip = layer.skip.transposed(before, edges.species)
            through = layer.mix.transposed([_channels_first(h) for h in mixed_bar], edges.species)
            bar = [a + b for a, b in zip(skip, through, strict=True)]
    return energies, layers[::-1]


def _chunks(network: NetworkParts, edges: SortedEdges, known: EdgeFunctions | None = None) -> list["_Chunk"]:
    """All edges, by their receivers; those without edges are in none."""
    return [
        _Chunk(edges, atoms, network, known)
        for atoms in edges.receiver_ranges()
        if edges.starts[atoms.start] < edges.starts[atoms.stop]
    ]


def _first_features(network: NetworkParts, edges: SortedEdges) -> Blocks:
    return [np.ascontiguousarray(network.embedding[edges.species].T)[:, :, None]]


def _energies(network: NetworkParts, edges: SortedEdges, features: Blocks) -> np.ndarray:
    """Energies of the atoms (n,) from what leaves the last layer, without those of pairs."""
    read = np.einsum("un,un->n", network.readout_of(edges.species), features[0][:, :, 0])
    return np.asarray(read + network.atom_energies[edges.species])


def _through(
    layer: LayerParts, number: int, edges: SortedEdges, chunks: list["_Chunk"], features: Blocks
) -> tuple[Blocks, GateAt]:
    """Features through a layer: h per block (i, n, u), and the gate around its values."""
    mixed = [_components_first(h) for h in layer.mix(features, edges.species)]
    sums = [np.zeros((dim, edges.n_atoms, mul), features[0].dtype) for mul, dim in layer.outputs]
    for chunk in chunks:
        _add_messages(layer, chunk, chunk.weights(number, 0), mixed, sums)
    new = layer.collect([_channels_first(a) for a in sums], edges.species)
    skip = layer.skip(features, edges.species)
    return mixed, layer.gate([a + b for a, b in zip(new, skip, strict=True)], edges.species)


def _components_first(block: np.ndarray) -> np.ndarray:
    """(u, n, i) -> (i, n, u)."""
    return np.ascontiguousarray(block.transpose(2, 1, 0))


def _channels_first(block: np.ndarray) -> np.ndarray:
    """(i, n, u) -> (u, n, i)."""
    return np.ascontiguousarray(block.transpose(2, 1, 0))


def _add_messages(layer: LayerParts, chunk: "_Chunk", orders: list["_ByPath"], mixed: Blocks, sums: Blocks) -> None:
    """Sums over the neighbours of the chunk's receivers, into a per output irrep (k, n, u)."""
    weights = orders[0]
    reads = [np.take(h, chunk.senders, axis=1) for h in mixed]
    for path in layer.paths:
        weighted = chunk.slots(reads[path.block] * weights[path.weights])
        messages = (chunk.maps(path).swapaxes(2, 3) @ weighted).sum(axis=0)  # (n, k, u)
        sums[path.out][:, chunk.atoms, path.rows] = messages.swapaxes(0, 1)


def _pull_messages_back(
    layer: LayerParts,
    chunk: "_Chunk",
    weights: list["_ByPath"],
    mixed: Blocks,
    out_bar: Blocks,
    mixed_bar: Blocks | None,
    slopes: np.ndarray | None,
) -> None:
    """Adds the cotangents of h, per block (i, n, u), and the slopes of the chunk's edges (e, 3), where wanted."""
    reads = [] if slopes is None else [np.take(h, chunk.senders, axis=1) for h in mixed]
    back: list[np.ndarray | None] = [None] * len(mixed)
    harmonics_bar = [] if slopes is None else [np.zeros_like(orders[0]) for orders in chunk.harmonics]
    length_bar = np.zeros(len(chunk.table), mixed[0].dtype)
    for path in layer.paths:
        maps, own = chunk.maps(path), weights[0][path.weights]
        bar = np.ascontiguousarray(out_bar[path.out][:, chunk.atoms, path.rows].swapaxes(0, 1))  # (n, k, u)
        if slopes is not None:
            h, across = reads[path.block], bar.swapaxes(1, 2)
            maps_bar = (chunk.slots(h * own) @ across).reshape(len(h), -1, bar.shape[1])
            harmonics_bar[path.degree] += (maps_bar @ path.coupling.swapaxes(1, 2).astype(h.dtype)).sum(axis=0)
            radial_bar = chunk.slots(h * weights[1][path.weights]) @ across
            length_bar += np.einsum("insk,insk->ns", radial_bar, maps).ravel()
        if mixed_bar is not None:
            pulled = (maps @ bar).reshape(len(maps), len(own), -1)
            pulled *= own
            known = back[path.block]
            back[path.block] = pulled if known is None else np.add(known, pulled, out=known)
    if slopes is not None:
        vectors_bar = length_bar[:, None] * chunk.along
        for orders, y_bar in zip(chunk.harmonics, harmonics_bar, strict=True):
            vectors_bar += (orders[1] @ y_bar[:, :, None])[..., 0]
        slopes[chunk.edges] += vectors_bar[chunk.real.ravel()]
    for into, part in zip(mixed_bar or [], back, strict=False):
        if part is not None:
            into[:, chunk.unique_senders] += np.add.reduceat(part[:, chunk.by_sender], chunk.begins, axis=1)


class _Chunk:
    """The edges of some receivers in a dense table (n, s) with their harmonics; padding has no weight.

    Components come first and channels last: what differs from edge to edge then multiplies long rows.
    """

    def __init__(self, edges: SortedEdges, atoms: slice, network: NetworkParts, known: EdgeFunctions | None):
        self.atoms, self.layers, self.known = atoms, network.layers, known
        self.edges = slice(edges.starts[atoms.start], edges.starts[atoms.stop])
        starts = edges.starts[atoms.start : atoms.stop]
        counts = np.diff(edges.starts[atoms.start : atoms.stop + 1])
        slots = np.arange(counts.max())
        self.real = slots < counts[:, None]
        self.table = np.where(self.real, starts[:, None] + slots, self.edges.start).ravel()
        self.senders = edges.senders[self.table]
        self.by_sender = np.argsort(self.senders, kind="stable")
        self.unique_senders, self.begins = np.unique(self.senders[self.by_sender], return_index=True)
        if known is not None:
            self.harmonics: list[tuple[np.ndarray, ...]] = [(orders[0][self.table],) for orders in known.harmonics]
            return
        vectors, self.kinds = edges.vectors[self.table], edges.kinds[self.table]
        # What only pads is moved beyond any cutoff, where weights vanish.
        vectors = np.where(self.real.reshape(-1, 1), vectors, 1e3 * vectors)
        lengths = np.linalg.norm(vectors, axis=1)
        self.basis = network.basis(lengths, 1, self.kinds)
        self.along = (vectors / lengths[:, None]).astype(network.dtype)
        self.harmonics = [
            tuple(part.astype(network.dtype) for part in orders)
            for orders in harmonics_and_derivatives(vectors, network.l_max, order=1)
        ]

    def slots(self, rows: np.ndarray) -> np.ndarray:
        """(i, e, z) -> (i, n, s, z)."""
        return rows.reshape(len(rows), *self.real.shape, rows.shape[-1])

    def maps(self, path: Path) -> np.ndarray:
        """M = Y . coupling of a path: (i, n, s, k)."""
        y = self.harmonics[path.degree][0]
        return self.slots(y @ path.coupling.astype(y.dtype))

    def weights(self, layer: int, order: int) -> list["_ByPath"]:
        """Radial weights of a layer and, where the order is 1, their slopes."""
        if self.known is not None:
            return [_ByPath(self.known.radial[layer][0][self.table] * self.real.reshape(-1, 1))]
        return [_ByPath(w) for w in self.layers[layer].radial(self.basis[: order + 1], self.kinds)]


class _ByPath:
    """Radial weights (e, n_weights); those of a path as one contiguous block (e, u)."""

    def __init__(self, weights: np.ndarray):
        self.array = weights

    def __getitem__(self, channels: slice) -> np.ndarray:
        return np.ascontiguousarray(self.array[:, channels])
