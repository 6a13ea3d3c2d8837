"""Crystals for tests, made of H, C, O and Si: of every kind that a convention can go wrong on.

Lattice constants are chosen for a cutoff of 3.6 Å and an untrained potential; they are not equilibria. No
pair lies within 0.02 Å of the cutoff: fourth derivatives jump there, and finite differences would see it.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal


def left_handed(atoms: Atoms) -> Atoms:
    """The same crystal with two lattice vectors exchanged."""
    cell = atoms.cell.array[[1, 0, 2]]
    swapped = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=cell, pbc=True)
    assert np.linalg.det(cell) < 0
    return swapped


def triclinic() -> Atoms:
    """Four atoms without any symmetry, no inversion."""
    cell = 1.025 * np.array([[3.4, 0.1, 0.0], [0.4, 3.6, -0.2], [0.2, 0.5, 3.8]])
    scaled = [[0, 0, 0], [0.47, 0.41, 0.52], [0.9, 0.48, 0.12], [0.42, 0.05, 0.88]]
    return Atoms("SiOCO", scaled_positions=scaled, cell=cell, pbc=True)


CRYSTALS = {
    "diamond": (bulk("Si", "diamond", 4.6), np.diag([2, 2, 2])),
    "zincblende, no inversion": (bulk("SiC", "zincblende", 4.3), np.array([[2, 1, 0], [0, 2, 0], [0, 0, 1]])),
    "wurtzite, polar": (bulk("SiC", "wurtzite", 3.1, 5.0), np.diag([2, 1, 1])),
    "triclinic, no symmetry": (triclinic(), np.array([[1, 0, 0], [1, 2, 0], [0, 0, 1]])),
    "one atom, cell smaller than the cutoff": (bulk("Si", "bcc", 2.7), np.diag([3, 3, 3])),
    "left-handed rutile": (
        left_handed(
            crystal(("Si", "O"), [(0, 0, 0), (0.31, 0.31, 0)], spacegroup=136, cellpar=[4.3, 4.3, 2.8, 90, 90, 90])
        ),
        np.diag([1, 1, 2]),
    ),
    "monoclinic": (
        crystal(
            ("C", "O"), [(0.12, 0.25, 0.31), (0.36, 0.02, 0.77)], spacegroup=4, cellpar=[3.76, 3.45, 4.07, 90, 104, 90]
        ),
        np.diag([2, 1, 1]),
    ),
    "quartz, chiral": (
        crystal(
            ("Si", "O"), [(0.47, 0, 1 / 3), (0.41, 0.27, 0.45)], spacegroup=154, cellpar=[4.66, 4.66, 5.19, 90, 90, 120]
        ),
        np.diag([1, 1, 2]),
    ),
    "perovskite": (
        Atoms(
            "SiCO3",
            scaled_positions=[[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
            cell=[3.3] * 3,
            pbc=True,
        ),
        np.diag([2, 1, 1]),
    ),
}
