"""Radial functions of edges: a basis in the distance times an envelope that closes it."""

from typing import Any

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


def polynomial_envelope(r: Array, cutoff: float, p: int) -> Array:
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


def chebyshev_basis(r: Array, n_basis: int) -> Array:
    """T_1(r) ... T_n(r), polynomials of the first kind: (..., n_basis)."""
    values = [jnp.ones_like(r), r]
    for _ in range(n_basis - 1):
        values.append(2 * r * values[-1] - values[-2])
    return jnp.stack(values[1:], -1)


# a, q, p of Witt et al., J. Chem. Phys. 159, 164101 (2023), and the steepness of the soft transform, as in MACE.
AGNESI = (1.0805, 0.9183, 4.5791)
SOFT = (4.0,)


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
    if config.basis == "chebyshev":
        return chebyshev_basis(x, config.n_basis)
    return bessel_basis(x, config.n_basis, config.cutoff)
