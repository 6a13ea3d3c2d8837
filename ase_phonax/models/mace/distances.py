"""What MACE sees of a distance: transforms, bases, and the repulsion of pairs."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from ..blocks.distances import bessel_basis, gaussian_basis, polynomial_envelope
from .repulsion import repulsion_constants, screened_coulomb
from .transforms import AGNESI, SOFT


def agnesi_transform(r: Array, radii: Array, a: float, q: float, p: float) -> Array:
    """1 / (1 + a x^q / (1 + x^(q - p))), x = r over half the sum of the covalent radii: from 1 at 0 to 0."""
    x = 2 * r / radii
    return 1 / (1 + a * x**q / (1 + x ** (q - p)))


def soft_transform(r: Array, radii: Array, steepness: float) -> Array:
    """Goes smoothly from 3/4 of the sum of the covalent radii to r itself, around 25/24 of that sum."""
    low, high = 3 / 4 * radii, 4 / 3 * radii
    step = 0.5 * (1 + jnp.tanh(steepness / (high - low) * (r - 0.5 * (low + high))))
    return low + (r - low) * step


def distance_basis(config: Any, lengths: Array, radii: Array | None) -> Array:
    """The radial functions of a MACE configuration without their envelope: (..., n_basis).

    Args:
        radii: sums of the covalent radii at both ends [Å], where the configuration transforms distances.
    """
    x = lengths
    if radii is not None and config.distance_transform == "agnesi":
        x = agnesi_transform(x, radii, *(config.transform_constants or AGNESI))
    elif radii is not None and config.distance_transform == "soft":
        x = soft_transform(x, radii, *(config.transform_constants or SOFT))
    if config.basis == "gaussian":
        return gaussian_basis(x, config.n_basis, config.cutoff)
    return bessel_basis(x, config.n_basis, config.cutoff)


def repulsion_energies(config: Any, lengths: Array, radii: Array, numbers: tuple[Array, Array]) -> Array:
    """What the receiver of each edge gets of the repulsion between its nuclei (e,) [eV].

    Args:
        radii: (e,) sums of the covalent radii [Å], where the repulsion ends.
        numbers: (e,) atomic numbers at either end.
    """
    *weights, exponent, prefactor = repulsion_constants(config)
    terms = screened_coulomb(*numbers, weights, exponent, prefactor)
    screening = sum(weight * jnp.exp(-rate * lengths) for weight, rate in terms)
    return screening / lengths * polynomial_envelope(lengths, radii, config.repulsion_p)
