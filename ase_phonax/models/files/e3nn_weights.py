"""Weights as e3nn's modules for PyTorch store them, as they act, and as files of this package hold them.

Equations: e3nn.o3.Linear, FullyConnectedTensorProduct and e3nn.nn.FullyConnectedNet of e3nn 0.4 to 0.5, with their
defaults (path normalisation "element", irrep normalisation "component"). Nothing of it is imported.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..blocks.activations import SILU_NORM, TANH_NORM
from ..o3.irreps import Irrep, Irreps

# What e3nn for PyTorch multiplies activations by, so that they keep unit mean square: estimated from a million random
# numbers of a fixed seed (`normalize2mom`), and hence off its exact value, 1 / *_NORM, in the third digit.
SILU_FACTOR = 1.6791767923989418
TANH_FACTOR = 1.5937334472592695
# By how much activated features are larger there than here.
SILU_RATIO = SILU_FACTOR * SILU_NORM
TANH_RATIO = TANH_FACTOR * TANH_NORM

Matrices = dict[Irrep, np.ndarray]


def linear_matrices(weights: np.ndarray, irreps_in: Irreps, irreps_out: Irreps) -> Matrices:
    """Matrices (channels in, channels out) of each irrep as an e3nn Linear acts.

    Args:
        weights: flat, pair by pair of the blocks that have an irrep in common.
        irreps_in, irreps_out: of the Linear; an irrep that leaves is in one block.

    Raises:
        ValueError: there are more or fewer weights.
    """
    found: dict[Irrep, list[np.ndarray]] = {}
    begin = 0
    for mul_in, ir_in in irreps_in:
        for mul_out, ir_out in irreps_out:
            if ir_in == ir_out:
                end = begin + mul_in * mul_out
                found.setdefault(ir_in, []).append(weights[begin:end].reshape(mul_in, mul_out))
                begin = end
    if begin != len(weights):
        raise ValueError(f"{len(weights)} weights of a linear map, expected {begin}")
    joined = {ir: np.concatenate(blocks) for ir, blocks in found.items()}
    return {ir: matrix / len(matrix) ** 0.5 for ir, matrix in joined.items()}


def product_matrices(weights: np.ndarray, irreps_in: Irreps, elements: np.ndarray, irreps_out: Irreps) -> Matrices:
    """Matrices (elements, channels in, channels out) of an e3nn FullyConnectedTensorProduct with scalars.

    Args:
        weights: flat, pair by pair of the blocks that have an irrep in common.
        irreps_in, irreps_out: of the features; no irrep occurs twice.
        elements: (n_elements, n) scalars of each element that features are multiplied with.

    Raises:
        ValueError: there are more or fewer weights.
    """
    n, begin = elements.shape[1], 0
    result = {}
    for mul_in, ir_in in irreps_in:
        for mul_out, ir_out in irreps_out:
            if ir_in == ir_out:
                end = begin + mul_in * n * mul_out
                matrix = weights[begin:end].reshape(mul_in, n, mul_out) / (mul_in * n) ** 0.5
                result[ir_in] = np.einsum("ev,uvw->euw", elements, matrix)
                begin = end
    if begin != len(weights):
        raise ValueError(f"{len(weights)} weights of a product with elements, expected {begin}")
    return result


def radial_matrices(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Matrices of a radial network with silu, for `radial.perceptron`, whose silu is not normalised."""
    factors = [1.0] + [SILU_FACTOR] * (len(weights) - 1)
    return [factor * matrix / len(matrix) ** 0.5 for factor, matrix in zip(factors, weights, strict=True)]


def stored(name: str, matrices: Mapping[Irrep, np.ndarray], wanted: Irreps) -> dict[str, np.ndarray]:
    """Weights for `blocks.function.linear`, which divides by the root of the fan-in."""
    return {f"{name}_{ir}": matrices[ir] * matrices[ir].shape[-2] ** 0.5 for _, ir in wanted if ir in matrices}
