"""Which products a convolution takes: everything about it that irreps alone decide."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..parts import Path
from .irreps import Irrep, Irreps, harmonics
from .spherical import clebsch_gordan


@dataclass(frozen=True, eq=False)
class ConvolutionPlan:
    """Everything about a convolution that irreps alone decide.

    Attributes:
        irreps_in: blocks of the senders' features.
        l_max: harmonics up to this degree.
        merged: per input block (2 l_in + 1, (l_max+1)², n_columns), the couplings of all its paths.
        paths: sorted by output irrep; the radial weights of the layer are in this order.
        irreps_out: output irreps with the channels of all their paths together.
    """

    irreps_in: Irreps
    l_max: int
    merged: tuple[np.ndarray, ...]
    paths: tuple[Path, ...]
    irreps_out: Irreps

    @property
    def n_weights(self) -> int:
        """Radial weights per edge."""
        return sum(mul for mul, _ in self.irreps_out)


@lru_cache
def plan_convolution(irreps_in: Irreps, l_max: int, wanted: tuple[Irrep, ...], parity: bool = True) -> ConvolutionPlan:
    """Paths from `irreps_in` through `harmonics` up to `l_max` into the `wanted` irreps."""
    products, tensors = [], []
    for block, (_, ir_in) in enumerate(irreps_in):
        blocks, start = [], 0
        for l, harmonic in enumerate(harmonics(l_max, parity)):
            for ir_out in ir_in.times(harmonic):
                if ir_out in wanted:
                    coupling = clebsch_gordan(ir_in.l, l, ir_out.l)
                    c = np.zeros((ir_in.dim, (l_max + 1) ** 2, ir_out.dim))
                    c[:, l * l : (l + 1) ** 2] = coupling
                    blocks.append(c)
                    products.append((ir_out, block, l, coupling, slice(start, start + ir_out.dim)))
                    start += ir_out.dim
        tensors.append(np.concatenate(blocks, -1) if blocks else np.zeros((ir_in.dim, (l_max + 1) ** 2, 0)))
    paths, first = [], 0
    channels: dict[Irrep, int] = {}
    for ir_out, block, l, coupling, columns in sorted(products, key=lambda p: p[0].rank):
        mul, row = irreps_in[block][0], channels.get(ir_out, 0)
        channels[ir_out] = row + mul
        out = len(channels) - 1
        paths.append(Path(block, l, coupling, slice(first, first + mul), columns, out, slice(row, row + mul)))
        first += mul
    return ConvolutionPlan(irreps_in, l_max, tuple(tensors), tuple(paths), tuple((m, ir) for ir, m in channels.items()))
