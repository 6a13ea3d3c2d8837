"""What textbooks make of a density of states: Debye temperatures, heat that two solids can exchange, superconductivity.

Each says what it assumes. Densities are per atom, three modes over all frequencies [1/THz].
"""

from __future__ import annotations

import numpy as np
from ase.units import _Nav
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.optimize import brentq

from ...base.errors import InputError
from .heat import GAS, KELVIN_PER_THZ, density_heat, weights

_COLDEST, _HOTTEST = 0.02, 200.0  # of x = T_Debye / T, between which a heat capacity says something
MU_STAR = 0.1  # Coulomb pseudopotential of most metals


def debye_heat_capacity(x: float) -> float:
    """C_V of Debye's crystal in units of that at high temperature, at x = T_Debye / T."""
    integral, _ = quad(lambda t: t**4 * np.exp(-t) / (-np.expm1(-t)) ** 2, 0, min(x, 100.0), limit=200)
    return float(3 * integral / x**3)


def debye_temperature(frequencies_thz: ArrayLike, density: ArrayLike, temperature_k: float = 300.0) -> float:
    """The Debye temperature whose heat capacity is that of a density, at one temperature [K].

    Raises:
        InputError: a temperature at which the heat capacity is zero or classical to rounding, and says nothing.
    """
    _, weight = weights(frequencies_thz, density)
    share = float(density_heat(frequencies_thz, density, temperature_k).heat_capacity[0]) / (GAS * weight.sum())
    low, high = debye_heat_capacity(_HOTTEST), debye_heat_capacity(_COLDEST)
    if not low < share < high:
        raise InputError(
            f"at {temperature_k:g} K the heat capacity is {share:.4f} of that at high temperature",
            "Debye temperatures are told apart between these limits only",
            "ask at a temperature near the highest frequencies: 1 THz is 48 K",
        )
    return float(temperature_k * brentq(lambda x: debye_heat_capacity(x) - share, _COLDEST, _HOTTEST))


def kinetic_conductivity(heat_capacity: float, volume_per_atom: float, speed: float, mean_free_path: float) -> float:
    """kappa = C v l / 3 of kinetic theory [W/m/K]: one speed and one mean free path for all modes.

    Args:
        heat_capacity: per mole of atoms [J/K/mol].
        volume_per_atom: [Å³].
        speed: mean velocity of sound [m/s].
        mean_free_path: [nm].

    Raises:
        InputError: one of them is not positive.
    """
    given = (heat_capacity, volume_per_atom, speed, mean_free_path)
    if not all(np.isfinite(x) and x > 0 for x in given):
        raise InputError(
            f"heat capacity, volume, speed and mean free path are {given}",
            "kinetic theory multiplies them",
            "give positive numbers in J/K/mol of atoms, Å³ for an atom, m/s and nm",
        )
    return heat_capacity / _Nav / (volume_per_atom * 1e-30) * speed * mean_free_path * 1e-9 / 3


def spectral_overlap(
    frequencies_thz: ArrayLike, density: ArrayLike, other: ArrayLike, temperature_k: float = 300.0
) -> tuple[float, float]:
    """How well vibrations of two solids fit one another, for elastic transport of heat across an interface.

    Args:
        frequencies_thz: (m,) of both densities.
        density, other: (m,) per atom.
        temperature_k: [K].

    Returns:
        cosine between both densities, 0 to 1; and the heat capacity of the modes that both have, of the smaller of both
        densities at each frequency, per mole of atoms [J/K/mol].
    """
    _, first = weights(frequencies_thz, density)
    _, second = weights(frequencies_thz, other)
    cosine = float(first @ second / np.sqrt((first @ first) * (second @ second)))
    shared = np.minimum(np.asarray(density, float), np.asarray(other, float))
    if not shared.any():
        return cosine, 0.0
    return cosine, float(density_heat(frequencies_thz, shared, temperature_k).heat_capacity[0])


def superconductivity(
    frequencies_thz: ArrayLike, density: ArrayLike, alpha_squared: float, mu_star: float = MU_STAR
) -> tuple[float, float, float]:
    """lambda, omega_log and T_c of Allen and Dynes with alpha²F = alpha² g: one coupling for all modes.

    lambda = 2 ∫ alpha² g / w dw, ln omega_log = 2/lambda ∫ alpha² g ln w / w dw, T_c = omega_log / 1.2
    exp[-1.04 (1 + lambda) / (lambda - mu* (1 + 0.62 lambda))] (P. B. Allen and R. C. Dynes, Phys. Rev. B 12, 905
    (1975), without the factors of strong coupling).

    Args:
        frequencies_thz, density: (m,) of a metal, per atom.
        alpha_squared: mean coupling [THz].
        mu_star: Coulomb pseudopotential.

    Returns:
        lambda; omega_log [THz]; T_c [K], 0 where the repulsion wins.

    Raises:
        InputError: a coupling or a pseudopotential that is none.
    """
    if not (np.isfinite(alpha_squared) and alpha_squared > 0 and 0 <= mu_star < 1):
        raise InputError(
            f"alpha² is {alpha_squared!r} and mu* {mu_star!r}",
            "the density says where modes are, and not how electrons couple to them: both come from elsewhere",
            "give alpha² in THz, positive, and mu* between 0 and 1, mostly 0.1",
        )
    v, weight = weights(frequencies_thz, density)
    coupling = 2 * alpha_squared * weight / v
    total = float(coupling.sum())
    logarithmic = float(np.exp(coupling @ np.log(v) / total))
    attraction = total - mu_star * (1 + 0.62 * total)
    if attraction <= 0:
        return total, logarithmic, 0.0
    return total, logarithmic, KELVIN_PER_THZ * logarithmic / 1.2 * float(np.exp(-1.04 * (1 + total) / attraction))
