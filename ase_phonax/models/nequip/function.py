"""NequIP and its Nequix variant in Haiku: the network to train, and the independent reference.

Features are flat arrays (n, d) in the block order of their irreps.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from ..blocks import convolution as conv
from ..blocks.activations import SILU_NORM, TANH_NORM
from ..blocks.distances import bessel_basis, polynomial_envelope
from ..blocks.function import Network, equivariant_linear, read_outputs
from ..blocks.gates import pre_gate_irreps
from ..o3.irreps import EVEN_SCALAR, Irreps
from ..o3.paths import plan_convolution
from .config import NequIPConfig, layer_irreps, output_irreps


class Layer(hk.Module):
    """One message-passing layer.

    The gate is built from named blocks: the gating scalars are the last 0e channels of a block of
    their own making, so no re-ordering or merging of scalar irreps elsewhere can turn an odd
    scalar into a gate.
    """

    def __init__(self, config: NequIPConfig, irreps_in: Irreps, irreps_out: Irreps, name: str):
        super().__init__(name=name)
        self.config, self.irreps_in = config, irreps_in
        self.irreps_out = irreps_out
        self.n_gates = sum(mul for mul, ir in self.irreps_out if ir.l > 0)
        self.irreps_pre = pre_gate_irreps(irreps_out)
        self.plan = plan_convolution(irreps_in, config.l_max, tuple(ir for _, ir in irreps_out))

    def mix(self, features: Array) -> tuple[Array, ...]:
        """(n, d) -> blocks (n, i, u), a linear map of each irrep's channels."""
        blocks = conv.split(self.irreps_in, features)
        return equivariant_linear("mix", self.irreps_in, blocks, self.irreps_in)

    def angular(self, harmonics: Array) -> tuple[Array, ...]:
        """Harmonics (..., s) -> per block (..., i, k)."""
        return conv.angular_maps(self.plan, harmonics)

    def radial(self, basis: Array, ends: tuple[Array, Array] | None = None) -> tuple[Array, ...]:
        """Radial basis (..., b), and species at both ends where they count -> per block (..., k, u)."""
        return conv.radial_maps(self.plan, self._radial_weights(basis, ends))

    def update(self, aggregated: tuple[Array, ...], features: Array, species: Array) -> Array:
        """Aggregated messages and old features -> new features (n, d')."""
        c = self.config
        collected = conv.collect(self.plan, tuple(a / c.average_neighbors**0.5 for a in aggregated))
        new = equivariant_linear("collect", self.plan.irreps_out, collected, self.irreps_pre)
        old = conv.split(self.irreps_in, features)
        select = (species, c.n_species) if c.self_connection == "species" else None
        skip = equivariant_linear("skip", self.irreps_in, old, self.irreps_pre, select)
        blocks = tuple(a + b for a, b in zip(new, skip, strict=True))
        if c.layer_norm:
            blocks = self._rms_norm(blocks)
        return self._gate(blocks)

    def _radial_weights(self, x: Array, ends: tuple[Array, Array] | None) -> Array:
        # No biases: the basis is zero at the cutoff and so must be the weights.
        sizes = (*self.config.radial_sizes, self.plan.n_weights)
        for i, size in enumerate(sizes):
            scale = self.config.radial_init if i < len(sizes) - 1 else 1.0
            init = hk.initializers.RandomNormal((scale / x.shape[-1]) ** 0.5)
            x = x @ hk.get_parameter(f"radial_{i}", (x.shape[-1], size), x.dtype, init).astype(x.dtype)
            if ends is not None and not i:
                x = x * self._elements(ends, size, x.dtype)
            x = jax.nn.silu(x) if i < len(sizes) - 1 else x
        return x

    def _elements(self, ends: tuple[Array, Array], size: int, dtype: Any) -> Array:
        init = hk.initializers.RandomNormal(0.5)
        table = hk.get_parameter("radial_elements", (self.config.n_species, size), dtype, init).astype(dtype)
        return (1 + table[ends[0]]) * (1 + table[ends[1]])

    def _rms_norm(self, blocks: tuple[Array, ...]) -> tuple[Array, ...]:
        # As Nequix has it: squares summed over channels, averaged over components and degrees.
        weights = [1 / (ir.dim * len(self.irreps_pre)) for _, ir in self.irreps_pre]
        square = sum(w * jnp.sum(x**2, -1).mean(-1) for w, x in zip(weights, blocks, strict=True))
        factor = jax.lax.rsqrt(square + 1e-12)[..., None, None]
        affine = [
            hk.get_parameter(f"norm_{ir}", (mul,), blocks[0].dtype, jnp.ones).astype(blocks[0].dtype)
            for mul, ir in self.irreps_pre
        ]
        return tuple(x * a * factor for x, a in zip(blocks, affine, strict=True))

    def _gate(self, blocks: tuple[Array, ...]) -> Array:
        gates, result, start = blocks[0], [], 0
        for (_, ir), x in zip(self.irreps_pre, blocks, strict=True):
            if ir == EVEN_SCALAR and self.n_gates:
                x, gates = x[..., : -self.n_gates], jax.nn.silu(x[..., -self.n_gates :]) / SILU_NORM
            if ir.l == 0:
                x = jax.nn.silu(x) / SILU_NORM if ir.p == 1 else jnp.tanh(x) / TANH_NORM
            result.append(x)
        for i, (mul, ir) in enumerate(self.irreps_out):
            if ir.l > 0:
                result[i] = result[i] * gates[..., start : start + mul]
                start += mul
        return conv.join(tuple(result))


class _Model:
    """The modules of one configuration, made inside a Haiku transform."""

    def __init__(self, config: NequIPConfig):
        self.config = config
        self.layers = [Layer(config, *irreps, name=f"layer_{i}") for i, irreps in enumerate(layer_irreps(config))]

    def embed(self, species: Array, dtype: Any) -> Array:
        """Species (n,) -> first features (n, d): one-hot, or a trained row per element."""
        c = self.config
        if not c.embedding:
            return jax.nn.one_hot(species, c.n_species, dtype=dtype)
        table = hk.get_parameter("embedding", (c.n_species, c.embedding), dtype, hk.initializers.RandomNormal())
        return table.astype(dtype)[species]

    def readout(self, features: Array, species: Array) -> Array:
        """Last features (n, d) -> node energies (n,) [eV]."""
        c = self.config
        weights = hk.get_parameter("readout", (features.shape[-1],), features.dtype, hk.initializers.RandomNormal())
        isolated = hk.get_parameter("atom_energies", (c.n_species,), features.dtype, jnp.zeros)
        energy = features @ weights.astype(features.dtype) / features.shape[-1] ** 0.5
        return energy * c.scale + c.shift + isolated.astype(features.dtype)[species]

    def node_energies(self, vectors: Array, species: Array, exchange) -> Array:
        """The whole network: (n_nodes,) [eV]."""
        return self.readout(self.features(vectors, species, exchange)[-1], species)

    def outputs(self, vectors: Array, species: Array, exchange) -> dict[str, Array]:
        """All that is read: name -> (n_nodes, components), the energy [eV] among it."""
        c = self.config
        beside = (Layer(c, *output_irreps(c), name="outputs"),) if c.outputs else ()
        leaving = self.features(vectors, species, exchange, *beside)
        result = {"energy": self.readout(leaving[c.n_layers - 1], species)[:, None]}
        for layer in beside:
            result |= read_outputs(c.outputs, layer.irreps_out, conv.split(layer.irreps_out, leaving[-1]))
        return result

    def features(self, vectors: Array, species: Array, exchange, *beside: Layer) -> tuple[Array, ...]:
        """What leaves each layer and those beside the last: (n_nodes, d) in the blocks of its irreps."""
        mirrored = getattr(exchange, "mirrored", False)
        y, basis = _edge(self.config, vectors[: len(vectors) // 2] if mirrored else vectors)
        if mirrored:
            y = conv.mirror(y, self.config.l_max)
        ends = None
        if self.config.radial_elements:
            both = conv.at_ends(species.astype(vectors.dtype), exchange, len(basis))
            ends = both[0].astype(species.dtype), both[1].astype(species.dtype)
        found = [self.embed(species, vectors.dtype)]
        for index, layer in enumerate((*self.layers, *beside)):
            features = found[min(index, len(self.layers) - 1)]
            radial = hk.remat(layer.radial) if getattr(exchange, "recompute", False) else layer.radial
            senders = conv.split(layer.irreps_in, exchange.gather(conv.join(layer.mix(features))))
            edges = conv.messages(senders, layer.angular(y), radial(basis, ends))
            found.append(layer.update(tuple(exchange.aggregate(m) for m in edges), features, species))
        return tuple(found[1:])


def _edge(config: NequIPConfig, vectors: Array) -> tuple[Array, Array]:
    """Edge vectors (..., 3) [Å] -> harmonics (..., s) and closed radial basis (..., b)."""
    return conv.harmonics(vectors, config.l_max), _closed_basis(config, jnp.sqrt(jnp.sum(vectors**2, -1)))


def _closed_basis(config: NequIPConfig, length: Array) -> Array:
    """Radial basis (..., b) [1/Å²] times its envelope."""
    envelope = polynomial_envelope(length, config.cutoff, config.envelope_p)
    return bessel_basis(length, config.n_basis, config.cutoff) * envelope[..., None]


@lru_cache
def nequip_network(config: NequIPConfig) -> Network:
    """The network of a configuration."""

    def build():
        model = _Model(config)

        def inside(vectors: Array, species: Array, exchange) -> tuple[tuple[Array, ...], Array]:
            features = model.features(vectors, species, exchange)
            return features, model.readout(features[-1], species)

        return model.outputs, (model.node_energies, inside, model.outputs)

    init, apply = hk.multi_transform(build)

    def without_key(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda parameters, *inputs: function(parameters, None, *inputs)

    return Network(init, *map(without_key, apply))
