"""Screened Coulomb repulsion of nuclei.

Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids, Pergamon (1985).
"""

from typing import Any

import numpy as np

# Exponents of the universal screening function.
_EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)
# Their weights, then the exponent of the charges and the prefactor of the screening length, as MACE has them.
CONSTANTS = (0.1818, 0.5099, 0.2802, 0.02817, 0.3, 0.4543)
# e²/(4 pi eps0) [eV Å] and Bohr's radius [Å] with the digits that MACE's weights were trained with.
_COULOMB, _BOHR = 14.3996, 0.529


def repulsion_constants(config: Any) -> tuple[float, ...]:
    """Of a configuration, or the usual ones."""
    return config.repulsion_constants or CONSTANTS


def zbl_energies(
    lengths: Any, radii: Any, numbers: tuple[Any, Any], constants: tuple[float, ...], p: int, xp: Any = np
) -> Any:
    """Half the repulsion of each pair (e,) [eV]: what the receiver gets.

    V = 14.3996 Z Z' / r sum_k c_k exp(-b_k r / a), a = prefactor 0.529 Å / (Z^exponent + Z'^exponent), times
    the polynomial envelope that ends at the sum of the covalent radii.

    Args:
        lengths: (e,) [Å].
        radii: (e,) sums of the covalent radii [Å].
        numbers: (e,) atomic numbers at either end.
    """
    *weights, exponent, prefactor = constants
    first, second = numbers
    a = prefactor * _BOHR / (first**exponent + second**exponent)
    screening = sum(c * xp.exp(-b * lengths / a) for c, b in zip(weights, _EXPONENTS, strict=True))
    x = lengths / radii
    envelope = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    energies = _COULOMB * first * second / lengths * screening * envelope / 2
    return xp.where(x < 1, energies, 0.0)
