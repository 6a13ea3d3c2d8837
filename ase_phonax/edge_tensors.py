"""Second derivatives of a potential, formed once per edge: all that linear response needs of a structure.

A convolution is linear in the senders' features h and local in its edge vector r. With the cotangent A
of its output it is a sum over edges of a scalar L(A, h, r), so that

    T = d²L/dA dh,   J = d²L/dA dr,   C = d²L/dh dr,   K = d²L/dr²

hold its share of every second derivative of the energy. T is kept as its two factors, angular (x) radial.
What belongs to single atoms (embedding, linear maps, gates) is differentiated by JAX; sums over edges are
matrix products of small arrays, which NumPy does without compiling anything.

Axes: e edges, n atoms, u channels of a block, i components of h, k components of a, d flat features of
an atom, x y Cartesian. The flat axes of a and of h, blocks one after the other, are called D and H.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array

from .graph import size_class
from .potential import LayerParts, NetworkParts

Blocks = tuple[np.ndarray, ...]

# Edges per compiled call: one shape for all structures.
EDGES = 256


@dataclass(frozen=True)
class Edges:
    """Directed edges of a primitive cell, sorted by receiver and then by sender.

    Attributes:
        n_atoms: real atoms.
        species: (n_padded,) padding at the end.
        vectors: (e, 3) receiver to sender [Å].
        receivers, senders: (e,).
        shifts: (e, 3) integer cell of the sender.
        starts: (n_atoms + 1,) where the edges of each receiver begin.
    """

    n_atoms: int
    species: np.ndarray
    vectors: np.ndarray
    receivers: np.ndarray
    senders: np.ndarray
    shifts: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, graph: jraph.GraphsTuple, dtype: np.dtype) -> "Edges":
        """Those of an unpadded graph."""
        n = int(graph.n_node[0])
        positions, shifts = graph.nodes["positions"], graph.edges["shifts"]
        vectors = positions[graph.senders] + shifts @ graph.globals["cell"][0] - positions[graph.receivers]
        return cls(
            n_atoms=n,
            species=np.pad(graph.nodes["species"], (0, size_class(n) - n)),
            vectors=vectors.astype(dtype),
            receivers=graph.receivers,
            senders=graph.senders,
            shifts=shifts,
            starts=np.searchsorted(graph.receivers, np.arange(n + 1)),
        )


@dataclass(frozen=True)
class LayerTensors:
    """One layer around a structure.

    Attributes:
        parts: its functions; own: its parameters.
        angular: per block (e, i, k); radial: per block (e, u, k), channels first. T = angular radial.
        slope: J (e, 3, D).
        cross: C (e, 3, H); None in the first layer, whose h is the same however the atoms move.
        aggregated: per block (n_padded, k, u); features: (n_padded, d) entering; features_bar: (n_padded, d')
            cotangent of those leaving.
    """

    parts: LayerParts
    own: Any
    angular: Blocks
    radial: Blocks
    slope: np.ndarray
    cross: np.ndarray | None
    aggregated: tuple[Array, ...]
    features: Array
    features_bar: Array


class Expansion(NamedTuple):
    """A structure's tensors: of each layer, the sum over layers of K (e, 3, 3), the features that are read out."""

    edges: Edges
    layers: list[LayerTensors]
    curvature: np.ndarray
    features: Array
    parts: NetworkParts
    parameters: Any


def expand(parts: NetworkParts, parameters: Any, edges: Edges) -> Expansion:
    """Primal values forward and back through the network, and the tensors of every edge."""
    dtype = edges.vectors.dtype
    features = parts.embed(parameters, edges.species, dtype)
    forward = []
    for layer in parts.layers:
        own = parameters[layer.name]
        mixed = tuple(np.asarray(h) for h in _mix(layer.mix, own, features))
        found = [_first_coefficients(layer, own, r) for r in _in_blocks(edges.vectors)]
        angular, radial = (_joined(part, len(edges.vectors)) for part in zip(*found, strict=True))
        aggregated = tuple(
            _summed((a.transpose(0, 2, 1) @ h[edges.senders]) * w, edges)
            for h, a, w in zip(mixed, angular, radial, strict=True)
        )
        forward.append((features, mixed, angular, radial, aggregated))
        features = _update(layer.update, own, aggregated, features, edges.species)
    bar = _readout_gradient(parts.readout, parameters, features, edges.species)
    layers: list[LayerTensors] = []
    curvature = np.zeros((len(edges.vectors), 3, 3), dtype)
    for number, layer in reversed(list(enumerate(parts.layers))):
        entering, mixed, angular, radial, aggregated = forward[number]
        own = parameters[layer.name]
        a_bar, skip = _update_back(layer.update, own, aggregated, entering, edges.species, bar)
        a_bar = tuple(np.asarray(b) for b in a_bar)
        slope, cross, k = _derivatives(layer, own, edges, mixed, a_bar, first=number == 0)
        curvature += k
        first = tuple(np.ascontiguousarray(w.transpose(0, 2, 1)) for w in radial)
        layers.append(LayerTensors(layer, own, angular, first, slope, cross, aggregated, entering, bar))
        if number:
            back = []
            for b, a, w in zip(a_bar, angular, radial, strict=True):
                pulled = a @ (b[edges.receivers] * w)
                total = np.zeros((len(edges.species), *pulled.shape[1:]), dtype)
                np.add.at(total, edges.senders, pulled)
                back.append(total)
            bar = skip + _unmix(layer.mix, own, entering, tuple(back))
    return Expansion(edges, layers[::-1], curvature, features, parts, parameters)


def _summed(messages: np.ndarray, edges: Edges) -> np.ndarray:
    """(e, ...) -> (n_padded, ...) over the edges of each receiver."""
    total = np.zeros((len(edges.species), *messages.shape[1:]), messages.dtype)
    for x in range(edges.n_atoms):
        total[x] = messages[edges.starts[x] : edges.starts[x + 1]].sum(axis=0)
    return total


def _derivatives(
    layer: LayerParts, own: Any, edges: Edges, mixed: Blocks, a_bar: Blocks, first: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """J (e, 3, D), C (e, 3, H) and K (e, 3, 3) of one layer."""
    slopes, crosses, curvatures = [], [], []
    n_edges = len(edges.vectors)
    for start, r in zip(range(0, n_edges, EDGES), _in_blocks(edges.vectors), strict=True):
        here = slice(start, min(start + EDGES, n_edges))
        count = here.stop - start
        length = np.linalg.norm(r[:count], axis=1)[:, None]
        along = r[:count] / length  # unit vectors
        across = (np.eye(3, dtype=r.dtype) - along[:, :, None] * along[:, None]) / length[:, :, None]
        k = np.zeros((count, 3, 3), r.dtype)
        j_blocks, c_blocks = [], []
        for h, b, (a, a1, a2), (w, w1, w2) in zip(mixed, a_bar, *_all_coefficients(layer, own, r, count), strict=True):
            h, b = h[edges.senders[here]], b[edges.receivers[here]]
            through = a.transpose(0, 2, 1) @ h
            # d(a w)/dx = a_x w + a w' x/r
            turned = np.stack([a1[..., x].transpose(0, 2, 1) @ h for x in range(3)], 1)
            j = turned * w[:, None] + (through * w1)[:, None] * along[:, :, None, None]
            j_blocks.append(j.reshape(count, 3, -1))
            if not first:
                pulled = np.stack([a1[..., x] @ (b * w) for x in range(3)], 1)
                stretched = a @ (b * w1)
                c = pulled + stretched[:, None] * along[:, :, None, None]
                c_blocks.append(c.reshape(count, 3, -1))
            # Outer products of h and b, summed over channels, are all that K asks of them.
            outer = [h @ (b * z).transpose(0, 2, 1) for z in (w, w1, w2)]
            k += np.einsum("eik,eikxy->exy", outer[0], a2, optimize=True)
            mixed_term = np.einsum("eik,eikx->ex", outer[1], a1, optimize=True)[:, :, None] * along[:, None]
            k += mixed_term + mixed_term.transpose(0, 2, 1)
            first_radial, second_radial = (np.sum(o * a, axis=(1, 2))[:, None, None] for o in outer[1:])
            k += first_radial * across + second_radial * along[:, :, None] * along[:, None]
        slopes.append(np.concatenate(j_blocks, -1))
        crosses.append(np.concatenate(c_blocks, -1) if c_blocks else None)
        curvatures.append(k)
    cross = None if first else np.concatenate([c for c in crosses if c is not None])
    return np.concatenate(slopes), cross, np.concatenate(curvatures)


def _in_blocks(vectors: np.ndarray) -> list[np.ndarray]:
    """Blocks of EDGES edge vectors, the last one filled up by repeating its first."""
    blocks = []
    for start in range(0, len(vectors), EDGES):
        block = vectors[start : start + EDGES]
        blocks.append(np.concatenate([block, np.repeat(block[:1], EDGES - len(block), 0)]))
    return blocks


def _joined(blocks: Any, count: int) -> Blocks:
    """Per block of features, the parts of all edges: (count, ...)."""
    return tuple(np.concatenate([np.asarray(p) for p in parts])[:count] for parts in zip(*blocks, strict=True))


def _first_coefficients(layer: LayerParts, own: Any, r: np.ndarray) -> tuple[Any, Any]:
    return _angular(layer.angular, r)[0], _radial(layer.radial, own, r)[0]


def _all_coefficients(layer: LayerParts, own: Any, r: np.ndarray, count: int) -> tuple[Any, Any]:
    """Per block of features (a, a_x, a_xy) and (w, w', w'') of the first `count` edges."""
    orders = _angular(layer.angular, r), _radial(layer.radial, own, r)
    return tuple(
        [tuple(np.asarray(value)[:count] for value in block) for block in zip(*found, strict=True)] for found in orders
    )  # type: ignore[return-value]


@partial(jax.jit, static_argnums=0)
def _angular(angular, r: Array):
    """Value, gradient and second derivatives with respect to the edge vector, last axes x, y."""

    def at(v):
        return angular(v), jax.jacfwd(angular)(v), jax.jacfwd(jax.jacfwd(angular))(v)

    return jax.vmap(at)(r)


@partial(jax.jit, static_argnums=0)
def _radial(radial, own, r: Array):
    """Value, first and second derivative with respect to the length."""
    length = jnp.sqrt(jnp.sum(r**2, -1))
    one = jnp.ones_like(length)

    def value(x):
        return radial(own, x)

    def slope(x):
        return jax.jvp(value, (x,), (one,))[1]

    w1, w2 = jax.jvp(slope, (length,), (one,))
    return value(length), w1, w2


@partial(jax.jit, static_argnums=0)
def _mix(mix, own, features):
    return mix(own, features)


@partial(jax.jit, static_argnums=0)
def _unmix(mix, own, features, back):
    return jax.vjp(lambda f: mix(own, f), features)[1](back)[0]


@partial(jax.jit, static_argnums=0)
def _update(update, own, aggregated, features, species):
    return update(own, aggregated, features, species)


@partial(jax.jit, static_argnums=0)
def _update_back(update, own, aggregated, features, species, bar):
    return jax.vjp(lambda a, f: update(own, a, f, species), aggregated, features)[1](bar)


@partial(jax.jit, static_argnums=0)
def _readout_gradient(readout, parameters, features, species):
    return jax.grad(lambda f: jnp.sum(readout(parameters, f, species)))(features)
