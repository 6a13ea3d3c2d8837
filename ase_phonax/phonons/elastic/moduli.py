"""What isotropic solids, waves and directions make of elastic constants: pure functions of (6, 6) matrices.

Voigt's order is xx yy zz yz xz xy; strains of shear are engineers' (2 eps_yz), so that stress = C strain. Units are
those of the constants: GPa in, GPa out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_INDEX = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
_SHEAR = np.array([1, 1, 1, 2, 2, 2.0])  # of engineers' strains over tensors'


@dataclass(frozen=True)
class Moduli:
    """Elastic moduli of a solid without direction.

    Attributes:
        bulk, shear: K and G [GPa].
    """

    bulk: float
    shear: float

    @property
    def young(self) -> float:
        """E = 9 K G / (3 K + G) [GPa]."""
        return 9 * self.bulk * self.shear / (3 * self.bulk + self.shear)

    @property
    def poisson(self) -> float:
        """nu = (3 K - 2 G) / (6 K + 2 G)."""
        return (3 * self.bulk - 2 * self.shear) / (6 * self.bulk + 2 * self.shear)


def as_voigt(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3, 3, 3) -> (6, 6), the mean of the components that symmetry makes equal."""
    symmetric = (tensor + tensor.swapaxes(0, 1)) / 2
    symmetric = (symmetric + symmetric.swapaxes(2, 3)) / 2
    symmetric = (symmetric + symmetric.transpose(2, 3, 0, 1)) / 2
    return np.array([[symmetric[i, j, k, l] for k, l in VOIGT] for i, j in VOIGT])


def as_tensor(voigt: ArrayLike) -> NDArray[np.float64]:
    """(6, 6) constants as (3, 3, 3, 3)."""
    c = np.asarray(voigt, float)
    return np.asarray(c[_INDEX[:, :, None, None], _INDEX[None, None]])


def compliance_tensor(voigt: ArrayLike) -> NDArray[np.float64]:
    """(3, 3, 3, 3) of the inverse of (6, 6) constants: strain = S stress, both tensors [1/GPa]."""
    s = np.linalg.inv(np.asarray(voigt, float)) / np.outer(_SHEAR, _SHEAR)
    return as_tensor(s)


def voigt_moduli(voigt: ArrayLike) -> Moduli:
    """Moduli of an aggregate whose grains are all strained alike, an upper bound.

    R. Hill, Proc. Phys. Soc. A 65, 349 (1952), as the other two.
    """
    c = as_tensor(voigt)
    trace, shear = np.einsum("iijj", c), np.einsum("ijij", c)
    return Moduli(float(trace / 9), float((3 * shear - trace) / 30))


def reuss_moduli(voigt: ArrayLike) -> Moduli:
    """Moduli of an aggregate whose grains all have the same stress, a lower bound."""
    s = compliance_tensor(voigt)
    trace, shear = np.einsum("iijj", s), np.einsum("ijij", s)
    return Moduli(float(1 / trace), float(7.5 / (3 * shear - trace)))


def hill_moduli(voigt: ArrayLike) -> Moduli:
    """The means of both bounds: what a polycrystal has."""
    upper, lower = voigt_moduli(voigt), reuss_moduli(voigt)
    return Moduli((upper.bulk + lower.bulk) / 2, (upper.shear + lower.shear) / 2)


def universal_anisotropy(voigt: ArrayLike) -> float:
    """A^U = 5 G_V/G_R + K_V/K_R - 6, 0 where all directions are alike (Ranganathan, Phys. Rev. Lett. 101, 055504)."""
    upper, lower = voigt_moduli(voigt), reuss_moduli(voigt)
    return 5 * upper.shear / lower.shear + upper.bulk / lower.bulk - 6


def young_moduli(voigt: ArrayLike, directions: ArrayLike) -> NDArray[np.float64]:
    """E(n) = 1 / (n n S n n) for directions (k, 3) of any length: (k,)."""
    n = unit_vectors(directions)
    return np.asarray(1 / np.einsum("ijkl,ai,aj,ak,al->a", compliance_tensor(voigt), n, n, n, n, optimize=True))


def sound_waves(
    voigt: ArrayLike, density: float, directions: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Velocities and polarizations by Christoffel's equation, for directions (k, 3) of any length.

    Args:
        voigt: [GPa].
        density: [kg/m³].

    Returns:
        (k, 3) velocities, the slowest first [m/s], NaN where the crystal gives way; (k, 3, 3) polarizations, a unit
        vector in each column.
    """
    n = unit_vectors(directions)
    matrices = np.einsum("ijkl,aj,al->aik", as_tensor(voigt), n, n, optimize=True) * 1e9 / density
    squares, polarizations = np.linalg.eigh(matrices)
    with np.errstate(invalid="ignore"):
        return np.sqrt(squares), polarizations


def mean_velocity(voigt: ArrayLike, density: float, n: int = 24) -> float:
    """(1/3 sum over modes of the mean over directions of v^-3)^(-1/3): that of Debye's law [m/s]."""
    heights, weights = np.polynomial.legendre.leggauss(n)
    angles = np.pi * (np.arange(2 * n) + 0.5) / n
    around = np.stack([np.cos(angles), np.sin(angles)], -1)
    rim = np.sqrt(1 - heights**2)
    directions = np.concatenate(
        [np.column_stack([r * around, np.full(len(around), z)]) for r, z in zip(rim, heights, strict=True)]
    )
    velocities, _ = sound_waves(voigt, density, directions)
    mean = np.repeat(weights / 2, 2 * n) / (2 * n) @ (velocities**-3).mean(axis=1)
    return float(mean ** (-1 / 3))


def unit_vectors(directions: ArrayLike) -> NDArray[np.float64]:
    """(k, 3) directions at length 1."""
    n = np.asarray(directions, float).reshape(-1, 3)
    return n / np.linalg.norm(n, axis=1, keepdims=True)
