"""Group velocities from exact derivatives of the dynamical matrix.

For a mode of D(k) e = l e the velocity is dl/dk = <e| dD/dk |e> (Hellmann and Feynman), in frequencies
df/dk = dl/dk / (8 pi² f). Where modes are degenerate, those combinations count that stay modes a step
further along a direction: the eigenvectors of dD/dk along it within the set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from phonopy.structure.atoms import PhonopyAtoms

from ...base.errors import InputError
from ...base.units import THZ_PER_SQRT_EV_A2_AMU
from ..calculators import SlopeCalculator

if TYPE_CHECKING:
    from ...base.progress import Progress

DEGENERATE_THZ = 1e-4  # phonopy's
STILL_THZ = 1e-3  # below it a frequency is zero or noise, and its slope has no meaning
DIRECTION = (1.0, 2.0, 3.0)  # general: no symmetry of a crystal keeps it


def get_group_velocities(
    calc: SlopeCalculator,
    atoms: Atoms | PhonopyAtoms,
    qpoints: ArrayLike,
    *,
    direction: ArrayLike = DIRECTION,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact frequencies and group velocities, from the cell alone.

    Args:
        calc: a `PhonaxCalculator`.
        atoms: a crystal, usually primitive; `phonopy.primitive` will do.
        qpoints: (n_q, 3) or (3,) reduced.
        direction: (3,) Cartesian, along which degenerate modes are told apart.
        progress: called with (done, total) columns.

    Returns:
        frequencies (n_q, 3n) [THz], ascending, imaginary as negative, and velocities (n_q, 3n, 3) [THz Å],
        which is 100 m/s; zero where a frequency is below STILL_THZ or imaginary, as in phonopy.
    """
    direction = np.asarray(direction, float)
    if direction.shape != (3,) or not np.isfinite(direction).all() or not direction.any():
        raise InputError(
            f"the direction is {direction.tolist()}",
            "degenerate modes are told apart by their slope along a vector",
            "give three numbers, not all zero",
        )
    qpoints = np.asarray(qpoints, float).reshape(-1, 3)
    matrices = calc.get_dynamical_matrix(atoms, qpoints, progress=progress)
    gradients = calc.get_dynamical_matrix_gradient(atoms, qpoints, progress=progress)
    along = direction / np.linalg.norm(direction)
    modes = [_at_one(*pair, along) for pair in zip(matrices, gradients, strict=True)]
    frequencies, velocities = zip(*modes, strict=True)
    return np.array(frequencies), np.array(velocities)


def _at_one(matrix: NDArray, gradient: NDArray, direction: NDArray) -> tuple[NDArray, NDArray]:
    """Frequencies (3n,) and velocities (3n, 3) at one wave vector, from D (3n, 3n) and its gradient (3, 3n, 3n)."""
    eigenvalues, vectors = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    frequencies = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU
    sets = np.split(np.arange(len(frequencies)), np.flatnonzero(np.diff(frequencies) > DEGENERATE_THZ) + 1)
    along = np.einsum("a,aij->ij", direction, gradient)
    for members in sets:
        e = vectors[:, members]
        slope = e.conj().T @ along @ e
        vectors[:, members] = e @ np.linalg.eigh((slope + slope.conj().T) / 2)[1]
    slopes = np.einsum("in,aij,jn->na", vectors.conj(), gradient, vectors, optimize=True).real
    moving = frequencies > STILL_THZ
    velocities = np.zeros_like(slopes)
    velocities[moving] = slopes[moving] * THZ_PER_SQRT_EV_A2_AMU**2 / (2 * frequencies[moving, None])
    return frequencies, velocities
