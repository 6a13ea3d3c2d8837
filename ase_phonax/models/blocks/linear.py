"""Equivariant linear maps as arrays; `blocks.function.linear` is the same map of the same parameters for JAX."""

from collections.abc import Mapping

import numpy as np

from ..o3.irreps import Irreps, block_sizes
from ..parts import Linear


def linear(
    name: str, irreps_in: Irreps, irreps_out: Irreps, own: Mapping[str, np.ndarray], scale: float = 1.0
) -> Linear:
    """The map whose weights are called `<name>_<irrep>`; they are divided by the root of the fan-in.

    Args:
        own: parameters of the layer; weights with a leading axis of species belong to each atom's own element.
        scale: multiplies all weights.
    """
    sources: list[int | None] = []
    matrices = []
    for mul, ir in irreps_out:
        source = next((b for b, (_, other) in enumerate(irreps_in) if other == ir), None)
        sources.append(source)
        if source is None:
            matrices.append(np.zeros((0, mul)))
        else:
            weights = own[f"{name}_{ir}"]
            matrices.append(weights * np.asarray(scale / irreps_in[source][0] ** 0.5, weights.dtype))
    return Linear(tuple(sources), tuple(matrices), block_sizes(irreps_in), block_sizes(irreps_out))
