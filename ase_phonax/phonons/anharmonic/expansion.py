"""Thermal expansion in the Grüneisen approximation: what heat pulls, over how stiff the crystal is.

    alpha = S sum_modes C gamma / V,        gamma_xy = - d ln omega / d eps_xy,

S the compliance with atoms that follow, C heat capacities of harmonic modes (docs/conventions.md). To first order in
the strain that heat causes, with its elastic constants at rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

from ...derivatives.conventions import signed_roots_thz
from ..elastic.constants import ElasticConstants
from ..sampling.heat import mode_heat_capacities
from ..sampling.meshes import ZERO_THZ, gamma_acoustics
from ..supercell.door import dynamical_matrix
from .strained_constants import as_engineers


@dataclass(frozen=True)
class StrainedModes:
    """Modes of a mesh, and how they change with the strains that the crystal's symmetry allows.

    Attributes:
        strains: (k, 3, 3).
        frequencies_thz: (n_q, bands), 0 of the three translations.
        gamma: (k, n_q, bands), - d ln omega / d s of strains s times each of these; 0 of modes at zero. Of modes that
            share a frequency their sum alone means something.
        weights: (n_q,) of the irreducible wave vectors.
        volume: of the primitive cell [Å³].
        elastic: constants of the crystal, where they are known.
    """

    strains: NDArray[np.float64]
    frequencies_thz: NDArray[np.float64]
    gamma: NDArray[np.float64]
    weights: NDArray[np.int64]
    volume: float
    elastic: ElasticConstants | None = None

    def free_energy(self, temperature: float) -> float:
        """Of the modes, per primitive cell, at or above 0 K [eV]."""
        quanta, real, thermal = self._quanta(temperature)
        free = quanta / 2 if thermal == 0 else quanta / 2 + thermal * np.log1p(-np.exp(-quanta / thermal))
        return float(np.sum(np.where(real, free, 0.0) * self.weights[:, None]) / self.weights.sum())

    def slopes(self, temperature: float) -> NDArray[np.float64]:
        """Derivatives of the free energy by the amounts of each strain: (k,) [eV]."""
        quanta, real, thermal = self._quanta(temperature)
        energies = quanta / 2 if thermal == 0 else quanta / 2 / np.tanh(quanta / 2 / thermal)
        energies = np.where(real, energies, 0.0) * self.weights[:, None]
        return -np.einsum("qm,kqm->k", energies, self.gamma) / self.weights.sum()

    def _quanta(self, temperature: float) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
        """Quanta of modes [eV], harmless numbers in place of those that are not real; which are; and kT [eV]."""
        units = get_physical_units()
        real = self.frequencies_thz > ZERO_THZ
        return np.where(real, self.frequencies_thz, 1.0) * units.THzToEv, real, units.KB * temperature

    def expansion(self, temperatures: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Thermal expansion d eps / dT at temperatures (t,) above 0 [K]: (t, 3, 3) symmetric [1/K]."""
        assert self.elastic is not None, "the crystal's stiffness is known"
        units = get_physical_units()
        basis = as_engineers(self.strains)
        # Constants couple these strains to no others: symmetry forbids it.
        stiffness = basis @ self.elastic.relaxed_ion @ basis.T
        result = []
        for temperature in np.atleast_1d(np.asarray(temperatures, float)):
            heat = mode_heat_capacities(self.frequencies_thz, float(temperature)) * self.weights[:, None]
            pull = np.einsum("qm,kqm->k", heat, self.gamma) / self.weights.sum() * units.KB / self.volume
            amounts = np.linalg.solve(stiffness / units.EVAngstromToGPa, pull)
            result.append(np.einsum("k,kxy->xy", amounts, self.strains))
        return np.array(result)


def strained_modes(
    phonopy: Phonopy,
    constants: NDArray[np.float64],
    strains: NDArray[np.float64],
    qpoints: NDArray[np.float64],
    weights: NDArray[np.int64],
) -> StrainedModes:
    """Modes of a mesh and their changes with strains.

    Args:
        phonopy: with force constants.
        constants: (k, n_primitive, n_supercell, 3, 3) of `strained_constants`.
        strains: (k, 3, 3) that these belong to.
        qpoints, weights: of the mesh.
    """
    matrix = dynamical_matrix(phonopy)
    changed = [with_constants(matrix, own) for own in constants]
    n = 3 * len(phonopy.primitive)
    frequencies, gamma = np.zeros((len(qpoints), n)), np.zeros((len(constants), len(qpoints), n))
    for row, q in enumerate(qpoints):
        matrix.run(q)
        squares, modes = np.linalg.eigh(np.asarray(matrix.dynamical_matrix))
        frequencies[row] = signed_roots_thz(squares)
        # The three translations are no modes, whatever their noise.
        frequencies[row, gamma_acoustics(q[None], frequencies[row : row + 1])[0]] = 0.0
        moving = frequencies[row] > ZERO_THZ
        for k, own in enumerate(changed):
            own.run(q)
            slopes = np.einsum("im,ij,jm->m", modes.conj(), own.dynamical_matrix, modes, optimize=True).real
            gamma[k, row, moving] = -slopes[moving] / (2 * squares[moving])
    return StrainedModes(strains, frequencies, gamma, weights, float(phonopy.primitive.volume))


def with_constants(matrix: Any, constants: NDArray[np.float64]) -> Any:
    """What gives D(q) of the same cells with other constants (n_primitive, n_supercell, 3, 3)."""
    return type(matrix)(matrix.supercell, matrix.primitive, np.ascontiguousarray(constants))
