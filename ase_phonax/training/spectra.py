"""Frequencies of a batch from products with all directions, and eigenvalues with a gradient. Pure JAX."""

import jax
import jax.numpy as jnp
import jraph
from jax import Array

from ..base.units import THZ_PER_SQRT_EV_A2_AMU
from .predictions import Prediction

# Eigenvalues closer than this part of the largest share one gradient.
DEGENERATE = 1e-4
# Frequencies below this are compared by their squares: the square root has no slope at zero.
SOFT_THZ = 0.3


def soften(frequency: Array) -> Array:
    """Signed frequency [THz], bent to its square over `SOFT_THZ` near zero."""
    square = jnp.sign(frequency) * frequency**2
    return square / (square**2 + SOFT_THZ**4) ** 0.25


def frequencies(predicted: Prediction, batch: jraph.GraphsTuple) -> Array:
    """(n_graphs, 3 largest) softened frequencies [THz], in the order of the labels; beyond 3 n_atoms is padding.

    They ascend within each species, which the batch keeps apart (`values.Spectrum`).

    The directions of the batch are all unit displacements times sqrt(3n).
    """
    assert predicted.response is not None
    n_graphs, columns = batch.n_node.shape[0], predicted.response.shape[1]
    n_atoms = batch.globals["n_atoms"]
    first = jnp.cumsum(batch.n_node) - batch.n_node
    slots = jnp.minimum(first[:, None] + jnp.arange(columns // 3), predicted.response.shape[0] - 1)
    inside = jnp.arange(columns) < 3 * n_atoms[:, None]
    scaled = predicted.response / batch.nodes["masses"].clip(1e-3)[:, None, None, None] ** 0.5
    # (graph, atom, column, part, axis) -> (graph, row, column)
    rows = scaled[slots].transpose(0, 3, 1, 4, 2).reshape(n_graphs, -1, columns, columns)
    masses = jnp.repeat(batch.nodes["masses"].clip(1e-3)[slots], 3, axis=1)
    rows = rows / ((3 * jnp.maximum(n_atoms, 1))[:, None] * masses)[:, None, None, :] ** 0.5
    both = inside[:, :, None] & inside[:, None, :]
    own, species = (
        (x[:, 0] if rows.shape[1] == 1 else x[:, 0] + 1j * x[:, 1]) for x in (rows, batch.globals["species"])
    )
    matrix = jnp.where(both, own, 0)
    matrix = (matrix + matrix.conj().transpose(0, 2, 1)) / 2 + species
    matrix = matrix + jnp.where(inside, 0.0, 1e6)[:, :, None] * jnp.eye(columns, dtype=rows.dtype)
    squares = eigenvalues(matrix, batch.globals["apart"]) * THZ_PER_SQRT_EV_A2_AMU**2
    return squares / (squares**2 + SOFT_THZ**4) ** 0.25


@jax.custom_vjp
def eigenvalues(matrix: Array, apart: Array) -> Array:
    """(..., n, n) Hermitian -> (..., n) ascending, less `apart`, with a gradient that no degeneracy spoils.

    d lambda = u† dM u needs no differences of eigenvalues; within a set of (nearly) equal ones the basis is
    arbitrary, so the incoming gradient is averaged over the set.

    Args:
        matrix: in which species are moved apart.
        apart: (..., n) by how much the species of each eigenvalue was; it has no gradient.
    """
    return jnp.linalg.eigvalsh(matrix) - apart


def _eigenvalues_forward(matrix: Array, apart: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    moved, vectors = jnp.linalg.eigh(matrix)
    return moved - apart, (moved, apart, vectors)


def _eigenvalues_backward(kept: tuple[Array, Array, Array], slope: Array) -> tuple[Array, Array]:
    moved, apart, vectors = kept
    values = moved - apart
    # Padding may be far larger than any true eigenvalue.
    size = jnp.max(jnp.where(jnp.abs(values) < 1e5, jnp.abs(values), 0.0), -1)[..., None]
    steps = moved[..., 1:] - moved[..., :-1] > DEGENERATE * size
    group = jnp.concatenate([jnp.zeros_like(steps[..., :1], int), jnp.cumsum(steps, -1)], -1)
    same = (group[..., :, None] == group[..., None, :]).astype(values.dtype)
    mean = jnp.einsum("...ij,...j->...i", same, slope) / same.sum(-1)
    # JAX pairs a complex gradient without conjugation: the transpose of the outer product.
    outer = jnp.einsum("...ik,...k,...jk->...ij", vectors.conj(), mean.astype(vectors.dtype), vectors)
    return outer, jnp.zeros_like(apart)


eigenvalues.defvjp(_eigenvalues_forward, _eigenvalues_backward)
