"""What MACE sees of a distance: transforms, bases, the repulsion of pairs, and the radial weights as arrays.

Functions of a distance are written once, with two derivatives and for any array module, as in `blocks.radial`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..blocks.activations import tanh
from ..blocks.jets import AnyArray, Jet, composed, power, product, reciprocal, scaled, shifted
from ..blocks.radial import bessel, envelope, gaussians, perceptron
from ..blocks.repulsion import BOHR, MACE, closed_repulsion
from .config import MACEConfig
from .transforms import AGNESI, SOFT


def distance_basis(config: MACEConfig, r: AnyArray, order: int, radii: AnyArray = None) -> Jet:
    """The radial functions of a configuration without their envelope, at r (e, 1) [Å]: (e, n_basis) each.

    Args:
        radii: (e, 1) sums of the covalent radii at both ends [Å], where the configuration transforms distances.
    """
    x = transformed(config, r, order, radii)
    functions = gaussians if config.basis == "gaussian" else bessel
    return composed(functions(x[0], order, config.n_basis, config.cutoff), x)


def transformed(config: MACEConfig, r: AnyArray, order: int, radii: AnyArray) -> Jet:
    """What the basis is evaluated at, in the shape of r: the distance or a function of it."""
    xp = r.__array_namespace__()
    x: Jet = [r, xp.ones_like(r), xp.zeros_like(r), xp.zeros_like(r)][: order + 1]
    if config.distance_transform == "none":
        return x
    assert radii is not None, "transforms of the distance need the elements"
    if config.distance_transform == "soft":
        return _soft(x, radii, *(config.transform_constants or SOFT))
    return _agnesi(x, radii, *(config.transform_constants or AGNESI))


def _agnesi(r: Jet, radii: AnyArray, a: float, q: float, p: float) -> Jet:
    """1 / (1 + a x^q / (1 + x^(q - p))), x = r over half the sum of the covalent radii: from 1 at 0 to 0."""
    x, order = scaled(r, 2 / radii), len(r) - 1
    below = shifted(composed(power(x[0], q - p, order), x), 1)
    ratio = product(composed(power(x[0], q, order), x), composed(reciprocal(below[0], order), below))
    ratio = shifted(scaled(ratio, a), 1)
    return composed(reciprocal(ratio[0], order), ratio)


def _soft(r: Jet, radii: AnyArray, steepness: float) -> Jet:
    """Goes smoothly from 3/4 of the sum of the covalent radii to r itself, around 25/24 of that sum."""
    low, high = 3 / 4 * radii, 4 / 3 * radii
    inner = scaled(shifted(r, -(low + high) / 2), steepness / (high - low))
    step = shifted(scaled(composed(tanh(inner[0], order=len(r) - 1), inner), 0.5), 0.5)
    return shifted(product(shifted(r, -low), step), low)


def repulsion_energies(
    config: MACEConfig, r: AnyArray, order: int, radii: AnyArray, numbers: tuple[AnyArray, AnyArray]
) -> Jet:
    """What the receiver of each edge gets of the repulsion between its nuclei, in the shape of r (e,) [eV].

    Args:
        radii: (e,) sums of the covalent radii [Å], where the repulsion ends.
        numbers: (e,) atomic numbers at either end.
    """
    screening = MACE
    if config.repulsion_constants:
        *weights, power, prefactor = config.repulsion_constants
        screening = replace(MACE, weights=tuple(weights), power=power, length=prefactor * BOHR)
    return closed_repulsion(r, order, numbers, screening, radii, config.repulsion_p)


@dataclass(frozen=True, eq=False)
class MACEBasis:
    """The radial basis, (e, n_basis) each; one column more, the envelope, where that closes the weights instead.

    Attributes:
        config: of the network.
        dtype: of the result.
    """

    config: MACEConfig
    dtype: np.dtype

    def __call__(self, lengths: np.ndarray, order: int, kinds: np.ndarray | None = None) -> Jet:
        """See `parts.NetworkParts.basis`."""
        c = self.config
        radii = None if kinds is None or not c.radii else np.array(c.radii)[kinds].sum(axis=1)[:, None]
        closing = envelope(lengths[:, None], order, c.cutoff, c.envelope_p)
        basis = distance_basis(c, lengths[:, None], order, radii)
        if c.envelope_on == "basis":
            closed = product(basis, closing)
        else:
            closed = [np.concatenate(both, 1) for both in zip(basis, closing, strict=True)]
        return [z.astype(self.dtype) for z in closed]


@dataclass(frozen=True, eq=False)
class MACERadial:
    """The radial weights of one layer: (basis, kinds) -> jet (e, n_weights).

    Attributes:
        envelope_on: "basis" or "weights", what the envelope has closed or is to close.
        matrices: of the perceptron, with the normalisation of its activations.
        density: (n_basis, 1) of the share in the receiver's density, which is the last weight; None for none.
    """

    envelope_on: str
    matrices: Sequence[np.ndarray]
    density: np.ndarray | None

    def __call__(self, basis: Jet, kinds: np.ndarray | None = None) -> Jet:
        """See `parts.LayerParts.radial`."""
        n_basis = len(self.matrices[0])
        x = [z[:, :n_basis] for z in basis]
        result = perceptron(x, self.matrices)
        if self.density is not None:
            share = density_share(x, self.density)
            result = [np.concatenate([a, b], 1) for a, b in zip(result, share, strict=True)]
        return result if self.envelope_on == "basis" else product(result, [z[:, n_basis:] for z in basis])


def density_share(basis: Jet, matrix: AnyArray) -> Jet:
    """Share of an edge in the density of its receiver, (e, 1) each: tanh((basis @ matrix)²)."""
    x = [z @ matrix for z in basis]
    squared = product(x, x)
    return composed(tanh(squared[0], order=len(x) - 1), squared)


@dataclass(frozen=True, eq=False)
class PairEnergies:
    """Half the repulsion of the pairs at the ends of edges: (lengths, order, kinds) -> jet (e,) [eV].

    Attributes:
        config: of the network, whose scale multiplies it.
    """

    config: MACEConfig

    def __call__(self, lengths: np.ndarray, order: int, kinds: np.ndarray) -> Jet:
        """See `parts.NetworkParts.pairs`."""
        c = self.config
        radii, numbers = np.array(c.radii)[kinds].sum(axis=1), np.array(c.numbers, float)[kinds]
        energies = repulsion_energies(c, lengths, order, radii, (numbers[:, 0], numbers[:, 1]))
        return scaled(energies, c.scale)
