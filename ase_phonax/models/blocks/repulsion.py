"""Screened Coulomb repulsion of nuclei.

Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids, Pergamon (1985). Packages take its constants
with other digits, and weights were trained with them.
"""

from dataclasses import dataclass

from .jets import AnyArray, Jet, product, reciprocal
from .radial import envelope


@dataclass(frozen=True)
class Screening:
    """V = coulomb Z Z' / r sum_k c_k exp(-e_k r / a), a = length / (Z^power + Z'^power).

    Attributes:
        weights: the c_k.
        exponents: the e_k.
        power: of the charges.
        length: [Å].
        coulomb: e²/(4 pi eps0) [eV Å].
    """

    weights: tuple[float, ...]
    exponents: tuple[float, ...]
    power: float
    length: float
    coulomb: float


BOHR = 0.529  # radius [Å], with the digits of MACE
MACE = Screening((0.1818, 0.5099, 0.2802, 0.02817), (3.2, 0.9423, 0.4028, 0.2016), 0.3, 0.4543 * BOHR, 14.3996)
NEQUIP = Screening((0.18175, 0.50986, 0.28022, 0.02817), (3.1998, 0.94229, 0.4029, 0.20162), 0.23, 0.4685, 14.399645)


def closed_repulsion(
    r: AnyArray, order: int, numbers: tuple[AnyArray, AnyArray], screening: Screening, end: AnyArray, p: int
) -> Jet:
    """Half the repulsion of each pair, what each of the two gets, in the shape of r (e,) [eV].

    Args:
        numbers: (e,) atomic numbers at either end.
        end: where its polynomial envelope, of power p, closes it [Å]; one, or (e,).
    """
    exp, (first, second) = r.__array_namespace__().exp, numbers
    a = screening.length / (first**screening.power + second**screening.power)
    terms = [
        (screening.coulomb / 2 * first * second * weight * exp(-exponent / a * r), exponent / a)
        for weight, exponent in zip(screening.weights, screening.exponents, strict=True)
    ]
    screened = [sum((-rate) ** k * value for value, rate in terms) for k in range(order + 1)]
    return product(product(reciprocal(r, order)[: order + 1], screened), envelope(r, order, end, p))
