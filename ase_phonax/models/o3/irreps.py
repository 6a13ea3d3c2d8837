"""Names of the irreducible representations of O(3), and lists of them."""

import re
from typing import NamedTuple

from ...base.errors import InputError


class Irrep(NamedTuple):
    """Degree l and parity p (+1 even, -1 odd) under inversion; written "0e", "1o", ..."""

    l: int
    p: int

    @property
    def dim(self) -> int:
        """Number of components."""
        return 2 * self.l + 1

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    def times(self, other: "Irrep") -> list["Irrep"]:
        """Irreps of the product, ascending."""
        return [Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1)]

    @property
    def rank(self) -> tuple[int, int]:
        """Key of the order of stored weights: by degree, the parity of the harmonics first."""
        return self.l, -self.p * (-1) ** self.l


EVEN_SCALAR = Irrep(0, 1)

Irreps = tuple[tuple[int, Irrep], ...]
Sizes = tuple[tuple[int, int], ...]  # (channels, components) of each block
MOST_CHANNELS = 100_000
HIGHEST_DEGREE = 12  # couplings of higher ones take minutes to compute, and nothing uses them


def block_sizes(irreps: Irreps) -> Sizes:
    """Channels and components of each irrep, as the arrays of features have them."""
    return tuple((mul, ir.dim) for mul, ir in irreps)


def harmonics(l_max: int, parity: bool = True) -> tuple[Irrep, ...]:
    """Irreps of the harmonics up to l_max.

    Args:
        parity: False calls all of them even, as networks do that know rotations and no inversion.
    """
    return tuple(Irrep(l, (-1) ** l if parity else 1) for l in range(l_max + 1))


def reachable(irreps_in: Irreps, l_max: int, wanted: Irreps, parity: bool = True) -> Irreps:
    """The wanted irreps that features hold or a message can fill, through harmonics up to l_max."""
    there = {ir for _, ir in irreps_in}
    for _, ir_in in irreps_in:
        for harmonic in harmonics(l_max, parity):
            there.update(ir_in.times(harmonic))
    return tuple((mul, ir) for mul, ir in wanted if ir in there)


def parse_irreps(text: str) -> Irreps:
    """'16x0e + 8x1o' -> ((16, 0e), (8, 1o)), in the order given."""
    blocks = []
    for part in text.replace(" ", "").split("+"):
        block = re.fullmatch(r"(?:(\d+)x)?(\d+)([eo])", part)
        if block is None:
            raise InputError(
                f"the irreps are {text!r}",
                f"{part!r} is none: they set the features of the network",
                'write a multiplicity, a degree and a parity, for example "16x0e + 8x1o"',
            )
        mul, l, parity = block.groups()
        if len(mul or "") > 9 or not 1 <= int(mul or 1) <= MOST_CHANNELS or len(l) > 9 or int(l) > HIGHEST_DEGREE:
            raise InputError(
                f"the irreps are {text[:80]!r}",
                f"{part[:40]!r} has no channels, or more than any memory holds",
                f"give 1 to {MOST_CHANNELS} channels of a degree from 0 to {HIGHEST_DEGREE}",
            )
        blocks.append((int(mul or 1), Irrep(int(l), 1 if parity == "e" else -1)))
    return tuple(blocks)
