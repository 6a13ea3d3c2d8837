"""Functions of a distance as values and derivatives: products and compositions of them."""

from collections.abc import Sequence

import numpy as np

from ..parts import Orders


def scaled(x: Orders, factor: float | np.ndarray) -> Orders:
    """Times a constant."""
    return [factor * z for z in x]


def product(a: Orders, b: Orders) -> Orders:
    """Of two functions, by Leibniz's rule."""
    result = [a[0] * b[0]]
    if len(a) > 1:
        result.append(a[1] * b[0] + a[0] * b[1])
    if len(a) > 2:
        result.append(a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2])
    return result


def composed(outer: Sequence[np.ndarray], inner: Orders) -> Orders:
    """f(x) from f, f' and f'' at the values of x, as many as are needed."""
    result = [outer[0], *(outer[1] * z for z in inner[1:])]
    if len(inner) > 2:
        result[2] = result[2] + outer[2] * inner[1] ** 2
    return result
