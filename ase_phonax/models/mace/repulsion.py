"""Screened Coulomb repulsion of nuclei.

Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids, Pergamon (1985).
"""

from collections.abc import Sequence
from typing import Any

from ..blocks.jets import AnyArray

# Exponents of the universal screening function.
_EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)
# Their weights, then the exponent of the charges and the prefactor of the screening length, as MACE has them.
CONSTANTS = (0.1818, 0.5099, 0.2802, 0.02817, 0.3, 0.4543)
# e²/(4 pi eps0) [eV Å] and Bohr's radius [Å] with the digits that MACE's weights were trained with.
_COULOMB, _BOHR = 14.3996, 0.529


def repulsion_constants(config: Any) -> tuple[float, ...]:
    """The constants that a configuration states, or the usual ones."""
    return config.repulsion_constants or CONSTANTS


def screened_coulomb(
    first: AnyArray, second: AnyArray, weights: Sequence[float], exponent: float, prefactor: float
) -> list[tuple[AnyArray, AnyArray]]:
    """Half the repulsion of a pair, what each of the two gets, times the distance: sum_k w_k exp(-b_k r).

    V = 14.3996 eV Å Z Z' / r sum_k c_k exp(-e_k r / a), a = prefactor 0.529 Å / (Z^exponent + Z'^exponent).

    Args:
        first, second: (e,) atomic numbers.

    Returns:
        (w_k, b_k) of each term, (e,) [eV Å] and [1/Å].
    """
    a = prefactor * _BOHR / (first**exponent + second**exponent)
    return [(_COULOMB / 2 * first * second * c, b / a) for c, b in zip(weights, _EXPONENTS, strict=True)]
