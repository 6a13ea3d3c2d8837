"""Atoms of a supercell as images of one another, and compact constants seen from the other atom."""

from collections.abc import Callable

import numpy as np
from phonopy import Phonopy

from .constants import images_of


def image_finder(phonopy: Phonopy) -> Callable[[np.ndarray], np.ndarray]:
    """A function of positions (m, 3) [Å]: which supercell atoms (m,) lie nearest to there, modulo its lattice."""
    primitive, supercell = phonopy.primitive, phonopy.supercell
    to_primitive = np.linalg.inv(primitive.cell)
    repeats = np.rint(supercell.cell @ to_primitive).astype(int)
    size = abs(round(np.linalg.det(repeats)))
    to_supercell = np.rint(np.linalg.inv(repeats) * size).astype(int)
    home = primitive.positions @ to_primitive

    def keys(positions: np.ndarray) -> list[tuple[int, ...]]:
        from_home = positions @ to_primitive - home[:, None]
        cells = np.rint(from_home).astype(int)
        j = np.linalg.norm((from_home - cells) @ primitive.cell, axis=2).argmin(axis=0)
        cosets = cells[j, np.arange(len(positions))] @ to_supercell % size
        return list(map(tuple, np.column_stack([j, cosets]).tolist()))

    table = {key: index for index, key in enumerate(keys(supercell.positions))}
    return lambda positions: np.array([table[key] for key in keys(positions)])


def transposed(constants: np.ndarray, phonopy: Phonopy) -> np.ndarray:
    """Phi(k, i)^T at the place of Phi(i, k), by lattice translation: (n_primitive, n_supercell, 3, 3), as given."""
    primitive, supercell = phonopy.primitive, phonopy.supercell
    find, j = image_finder(phonopy), images_of(phonopy)
    home = supercell.positions[primitive.p2s_map]
    # Seen from k's representative in the home cell, atom i lies at the opposite lattice vector.
    partners = np.array([find(home[i] + home[j] - supercell.positions) for i in range(len(primitive))])
    return constants[j[None], partners].transpose(0, 1, 3, 2)
