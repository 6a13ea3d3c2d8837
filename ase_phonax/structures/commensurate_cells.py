"""The smallest supercell that a wave fits."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm

import numpy as np
from ase.geometry import minkowski_reduce
from numpy.typing import ArrayLike, NDArray

from ..base.errors import InputError

LARGEST_DENOMINATOR = 12
FITS = 1e-4  # how far a typed 0.3333 may be from its fraction


def commensurate_cell(qpoint: ArrayLike, cell: NDArray[np.float64]) -> NDArray[np.int64]:
    """The smallest supercell in which a wave closes, its vectors as short as they can be.

    The lattice of all R with integer q.R: as many primitive cells as the least common multiple of the
    denominators of q, where a diagonal supercell would take their product.

    Args:
        qpoint: (3,) reduced coordinates of the primitive cell.
        cell: (3, 3) primitive vectors in rows [Å].

    Returns:
        (3, 3) integer rows: supercell = matrix @ cell.

    Raises:
        InputError: q that is not made of fractions with denominators up to LARGEST_DENOMINATOR.
    """
    fractions = as_fractions(qpoint)
    n = lcm(*(x.denominator for x in fractions))
    p = [int(x * n) % n for x in fractions]
    # Hermite normal form of {R: p.R = 0 mod n}, from the last row up.
    third = n // gcd(p[2], n)
    second = gcd(p[2], n) // gcd(p[1], p[2], n)
    first = gcd(p[1], p[2], n) // gcd(*p, n)
    x = next(x for x in range(n) if (p[1] * second + p[2] * x) % n == 0)
    y, z = next((y, z) for y in range(n) for z in range(n) if (p[0] * first + p[1] * y + p[2] * z) % n == 0)
    rows = np.array([[first, y, z], [0, second, x], [0, 0, third]])
    _, reduction = minkowski_reduce(rows @ cell)
    rows = np.rint(reduction @ rows).astype(np.int64)
    return rows if np.linalg.det(rows) > 0 else -rows


def as_fractions(qpoint: ArrayLike) -> tuple[Fraction, Fraction, Fraction]:
    """The components of q as fractions.

    Raises:
        InputError: not three finite numbers, or not fractions with denominators up to LARGEST_DENOMINATOR.
    """
    q = np.asarray(qpoint, dtype=float)
    if q.shape != (3,) or not np.isfinite(q).all():
        raise InputError(
            f"the wave vector {np.asarray(qpoint).tolist()} is not three finite numbers",
            "modes belong to a point of the Brillouin zone",
            "give three numbers in reduced coordinates of the primitive cell, such as 0.5 0.5 0.5",
        )
    a, b, c = (Fraction(float(x)).limit_denominator(LARGEST_DENOMINATOR) for x in q)
    if np.abs(q - [float(a), float(b), float(c)]).max() > FITS:
        raise InputError(
            f"the wave vector {q.tolist()} fits no supercell: its components are not fractions with denominators up to"
            f" {LARGEST_DENOMINATOR}, the largest tried",
            "a crystal can be displaced along a wave only where the wave closes in a supercell",
            f"take a wave vector nearby, such as {a} {b} {c}, or write fractions with four digits or more (0.3333)",
        )
    return a, b, c
