"""The radial network of edges as arrays: a closed Bessel basis through a perceptron, with two derivatives."""

from collections.abc import Sequence

import numpy as np

from ..parts import Orders
from .activations import silu
from .jets import composed, product, scaled


def radial_weights(
    basis: Orders, kinds: np.ndarray, *, matrices: Sequence[np.ndarray], elements: np.ndarray | None = None
) -> Orders:
    """Weights (e, n) of every path and channel, and their derivatives with respect to the length.

    Args:
        basis: (e, n_basis) and as many derivatives as are wanted.
        kinds: (e, 2) elements at both ends.
        matrices: of the perceptron, scaled; silu between them, no biases.
        elements: (n_species, m) rows whose product over both ends multiplies the first map; None for none.
    """
    factor = None if elements is None else elements[kinds[:, 0]] * elements[kinds[:, 1]]
    return perceptron(basis, matrices, factor)


def perceptron(x: Orders, matrices: Sequence[np.ndarray], factor: np.ndarray | None = None) -> Orders:
    """Linear maps with silu between them; the first is multiplied by a factor that does not depend on the length."""
    for number, matrix in enumerate(matrices):
        if number:
            x = composed(silu(x[0], 1.0, len(x) - 1), x)
        x = [z @ matrix for z in x]
        if factor is not None and not number:
            x = scaled(x, factor)
    return x


def closed_basis(
    lengths: np.ndarray,
    order: int,
    kinds: np.ndarray | None = None,
    *,
    n_basis: int,
    cutoff: float,
    p: int,
    dtype: np.dtype,
) -> Orders:
    """Bessel functions times the polynomial envelope (see `radial`), and derivatives: (e, n_basis) each.

    Args:
        lengths: (e,) [Å], positive, in double precision: rounding a length, the slope of a basis function makes it
            several times worse.
        order: how many derivatives, 0 to 2.
        kinds: of edges, all alike here.
        dtype: of the result.
    """
    r = lengths[:, None]
    found = product(bessel(r, order, n_basis, cutoff), envelope(r, order, cutoff, p))
    return [z.astype(dtype) for z in found]


def bessel(r: np.ndarray, order: int, n_basis: int, cutoff: float) -> Orders:
    """Bessel functions of (e, 1): (e, n_basis) each."""
    f = np.arange(1, n_basis + 1, dtype=r.dtype) * (np.pi / cutoff)
    sine, cosine = np.sin(f * r), np.cos(f * r)
    b = [sine / r]
    if order > 0:
        b.append((f * cosine - b[0]) / r)
    if order > 1:
        b.append(-(f**2 * sine + 2 * b[1]) / r)
    return scaled(b, 2 / cutoff)


def envelope(r: np.ndarray, order: int, cutoff: float | np.ndarray, p: int) -> Orders:
    """The polynomial envelope, in the shape of r."""
    x = r / cutoff
    inside = (x < 1).astype(r.dtype)
    e = [1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)]
    # Its derivative is -p (p + 1) (p + 2) / 2 x^(p-1) (1 - x)².
    head = -p * (p + 1) * (p + 2) / 2
    if order > 0:
        e.append(head * x ** (p - 1) * (1 - x) ** 2 / cutoff)
    if order > 1:
        e.append(head * x ** (p - 2) * (1 - x) * (p - 1 - (p + 1) * x) / cutoff**2)
    return scaled(e, inside)
