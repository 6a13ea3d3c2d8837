"""Functions of a distance as values and derivatives: products and compositions of them.

Of any array module: NumPy asks for the derivatives it needs, JAX for the value alone, which it differentiates itself.
"""

from collections.abc import Sequence
from typing import Any

AnyArray = Any  # of NumPy or of JAX, whose common interface no type names
Jet = list[AnyArray]  # a function, its slope and its curvature, as many as are asked for


def scaled(x: Jet, factor: AnyArray) -> Jet:
    """A function times a constant."""
    return [factor * z for z in x]


def shifted(x: Jet, constant: AnyArray) -> Jet:
    """A function plus a constant."""
    return [x[0] + constant, *x[1:]]


def product(a: Jet, b: Jet) -> Jet:
    """The product of two functions, by Leibniz's rule."""
    result = [a[0] * b[0]]
    if len(a) > 1:
        result.append(a[1] * b[0] + a[0] * b[1])
    if len(a) > 2:
        result.append(a[2] * b[0] + 2 * a[1] * b[1] + a[0] * b[2])
    return result


def composed(outer: Sequence[AnyArray], inner: Jet) -> Jet:
    """f(x) from f, f' and f'' at the values of x, as many as are needed."""
    result = [outer[0], *(outer[1] * z for z in inner[1:])]
    if len(inner) > 2:
        result[2] = result[2] + outer[2] * inner[1] ** 2
    return result


def power(x: AnyArray, n: float, order: int) -> Jet:
    """The power x**n."""
    return [x**n, n * x ** (n - 1), n * (n - 1) * x ** (n - 2)] if order else [x**n]


def reciprocal(x: AnyArray, order: int) -> Jet:
    """The reciprocal 1/x."""
    return [1 / x, -1 / x**2, 2 / x**3] if order else [1 / x]
