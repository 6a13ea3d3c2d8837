"""MACE in e3nn-jax on Haiku: the network to train, and the independent reference.

Equations: Batatia et al., arXiv:2206.07697, eqs. 6 to 14.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Any

import e3nn_jax as e3nn
import haiku as hk
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..architecture import Network
from ..blocks import function as blocks
from ..blocks.function import (
    AnyExchange,
    EdgeGeometry,
    convolution,
    linear,
    look_along,
    matrix,
    network_of,
    parameter,
    read_outputs,
    to_e3nn,
)
from ..blocks.radial import envelope, perceptron
from ..o3.symmetric_products import powers, symmetric_couplings
from .config import LayerIrreps, MACEConfig, mace_irreps
from .radial import density_share, distance_basis, repulsion_energies

_ACTIVATIONS = {"silu": blocks.silu, "tanh": blocks.tanh, "none": lambda x: x}


class MACELayer(hk.Module):
    """One layer: messages of neighbours, their symmetric products, and a readout."""

    def __init__(self, config: MACEConfig, index: int, irreps: LayerIrreps):
        super().__init__(name=f"layer_{index}")
        self.config, self.index = config, index
        kind = config.interaction_of(index)
        self.has_density, self.is_residual = kind.startswith("density"), kind.endswith("residual")
        self.senders, self.factors, self.out = map(to_e3nn, irreps[1:])
        # Couplings are found by our own names of irreps.
        self.kinds, self.made = tuple(ir for _, ir in irreps.factors), irreps.out
        self.convolution = convolution(irreps.senders, config.l_max, irreps.factors)

    def __call__(
        self, features: e3nn.IrrepsArray, edges: EdgeGeometry, basis: Array, closing: Array, species: Array
    ) -> e3nn.IrrepsArray:
        """Features of nodes -> new ones.

        Args:
            basis, closing: (n, n_basis) and (n, 1), the radial basis and the envelope, of as many edges as `edges` has
                lengths.
            species: (n_nodes,).
        """
        c = self.config
        mixed = linear("mix", features, self.senders)
        radial = hk.remat(self.radial) if getattr(edges.exchange, "recompute", False) else self.radial
        weights, density = radial(basis, closing)
        messages = linear("collect", self.convolution(mixed, edges, weights), self.factors)
        messages = messages / (c.average_neighbors if density is None else edges.total(density) + 1)
        select = (species, c.n_species)
        if not self.is_residual:
            messages = linear("select", messages, self.factors, select)
        new = linear("after", self.products(messages, species), self.out)
        return new + linear("skip", features, self.out, select) if self.is_residual else new

    def radial(self, basis: Array, closing: Array) -> tuple[list[Array], Array | None]:
        """Weights of the convolution, spread; and the share (n, 1) in the receiver's density, where there is one."""
        sizes = (basis.shape[-1], *self.config.radial_sizes, self.convolution.n_weights)
        shapes = pairwise(sizes)
        matrices = [matrix(f"radial_{i}", shape, basis.dtype) for i, shape in enumerate(shapes)]
        weights, density = perceptron([basis], matrices, activation=blocks.value_only(blocks.silu))[0], None
        if self.has_density:
            density = density_share([basis], matrix("density", (basis.shape[-1], 1), basis.dtype))[0]
        if self.config.envelope_on == "weights":
            weights = weights * closing
            density = None if density is None else density * closing
        return self.convolution.spread(weights), density

    def products(self, features: e3nn.IrrepsArray, species: Array) -> e3nn.IrrepsArray:
        """Symmetric products of one atom's features, channel by channel, weighted by its element.

        e3nn's own (`e3nn.haiku.SymmetricTensorProduct`) span the same space; stored weights belong to the basis of
        `o3.symmetric_products`, which the array form uses as well.
        """
        order = self.config.correlation_of(self.index)
        values = powers(jnp.concatenate(blocks.components_first(features), axis=-2), order, jnp)
        result = []
        for mul, ir in self.made:
            total = jnp.zeros((len(species), ir.dim, mul), features.dtype)
            for degree in range(1, order + 1):
                couplings = symmetric_couplings(self.kinds, ir, degree)
                n = couplings.shape[-1]
                if not n:
                    continue
                used = np.flatnonzero(np.abs(couplings).max(axis=(1, 2))).astype(np.int32)
                tensor = jnp.asarray(couplings[used], total.dtype)
                invariants = jnp.einsum("npu,pmk->nkmu", values[degree][:, used], tensor)
                shape = (self.config.n_species, n, mul)
                weights = parameter(f"product_{ir}_{degree}", shape, total.dtype, 1 / n)
                total = total + jnp.einsum("nkmu,nku->nmu", invariants, weights[species])
            result.append(total)
        return blocks.from_components_first(self.out, result)

    def readout(self, features: e3nn.IrrepsArray) -> Array:
        """What a layer's new features add to the energies of the atoms: (n_nodes,)."""
        x = features.filter("0e").array
        if self.config.is_nonlinear(self.index):
            x = x @ matrix("readout_hidden", (x.shape[-1], self.config.readout_size), x.dtype)
            x = _ACTIVATIONS[self.config.activation](x)
        return (x @ matrix("readout", (x.shape[-1], 1), x.dtype))[..., 0]

    def outputs(self, features: e3nn.IrrepsArray) -> dict[str, Array]:
        """New features -> what they add to each output beside the energy: name -> (n_nodes, components)."""
        return read_outputs(self.config.outputs, features)


class _Model:
    """The modules of one configuration, made inside a Haiku transform."""

    def __init__(self, config: MACEConfig):
        self.config, irreps = config, mace_irreps(config)
        self.channels = irreps[0].features[0][0]
        self.layers = [MACELayer(config, i, own) for i, own in enumerate(irreps)]

    def node_energies(self, vectors: Array, species: Array, exchange: AnyExchange) -> Array:
        """The whole network: (n_nodes,) [eV]."""
        return self.outputs(vectors, species, exchange)["energy"][:, 0]

    def outputs(self, vectors: Array, species: Array, exchange: AnyExchange) -> dict[str, Array]:
        """All that is read: name -> (n_nodes, components), the energy [eV] among it."""
        c, dtype = self.config, vectors.dtype
        edges = look_along(vectors, c.l_max, exchange)
        radii, numbers = self.ends(edges, species, dtype)
        r = edges.lengths[:, None]
        closing = envelope(r, 0, c.cutoff, c.envelope_p)[0]
        basis = distance_basis(c, r, 0, None if radii is None else radii[:, None])[0]
        basis = basis * closing if c.envelope_on == "basis" else basis
        table = parameter("embedding", (c.n_species, self.channels), dtype, 1.0)
        features, energies = e3nn.as_irreps_array(table[species]), jnp.zeros(len(species), dtype)
        further: dict[str, Array] = {}
        for layer in self.layers:
            features = layer(features, edges, basis, closing, species)
            if c.has_readout(layer.index):
                energies = energies + layer.readout(features)
                further = {name: further.get(name, 0.0) + x for name, x in layer.outputs(features).items()}
        if c.pair_repulsion and numbers is not None:
            energies = energies + edges.total(repulsion_energies(c, edges.lengths, 0, radii, numbers)[0])
        isolated = hk.get_parameter("atom_energies", (c.n_species,), dtype, jnp.zeros)
        energies = energies * c.scale + c.shift + isolated.astype(dtype)[species]
        return {"energy": energies[:, None], **further}

    def ends(self, edges: EdgeGeometry, species: Array, dtype: Any) -> tuple[Array | None, tuple[Array, Array] | None]:
        """Sums of the covalent radii (n,), and atomic numbers at either end; None where nothing depends on them."""
        if not self.config.needs_radii:
            return None, None
        radii, numbers = (jnp.asarray(values, dtype)[species] for values in (self.config.radii, self.config.numbers))
        one, other = edges.at_ends(radii)
        return one + other, edges.at_ends(numbers)


@lru_cache
def mace_network(config: MACEConfig) -> Network:
    """The network of a configuration."""
    return network_of(_Model, config)
