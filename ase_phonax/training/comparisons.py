"""How far a prediction is from the labels of its batch. Pure JAX; `targets` says which label is compared how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import jraph
from jax import Array

from .directions import WHOLE
from .predictions import Prediction, graph_of_nodes
from .spectra import frequencies, infrared, soften

if TYPE_CHECKING:
    from .target import Target

Cost = Callable[[Array], Array]  # of residuals in units of their scale, vectors on the last axis


@dataclass(frozen=True)
class Comparison:
    """A prediction beside the batch with its labels.

    Attributes:
        kind: of the batch, one of `directions.KINDS`.
        owner: (n_nodes,) the graph of each node.
        n_atoms: (n_graphs,) of each frame, 1 for padding.
    """

    predicted: Prediction
    batch: jraph.GraphsTuple
    kind: str
    owner: Array
    n_atoms: Array

    @classmethod
    def of(cls, predicted: Prediction, batch: jraph.GraphsTuple, kind: str) -> Comparison:
        """A comparison of one batch."""
        return cls(predicted, batch, kind, graph_of_nodes(batch), jnp.maximum(batch.globals["n_atoms"], 1))

    @property
    def n_graphs(self) -> int:
        """How many graphs there are: frames and padding."""
        return self.batch.n_node.shape[0]

    def mean_of_nodes(self, values: Array) -> Array:
        """Means over the atoms of each graph: (n_nodes,) -> (n_graphs,)."""
        return jax.ops.segment_sum(values, self.owner, self.n_graphs) / self.n_atoms

    def means_of_nodes(self, values: Array) -> Array:
        """The same of vectors: (n_nodes, m) -> (n_graphs, m)."""
        return jax.ops.segment_sum(values, self.owner, self.n_graphs) / self.n_atoms[:, None]

    def predicts(self, target: Target) -> bool:
        """Whether the network says anything of this label."""
        if target.output is not None:
            return target.output.name in self.predicted.outputs
        if target.needs is not None:
            return target.name in self.predicted.slopes
        return not target.predicted or getattr(self.predicted, target.predicted) is not None

    def difference(self, target: Target) -> Array:
        """Prediction less label, (n_graphs, ...) or (n_nodes, ...); per atom where the label grows with the atoms."""
        labels = (self.batch.nodes if target.per == "atom" else self.batch.globals)[target.name]
        error = self.value(target).reshape(labels.shape) - labels
        return error / self.n_atoms if target.extensive else error

    def value(self, target: Target) -> Array:
        """What the network says in the place of a label."""
        if target.needs is not None:
            slopes = jnp.moveaxis(self.predicted.slopes[target.name], -1, 1)
            return jnp.moveaxis(target.of_components(slopes), 1, -1)
        output = target.output
        if output is None:
            return getattr(self.predicted, target.predicted)
        values = self.predicted.outputs[output.name]
        if output.per == "structure":
            pooled = jax.ops.segment_sum(values, self.owner, self.n_graphs)
            values = pooled if output.pooling == "sum" else pooled / self.n_atoms[:, None]
        elif output.neutral:
            values = values - self.means_of_nodes(values)[self.owner]
        values = target.of_components(values)
        return self.means_of_nodes(values) if output.per == "atom" and target.per == "structure" else values

    def weight(self, target: Target) -> Array:
        """(n_graphs,) of the frames: zero where one does not have the label."""
        return self.batch.globals[f"{target.name}_weight"]


def penalty(residual: Array, kind: str, delta: float) -> Array:
    """What residuals cost: (...,) of vectors on the last axis, averaged over their components.

    Squares, or the pseudo-Huber function of the length, which is rotation-invariant and smooth at zero.
    """
    square = jnp.sum(residual**2, -1) / residual.shape[-1]
    return square if kind == "squared" else 2 * delta**2 * (jnp.sqrt(1 + square / delta**2) - 1)


# Parts of the loss of each frame, (n_graphs,).


def values(c: Comparison, target: Target, scale: Array, cost: Cost) -> Array:
    """Numbers of the structure, or of its atoms, as one vector each."""
    residual = c.difference(target) / scale
    costs = cost(residual.reshape(residual.shape[0], -1))
    return c.mean_of_nodes(costs) if target.per == "atom" else costs


def products(c: Comparison, target: Target, scale: Array, cost: Cost) -> Array:
    """Products of second derivatives with the batch's directions."""
    change = _change(c) / scale
    # Real and imaginary parts of one product are one vector of six.
    vectors = change.transpose(0, 1, 3, 2).reshape(*change.shape[:2], -1) * change.shape[2] ** 0.5
    return c.mean_of_nodes(jnp.sum(cost(vectors), 1)) / _n_columns(c)


def projections(c: Comparison, target: Target, scale: Array, cost: Cost) -> Array:
    """Projections u† x of the products x onto random u."""
    left, change = c.batch.nodes["left"], _change(c) / scale
    if left.shape[2] == 1:
        parts = [jnp.sum(left * change, (2, 3))]
    else:
        (u, v), (x, y) = (left[:, :, 0], left[:, :, 1]), (change[:, :, 0], change[:, :, 1])
        parts = [jnp.sum(u * x + v * y, -1), jnp.sum(u * y - v * x, -1)]
    bra = jax.ops.segment_sum(jnp.stack(parts, -1), c.owner, c.n_graphs) / (3 * c.n_atoms[:, None, None]) ** 0.5
    return jnp.sum(cost(bra * bra.shape[-1] ** 0.5), 1) / _n_columns(c)


def spectra(c: Comparison, target: Target, scale: Array, cost: Cost) -> Array:
    """Sorted frequencies against sorted frequencies, species by species, over those that are known."""
    predicted = frequencies(c.predicted, c.batch)
    weights = c.batch.globals["line_weights"]
    residual = jnp.where(weights > 0, (predicted - soften(c.batch.globals["spectrum"])) / scale, 0.0)
    return jnp.sum(weights * cost(residual[..., None]), 1) / (3 * c.n_atoms)


def intensities(c: Comparison, target: Target, scale: Array, cost: Cost) -> Array:
    """Infrared absorption of the modes of molecules, in units of the strongest that is known of each."""
    known, weights = c.batch.globals["intensities"], c.batch.globals["intensity_weights"]
    strongest = jnp.maximum(jnp.max(known, axis=1, keepdims=True), 1.0)
    residual = jnp.where(weights > 0, (infrared(c.predicted, c.batch) - known) / strongest, 0.0)
    return jnp.sum(weights * cost(residual[..., None]), 1) / (3 * c.n_atoms)


def _change(c: Comparison) -> Array:
    assert c.predicted.response is not None
    return c.predicted.response - c.batch.nodes["response"]


def _n_columns(c: Comparison) -> Array | int:
    """How many columns each frame has; in whole matrices those beyond its own are zero, and do not count."""
    return 3 * c.n_atoms if c.kind in WHOLE else c.batch.nodes["response"].shape[1]


# Errors as they are shown, and the weights of the frames that have the label, of as many leading axes.


def densities(c: Comparison, target: Target, scale: Array, cost: Cost) -> Array:
    """Densities of states where they are known, with the label's integral there.

    Not with its maximum, which one wrong spike would set.
    """
    label, known = _known(c, target)
    predicted = c.value(target) * known
    factor = jnp.sum(label, -1, keepdims=True) / jnp.maximum(jnp.sum(predicted, -1, keepdims=True), 1e-9)
    difference = factor * predicted - label
    n_known = jnp.maximum(jnp.sum(known, -1), 1)
    return jnp.sum(cost(difference[..., None] / scale), -1) / n_known


def integrated_densities(c: Comparison, target: Target, scale: Array, cost: Cost) -> Array:
    """Densities integrated up to each frequency where they are known, each to 1: how far modes lie off."""
    label, known = _known(c, target)
    predicted = c.value(target) * known
    parts = [jnp.cumsum(own, -1) / jnp.maximum(jnp.sum(own, -1, keepdims=True), 1e-9) for own in (predicted, label)]
    return jnp.sum(jnp.abs(parts[0] - parts[1]) * known, -1) / scale / jnp.maximum(jnp.sum(known, -1), 1)


def _known(c: Comparison, target: Target) -> tuple[Array, Array]:
    """Labels, zero where they are not known, and where they are."""
    label = c.batch.globals[target.name]
    known = (label >= 0).astype(label.dtype)
    return label * known, known


def density_errors(c: Comparison, target: Target) -> tuple[Array, Array]:
    """Errors where the density is known, both with the maximum 1 there."""
    label, known = _known(c, target)
    predicted = c.value(target) * known
    highest = [jnp.maximum(jnp.max(own, -1, keepdims=True), 1e-9) for own in (predicted, label)]
    return predicted / highest[0] - label / highest[1], c.weight(target)[:, None] * known


def value_errors(c: Comparison, target: Target) -> tuple[Array, Array]:
    """Errors of every number; those of energies are per atom."""
    weight = c.weight(target)
    return c.difference(target), weight[c.owner] if target.per == "atom" else weight


def product_errors(c: Comparison, target: Target) -> tuple[Array, Array]:
    """Length of the error of a product with a direction of length sqrt(3n), over sqrt(3n).

    Its mean square is that of a column.
    """
    length = jnp.sqrt(jnp.sum(_change(c) ** 2, 2))
    weight = c.weight(target)[c.owner][:, None, None]
    if c.kind in WHOLE:
        # Whole matrices are padded to the columns of the largest; those say nothing of a smaller one.
        weight = weight * (jnp.arange(length.shape[1]) < 3 * c.n_atoms[c.owner][:, None])[:, :, None]
    return length, weight
