"""The convolution of a message-passing layer: features (x) edge harmonics, weighted by distance.

All paths of one input block are fused into one contraction with a merged Clebsch-Gordan tensor:
a_b[k, u] = sum_i h_b[i, u] angular_b[i, k] radial_b[k, u], with angular_b = Y . C_b. That is fewer and
larger operations than one product per path, which shortens compilation, and it is the form that
`edge_tensors` needs.
"""

from dataclasses import dataclass
from functools import lru_cache

import e3nn_jax as e3nn
import jax.numpy as jnp
import numpy as np
from jax import Array

Irreps = tuple[tuple[int, e3nn.Irrep], ...]


def parse_irreps(text: str) -> Irreps:
    """'16x0e + 8x1o' -> ((16, 0e), (8, 1o)), in the order given."""
    return tuple((int(mul), ir) for mul, ir in e3nn.Irreps(text))


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


@dataclass(frozen=True)
class Path:
    """One product ir_in (x) Y_l -> ir_out.

    Attributes:
        block: index of the input block.
        columns: where its 2 l_out + 1 outputs lie among the columns of that block.
        weights: where its radial weights, one per channel, lie among those of the layer.
    """

    block: int
    ir_out: e3nn.Irrep
    columns: slice
    weights: slice


@dataclass(frozen=True, eq=False)
class ConvolutionPlan:
    """Everything about a convolution that irreps alone decide.

    Attributes:
        irreps_in: blocks of the senders' features.
        l_max: harmonics up to this degree.
        clebsch_gordan: per input block (2 l_in + 1, (l_max+1)², n_columns), e3nn's "component"
            normalisation.
        paths: sorted by output irrep; the radial weights of the layer are in this order.
        irreps_out: output irreps with the channels of all their paths together.
    """

    irreps_in: Irreps
    l_max: int
    clebsch_gordan: tuple[np.ndarray, ...]
    paths: tuple[Path, ...]
    irreps_out: Irreps

    @property
    def n_weights(self) -> int:
        """Radial weights per edge."""
        return sum(mul for mul, _ in self.irreps_out)


@lru_cache
def plan_convolution(irreps_in: Irreps, l_max: int, wanted: tuple[e3nn.Irrep, ...]) -> ConvolutionPlan:
    """Paths from `irreps_in` through harmonics up to `l_max` into the `wanted` irreps."""
    found, tensors = [], []
    for block, (_, ir_in) in enumerate(irreps_in):
        columns, start = [], 0
        for l in range(l_max + 1):
            for ir_out in ir_in * e3nn.Irrep(l, (-1) ** l):
                if ir_out in wanted:
                    c = np.zeros((ir_in.dim, (l_max + 1) ** 2, ir_out.dim))
                    c[:, l * l : (l + 1) ** 2] = e3nn.clebsch_gordan(ir_in.l, l, ir_out.l) * np.sqrt(ir_out.dim)
                    columns.append(c)
                    found.append((block, ir_out, slice(start, start + ir_out.dim)))
                    start += ir_out.dim
        tensors.append(np.concatenate(columns, -1) if columns else np.zeros((ir_in.dim, (l_max + 1) ** 2, 0)))
    paths, first = [], 0
    channels: dict[e3nn.Irrep, int] = {}
    for block, ir_out, place in sorted(found, key=lambda p: p[1]):
        mul = irreps_in[block][0]
        paths.append(Path(block, ir_out, place, slice(first, first + mul)))
        channels[ir_out] = channels.get(ir_out, 0) + mul
        first += mul
    return ConvolutionPlan(irreps_in, l_max, tuple(tensors), tuple(paths), tuple((m, ir) for ir, m in channels.items()))


def harmonics(vectors: Array, l_max: int) -> Array:
    """(..., 3) -> (..., (l_max+1)²) real spherical harmonics of the direction, |Y_l|² = 2l+1.

    Parity (-1)^l; component order and signs are e3nn's. Vectors must not vanish.
    """
    return e3nn.spherical_harmonics(
        e3nn.Irreps([(1, (l, (-1) ** l)) for l in range(l_max + 1)]), vectors, normalize=True, normalization="component"
    ).array


def angular_maps(plan: ConvolutionPlan, y: Array) -> tuple[Array, ...]:
    """Per input block (..., i, k) from the harmonics (..., (l_max+1)²) of an edge."""
    return tuple(jnp.einsum("...j,ijk->...ik", y, jnp.asarray(tensor, y.dtype)) for tensor in plan.clebsch_gordan)


def radial_maps(plan: ConvolutionPlan, weights: Array) -> tuple[Array, ...]:
    """Per input block (..., k, u) from radial weights (..., n_weights) in the order of `plan.paths`."""
    result = []
    for block, (mul, _) in enumerate(plan.irreps_in):
        own = sorted((p for p in plan.paths if p.block == block), key=lambda p: p.columns.start)
        columns = [
            jnp.broadcast_to(weights[..., None, p.weights], weights.shape[:-1] + (p.ir_out.dim, mul)) for p in own
        ]
        empty = jnp.zeros(weights.shape[:-1] + (0, mul), weights.dtype)
        result.append(jnp.concatenate(columns, -2) if own else empty)
    return tuple(result)


def messages(blocks: tuple[Array, ...], angular: tuple[Array, ...], radial: tuple[Array, ...]) -> tuple[Array, ...]:
    """Senders' features (..., i, u) through the two maps of each block: (..., k, u)."""
    return tuple(jnp.einsum("...iu,...ik->...ku", h, a) * w for h, a, w in zip(blocks, angular, radial, strict=True))


def collect(plan: ConvolutionPlan, aggregated: tuple[Array, ...]) -> tuple[Array, ...]:
    """Per input block (..., k, u) -> per output irrep (..., 2l+1, channels), in `irreps_out` order."""
    result = []
    for _, ir in plan.irreps_out:
        own = [aggregated[p.block][..., p.columns, :] for p in plan.paths if p.ir_out == ir]
        result.append(jnp.concatenate(own, axis=-1))
    return tuple(result)
