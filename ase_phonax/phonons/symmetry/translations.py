"""How much of a mode is a translation of the crystal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def translation_weights(masses: NDArray[np.float64], eigenvectors: NDArray) -> NDArray[np.float64]:
    """How much of each eigenvector at Gamma is a translation of the whole crystal: 1 or 0 but for noise.

    Args:
        masses: (n_atoms,) [amu].
        eigenvectors: (3 n_atoms, n_modes) columns of length one.

    Returns:
        (n_modes,) squared norms of the projections.
    """
    translations = (np.sqrt(masses / masses.sum())[:, None, None] * np.eye(3)).reshape(-1, 3)
    return np.sum(np.abs(translations.T @ eigenvectors) ** 2, axis=0)
