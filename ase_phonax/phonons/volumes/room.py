"""Volumes to add where the minimum of the free energy nears the end of those computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from phonopy.physical_units import get_physical_units

from .points import LARGEST_RATIO, SMALLEST_RATIO, VolumePoint, odd_mesh_numbers

ADDED, MOST_ADDED = 2, 4  # at a time, and in all: each costs a relaxation and force constants


def ratios_wanted(points: Sequence[VolumePoint], t_max: float, pressure_gpa: float, mesh_length: float) -> list[float]:
    """Ratios beyond the volumes computed, where the lowest free energy at 0 K or at t_max nears their end.

    It does where the lowest point is the last, or where the parabola through the lowest three has its minimum
    between the last two. Nothing is wanted beyond a volume with imaginary modes.

    Args:
        points: of `phonons_at_volumes`; those with imaginary modes do not count.
        t_max: highest temperature [K].
        pressure_gpa: at which G is minimal [GPa].
        mesh_length: as in `get_quasi_harmonic` [Å].

    Returns:
        `ADDED` ratios in the distance of the last two, or none.
    """
    ordered = sorted(points, key=lambda point: point.volume)
    stable = [point for point in ordered if not point.imaginary]
    if len(stable) < 3:
        return []
    volumes = np.array([point.volume for point in stable])
    at_zero, at_highest = _free_energies(stable, t_max, pressure_gpa, mesh_length)
    ratios = [point.ratio for point in stable]
    wanted: list[float] = []
    if stable[-1] is ordered[-1] and _nears_the_end(volumes, at_highest):
        wanted = [ratios[-1] + k * (ratios[-1] - ratios[-2]) for k in range(1, ADDED + 1)]
    elif stable[0] is ordered[0] and _nears_the_end(-volumes[::-1], at_zero[::-1]):
        wanted = [ratios[0] - k * (ratios[1] - ratios[0]) for k in range(ADDED, 0, -1)]
    return [round(ratio, 10) for ratio in wanted if SMALLEST_RATIO < ratio < LARGEST_RATIO]


def _free_energies(
    points: Sequence[VolumePoint], t_max: float, pressure_gpa: float, mesh_length: float
) -> NDArray[np.float64]:
    """Free energies (2, n_volumes) at 0 K and at t_max [eV], pV included."""
    numbers = odd_mesh_numbers(points[-1].phonopy, mesh_length)
    units = get_physical_units()
    columns = []
    for point in points:
        point.phonopy.run_mesh(numbers)
        heat = point.phonopy.run_thermal_properties(temperatures=[0.0, t_max], exclude_gamma_acoustic=True)
        static = point.energy + pressure_gpa / units.EVAngstromToGPa * point.volume
        columns.append(static + np.asarray(heat.free_energy) / units.EvTokJmol)
    return np.stack(columns, axis=1)


def _nears_the_end(volumes: NDArray[np.float64], energies: NDArray[np.float64]) -> bool:
    """Whether the minimum lies beyond the last but one of ascending volumes, as far as the lowest points say."""
    lowest, last = int(np.argmin(energies)), len(volumes) - 1
    if lowest < last - 1:
        return False
    if lowest == last:
        return True
    around = slice(lowest - 1, lowest + 2)
    curvature, slope, _ = np.polyfit(volumes[around] - volumes[lowest], energies[around], 2)
    return bool(-slope / (2 * curvature) > 0)
