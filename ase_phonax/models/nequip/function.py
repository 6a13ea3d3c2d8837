"""NequIP and its Nequix variant in e3nn-jax on Haiku: the network to train, and the independent reference."""

from functools import lru_cache
from itertools import pairwise
from typing import Any

import e3nn_jax as e3nn
import haiku as hk
import jax
import jax.numpy as jnp
from jax import Array

from ..architecture import Network
from ..blocks.function import (
    AnyExchange,
    EdgeGeometry,
    components_first,
    convolution,
    flat,
    from_components_first,
    gate,
    gate_irreps,
    linear,
    look_along,
    network_of,
    read_outputs,
    value_only,
)
from ..blocks.radial import bessel_roots, closed_basis, perceptron
from ..blocks.repulsion import NEQUIP, closed_repulsion
from ..o3.irreps import Irreps
from .config import NequIPConfig, layer_irreps, output_irreps


class Layer(hk.Module):
    """One message-passing layer: gate(collect(convolution(mix(features))) + skip(features))."""

    def __init__(self, config: NequIPConfig, irreps_in: Irreps, irreps_out: Irreps, name: str):
        super().__init__(name=name)
        self.config, self.irreps_out = config, irreps_out
        self.irreps_pre = gate_irreps(irreps_out)
        self.convolution = convolution(irreps_in, config.l_max, irreps_out, config.parity)

    def __call__(
        self,
        features: e3nn.IrrepsArray,
        edges: EdgeGeometry,
        basis: Array,
        species: Array,
        ends: tuple[Array, Array] | None,
    ) -> e3nn.IrrepsArray:
        """Features of nodes -> new ones.

        Args:
            basis: (n, n_basis) radial basis of as many edges as `edges` has lengths.
            species: (n_nodes,).
            ends: species at both ends of these edges, where they count.
        """
        c = self.config
        mixed = linear("mix", features, features.irreps)
        radial = hk.remat(self.radial) if getattr(edges.exchange, "recompute", False) else self.radial
        sums = self.convolution(mixed, edges, radial(basis, ends)) / c.average_neighbors**0.5
        select = (species, c.n_species) if c.self_connection == "species" else None
        new = linear("collect", sums, self.irreps_pre) + linear("skip", features, self.irreps_pre, select)
        return gate(self.rms_norm(new) if c.layer_norm else new, self.irreps_out)

    def radial(self, basis: Array, ends: tuple[Array, Array] | None) -> list[Array]:
        """Weights of the convolution, spread."""
        c, factor = self.config, None
        sizes = (basis.shape[-1], *c.radial_sizes, self.convolution.n_weights)
        matrices = []
        for i, shape in enumerate(pairwise(sizes)):
            scale = c.radial_init if i < len(sizes) - 2 else 1.0
            init = hk.initializers.RandomNormal((scale / shape[0]) ** 0.5)
            matrices.append(hk.get_parameter(f"radial_{i}", shape, basis.dtype, init).astype(basis.dtype))
            if ends is not None and not i:
                factor = self.elements(ends, shape[1], basis.dtype)
        return self.convolution.spread(perceptron([basis], matrices, factor, value_only(jax.nn.silu))[0])

    def elements(self, ends: tuple[Array, Array], size: int, dtype: Any) -> Array:
        """Products (n, size) of a trained row, near 1, for the element at each end."""
        init = hk.initializers.RandomNormal(0.5)
        table = hk.get_parameter("radial_elements", (self.config.n_species, size), dtype, init).astype(dtype)
        return (1 + table[ends[0]]) * (1 + table[ends[1]])

    def rms_norm(self, features: e3nn.IrrepsArray) -> e3nn.IrrepsArray:
        """Nequix's layer norm: squares summed over channels, averaged over components and degrees."""
        irreps, blocks = features.irreps, components_first(features)
        weights = [1 / (ir.dim**2 * len(irreps)) for _, ir in irreps]
        square = sum(w * jnp.sum(x**2, (-2, -1), keepdims=True) for w, x in zip(weights, blocks, strict=True))
        factor = jax.lax.rsqrt(square + 1e-12)
        affine = [
            hk.get_parameter(f"norm_{ir}", (mul,), features.dtype, jnp.ones).astype(features.dtype)
            for mul, ir in irreps
        ]
        return from_components_first(irreps, [x * a * factor for x, a in zip(blocks, affine, strict=True)])


class _Model:
    """The modules of one configuration, made inside a Haiku transform."""

    def __init__(self, config: NequIPConfig):
        self.config = config
        self.layers = [Layer(config, *irreps, name=f"layer_{i}") for i, irreps in enumerate(layer_irreps(config))]

    def node_energies(self, vectors: Array, species: Array, exchange: AnyExchange) -> Array:
        """The whole network: (n_nodes,) [eV]."""
        features, edges = self.features(vectors, species, exchange)
        return self.readout(features[-1], species, edges)

    def outputs(self, vectors: Array, species: Array, exchange: AnyExchange) -> dict[str, Array]:
        """All that is read: name -> (n_nodes, components), the energy [eV] among it."""
        c = self.config
        beside = (Layer(c, *output_irreps(c), name="outputs"),) if c.outputs else ()
        features, edges = self.features(vectors, species, exchange, *beside)
        result = {"energy": self.readout(features[c.n_layers - 1], species, edges)[:, None]}
        return result | (read_outputs(c.outputs, features[-1]) if beside else {})

    def inside(self, vectors: Array, species: Array, exchange: AnyExchange) -> tuple[tuple[Array, ...], Array]:
        """See `Network.inside`."""
        features, edges = self.features(vectors, species, exchange)
        return tuple(map(flat, features)), self.readout(features[-1], species, edges)

    def features(
        self, vectors: Array, species: Array, exchange: AnyExchange, *beside: Layer
    ) -> tuple[list[e3nn.IrrepsArray], EdgeGeometry]:
        """What leaves each layer, and those beside the last; and the edges."""
        c = self.config
        edges = look_along(vectors, c.l_max, exchange)
        basis = self.basis(edges.lengths)
        ends = None
        if c.radial_elements:
            both = edges.at_ends(species.astype(vectors.dtype))
            ends = both[0].astype(species.dtype), both[1].astype(species.dtype)
        result = [self.embed(species, vectors.dtype)]
        for index, layer in enumerate((*self.layers, *beside)):
            entering = result[min(index, c.n_layers - 1)]
            result.append(layer(entering, edges, basis, species, ends))
        return result[1:], edges

    def basis(self, lengths: Array) -> Array:
        """Radial basis (n, n_basis) of lengths (n,) [Å], closed by the envelope."""
        c, dtype, frequencies = self.config, lengths.dtype, None
        if c.trained_basis:
            roots = hk.initializers.Constant(bessel_roots(c.n_basis, c.cutoff))
            frequencies = hk.get_parameter("frequencies", (c.n_basis,), dtype, roots).astype(dtype)
        return closed_basis(
            lengths,
            0,
            n_basis=c.n_basis,
            cutoff=c.cutoff,
            p=c.envelope_p,
            dtype=dtype,
            frequencies=frequencies,
            switch_on=c.switch_on if c.envelope == "switch" else None,
        )[0]

    def embed(self, species: Array, dtype: Any) -> e3nn.IrrepsArray:
        """First features, scalars: one-hot, or a trained row per element."""
        c = self.config
        if not c.embedding:
            return e3nn.as_irreps_array(jax.nn.one_hot(species, c.n_species, dtype=dtype))
        table = hk.get_parameter("embedding", (c.n_species, c.embedding), dtype, hk.initializers.RandomNormal())
        return e3nn.as_irreps_array(table.astype(dtype)[species])

    def readout(self, features: e3nn.IrrepsArray, species: Array, edges: EdgeGeometry) -> Array:
        """Last features, scalars -> node energies (n,) [eV]."""
        c, x = self.config, features.array
        weights = hk.get_parameter("readout", (x.shape[-1],), x.dtype, hk.initializers.RandomNormal())
        isolated = hk.get_parameter("atom_energies", (c.n_species,), x.dtype, jnp.zeros)
        energy = x @ weights.astype(x.dtype) / x.shape[-1] ** 0.5
        if c.scale_elements:
            scales = hk.get_parameter("atom_scales", (c.n_species,), x.dtype, jnp.ones)
            energy = energy * scales.astype(x.dtype)[species]
        energy = energy * c.scale + c.shift + isolated.astype(x.dtype)[species]
        if not c.repulsion_numbers:
            return energy
        numbers = edges.at_ends(jnp.asarray(c.repulsion_numbers, x.dtype)[species])
        repulsion = closed_repulsion(edges.lengths, 0, numbers, NEQUIP, c.cutoff, c.repulsion_p)
        return energy + edges.total(repulsion[0])


@lru_cache
def nequip_network(config: NequIPConfig) -> Network:
    """The network of a configuration."""
    return network_of(_Model, config)
