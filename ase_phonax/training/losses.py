"""The loss of a batch and the errors shown of it: what `targets` says of each label, averaged over frames. Pure JAX."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import jraph
from jax import Array

from . import comparisons
from .comparisons import Comparison
from .predictions import Prediction
from .targets import TARGETS


def losses(
    penalty: tuple[str, float],
    kind: str,
    predicted: Prediction,
    batch: jraph.GraphsTuple,
    scales: Mapping[str, Any],
) -> dict[str, Array]:
    """Each part of the loss of a batch, averaged over its frames, weights of the configuration not yet applied.

    Args:
        penalty: "squared" or "huber", and the length where it turns linear.
        scales: label -> typical size, which residuals are divided by.
    """
    comparison = Comparison.of(predicted, batch, kind)
    n_frames = jnp.maximum(jnp.sum(batch.globals["n_atoms"] > 0), 1)

    def cost(residual: Array) -> Array:
        return comparisons.penalty(residual, *penalty)

    result = {}
    for target in TARGETS:
        for term in target.terms if kind in target.kinds and comparison.predicts(target) else ():
            if term.slope and term.slope not in predicted.slopes:
                continue
            values = term.compare(comparison, target, scales[target.name], cost)
            result[term.name] = jnp.sum(values * comparison.weight(target)) / n_frames
    return result


def error_sums(predicted: Prediction, batch: jraph.GraphsTuple, kind: str) -> dict[str, tuple]:
    """Quantity shown -> (sum of absolute errors, sum of squares, count) over what carries the label."""
    comparison = Comparison.of(predicted, batch, kind)

    def sums(error: Array, weight: Array) -> tuple:
        weight = weight.reshape(weight.shape + (1,) * (error.ndim - weight.ndim))
        there = (weight > 0).astype(error.dtype) * jnp.ones_like(error)
        return jnp.sum(jnp.abs(error) * there), jnp.sum(error**2 * there), jnp.sum(there)

    return {
        target.quantity.name: sums(*target.errors(comparison, target))
        for target in TARGETS
        if target.errors and kind in target.kinds and comparison.predicts(target)
    }
