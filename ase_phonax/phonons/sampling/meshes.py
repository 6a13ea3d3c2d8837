"""Phonons sampled over the Brillouin zone: meshes and densities of states.

Every function takes a `Phonopy` object with force constants and returns phonopy's own results. Meshes
are centred on Gamma: an even mesh beside it loses symmetry in centred lattices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.dos import ProjectedDos, TotalDos
from phonopy.phonon.mesh import Mesh

from ...base.errors import InputError
from ...base.sharing import ignored_warnings
from ..defaults import EVERYWHERE, MESH_LENGTH
from ..supercell.door import checked, dynamical_matrix

PROJECTED_MESH_LENGTH = 40.0  # [Å] the projected DOS needs every q-point, unreduced by symmetry
LARGEST_MESH = 300**3  # q-points
DOS_POINTS = 301
IMAGINARY_THRESHOLD_THZ = 0.05  # below minus this a mode counts as imaginary: interpolation noise is smaller
ZERO_THZ = 1e-3  # at or below, a mode is no vibration: it has no heat, no amplitude and no Grüneisen parameter


def get_mesh(
    phonopy: Phonopy,
    length: float = MESH_LENGTH,
    *,
    numbers: Sequence[int] | None = None,
    repeated: tuple[bool, bool, bool] = EVERYWHERE,
) -> Mesh:
    """Frequencies on a mesh that holds Gamma and the full symmetry, reduced to irreducible q-points.

    Args:
        phonopy: with force constants.
        length: q-points along each reciprocal vector b are length * |b| / 2 pi, at least 1 [Å].
        numbers: (3,) of q-points along each reciprocal vector, instead of `length`.
        repeated: directions that are sampled; the others, the vacuum of a layer, get one q-point.

    Raises:
        InputError: no force constants; numbers that are no mesh, or more q-points than LARGEST_MESH.
    """
    dynamical_matrix(checked(phonopy))
    check_mesh(numbers_of_length(phonopy.primitive.cell, length) if numbers is None else numbers)
    if numbers is None and all(repeated):
        # phonopy picks symmetric numbers of its own for skewed cells, and says so; nothing is lost.
        with ignored_warnings(".*from length input.*incompatible"):
            return phonopy.run_mesh(float(length), is_gamma_center=True)
    if numbers is None:
        numbers = np.where(repeated, numbers_of_length(phonopy.primitive.cell, length), 1).tolist()
    return phonopy.run_mesh(list(numbers), is_gamma_center=True)


def check_mesh(numbers: Sequence[float] | NDArray[Any]) -> None:
    """Refuse what is no mesh, or fits no memory: phonopy would panic, or not come back.

    Args:
        numbers: (3,) of q-points along each reciprocal vector.

    Raises:
        InputError: with the number of q-points.
    """
    counts = np.asarray(numbers, float).ravel()
    if (
        counts.shape != (3,)
        or not np.all(np.isfinite(counts))
        or np.any(counts < 1)
        or np.any(counts != np.rint(counts))
    ):
        raise InputError(
            f"the mesh {np.asarray(numbers).tolist()} is not made of three whole numbers above zero",
            "it counts q-points along three reciprocal vectors",
            "give three such as 20 20 20, or a length",
        )
    if np.prod(counts) > LARGEST_MESH:
        raise InputError(
            f"the mesh {' x '.join(f'{n:.0f}' for n in counts)} has {np.prod(counts):.3g} q-points",
            f"beyond {LARGEST_MESH:.3g} they fit no memory, and heat has converged long before",
            "take a coarser one; 100 Å is the length by default",
        )


def numbers_of_length(cell: NDArray[np.float64], length: float) -> NDArray[np.int64]:
    """(3,) q-points along each reciprocal vector b of a cell [Å], vectors in rows: length * |b| / 2 pi, at least 1."""
    reciprocal_lengths = np.linalg.norm(np.linalg.inv(cell), axis=0)
    return np.maximum(1, np.rint(np.minimum(length * reciprocal_lengths, 1e15))).astype(np.int64)


def sampled_mesh(phonopy: Phonopy) -> Mesh:
    """The mesh that the object holds.

    Raises:
        InputError: none has been run.
    """
    checked(phonopy)
    if not isinstance(phonopy.mesh, Mesh):
        raise InputError(
            "the Phonopy object has no mesh of frequencies",
            "densities of states and thermal properties are sums over one",
            "run ase_phonax.get_mesh(phonopy) first",
        )
    return phonopy.mesh


def get_densities(
    phonopy: Phonopy, length: float = PROJECTED_MESH_LENGTH, *, repeated: tuple[bool, bool, bool] = EVERYWHERE
) -> tuple[TotalDos, ProjectedDos]:
    """Total density of states from the mesh at hand, and its projections on atoms.

    Run `get_mesh` first. The projected one needs eigenvectors at all q-points and therefore a coarser
    mesh of its own, never a finer one, which is the one that phonopy keeps afterwards. Both are on one frequency grid.

    Args:
        phonopy: after `get_mesh`.
        length: of the projected mesh, as in `get_mesh` [Å].
        repeated: as in `get_mesh`.

    Raises:
        InputError: as `get_mesh`.

    Returns:
        total (n_frequencies,) and projected (n_atoms, n_frequencies) densities [states/THz/primitive cell].
    """
    sampled = sampled_mesh(phonopy)
    frequencies = sampled.frequencies
    lowest, highest = float(frequencies.min()), float(frequencies.max())
    margin = 0.02 * max(highest - lowest, 1e-3)
    # A stable crystal starts at zero: its acoustic noise would put the first point at -1e-7.
    start = 0.0 if lowest > -IMAGINARY_THRESHOLD_THZ else lowest - margin
    end = highest + margin
    pitch = (end - start) / (DOS_POINTS - 1)
    total = phonopy.run_total_dos(freq_min=start, freq_max=end, freq_pitch=pitch)
    numbers = np.where(repeated, numbers_of_length(phonopy.primitive.cell, length), 1)
    # Whoever asked for a coarse mesh has no use for a finer one. Its numbers may be those of a generalised grid, which
    # count along no reciprocal vectors: their product is that of the points.
    share = np.prod(sampled.mesh_numbers) / np.prod(numbers)
    if share < 1:
        coarser = length * share ** (1 / sum(repeated))
        numbers = np.where(repeated, numbers_of_length(phonopy.primitive.cell, coarser), 1)
    check_mesh(numbers)
    phonopy.run_mesh(numbers, is_gamma_center=True, is_mesh_symmetry=False, with_eigenvectors=True)
    return total, phonopy.run_projected_dos(freq_min=start, freq_max=end, freq_pitch=pitch)


def gamma_acoustics(qpoints: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which modes are the three nearest zero at a q-point equivalent to Gamma.

    Args:
        qpoints: (n_qpoints, 3) reduced coordinates.
        frequencies: (n_qpoints, n_bands), imaginary as negative.

    Returns:
        (n_qpoints, n_bands).
    """
    acoustic = np.zeros(frequencies.shape, dtype=bool)
    for i in np.flatnonzero(np.abs(qpoints - np.rint(qpoints)).max(axis=1) < 1e-8):
        acoustic[i, np.argsort(np.abs(frequencies[i]))[:3]] = True
    return acoustic
