"""Nonlinear functions of scalars, with their derivatives and norms."""

from functools import partial

import numpy as np

from .jets import AnyArray

# sqrt of the mean square of the activation under a unit normal, as e3nn-jax computes it in float64
# (`e3nn_jax.normalize_function`); frozen here because its float32 value differs in the sixth digit.
SILU_NORM = 0.5964586854233045
TANH_NORM = 0.6279282481638502


def silu(x: np.ndarray, norm: float = 1.0, order: int = 2) -> tuple[np.ndarray, ...]:
    """x / (1 + exp(-x)) / norm and its derivatives up to the third."""
    s = _sigmoid(x)
    orders = [x * s]
    if order > 0:
        orders.append(s * (1 + x * (1 - s)))
    if order > 1:
        orders.append(s * (1 - s) * (2 + x * (1 - 2 * s)))
    if order > 2:
        a, b = s * (1 - s), 1 - 2 * s
        orders.append(a * (b * (3 + x * b) - 2 * a * x))
    return tuple(z if norm == 1 else z / norm for z in orders)


def tanh(x: AnyArray, norm: float = 1.0, order: int = 2) -> tuple[AnyArray, ...]:
    """tanh(x) / norm and its derivatives up to the third, of any array module."""
    t = x.__array_namespace__().tanh(x)
    orders = [t]
    if order > 0:
        orders.append(1 - t * t)
    if order > 1:
        orders.append(-2 * t * (1 - t * t))
    if order > 2:
        orders.append((6 * t * t - 2) * (1 - t * t))
    return tuple(z if norm == 1 else z / norm for z in orders)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.maximum(x, -80)))  # no overflow


# With unit mean square under a unit normal, as features have them.
NORMED = {"silu": partial(silu, norm=SILU_NORM), "tanh": partial(tanh, norm=TANH_NORM)}
