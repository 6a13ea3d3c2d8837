"""The convolution of a message-passing layer: features (x) edge harmonics, weighted by distance.

All paths of one input block are fused into one contraction with a merged Clebsch-Gordan tensor:
a_b[k, u] = sum_i h_b[i, u] angular_b[i, k] radial_b[k, u], with angular_b = Y . C_b. That is fewer and
larger operations than one product per path, which shortens compilation.
"""

import jax.numpy as jnp
from jax import Array

from ..o3 import spherical
from ..o3.irreps import Irreps
from ..o3.paths import ConvolutionPlan


def split(irreps: Irreps, features: Array) -> tuple[Array, ...]:
    """(..., d) -> per block (..., 2l+1, mul): channels last, so that linear maps are plain matrix products."""
    blocks, start = [], 0
    for mul, ir in irreps:
        stop = start + mul * ir.dim
        blocks.append(features[..., start:stop].reshape(features.shape[:-1] + (ir.dim, mul)))
        start = stop
    return tuple(blocks)


def join(blocks: tuple[Array, ...]) -> Array:
    """Per block (..., 2l+1, mul) -> (..., d)."""
    return jnp.concatenate([b.reshape(b.shape[:-2] + (-1,)) for b in blocks], axis=-1)


def harmonics(vectors: Array, l_max: int) -> Array:
    """(..., 3) -> (..., (l_max+1)²) real spherical harmonics of the direction (`o3.spherical`).

    Vectors must not vanish.
    """
    length = jnp.sqrt(jnp.sum(vectors**2, -1, keepdims=True))
    return spherical.harmonics(vectors / length, l_max, jnp)


def angular_maps(plan: ConvolutionPlan, y: Array) -> tuple[Array, ...]:
    """Per input block (..., i, k) from the harmonics (..., (l_max+1)²) of an edge."""
    return tuple(jnp.einsum("...j,ijk->...ik", y, jnp.asarray(tensor, y.dtype)) for tensor in plan.merged)


def radial_maps(plan: ConvolutionPlan, weights: Array) -> tuple[Array, ...]:
    """Per input block (..., k, u) from radial weights (..., n_weights) in the order of `plan.paths`."""
    result = []
    for block, (mul, _) in enumerate(plan.irreps_in):
        own = sorted((p for p in plan.paths if p.block == block), key=lambda p: p.columns.start)
        columns = [
            jnp.broadcast_to(weights[..., None, p.weights], weights.shape[:-1] + (p.coupling.shape[2], mul))
            for p in own
        ]
        empty = jnp.zeros(weights.shape[:-1] + (0, mul), weights.dtype)
        result.append(jnp.concatenate(columns, -2) if own else empty)
    return tuple(result)


def messages(blocks: tuple[Array, ...], angular: tuple[Array, ...], radial: tuple[Array, ...]) -> tuple[Array, ...]:
    """Senders' features (n_edges, i, u) through the two maps of each block: (n_edges, k, u).

    Radial maps may be those of the first half of mirrored edges.
    """
    return tuple(
        _weighted(jnp.einsum("...iu,...ik->...ku", h, a), w) for h, a, w in zip(blocks, angular, radial, strict=True)
    )


def _weighted(x: Array, weights: Array) -> Array:
    # Joined rather than read twice through a longer shape, which XLA makes into loops half as fast.
    return x * (weights if x.shape == weights.shape else jnp.concatenate([weights, weights]))


def mirror(y: Array, l_max: int) -> Array:
    """Harmonics (n, (l_max+1)²) of directions -> (2n, ...) of these and of the opposite ones."""
    parity = jnp.concatenate([jnp.full(2 * l + 1, (-1.0) ** l, y.dtype) for l in range(l_max + 1)])
    return jnp.concatenate([y, y * parity])


def at_ends(nodes: Array, exchange, n: int) -> tuple[Array, Array]:
    """Values (n_nodes, ...) at the senders and receivers of the first n edges; an exchange carries floating numbers."""
    return exchange.gather(nodes)[:n], exchange.at_receivers(nodes)[:n]


def collect(plan: ConvolutionPlan, aggregated: tuple[Array, ...]) -> tuple[Array, ...]:
    """Per input block (..., k, u) -> per output irrep (..., 2l+1, channels), in `irreps_out` order."""
    result = []
    for out in range(len(plan.irreps_out)):
        own = [aggregated[p.block][..., p.columns, :] for p in plan.paths if p.out == out]
        result.append(jnp.concatenate(own, axis=-1))
    return tuple(result)
