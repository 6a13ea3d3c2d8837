"""Paths through the Brillouin zone of a layer, in reduced coordinates of the cell it is computed in."""

from __future__ import annotations

import math

import numpy as np
from ase.cell import Cell
from ase.dft.kpoints import BandPath
from numpy.typing import NDArray

from .paths import checked_path

LATTICE_TOLERANCE = 1e-3  # relative: what a file rounds
_PATHS = {"HEX2D": "GMKG", "SQR": "GXMG", "RECT": "GXSYG"}  # the others as ASE has them


def layer_path(cell: NDArray[np.float64], axis: int, path: str | None = None, spacing: float = 0.02) -> BandPath:
    """A path through the two-dimensional Brillouin zone, in the basis of the cell given.

    Special points are ASE's for the five lattices of the plane, brought to the in-plane vectors at hand,
    whatever their choice, order and orientation: Γ–M–K–Γ (hexagonal), Γ–X–M–Γ (square), Γ–X–S–Y–Γ
    (rectangular, X along the shorter vector), ASE's own for centred rectangular and oblique lattices.

    Args:
        cell: (3, 3) primitive vectors in rows [Å].
        axis: of the vacuum.
        path: names of those points, such as "GKMG"; a comma starts a new piece.
        spacing: largest distance between neighbouring q-points [1/Å, 2 pi included].

    Returns:
        for `get_band_structure`; the coordinate along the vacuum is 0.

    Raises:
        InputError: a name the lattice does not have, a piece with fewer than two points.
    """
    plane = [i for i in range(3) if i != axis]
    # ASE 3.29 misplaces H of an oblique cell whose second vector is the shorter: it gets reduced vectors,
    # in the plane of a page, so that no choice, orientation or handedness is left.
    choice = _reduction(cell[plane] @ cell[plane].T)
    (square, product), (_, other) = choice @ cell[plane] @ cell[plane].T @ choice.T
    x = product / math.sqrt(square)
    flat = np.array([[math.sqrt(square), 0, 0], [x, math.sqrt(other - x**2), 0], [0, 0, 0]])
    pbc = (True, True, False)
    lattice = Cell(flat).get_bravais_lattice(eps=LATTICE_TOLERANCE, pbc=pbc)
    standard = Cell(flat).bandpath(npoints=0, eps=LATTICE_TOLERANCE, pbc=pbc)
    points = {}
    for name, value in standard.special_points.items():
        points[name] = np.zeros(3)
        points[name][plane] = np.linalg.solve(choice, value[:2])
    kind = f"two-dimensional lattice ({lattice.longname})"
    wanted = _PATHS.get(lattice.name, standard.path) if path is None else checked_path(path, points, kind)
    return BandPath(cell, special_points=points, path=wanted).interpolate(density=1.0 / spacing)


def _reduction(metric: NDArray[np.float64]) -> NDArray[np.int64]:
    """(2, 2) integers M, such that the rows M @ vectors are the shortest, ascending, at an acute angle.

    Lagrange's and Gauss's reduction of a lattice of the plane, from its metric (2, 2). Hexagonal vectors
    come at 120 degrees, where everybody has them.
    """
    choice = np.eye(2, dtype=np.int64)
    while True:
        (square, product), (_, other) = choice @ metric @ choice.T
        # 1e-9: vectors of equal length must not change places for ever.
        if other < square * (1 - 1e-9):
            choice = choice[::-1]
        elif abs(product) > square * (0.5 + 1e-9):
            choice = np.array([choice[0], choice[1] - round(product / square) * choice[0]])
        else:
            break
    tolerance = LATTICE_TOLERANCE * square
    hexagonal = other - square < tolerance and square - 2 * abs(product) < tolerance
    reverse = product > 0 if hexagonal else product < -1e-9 * square
    return choice * np.array([[1], [-1 if reverse else 1]])
