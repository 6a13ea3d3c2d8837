"""Functions of a distance as values and derivatives: products and compositions of them.

Of any array module: NumPy asks for the derivatives it needs, JAX for the value alone, which it differentiates itself.
"""

from collections.abc import Sequence
from typing import Any

AnyArray = Any  # of NumPy or of JAX, whose common interface no type names
Jet = list[AnyArray]  # a function and its derivatives up to the third, as many as are asked for


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
    if len(a) > 3:
        result.append(a[3] * b[0] + 3 * a[2] * b[1] + 3 * a[1] * b[2] + a[0] * b[3])
    return result


def composed(outer: Sequence[AnyArray], inner: Jet) -> Jet:
    """f(x) from f and its derivatives at the values of x, as many as are needed (Faà di Bruno)."""
    result = [outer[0], *(outer[1] * z for z in inner[1:])]
    if len(inner) > 2:
        result[2] = result[2] + outer[2] * inner[1] ** 2
    if len(inner) > 3:
        result[3] = result[3] + 3 * outer[2] * inner[1] * inner[2] + outer[3] * inner[1] ** 3
    return result


def power(x: AnyArray, n: float, order: int) -> Jet:
    """The power x**n."""
    jet = [x**n, n * x ** (n - 1), n * (n - 1) * x ** (n - 2)] if order else [x**n]
    return jet if order < 3 else [*jet, n * (n - 1) * (n - 2) * x ** (n - 3)]


def reciprocal(x: AnyArray, order: int) -> Jet:
    """The reciprocal 1/x."""
    jet = [1 / x, -1 / x**2, 2 / x**3] if order else [1 / x]
    return jet if order < 3 else [*jet, -6 / x**4]
