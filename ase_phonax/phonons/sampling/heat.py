"""Heat from meshes of wave vectors, and the mesh at which it stops changing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.mesh import Mesh
from phonopy.phonon.thermal_properties import ThermalProperties
from phonopy.physical_units import get_physical_units

from ..defaults import EVERYWHERE, MESH_LENGTH
from .meshes import ZERO_THZ, gamma_acoustics, get_mesh, sampled_mesh

FIRST_MESH_LENGTH = 20.0  # [Å] where a series of exact meshes begins
CONVERGED = 1e-3  # relative, of heat at 300 K: a tenth of what potentials are good for


@dataclass(frozen=True)
class MeshStep:
    """A mesh and its heat at 300 K, per mole of primitive cells [kJ/mol, J/K/mol, J/K/mol]."""

    numbers: tuple[int, ...]
    n_irreducible: int
    free_energy: float
    entropy: float
    heat_capacity: float
    n_modes: int

    def change(self, other: MeshStep) -> float:
        """Largest relative difference; that of free energies in units of RT per mode."""
        return max(
            abs(self.entropy - other.entropy) / abs(self.entropy or 1.0),
            abs(self.heat_capacity - other.heat_capacity) / abs(self.heat_capacity or 1.0),
            abs(self.free_energy - other.free_energy) / (2.494 * self.n_modes),
        )


def converge_mesh(
    phonopy: Phonopy, *, repeated: tuple[bool, bool, bool] = EVERYWHERE, tolerance: float = CONVERGED
) -> tuple[Mesh, list[MeshStep]]:
    """The coarsest of a series of meshes whose heat at 300 K has stopped changing.

    For exact D(q), where a q-point costs something: lengths grow by half from 20 Å to MESH_LENGTH.

    Args:
        phonopy: with force constants; inside `exact_matrices` for exact meshes.
        repeated: as in `get_mesh`.
        tolerance: relative change of entropy and heat capacity, and of the free energy over k_B T per mode.

    Returns:
        the last mesh, and every one tried.
    """
    steps: list[MeshStep] = []
    length = FIRST_MESH_LENGTH
    while True:
        mesh = get_mesh(phonopy, length, repeated=repeated)
        steps.append(_heat_step(phonopy, mesh))
        if (len(steps) > 1 and steps[-1].change(steps[-2]) < tolerance) or length >= MESH_LENGTH:
            return mesh, steps
        length = min(1.5 * length, MESH_LENGTH)


def _heat_step(phonopy: Phonopy, mesh: Mesh) -> MeshStep:
    """The mesh at hand, with its heat at 300 K."""
    heat = get_thermal_properties(phonopy, [300.0]).thermal_properties
    assert heat is not None, "thermal properties have been run"
    _, free_energy, entropy, heat_capacity = (float(np.ravel(x)[0]) for x in heat)
    n_modes = mesh.frequencies.shape[1]
    numbers = tuple(int(n) for n in mesh.mesh_numbers)
    return MeshStep(numbers, len(mesh.qpoints), free_energy, entropy, heat_capacity, n_modes)


def get_thermal_properties(
    phonopy: Phonopy, temperatures: Sequence[float] | NDArray[np.float64] | None = None
) -> ThermalProperties:
    """Free energy, entropy and heat capacity at constant volume from the mesh at hand.

    Modes at or below 0.001 THz, or below the noise of the acoustic modes at Gamma where that is larger,
    are left out: imaginary ones, and the three translations.

    Args:
        phonopy: after `get_mesh`.
        temperatures: [K]; 0 to 1000 in steps of 10 unless given.

    Returns:
        phonopy's thermal properties, per mole of primitive cells [kJ/mol, J/K/mol].
    """
    if temperatures is None:
        temperatures = np.arange(0.0, 1001.0, 10.0)
    cutoff = thermal_cutoff(sampled_mesh(phonopy))
    return phonopy.run_thermal_properties(temperatures=temperatures, cutoff_frequency=cutoff)


def thermal_cutoff(mesh: Mesh) -> float:
    """Frequency at or below which modes have no heat [THz]: ZERO_THZ, or what acoustic modes at Gamma have as noise."""
    noise = np.abs(mesh.frequencies[gamma_acoustics(mesh.qpoints, mesh.frequencies)]).max(initial=0.0)
    return max(ZERO_THZ, 1.01 * float(noise))


def mode_heat_capacities(frequencies_thz: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Heat capacity of harmonic modes, (x / 2 sinh(x/2))² with x = hν/kT, in units of k; 0 for imaginary ones.

    Args:
        frequencies_thz: any shape.
        temperature: [K], above 0.
    """
    units = get_physical_units()
    half = np.asarray(frequencies_thz) * units.THzToEv / (2 * units.KB * temperature)
    real = (half > 0) & (half < 300)  # sinh overflows at 700, where the heat has long been zero
    safe = np.where(real, half, 1.0)
    return np.where(real, (safe / np.sinh(safe)) ** 2, 0.0)
