"""What free energies at several volumes say of the curve fitted to them, temperature by temperature.

A fit always gives numbers. Whether they mean anything is seen at the points: where the lowest of them lies, how
far the curve misses them, how many modes were lost at each, and how much the answer depends on any one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy, QHAResult
from phonopy.phonon.mesh import Mesh
from phonopy.physical_units import get_physical_units
from phonopy.qha.eos import fit_to_eos, get_eos

from ..sampling import meshes

RESIDUAL = 0.01  # RMS over the depth of the curve; those of sound points are within 0.004
LOST_DIFFERENCE = 2e-3  # of the modes: with 0.4 THz they shift F by 0.14 meV per mode of the cell at 300 K
DOUBTFUL_CHANGE, REFUSED_CHANGE = 0.1, 0.5  # of the expansion, by what should not matter
SMALLEST_EXPANSION = 5e-6  # [1/K] changes are relative to this at least: near 0 K everything would be large
SOFTENED = 0.85  # of the static bulk modulus
SOUND_DERIVATIVES = (3.3, 6.3)  # dB/dp of the static lattice: measured ones lie within, rare gases left aside

_BY_TENTH = f"β changes by more than {100 * DOUBTFUL_CHANGE:.0f} %"
DOUBTS = {
    "softened": f"the bulk modulus has fallen below {100 * SOFTENED:.0f} % of the static one: expansion feeds on"
    " itself, and a small error of the model becomes a large one",
    "derivative": f"dB/dp of the static lattice lies outside {SOUND_DERIVATIVES[0]:g} to {SOUND_DERIVATIVES[1]:g},"
    " where crystals have it: the model's energy over volume is doubtful",
    "spread": f"{_BY_TENTH} without one of the volumes, or with another equation",
    "lost modes": f"{_BY_TENTH} where modes that the supercell made imaginary are counted",
    "end": "the equilibrium lies between the last two volumes",
}


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of the results at one temperature.

    Attributes:
        temperature_k: the temperature [K].
        refusal: why there is no result; empty where there is one.
        doubts: keys of `DOUBTS`.
        expansion_spread_per_k: largest change of the expansion without one of the volumes, or with an equation of
            higher order [1/K]; NaN where a curve without one volume has no minimum.
        residual: RMS of the fit over the depth of the curve.
        beyond: -1, 1 where the lowest point is at the lower, upper end and the minimum outside; else 0.
    """

    temperature_k: float
    refusal: str = ""
    doubts: tuple[str, ...] = ()
    expansion_spread_per_k: float = float("nan")
    residual: float = float("nan")
    beyond: int = 0


def lost_share(phonopy: Phonopy) -> float:
    """Share of the mesh's modes that have no free energy, being imaginary; acoustic ones at Γ left aside.

    Args:
        phonopy: with a mesh.
    """
    mesh, lost = _lost_modes(phonopy)
    return float(mesh.weights @ lost.sum(axis=1) / (mesh.weights.sum() * lost.shape[1]))


def lost_free_energies(phonopy: Phonopy, temperatures: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the modes lost would add to the free energy if they were real and as far from zero.

    No more than a scale: it says how much a result depends on modes whose frequencies are not known.

    Args:
        phonopy: with a mesh.
        temperatures: (n,) [K].

    Returns:
        (n,) per primitive cell [eV].
    """
    mesh, lost = _lost_modes(phonopy)
    units = get_physical_units()
    quanta = units.THzToEv * np.maximum(np.abs(mesh.frequencies[lost]), meshes.IMAGINARY_THRESHOLD_THZ)
    weights = np.broadcast_to(mesh.weights[:, None], lost.shape)[lost] / mesh.weights.sum()
    kt = units.KB * np.maximum(temperatures, 1e-3)[:, None]
    return (quanta / 2 + kt * np.log(-np.expm1(-quanta / kt))) @ weights


def _lost_modes(phonopy: Phonopy) -> tuple[Mesh, NDArray[np.bool_]]:
    """The mesh, and (n_qpoints, 3 n_atoms) which of its modes are imaginary, acoustic ones at Γ left aside."""
    mesh = meshes.sampled_mesh(phonopy)
    return mesh, (mesh.frequencies <= 0) & ~meshes.gamma_acoustics(mesh.qpoints, mesh.frequencies)


def judge(
    result: QHAResult, names: Sequence[str], static: NDArray[np.float64], lost: NDArray[np.float64]
) -> tuple[Verdict, ...]:
    """A verdict on each temperature of a result.

    Args:
        result: phonopy's quasi-harmonic result.
        names: (n_volumes,) how messages call the volumes.
        static: (n_volumes,) energies without vibrations, with pV where there is a pressure [eV].
        lost: (n_temperatures, n_volumes) of `lost_free_energies` [eV].
    """
    volumes, temperatures = result.volumes, result.temperatures
    variants = _variants(volumes, result.helmholtz_volume, result.equilibrium_volumes)
    base, others = _expansions(variants[0], temperatures), [_expansions(v, temperatures) for v in variants[1:]]
    spread = np.max([np.abs(other - base) for other in others], axis=0)
    scale = np.maximum(np.abs(base), SMALLEST_EXPANSION)
    restored = _minima(volumes, result.helmholtz_volume + lost, 4, result.equilibrium_volumes)
    by_lost = np.abs(_expansions(restored, temperatures) - base) / scale if lost.any() else np.zeros_like(base)
    of_lattice, static_modulus = _static_doubts(volumes, static, result.eos_name)
    equation = get_eos(result.eos_name)
    verdicts = []
    for i, temperature in enumerate(temperatures):
        energies, parameters = result.helmholtz_volume[i], result.eos_parameters[i]
        misses = equation(volumes, parameters) - energies
        residual = float(np.sqrt(np.mean(misses**2)) / np.ptp(energies))
        refusal, beyond = _refusal(volumes, energies, parameters, residual, names)
        if not refusal and not by_lost[i] <= REFUSED_CHANGE:
            refusal = (
                f"β changes by {100 * by_lost[i]:.0f} % where modes that the supercell made imaginary are counted:"
                " the volumes lost different modes"
            )
        tests = {
            "softened": parameters[1] < SOFTENED * static_modulus,
            "spread": not spread[i] <= DOUBTFUL_CHANGE * scale[i],
            "lost modes": not by_lost[i] <= DOUBTFUL_CHANGE,
            "end": not volumes[1] <= parameters[3] <= volumes[-2],
        }
        doubts = (*of_lattice, *(name for name, doubtful in tests.items() if doubtful))
        verdicts.append(Verdict(float(temperature), refusal, doubts, float(spread[i]), residual, beyond))
    return tuple(verdicts)


def _refusal(
    volumes: NDArray[np.float64],
    energies: NDArray[np.float64],
    parameters: NDArray[np.float64],
    residual: float,
    names: Sequence[str],
) -> tuple[str, int]:
    """Why a fit is none, and on which side of the points the minimum lies; nothing and 0 for a sound one."""
    lowest, last = int(np.argmin(energies)), len(volumes) - 1
    minimum, modulus = parameters[3], parameters[1]
    bracketed = volumes[max(lowest - 1, 0)] <= minimum <= volumes[min(lowest + 1, last)]
    if lowest in (0, last) and not bracketed:
        end = "smallest" if lowest == 0 else "largest"
        return f"the free energy is lowest at the {end} volume, {names[lowest]}: its minimum lies outside", (
            -1 if lowest == 0 else 1
        )
    if not bracketed or modulus <= 0:
        return (
            f"the curve has its minimum at {minimum:.3f} Å³, but the lowest point is that at {names[lowest]}:"
            " the points do not lie on an equation of state"
        ), 0
    if residual > RESIDUAL:
        return (
            f"the curve misses its points by {100 * residual:.1f} % of its depth (RMS; {100 * RESIDUAL:g} % is"
            " allowed): they do not lie on an equation of state"
        ), 0
    return "", 0


def _static_doubts(volumes: NDArray[np.float64], static: NDArray[np.float64], name: str) -> tuple[list[str], float]:
    """Doubts that hold at every temperature, and the static bulk modulus [eV/Å³]; 0 where there is none."""
    try:
        _, modulus, derivative, _ = fit_to_eos(volumes, static, get_eos(name))
    except RuntimeError:
        return ["derivative"], 0.0
    return ([] if SOUND_DERIVATIVES[0] <= derivative <= SOUND_DERIVATIVES[1] else ["derivative"]), float(modulus)


def _variants(
    volumes: NDArray[np.float64], energies: NDArray[np.float64], near: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Equilibrium volumes by Birch's series of third order, then of fourth, then without each of the volumes."""
    equilibria = [_minima(volumes, energies, n_terms, near) for n_terms in (4, 5)]
    for left_out in range(len(volumes)):
        kept = np.arange(len(volumes)) != left_out
        equilibria.append(_minima(volumes[kept], energies[:, kept], 4, near))
    return equilibria


def _minima(
    volumes: NDArray[np.float64], energies: NDArray[np.float64], n_terms: int, near: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_temperatures,) volumes at which series in V^(-2/3), fitted to (n_temperatures, n_volumes), are minimal.

    Birch's equation of state of third order has four terms. Linear in its coefficients: all temperatures at once.
    NaN where there is no minimum within the volumes, widened by their distance.
    """
    x = volumes ** (-2 / 3)
    centre, width = x.mean(), np.ptp(x) / 2
    coefficients = np.polynomial.polynomial.polyfit((x - centre) / width, energies.T, n_terms - 1)
    slope = np.polynomial.polynomial.polyder(coefficients)
    curvature = np.polynomial.polynomial.polyder(slope)
    u = (np.asarray(near) ** (-2 / 3) - centre) / width
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(30):
            u = u - _value(slope, u) / _value(curvature, u)
        within = np.abs(u) < 1.5
        minimal = within & (_value(curvature, u) > 0) & (np.abs(_value(slope, u)) < 1e-9)
        return np.where(minimal, np.abs(centre + width * u) ** -1.5, np.nan)


def _value(coefficients: NDArray[np.floating], u: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) values of n polynomials, given by coefficients (n_terms, n), each at its own place (n,)."""
    return np.sum(coefficients * u ** np.arange(len(coefficients))[:, None], axis=0)


def _expansions(equilibria: NDArray[np.float64], temperatures: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_temperatures,) thermal expansion of the volume [1/K]."""
    return np.gradient(equilibria, temperatures) / equilibria
