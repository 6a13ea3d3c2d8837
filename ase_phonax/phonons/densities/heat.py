"""What follows from a density of states alone: heat, and mean frequencies. Sums over its grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.units import _hplanck, _k, _Nav
from numpy.typing import ArrayLike, NDArray

from ...base.errors import InputError

_THZ = 1e12 * _hplanck  # J of a quantum of 1 THz
GAS = _k * _Nav  # J/K/mol
KELVIN_PER_THZ = _THZ / _k


@dataclass(frozen=True)
class DensityHeat:
    """Heat of a density per mole of atoms.

    Attributes:
        temperatures_k: (n,) [K].
        heat_capacity, entropy: (n,) at constant volume [J/K/mol].
        free_energy: (n,) Helmholtz, with that of zero point [kJ/mol].
        zero_point: [kJ/mol].
    """

    temperatures_k: NDArray[np.float64]
    heat_capacity: NDArray[np.float64]
    entropy: NDArray[np.float64]
    free_energy: NDArray[np.float64]
    zero_point: float


def density_heat(frequencies_thz: ArrayLike, density: ArrayLike, temperatures_k: ArrayLike) -> DensityHeat:
    """Harmonic heat of a density of states, per mole of what it is the density of.

    C_V = R sum_k g_k x² e^x / (e^x - 1)² dv, x = h v / k_B T, and so on (M. T. Dove, Introduction to Lattice Dynamics
    (1993), chapter 5).

    Args:
        frequencies_thz: (m,) equally spaced, from zero or above [THz].
        density: (m,) [1/THz]; whatever its integral is, it is that many modes.
        temperatures_k: (n,) or one, 0 allowed [K].

    Raises:
        InputError: shapes that do not fit, a density with negative values, or frequencies that are not equally spaced.
    """
    v, weight = weights(frequencies_thz, density)
    t = np.atleast_1d(np.asarray(temperatures_k, float))
    if not (np.isfinite(t).all() and (t >= 0).all()):
        raise InputError(
            f"the temperatures are {t.tolist()}"[:200], "heat is asked for at 0 K or above", "give them in kelvin"
        )
    zero_point = GAS / _k * _THZ * float(weight @ v) / 2 / 1000
    x = _THZ * v / (_k * np.maximum(t, 1e-3)[:, None])
    with np.errstate(over="ignore"):
        occupied = 1 / np.expm1(x)
    capacity = GAS * (x * x * occupied * (1 + occupied)) @ weight
    logarithms = np.log1p(-np.exp(-x))
    entropy = GAS * (x * occupied - logarithms) @ weight
    free = zero_point + GAS * t * (logarithms @ weight) / 1000
    cold = t == 0
    return DensityHeat(t, np.where(cold, 0, capacity), np.where(cold, 0, entropy), free, zero_point)


def mean_frequency(frequencies_thz: ArrayLike, density: ArrayLike, *, logarithmic: bool = False) -> float:
    """The mean of frequencies over a density, or the exponential of the mean of their logarithms [THz]."""
    v, weight = weights(frequencies_thz, density)
    mean = float(weight @ (np.log(v) if logarithmic else v) / weight.sum())
    return float(np.exp(mean)) if logarithmic else mean


def weights(frequencies_thz: ArrayLike, density: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positive frequencies, and how many modes each stands for."""
    v, g = np.asarray(frequencies_thz, float), np.asarray(density, float)
    steps = np.diff(v)
    if v.ndim != 1 or v.shape != g.shape or len(v) < 2 or not np.allclose(steps, steps[0], rtol=1e-3) or v[0] < 0:
        raise InputError(
            f"frequencies of shape {v.shape} and a density of shape {g.shape} are no density on an even grid from zero",
            "integrals are sums over it",
            "give both along one grid with equal steps, in THz and 1/THz, imaginary modes left out",
        )
    if not (np.isfinite(g).all() and (g >= 0).all() and g.any()):
        raise InputError(
            f"the density lies between {g.min():.3g} and {g.max():.3g}",
            "there are no negative numbers of modes",
            "check how it was made: smoothing and fits can fall below zero",
        )
    positive = v > 0  # what lies at zero moves as a whole and has no heat of vibration
    return v[positive], g[positive] * steps[0]
