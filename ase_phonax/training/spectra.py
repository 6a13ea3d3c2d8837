"""Frequencies of a batch from products with all directions, and eigenvalues with a gradient. Pure JAX."""

import jax
import jax.numpy as jnp
import jraph
from jax import Array

from ..base.units import THZ_PER_SQRT_EV_A2_AMU
from ..molecules.intensities import KM_MOL
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
    """
    matrix, _ = _dynamical(predicted, batch)
    squares = eigenvalues(matrix, batch.globals["apart"]) * THZ_PER_SQRT_EV_A2_AMU**2
    return squares / (squares**2 + SOFT_THZ**4) ** 0.25


def infrared(predicted: Prediction, batch: jraph.GraphsTuple) -> Array:
    """(n_graphs, 3 largest) infrared absorption of each mode of molecules [km/mol], sets by their mean.

    The gradient is that of the Born charges; modes are taken as they are.
    """
    matrix, places = _dynamical(predicted, batch)
    modes = jax.lax.stop_gradient(jnp.linalg.eigh(matrix)[1])
    roots = batch.nodes["masses"].clip(1e-3) ** 0.5
    charges = (predicted.slopes["born_charges"] / roots[:, None, None])[places]  # (graph, atom, field, axis)
    n_graphs, largest = places.shape
    moved = charges.transpose(0, 2, 1, 3).reshape(n_graphs, 3, 3 * largest) @ modes.real
    return jnp.einsum("gkl,gl->gk", batch.globals["alike"], KM_MOL * jnp.sum(moved**2, 1))


def _dynamical(predicted: Prediction, batch: jraph.GraphsTuple) -> tuple[Array, Array]:
    """(n_graphs, 3 largest, 3 largest) D, species moved apart and padding far away, and the nodes of its atoms.

    The directions of the batch are unit displacements times sqrt(3n), of all atoms or of those that the others are
    images of (`images`).
    """
    assert predicted.response is not None
    largest = batch.globals["apart"].shape[1] // 3
    n_atoms = batch.globals["n_atoms"]
    first = jnp.cumsum(batch.n_node) - batch.n_node
    places = jnp.minimum(first[:, None] + jnp.arange(largest), predicted.response.shape[0] - 1)
    inside = jnp.arange(3 * largest) < 3 * n_atoms[:, None]
    roots = batch.nodes["masses"].clip(1e-3) ** 0.5
    rows = _with_images(predicted.response / roots[:, None, None, None], places, batch)
    masses = jnp.repeat(batch.nodes["masses"].clip(1e-3)[places], 3, axis=1)
    rows = rows / ((3 * jnp.maximum(n_atoms, 1))[:, None] * masses)[:, None, None, :] ** 0.5
    both = inside[:, :, None] & inside[:, None, :]
    own, species = (
        (x[:, 0] if rows.shape[1] == 1 else x[:, 0] + 1j * x[:, 1]) for x in (rows, batch.globals["species"])
    )
    matrix = jnp.where(both, own, 0)
    matrix = (matrix + matrix.conj().transpose(0, 2, 1)) / 2 + species
    return matrix + jnp.where(inside, 0.0, 1e6)[:, :, None] * jnp.eye(3 * largest, dtype=rows.dtype), places


def _with_images(response: Array, places: Array, batch: jraph.GraphsTuple) -> Array:
    """Matrices (graph, part, row, column) of products (node, column, part, axis) with displacements of some atoms.

    Args:
        places: (n_graphs, largest) the node of each atom.
    """
    n_graphs, largest = places.shape
    _, n_columns, parts, _ = response.shape
    graphs = jnp.arange(n_graphs)[:, None, None]
    own = response[places].reshape(n_graphs, largest, n_columns // 3, 3, parts, 3)
    taken = own[graphs, batch.globals["sources"], batch.globals["slots"][:, :, None]]
    turn = batch.globals["rotations"]
    # g graph, j atom displaced, i atom that moves, k and l axes before the operation, b and a after it.
    rows = jnp.einsum("gjikpl,gjal,gjbk->gpiajb", taken, turn, turn)
    return rows.reshape(n_graphs, parts, 3 * largest, 3 * largest)


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
