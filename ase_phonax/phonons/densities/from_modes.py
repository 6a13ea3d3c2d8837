"""Densities of states of modes, on the grid and with the smoothing of those that networks learn: to learn from, and to
hold a network's against.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy

from ...base.errors import InputError, UnstableWarning
from ...base.sharing import ignored_warnings
from ...base.units import CM1_PER_THZ
from ...derivatives.conventions import signed_roots_thz
from ...models.spectra.densities import GRID_CM1
from ..sampling.meshes import gamma_acoustics, sampled_mesh
from ..supercell.constants import interpolated_dynamical_matrices
from ..supercell.door import checked, dynamical_matrix, require_our_units
from ..supercell.objects import get_phonopy
from .prediction import GRID_THZ, MODES, STEP_THZ, DensityOfStates, check_periodic

if TYPE_CHECKING:
    from ..calculators import ModelCalculator

SMOOTHING_CM1 = 15.0  # standard deviation, found in the densities that networks learn from
MESH_LENGTH = 20.0  # [Å] times the length of a reciprocal vector: wave vectors along it
IMAGINARY_CM1 = 5.0  # modes below minus this count as imaginary; those up to zero are left out without a word


def exact_density(
    atoms: Atoms, calc: ModelCalculator, *, mesh_length: float = MESH_LENGTH, smoothing_cm1: float = SMOOTHING_CM1
) -> DensityOfStates:
    """The density of states of a potential, of each atom, from exact D(q) on a mesh.

    Modes with imaginary frequencies are left out, and what is left holds three modes for each atom all the same; how
    many there were is told.

    Args:
        atoms: a crystal, which is computed as it is: nothing is relaxed.
        calc: gives D(q), as `PhonaxCalculator` does.
        mesh_length: of the mesh [Å].
        smoothing_cm1: standard deviation of the Gaussian that each mode becomes [1/cm].

    Raises:
        StructureError: no crystal in three dimensions, or one that the potential cannot compute.
        InputError: lengths that are not positive.
    """
    _check_sizes(mesh_length, smoothing_cm1)
    check_periodic(atoms)
    with ignored_warnings("The cell is kept with", UnstableWarning):  # densities are for an atom, whatever the cell
        phonopy = get_phonopy(atoms, calc, 1)
    qpoints, weights = _mesh(phonopy, mesh_length)
    matrices = calc.get_dynamical_matrix(atoms, qpoints)
    return _density(phonopy, matrices, qpoints, weights, smoothing_cm1, calc.potential.name)


def phonopy_density(
    phonopy: Phonopy, *, mesh_length: float = MESH_LENGTH, smoothing_cm1: float = SMOOTHING_CM1
) -> DensityOfStates:
    """The same of a phonopy object, for its primitive cell, by what it interpolates from its supercell.

    Args:
        phonopy: with force constants; meshes and densities that it holds stay as they are.
        mesh_length: of the mesh [Å].
        smoothing_cm1: standard deviation of the Gaussian that each mode becomes [1/cm].

    Raises:
        InputError: no force constants, or lengths that are not positive.
    """
    _check_sizes(mesh_length, smoothing_cm1)
    require_our_units(checked(phonopy))
    dynamical_matrix(phonopy)
    qpoints, weights = _mesh(phonopy, mesh_length)
    matrices = interpolated_dynamical_matrices(phonopy, qpoints)
    return _density(phonopy, matrices, qpoints, weights, smoothing_cm1, "phonopy")


def _check_sizes(*sizes: float) -> None:
    if not all(np.isfinite(size) and size > 0 for size in sizes):
        raise InputError(
            f"mesh_length and smoothing_cm1 are {sizes}",
            "modes are counted on a mesh, and each is smoothed",
            "give both above zero",
        )


def _mesh(phonopy: Phonopy, length: float) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Irreducible wave vectors and their weights."""
    aside = copy.copy(phonopy)
    aside.init_mesh(_mesh_numbers(phonopy, length), is_gamma_center=True)
    mesh = sampled_mesh(aside)
    return mesh.qpoints, mesh.weights


def _mesh_numbers(phonopy: Phonopy, length: float) -> NDArray[np.int_]:
    """Odd numbers of wave vectors along each vector, around Gamma, so that the mesh has the crystal's symmetry."""
    lengths = np.linalg.norm(np.linalg.inv(phonopy.primitive.cell), axis=0)
    numbers = 2 * np.rint(length * lengths / 2).astype(int) + 1
    rotations = phonopy.primitive_symmetry.pointgroup_operations.transpose(0, 2, 1)
    turned = numbers[:, None] * rotations / numbers
    whole = np.abs(turned - np.rint(turned)).max() < 1e-9
    return numbers if whole else np.full(3, numbers.max())  # vectors of body-centred cells go over into sums of others


def _density(
    phonopy: Phonopy,
    matrices: NDArray[np.complex128],
    qpoints: NDArray[np.float64],
    weights: NDArray[np.int_],
    smoothing_cm1: float,
    name: str,
) -> DensityOfStates:
    """Of D(q) of a primitive cell, each mode a Gaussian, atoms that symmetry exchanges alike."""
    eigenvalues, vectors = np.linalg.eigh(matrices)
    frequencies = CM1_PER_THZ * signed_roots_thz(eigenvalues)
    counts = np.repeat(weights[:, None], frequencies.shape[1], axis=1).astype(float)
    counts[gamma_acoustics(qpoints, frequencies)] = 0
    imaginary = float(counts[frequencies < -IMAGINARY_CM1].sum() / counts.sum())
    counts[frequencies <= 0] = 0
    sizes = (np.abs(vectors) ** 2).reshape(len(matrices), len(phonopy.primitive), 3, -1).sum(axis=2)
    by_atom = np.zeros((sizes.shape[1], len(GRID_CM1)))
    for count, size, own in zip(counts, sizes, frequencies, strict=True):
        by_atom += (count * size) @ np.exp(-((GRID_CM1 - own[:, None]) ** 2) / 2 / smoothing_cm1**2)
    by_atom[:, 0] = 0  # Debye's density begins at zero
    orbits = phonopy.primitive_symmetry.get_map_atoms()
    for first in np.unique(orbits):
        by_atom[orbits == first] = by_atom[orbits == first].mean(axis=0)
    by_atom *= MODES / STEP_THZ / by_atom.sum(axis=1, keepdims=True)
    return DensityOfStates(GRID_THZ.copy(), by_atom, name, imaginary=imaginary)
