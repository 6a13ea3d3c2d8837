"""From the lattice phase, in which derivatives are taken, to phonopy's: docs/conventions.md."""

import numpy as np
from numpy.typing import ArrayLike

from ..base.errors import InputError
from ..base.units import THZ_PER_SQRT_EV_A2_AMU


def wave_vectors(qpoints: ArrayLike) -> np.ndarray:
    """One or several wave vectors (3,) or (n_q, 3) in reduced coordinates, checked: (n_q, 3).

    Raises:
        InputError: other shapes, or numbers that are not finite.
    """
    vectors = np.asarray(qpoints, float)
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != 3 or not np.isfinite(vectors).all():
        raise InputError(
            f"the wave vectors are {np.array2string(vectors, threshold=9)}",
            "each needs three finite reduced coordinates",
            "give (3,) or (n_q, 3) numbers",
        )
    return vectors.reshape(-1, 3)


def phonopy_dynamical_matrices(
    lattice: np.ndarray, qpoints: np.ndarray, scaled_positions: np.ndarray, masses: np.ndarray
) -> np.ndarray:
    """Dynamical matrices in phonopy's convention, from sums in the lattice phase.

    D_ij(q) = exp[2 pi i q.(f_j - f_i)] sum_R Phi_ij(R) exp(2 pi i q.R) / sqrt(m_i m_j).

    Args:
        lattice: (n_q, 3n, 3n) sums over R [eV/Å²].
        qpoints: (n_q, 3) reduced.
        scaled_positions: (n, 3) of the atoms the lattice sums refer to, not wrapped.
        masses: (n,) [amu].

    Returns:
        (n_q, 3n, 3n) complex [eV/Å²/amu].
    """
    phase = np.repeat(np.exp(2j * np.pi * np.asarray(qpoints) @ scaled_positions.T), 3, axis=1)
    root = np.repeat(np.sqrt(masses), 3)
    return phase.conj()[:, :, None] * lattice * phase[:, None, :] / np.outer(root, root)


def phonopy_dynamical_gradients(
    lattice: np.ndarray,
    slopes: np.ndarray,
    qpoints: np.ndarray,
    scaled_positions: np.ndarray,
    masses: np.ndarray,
    cell: np.ndarray,
) -> np.ndarray:
    """dD/dk in phonopy's convention, k in 1/Å without 2 pi.

    Args:
        lattice: (n_q, 3n, 3n) sums over R [eV/Å²].
        slopes: (n_q, 3, 3n, 3n) its derivatives along the reduced components of q [eV/Å²].
        qpoints: (n_q, 3) reduced.
        scaled_positions: (n, 3) of the atoms the lattice sums refer to, not wrapped.
        masses: (n,) [amu].
        cell: (3, 3) lattice vectors in rows [Å].

    Returns:
        (n_q, 3, 3n, 3n) along x, y, z [eV/Å/amu].
    """
    apart = np.repeat(np.repeat(scaled_positions[None] - scaled_positions[:, None], 3, 0), 3, 1)
    full = slopes + 2j * np.pi * np.moveaxis(apart, -1, 0) * lattice[:, None]
    along = [phonopy_dynamical_matrices(full[:, x], qpoints, scaled_positions, masses) for x in range(3)]
    # q_x = a_x.k, so that d/dk = sum over x of a_x d/dq_x.
    return np.einsum("xqij,xa->qaij", along, cell)


def frequencies_thz(dynamical: np.ndarray) -> np.ndarray:
    """Frequencies (..., 3n) [THz], ascending, imaginary ones negative, of D(q) [eV/Å²/amu]."""
    return signed_roots_thz(np.linalg.eigvalsh(dynamical))


def signed_roots_thz(eigenvalues: np.ndarray) -> np.ndarray:
    """Frequencies [THz], imaginary ones negative, of eigenvalues of D(q) [eV/Å²/amu]."""
    return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU


def mass_weighted(matrices: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """D(q) (..., 3n, 3n) [eV/Å²/amu], Hermitian, of second derivatives [eV/Å²] and masses (n,) [amu]."""
    roots = np.sqrt(np.repeat(masses, 3))
    weighted = matrices / np.outer(roots, roots)
    return (weighted + weighted.conj().swapaxes(-1, -2)) / 2
