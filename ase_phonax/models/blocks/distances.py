"""Radial functions of edges: a basis in the distance times an envelope that closes it."""

import jax.numpy as jnp
from jax import Array


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
