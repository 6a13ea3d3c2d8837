"""Radial weights of MACE as arrays, with two derivatives: bases, transforms of the distance, the perceptron.

The same for JAX is in `radial`. Orders are lists of a function, its slope and its curvature, as many as are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..blocks.activations import tanh
from ..blocks.jets import composed, product, scaled
from ..blocks.radial import bessel, envelope, perceptron
from ..parts import Orders
from .config import MACEConfig
from .repulsion import repulsion_constants, screened_coulomb
from .transforms import AGNESI, SOFT


@dataclass(frozen=True, eq=False)
class MACEBasis:
    """The radial basis, (e, n_basis) each; one column more, the envelope, where that closes the weights instead.

    Attributes:
        config: of the network.
        dtype: of the result.
    """

    config: MACEConfig
    dtype: np.dtype

    def __call__(self, lengths: np.ndarray, order: int, kinds: np.ndarray | None = None) -> Orders:
        """See `layers.NetworkParts.basis`."""
        c = self.config
        closing = envelope(lengths[:, None], order, c.cutoff, c.envelope_p)
        basis = _basis(c, lengths[:, None], order, kinds)
        if c.envelope_on == "basis":
            found = product(basis, closing)
        else:
            found = [np.concatenate(both, 1) for both in zip(basis, closing, strict=True)]
        return [z.astype(self.dtype) for z in found]


@dataclass(frozen=True, eq=False)
class MACERadial:
    """The radial weights of one layer: (basis, kinds) -> orders (e, n_weights).

    Attributes:
        envelope_on: "basis" or "weights", what the envelope has closed or is to close.
        matrices: of the perceptron, with the normalisation of its activations.
        density: (n_basis, 1) of the share in the receiver's density, which is the last weight; None for none.
    """

    envelope_on: str
    matrices: Sequence[np.ndarray]
    density: np.ndarray | None

    def __call__(self, basis: Orders, kinds: np.ndarray | None = None) -> Orders:
        """See `layers.LayerParts.radial`."""
        n_basis = len(self.matrices[0])
        x = [z[:, :n_basis] for z in basis]
        result = perceptron(x, self.matrices)
        if self.density is not None:
            squared = [z @ self.density for z in x]
            squared = product(squared, squared)
            share = composed(tanh(squared[0], 1.0), squared)
            result = [np.concatenate([a, b], 1) for a, b in zip(result, share, strict=True)]
        return result if self.envelope_on == "basis" else product(result, [z[:, n_basis:] for z in basis])


def _basis(c: MACEConfig, r: np.ndarray, order: int, kinds: np.ndarray | None) -> Orders:
    """Of the transformed distances (e, 1): (e, n_basis)."""
    x = transformed(c, r, order, kinds)
    if c.basis == "gaussian":
        outer = _gaussians(x[0], order, c.n_basis, c.cutoff)
    else:
        outer = bessel(x[0], order, c.n_basis, c.cutoff)
    return composed(outer, x)


def transformed(c: MACEConfig, r: np.ndarray, order: int, kinds: np.ndarray | None) -> Orders:
    """What the basis is evaluated at, (e, 1) each: the distance or a function of it."""
    x: Orders = [r, np.ones_like(r), np.zeros_like(r)][: order + 1]
    if c.distance_transform == "none":
        return x
    assert kinds is not None, "transforms of the distance need the elements"
    radii = np.array(c.radii)[kinds].sum(axis=1)[:, None]
    if c.distance_transform == "soft":
        (steepness,) = c.transform_constants or SOFT
        low, high = 3 / 4 * radii, 4 / 3 * radii
        inner = scaled(x, steepness / (high - low))
        inner[0] = inner[0] - steepness / (high - low) * (low + high) / 2
        step = scaled(composed(tanh(inner[0], 1.0), inner), 0.5)
        step[0] = step[0] + 0.5
        result = product([x[0] - low, *x[1:]], step)
        result[0] = result[0] + low
        return result
    a, q, p = c.transform_constants or AGNESI
    x = scaled(x, 2 / radii)
    below = composed(_power(x[0], q - p), x)
    below[0] = below[0] + 1
    ratio = product(composed(_power(x[0], q), x), composed(_power(below[0], -1.0), below))
    ratio = scaled(ratio, a)
    ratio[0] = ratio[0] + 1
    return composed(_power(ratio[0], -1.0), ratio)


def _power(x: np.ndarray, n: float) -> Orders:
    return [x**n, n * x ** (n - 1), n * (n - 1) * x ** (n - 2)]


def _gaussians(r: np.ndarray, order: int, n_basis: int, cutoff: float) -> Orders:
    inverse = (n_basis - 1) / cutoff
    x = (r - np.linspace(0.0, cutoff, n_basis)) * inverse
    value = np.exp(-0.5 * x**2)
    return [value, -inverse * x * value, inverse**2 * (x**2 - 1) * value][: order + 1]


@dataclass(frozen=True, eq=False)
class PairEnergies:
    """Half the repulsion of the pairs at the ends of edges: (lengths, order, kinds) -> orders (e,) [eV].

    Attributes:
        config: of the network, whose scale multiplies it.
    """

    config: MACEConfig

    def __call__(self, lengths: np.ndarray, order: int, kinds: np.ndarray) -> Orders:
        """See `layers.NetworkParts.pairs`."""
        c = self.config
        radii, numbers = np.array(c.radii)[kinds].sum(axis=1), np.array(c.numbers, float)[kinds]
        *weights, exponent, prefactor = repulsion_constants(c)
        parts = screened_coulomb(numbers[:, 0], numbers[:, 1], weights, exponent, prefactor)
        inverse = _power(lengths, -1.0)[: order + 1]
        screening: Orders = [np.zeros_like(lengths) for _ in range(order + 1)]
        for weight, rate in parts:
            value = weight * np.exp(-rate * lengths)
            for k in range(order + 1):
                screening[k] += (-rate) ** k * value
        return scaled(product(product(inverse, screening), envelope(lengths, order, radii, c.repulsion_p)), c.scale)
