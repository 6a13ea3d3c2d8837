"""Densities of states of a potential, exact, on the grid and with the smoothing of those that networks learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ...base.sharing import ignored_warnings
from ...base.units import CM1_PER_THZ
from ...derivatives.conventions import frequencies_thz
from ...models.spectra.densities import GRID_CM1
from ..sampling.meshes import gamma_acoustics, sampled_mesh
from ..supercell.objects import get_phonopy
from .prediction import GRID_THZ, MODES, STEP_THZ, DensityOfStates

if TYPE_CHECKING:
    from ..calculators import ModelCalculator

SMOOTHING_CM1 = 15.0  # standard deviation; found in the published densities (docs/densities.md)
MESH_LENGTH = 20.0  # [Å] times the length of a reciprocal vector: wave vectors along it
IMAGINARY_CM1 = 5.0  # below minus this a frequency is imaginary, and above it is noise of a translation


def exact_density(
    atoms: Atoms, calc: ModelCalculator, *, mesh_length: float = MESH_LENGTH, smoothing_cm1: float = SMOOTHING_CM1
) -> DensityOfStates:
    """The density of states of a potential, of each atom, from exact D(q) on a mesh: to hold a network's against.

    Modes with imaginary frequencies are left out, and what is left holds three modes for each atom all the same; how
    many there were is told.

    Args:
        atoms: a primitive cell, which is computed as it is: nothing is relaxed.
        calc: gives D(q), as `PhonaxCalculator` does.
        mesh_length: of the mesh [Å].
        smoothing_cm1: standard deviation of the Gaussian that each mode becomes [1/cm].
    """
    phonopy = get_phonopy(atoms, calc, 1)
    # Odd numbers around Gamma: such a mesh has the symmetry of every crystal.
    lengths = np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    numbers = 2 * np.rint(mesh_length * lengths / 2).astype(int) + 1
    with ignored_warnings(".*is incompatible with the primitive-cell point group"):
        phonopy.init_mesh(numbers, is_gamma_center=True)
    mesh = sampled_mesh(phonopy)
    matrices = calc.get_dynamical_matrix(atoms, mesh.qpoints)
    frequencies = CM1_PER_THZ * frequencies_thz(matrices)
    weights = np.repeat(mesh.weights[:, None], frequencies.shape[1], axis=1).astype(float)
    weights[gamma_acoustics(mesh.qpoints, frequencies)] = 0
    imaginary = frequencies < -IMAGINARY_CM1
    share = float(weights[imaginary].sum() / weights.sum())
    weights[frequencies <= 0] = 0
    _, vectors = np.linalg.eigh(matrices)
    sizes = (np.abs(vectors) ** 2).reshape(len(matrices), len(atoms), 3, -1).sum(axis=2)
    peaks = np.exp(-((GRID_CM1 - frequencies[..., None]) ** 2) / 2 / smoothing_cm1**2)
    by_atom = np.einsum("qm,qam,qmx->ax", weights, sizes, peaks)
    by_atom[:, 0] = 0  # Debye's density begins at zero
    orbits = phonopy.symmetry.get_map_atoms()
    for first in np.unique(orbits):
        by_atom[orbits == first] = by_atom[orbits == first].mean(axis=0)
    by_atom *= MODES / STEP_THZ / by_atom.sum(axis=1, keepdims=True)
    return DensityOfStates(GRID_THZ.copy(), by_atom, calc.potential.name, imaginary=share)
