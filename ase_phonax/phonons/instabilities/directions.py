"""The directions a degenerate mode can freeze in along, by symmetry.

Any combination of degenerate eigenvectors is an eigenvector, and what a program returns is an accident of
rounding: a crystal displaced along it has lost all symmetry. The directions that keep a subgroup which no
other direction keeps are the ones of physics: [001], [111] and [110] for a ferroelectric vector, phases of
a wave that keep a centre of inversion. They are found from how the operations of the undistorted
supercell act on the space of patterns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ...structures.space_groups import get_operations

_SAME = 1e-4  # of matrices and unit vectors made of patterns that are exact to about 1e-8


@dataclass(frozen=True)
class Direction:
    """A direction in a space of patterns.

    Attributes:
        vector: (n_patterns,) unit vector.
        n_operations: operations of the undistorted supercell, pure translations included, that it keeps.
        reversible: some operation turns it into its negative, so that energies are even in the amplitude.
    """

    vector: NDArray[np.float64]
    n_operations: int
    reversible: bool


def real_patterns(waves: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Orthonormal basis of all real patterns that waves of one q can form, whatever their phases.

    Args:
        waves: (n_waves, n_atoms, 3) complex, orthogonal to each other, mass-weighted.

    Returns:
        (n_patterns, n_atoms, 3): as many as waves where q and -q are equivalent, else twice as many.
    """
    rows = np.concatenate([waves.real, waves.imag]).reshape(2 * len(waves), -1)
    _, singular_values, basis = np.linalg.svd(rows, full_matrices=False)
    return basis[singular_values > 1e-5 * singular_values[0]].reshape(-1, *waves.shape[1:])


def representation(supercell: Atoms, patterns: NDArray[np.float64], symprec: float) -> NDArray[np.float64]:
    """How the operations of an undistorted supercell act on patterns.

    Args:
        supercell: the crystal the patterns displace.
        patterns: (n_patterns, n_atoms, 3) orthonormal, mass-weighted.
        symprec: distance below which positions count as equal [Å].

    Returns:
        (n_operations, n_patterns, n_patterns) orthogonal; operations that lead out of the space are left out.
    """
    scaled, columns = supercell.get_scaled_positions(wrap=False), supercell.cell[:].T
    matrices = []
    for rotation, translation in zip(*get_operations(supercell, symprec), strict=True):
        difference = (scaled @ rotation.T + translation)[:, None] - scaled[None]
        images = np.linalg.norm((difference - np.rint(difference)) @ columns.T, axis=2).argmin(axis=1)
        cartesian = columns @ rotation @ np.linalg.inv(columns)
        matrix = np.einsum("aix,bix->ab", patterns[:, images], patterns @ cartesian.T)
        if np.abs(matrix @ matrix.T - np.eye(len(patterns))).max() < _SAME:
            matrices.append(matrix)
    return np.array(matrices)


def special_directions(matrices: NDArray[np.float64]) -> list[Direction]:
    """One direction for each dimension of a space of patterns, the most symmetric first.

    First those that a subgroup alone fixes (one-dimensional fixed spaces), one of each set that
    operations turn into each other; where they are fewer than dimensions, directions orthogonal to them.

    Args:
        matrices: (n_operations, n_patterns, n_patterns) of `representation`.
    """
    n = matrices.shape[1]
    directions: list[Direction] = []
    for vector in _fixed_directions(matrices):
        turned = matrices @ vector
        if not any(np.abs(np.abs(turned @ other.vector) - 1).min() < _SAME for other in directions):
            directions.append(_direction(vector, matrices))
    directions.sort(key=lambda direction: -direction.n_operations)
    while len(directions) < n:
        others = np.array([direction.vector for direction in directions]).reshape(-1, n)
        directions.append(_direction(np.linalg.svd(others)[2][-1] if len(others) else np.eye(n)[0], matrices))
    return directions


def _direction(vector: NDArray[np.float64], matrices: NDArray[np.float64]) -> Direction:
    """A unit vector, with what the operations do to it."""
    overlaps = matrices @ vector @ vector
    return Direction(vector, int(np.sum(overlaps > 1 - _SAME)), bool(np.any(overlaps < -1 + _SAME)))


def _fixed_directions(matrices: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Unit vectors of the one-dimensional spaces that subgroups fix: intersections of those of single operations."""
    distinct = np.unique(np.round(matrices, 5) + 0.0, axis=0)
    spaces = [np.eye(matrices.shape[1])]
    for matrix in distinct:
        for space in list(spaces):
            # Singular value zero of M - 1 inside the space: fixed by this operation too.
            _, values, rows = np.linalg.svd((matrix - np.eye(len(matrix))) @ space.T)
            smaller = rows[values < _SAME * 10] @ space
            known = any(len(smaller) == len(other) and _same_space(smaller, other) for other in spaces)
            if 0 < len(smaller) < len(space) and not known:
                spaces.append(smaller)
    return [space[0] for space in spaces if len(space) == 1]


def _same_space(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether orthonormal rows span the same space."""
    return bool(np.abs(first.T @ first - second.T @ second).max() < _SAME * 10)
