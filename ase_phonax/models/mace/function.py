"""MACE in Haiku: the network to train, and the independent reference.

Equations: Batatia et al., arXiv:2206.07697, eqs. 6 to 14. Features are flat arrays (n, d) in the block order of
their irreps, as in NequIP's.
"""

from functools import lru_cache
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..blocks import convolution as conv
from ..blocks.activations import SILU_NORM, TANH_NORM
from ..blocks.distances import polynomial_envelope
from ..blocks.function import Network, equivariant_linear, read_outputs
from ..o3.irreps import EVEN_SCALAR, Irreps
from ..o3.paths import plan_convolution
from ..o3.symmetric_products import powers, symmetric_couplings
from .config import LayerIrreps, MACEConfig, mace_irreps
from .distances import distance_basis, repulsion_energies

_ACTIVATIONS = {
    "silu": lambda x: jax.nn.silu(x) / SILU_NORM,
    "tanh": lambda x: jnp.tanh(x) / TANH_NORM,
    "none": lambda x: x,
}


class MACELayer(hk.Module):
    """One layer: messages of neighbours, their symmetric products, and a readout."""

    def __init__(self, config: MACEConfig, index: int, irreps: LayerIrreps):
        super().__init__(name=f"layer_{index}")
        self.config, self.index, self.irreps = config, index, irreps
        self.kind = config.interaction_of(index)
        self.plan = plan_convolution(irreps.senders, config.l_max, tuple(ir for _, ir in irreps.factors))

    def mix(self, features: Array) -> tuple[Array, ...]:
        """(n, d) -> blocks (n, i, u) that senders pass on."""
        blocks = conv.split(self.irreps.features, features)
        return equivariant_linear("mix", self.irreps.features, blocks, self.irreps.senders)

    def angular(self, harmonics: Array) -> tuple[Array, ...]:
        """Harmonics (..., s) -> per block (..., i, k)."""
        return conv.angular_maps(self.plan, harmonics)

    def radial(self, basis: Array, envelope: Array) -> tuple[tuple[Array, ...], Array]:
        """Radial basis (..., b) -> per block (..., k, u); share of the receiver's density (..., 1)."""
        x, outside = basis, self.config.envelope_on == "weights"
        sizes = (*self.config.radial_sizes, self.plan.n_weights)
        for i, size in enumerate(sizes):
            x = x @ _matrix(f"radial_{i}", (x.shape[-1], size), x.dtype)
            x = jax.nn.silu(x) / SILU_NORM if i < len(sizes) - 1 else x
        density = jnp.zeros_like(basis[..., :1])
        if self.kind.startswith("density"):
            density = jnp.tanh((basis @ _matrix("density", (basis.shape[-1], 1), basis.dtype)) ** 2)
        if outside:
            x, density = x * envelope[..., None], density * envelope[..., None]
        return conv.radial_maps(self.plan, x), density

    def update(self, sums: tuple[Array, ...], density: Array, features: Array, species: Array) -> Array:
        """Sums of messages and old features -> new features (n, d')."""
        c, (irreps_in, _, factors, out) = self.config, self.irreps
        collected = conv.collect(self.plan, sums)
        blocks = equivariant_linear("collect", self.plan.irreps_out, collected, factors)
        divisor = density[..., None] + 1 if self.kind.startswith("density") else c.average_neighbors
        blocks = tuple(x / divisor for x in blocks)
        select = (species, c.n_species)
        if not self.kind.endswith("residual"):
            blocks = equivariant_linear("select", factors, blocks, factors, select)
        new = equivariant_linear("after", out, self.products(blocks, species), out)
        if self.kind.endswith("residual"):
            old = equivariant_linear("skip", irreps_in, conv.split(irreps_in, features), out, select)
            new = tuple(a + b for a, b in zip(new, old, strict=True))
        return conv.join(new)

    def products(self, blocks: tuple[Array, ...], species: Array) -> tuple[Array, ...]:
        """Symmetric products of blocks (n, i, u), weighted by the atom's element: per output (n, m, u)."""
        order, kinds = self.config.correlation_of(self.index), tuple(ir for _, ir in self.irreps.factors)
        values = powers(jnp.concatenate(blocks, axis=-2), order, jnp)
        result = []
        for mul, ir in self.irreps.out:
            total = jnp.zeros((len(species), ir.dim, mul), blocks[0].dtype)
            for degree in range(1, order + 1):
                couplings = symmetric_couplings(kinds, ir, degree)
                n = couplings.shape[-1]
                if not n:
                    continue
                used = np.flatnonzero(np.abs(couplings).max(axis=(1, 2))).astype(np.int32)
                tensor = jnp.asarray(couplings[used], total.dtype)
                invariants = jnp.einsum("npu,pmk->nkmu", values[degree][:, used], tensor)
                shape = (self.config.n_species, n, mul)
                weights = _parameter(f"product_{ir}_{degree}", shape, total.dtype, 1 / n)
                total = total + jnp.einsum("nkmu,nku->nmu", invariants, weights[species])
            result.append(total)
        return tuple(result)

    def readout(self, features: Array) -> Array:
        """New features (n, d') -> (n,)."""
        block = [ir for _, ir in self.irreps.out].index(EVEN_SCALAR)
        x = conv.split(self.irreps.out, features)[block][..., 0, :]
        if self.config.is_nonlinear(self.index):
            x = x @ _matrix("readout_hidden", (x.shape[-1], self.config.readout_size), x.dtype)
            x = _ACTIVATIONS[self.config.activation](x)
        return (x @ _matrix("readout", (x.shape[-1], 1), x.dtype))[..., 0]

    def outputs(self, features: Array) -> dict[str, Array]:
        """New features (n, d') -> what they add to each output beside the energy: name -> (n, components)."""
        return read_outputs(self.config.outputs, self.irreps.out, conv.split(self.irreps.out, features))


def _parameter(name: str, shape: tuple[int, ...], dtype: Any, deviation: float) -> Array:
    return hk.get_parameter(name, shape, dtype, hk.initializers.RandomNormal(deviation)).astype(dtype)


def _matrix(name: str, shape: tuple[int, int], dtype: Any) -> Array:
    """Weights that keep the mean square of what they multiply."""
    return _parameter(name, shape, dtype, shape[0] ** -0.5)


class _Model:
    """The modules of one configuration, made inside a Haiku transform."""

    def __init__(self, config: MACEConfig):
        self.config = config
        self.layers = [MACELayer(config, i, irreps) for i, irreps in enumerate(mace_irreps(config))]

    def node_energies(self, vectors: Array, species: Array, exchange) -> Array:
        """The whole network: (n_nodes,) [eV]."""
        return self.outputs(vectors, species, exchange)["energy"][:, 0]

    def outputs(self, vectors: Array, species: Array, exchange) -> dict[str, Array]:
        """All that is read: name -> (n_nodes, components), the energy [eV] among it."""
        c, irreps = self.config, self.layers[0].irreps
        mirrored, recompute = (getattr(exchange, name, False) for name in ("mirrored", "recompute"))
        half = vectors[: len(vectors) // 2] if mirrored else vectors
        y = conv.harmonics(half, c.l_max)
        lengths = jnp.sqrt(jnp.sum(half**2, -1))
        if mirrored:
            y = conv.mirror(y, c.l_max)
        ends = _ends(c, species, exchange, len(half), vectors.dtype)
        envelope = polynomial_envelope(lengths, c.cutoff, c.envelope_p)
        basis = distance_basis(c, lengths, None if ends is None else ends[0])
        basis = basis * envelope[..., None] if c.envelope_on == "basis" else basis
        table = _parameter("embedding", (c.n_species, _width(irreps.features)), vectors.dtype, 1.0)
        features, energies = table[species], jnp.zeros(len(species), vectors.dtype)
        further: dict[str, Array] = {}
        for layer in self.layers:
            radial = hk.remat(layer.radial) if recompute else layer.radial
            senders = conv.split(layer.irreps.senders, exchange.gather(conv.join(layer.mix(features))))
            weights, density = radial(basis, envelope)
            edges = conv.messages(senders, layer.angular(y), weights)
            density = exchange.aggregate(jnp.concatenate([density, density]) if mirrored else density)
            features = layer.update(tuple(exchange.aggregate(m) for m in edges), density, features, species)
            if c.has_readout(layer.index):
                energies = energies + layer.readout(features)
                further = {name: further.get(name, 0.0) + x for name, x in layer.outputs(features).items()}
        if c.pair_repulsion and ends is not None:
            pairs = repulsion_energies(c, lengths, *ends)
            energies = energies + exchange.aggregate(jnp.concatenate([pairs, pairs]) if mirrored else pairs)
        isolated = hk.get_parameter("atom_energies", (c.n_species,), vectors.dtype, jnp.zeros)
        energies = energies * c.scale + c.shift + isolated.astype(vectors.dtype)[species]
        return {"energy": energies[:, None], **further}


def _width(irreps: Irreps) -> int:
    return sum(mul * ir.dim for mul, ir in irreps)


def _ends(config: MACEConfig, species: Array, exchange, n: int, dtype: Any) -> tuple[Array, tuple[Array, Array]] | None:
    """Of the first n edges: sums of the covalent radii, and atomic numbers at either end.

    None where nothing depends on them.
    """
    if not config.needs_radii:
        return None
    radii, numbers = (jnp.asarray(values, dtype)[species] for values in (config.radii, config.numbers))
    one, other = conv.at_ends(radii, exchange, n)
    return one + other, conv.at_ends(numbers, exchange, n)


@lru_cache
def mace_network(config: MACEConfig) -> Network:
    """The network of a configuration."""

    def build():
        model = _Model(config)
        return model.outputs, (model.node_energies, model.outputs)

    init, apply = hk.multi_transform(build)
    energies, outputs = (lambda parameters, *inputs, f=f: f(parameters, None, *inputs) for f in apply)
    return Network(init, energies, outputs=outputs)
