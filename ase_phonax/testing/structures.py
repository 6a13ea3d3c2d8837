"""Structures of a potential's own elements, in units of its cutoff, on which it is checked."""

from collections.abc import Iterable

import numpy as np
from ase import Atoms

from ..models.potential import Potential

# Nearest neighbours are 1 apart.
_CLUSTER = np.array(
    [
        [0.6, 0.61, 0.58],
        [0.57, -0.63, -0.5],
        [-0.62, 0.5, -0.66],
        [-0.59, -0.7, 0.55],
        [0.05, -0.04, 0.1],
        [1.1, 0, 0.3],
    ]
)


def some_numbers(potential: Potential) -> list[int]:
    """At most three elements: the lightest, the heaviest and one between."""
    numbers = potential.numbers
    return sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]})


def _cycled(numbers: Iterable[int], count: int) -> np.ndarray:
    return np.resize(list(numbers), count)


def cluster(potential: Potential) -> Atoms:
    """Six atoms in disorder."""
    return Atoms(numbers=_cycled(some_numbers(potential), 6), positions=0.55 * potential.cutoff * _CLUSTER)


def triclinic(potential: Potential) -> Atoms:
    """Two atoms, triclinic: neighbours from half the cutoff on, and no symmetry."""
    cell = 0.8 * potential.cutoff * np.array([[1.0, 0.05, -0.1], [0.12, 1.05, 0.07], [-0.06, 0.1, 0.95]])
    return Atoms(
        numbers=_cycled(some_numbers(potential), 2),
        scaled_positions=[[0.01, 0.02, 0.03], [0.47, 0.55, 0.41]],
        cell=cell,
        pbc=True,
    )


def face_centred(potential: Potential) -> Atoms:
    """Rocksalt, or one element in simple cubic order, in its face-centred cell: neighbours at 0.6 of the cutoff."""
    edge = 0.6 * potential.cutoff
    return Atoms(
        numbers=_cycled(some_numbers(potential), 2),
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]],
        cell=edge * (1 - np.eye(3)),
        pbc=True,
    )
