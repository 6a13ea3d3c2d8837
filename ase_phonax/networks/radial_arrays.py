"""The radial network of edges as arrays: a closed Bessel basis through a perceptron, with two derivatives."""

from collections.abc import Sequence

import numpy as np

from .gates import silu

Orders = list[np.ndarray]


def radial_weights(
    lengths: np.ndarray, order: int, *, matrices: Sequence[np.ndarray], cutoff: float, envelope_p: int
) -> Orders:
    """Weights (e, n) of every path and channel, and their derivatives with respect to the length.

    Args:
        lengths: (e,) [Å], positive, in double precision.
        order: how many derivatives, 0 to 2.
        matrices: of the perceptron, scaled; silu between them, no biases. The result is in their precision.
    """
    # In double precision up to here: rounding a length, the slope of a basis function makes it several times worse.
    dtype = matrices[0].dtype
    x = [z.astype(dtype) for z in closed_basis(lengths, order, len(matrices[0]), cutoff, envelope_p)]
    for number, matrix in enumerate(matrices):
        if number:
            value, slope, curvature = silu(x[0], 1.0)
            after = [value, *(slope * z for z in x[1:])]
            if order == 2:
                after[2] += curvature * x[1] ** 2
            x = after
        x = [z @ matrix for z in x]
    return x


def closed_basis(lengths: np.ndarray, order: int, n_basis: int, cutoff: float, p: int) -> Orders:
    """Bessel functions times the polynomial envelope (see `radial`), and derivatives: (e, n_basis) each."""
    r = lengths[:, None]
    f = np.arange(1, n_basis + 1, dtype=r.dtype) * (np.pi / cutoff)
    sine, cosine = np.sin(f * r), np.cos(f * r)
    b = [sine / r]
    if order > 0:
        b.append((f * cosine - b[0]) / r)
    if order > 1:
        b.append(-(f**2 * sine + 2 * b[1]) / r)
    x = r / cutoff
    e = [1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)]
    # Its derivative is -p (p + 1) (p + 2) / 2 x^(p-1) (1 - x)².
    head = -p * (p + 1) * (p + 2) / 2
    if order > 0:
        e.append(head * x ** (p - 1) * (1 - x) ** 2 / cutoff)
    if order > 1:
        e.append(head * x ** (p - 2) * (1 - x) * (p - 1 - (p + 1) * x) / cutoff**2)
    inside = 2 / cutoff * (x < 1).astype(r.dtype)
    products = [b[0] * e[0]]
    if order > 0:
        products.append(b[1] * e[0] + b[0] * e[1])
    if order > 1:
        products.append(b[2] * e[0] + 2 * b[1] * e[1] + b[0] * e[2])
    return [inside * z for z in products]
