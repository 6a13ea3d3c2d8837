"""Which parameters the shared parts of networks have, known from irreps and widths without making a network.

A model file is compared with these before anything is computed. The function forms make the same arrays when they are
initialised, and a test compares the two.
"""

from collections.abc import Sequence

from ..o3.irreps import Irreps
from ..outputs import Output

Shapes = dict[str, tuple[int, ...]]  # name of a parameter -> its shape


def output_shapes(outputs: Sequence[Output], features: Irreps) -> Shapes:
    """Weights of `blocks.function.read_outputs`, linear maps of features."""
    return {k: v for o in outputs for k, v in linear_shapes(f"output_{o.name}", features, o.blocks).items()}


def radial_shapes(sizes: tuple[int, ...]) -> Shapes:
    """Matrices of a radial network with these widths, from the basis to the weights of the convolution."""
    return {f"radial_{k}": sizes[k : k + 2] for k in range(len(sizes) - 1)}


def linear_shapes(name: str, irreps_in: Irreps, irreps_out: Irreps, species: tuple[int, ...] = ()) -> Shapes:
    """Weights of `blocks.function.linear`: a matrix for each irrep that enters and leaves, or one for each element."""
    entering = {ir: mul for mul, ir in irreps_in}
    return {f"{name}_{ir}": (*species, entering[ir], mul) for mul, ir in irreps_out if ir in entering}
