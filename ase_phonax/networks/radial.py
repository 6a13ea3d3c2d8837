"""Radial functions of edges: a basis in the distance times an envelope that closes it."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from .pair_repulsion import repulsion_constants, screened_coulomb
from .transforms import AGNESI, SOFT


def bessel_basis(r: Array, n_basis: int, cutoff: float) -> Array:
    """(2/c) sin(k pi r/c)/r for k = 1..n: (..., n_basis) [1/Å²]; zero at the cutoff.

    The spherical Bessel basis of DimeNet (Gasteiger et al., arXiv:2003.03123, eq. 7) with the
    prefactor of Nequix. r must be positive: padded edges carry a length beyond the cutoff.
    """
    frequencies = jnp.arange(1, n_basis + 1, dtype=r.dtype) * jnp.pi / cutoff
    r = r[..., None]
    return 2 / cutoff * jnp.sin(frequencies * r) / r


def polynomial_envelope(r: Array, cutoff: float | Array, p: int) -> Array:
    """Polynomial of DimeNet (eq. 8): 1 at r = 0, zero with two derivatives at the cutoff.

    Times the Bessel basis, itself zero there, the product has three continuous derivatives. `p` only
    sets the flatness at r = 0, not the smoothness at the cutoff.
    """
    x = r / cutoff
    inside = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    return jnp.where(x < 1, inside, 0.0)


def gaussian_basis(r: Array, n_basis: int, cutoff: float) -> Array:
    """exp(-(r - r_k)² / 2 d²) around n points from 0 to the cutoff, d apart: (..., n_basis)."""
    centres = jnp.linspace(0.0, cutoff, n_basis, dtype=r.dtype)
    return jnp.exp(-0.5 * ((r[..., None] - centres) * ((n_basis - 1) / cutoff)) ** 2)


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
