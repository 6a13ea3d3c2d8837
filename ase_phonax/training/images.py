"""Whole Hessians of symmetric molecules from the columns of a few atoms: the others are their images.

An operation that takes atom r to j and atom k to i gives H[i, j] = R H[k, r] R^T. Benzene needs the columns of one
carbon and one hydrogen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..molecules.point_groups import find_point_group

EXACT = 1e-5  # Å; beyond, images are not those of the operation, and all atoms have columns of their own


@dataclass(frozen=True)
class Images:
    """Where the columns of each atom come from.

    Attributes:
        displaced: (m,) atoms whose columns are computed.
        slots: (n,) which of them each atom is an image of.
        sources: (n, n) [j, i] the atom that is taken to i by the operation that takes displaced[slots[j]] to j.
        rotations: (n, 3, 3) of that operation.
    """

    displaced: np.ndarray
    slots: np.ndarray
    sources: np.ndarray
    rotations: np.ndarray


def no_images(n: int) -> Images:
    """Of n atoms that all have columns of their own."""
    every = np.arange(n)
    return Images(every, every, np.tile(every, (n, 1)), np.tile(np.eye(3), (n, 1, 1)))


def images_of(atoms: Atoms) -> Images:
    """Of a molecule; crystals have none."""
    n = len(atoms)
    if atoms.pbc.any() or n == 1:
        return no_images(n)
    group = find_point_group(atoms, EXACT)
    moves = group.permutations
    displaced = np.flatnonzero(moves.min(axis=0) == np.arange(n))
    slots, sources, rotations = np.zeros(n, int), np.zeros((n, n), int), np.zeros((n, 3, 3))
    for slot, atom in enumerate(displaced):
        for j in np.unique(moves[:, atom]):
            g = int(np.argmax(moves[:, atom] == j))
            slots[j], rotations[j] = slot, group.rotations[g]
            sources[j, moves[g]] = np.arange(n)
    return Images(displaced, slots, sources, rotations)
