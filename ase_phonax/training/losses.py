"""What is predicted for a batch, and how far it is from the labels. Pure functions for JAX.

Second derivatives enter as products with directions that travel with the batch: one Jacobian-vector product
of the gradient gives forces and the product at once. On a crystal the product is with D(q) on the twisted
primitive graph (`exchange.TwistedExchange`), whose parameter gradients are right.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
from jax import Array

from ..base.units import THZ_PER_SQRT_EV_A2_AMU
from ..derivatives.compiled.exchange import Exchange, TwistedExchange
from ..derivatives.compiled.responses import edge_vectors
from ..models.potential import NodeEnergies

# Eigenvalues closer than this part of the largest share one gradient.
DEGENERATE = 1e-4
# Frequencies below this are compared by their squares: the square root has no slope at zero.
SOFT_THZ = 0.3


class Prediction(NamedTuple):
    """What the network says of a batch.

    Attributes:
        energy: (n_graphs,) [eV]; forces: (n_nodes, 3) [eV/Å]; stress: (n_graphs, 3, 3) [eV/Å³].
        response: (n_nodes, n_columns, parts, 3) products of the second derivatives with the batch's directions
            [eV/Å² times the direction], real and imaginary parts at a general q; None for batches of the first order.
    """

    energy: Array
    forces: Array
    stress: Array
    response: Array | None


def graph_of_nodes(batch: jraph.GraphsTuple) -> Array:
    """(n_nodes,) the graph each node belongs to."""
    n_nodes = batch.nodes["positions"].shape[0]
    return jnp.repeat(jnp.arange(batch.n_node.shape[0]), batch.n_node, total_repeat_length=n_nodes)


def both_ways(batch: jraph.GraphsTuple) -> tuple[Array, Array, Array]:
    """Senders, receivers and offsets: the one edge of each pair that a batch holds, then those from the other ends."""
    return (
        jnp.concatenate([batch.senders, batch.receivers]),
        jnp.concatenate([batch.receivers, batch.senders]),
        jnp.concatenate([batch.edges["offsets"], -batch.edges["offsets"]]),
    )


def predict(function: NodeEnergies, cutoff: float, kind: str, parameters: Any, batch: jraph.GraphsTuple) -> Prediction:
    """Energies, forces, stress and products with second derivatives of every graph of a batch.

    Args:
        function, cutoff: of the potential.
        kind: of `batches.Shape`: "first" (no second derivatives), "real" (at q = 0), "wave" (any q), "spectrum".
        parameters: tree; differentiable.
        batch: padded graphs of `training.batches`.
    """
    positions = batch.nodes["positions"]
    n, n_graphs = positions.shape[0], batch.n_node.shape[0]
    copies = 2 if kind in ("wave", "spectrum") else 1  # real and imaginary part of a wave: a graph for each
    owner = graph_of_nodes(batch)
    is_frame = batch.globals["n_atoms"] > 0  # the first graph after the frames holds all padding
    real_nodes = jnp.tile(is_frame[owner], copies)
    edge_owner = jnp.tile(owner[batch.receivers], 2 * copies)
    real_edges = is_frame[edge_owner]
    species = jnp.tile(batch.nodes["species"], copies)
    senders, receivers, offsets = both_ways(batch)
    offsets = jnp.tile(offsets, (copies, 1))
    # Second derivatives need twice the memory, so they give up some: on processors it costs no time.
    second = kind != "first"
    exchange: Exchange | TwistedExchange = Exchange(senders, receivers, n, mirrored=True, recompute=second)
    if copies == 2:
        # Not mirrored: the response of a length at the other end carries a phase.
        cos, sin = batch.edges["cos"], batch.edges["sin"]
        exchange = TwistedExchange(senders, receivers, jnp.tile(cos, 2), jnp.concatenate([sin, -sin]), n, second)

    def total(x: Array, strain: Array) -> tuple[Array, Array]:
        vectors = edge_vectors(x, offsets, real_edges, cutoff, exchange)
        own = ((strain + strain.transpose(0, 2, 1)) / 2)[edge_owner]
        vectors = vectors + jnp.where(real_edges[:, None], jnp.einsum("ea,eab->eb", vectors, own), 0.0)
        energies = jnp.where(real_nodes, function(parameters, vectors, species, exchange), 0.0)
        return jnp.sum(energies), energies

    unstrained = jnp.zeros((n_graphs, 3, 3), positions.dtype)
    home = jnp.tile(positions, (copies, 1))

    def gradient(x: Array) -> tuple[Array, tuple[Array, Array]]:
        (slope, virial), energies = jax.grad(total, argnums=(0, 1), has_aux=True)(x, unstrained)
        return slope, (virial, energies)

    response = None
    if not second:
        slope, (virial, energies) = gradient(home)
    else:

        def column(direction: Array) -> tuple[Array, Array, tuple[Array, Array]]:
            return jax.jvp(gradient, (home,), (direction,), has_aux=True)

        # (n, columns, parts, 3) -> (columns, parts n, 3): the copies of the graph lie one after the other.
        moved = batch.nodes["direction"].transpose(1, 2, 0, 3).reshape(-1, copies * n, 3)
        slope, found, (virial, energies) = jax.vmap(column, out_axes=(None, 0, None))(moved)
        response = found.reshape(-1, copies, n, 3).transpose(2, 0, 1, 3)
    volume = jnp.maximum(batch.globals["volume"], 1e-6)
    return Prediction(
        jax.ops.segment_sum(energies[:n], owner, n_graphs),
        -slope[:n],
        virial / copies / volume[:, None, None],
        response,
    )


def _penalty(residual: Array, kind: str, delta: float) -> Array:
    """Of vectors on the last axis, averaged over their components: (...,).

    Squares, or the pseudo-Huber function of the length, which is rotation-invariant and smooth at zero.
    """
    square = jnp.sum(residual**2, -1) / residual.shape[-1]
    return square if kind == "squared" else 2 * delta**2 * (jnp.sqrt(1 + square / delta**2) - 1)


def losses(
    penalty: tuple[str, float], kind: str, found: Prediction, batch: jraph.GraphsTuple, scales: dict
) -> dict[str, Array]:
    """Each part of the loss of a batch, averaged over its frames, weights of the configuration not yet applied.

    Args:
        penalty: "squared" or "huber", and the length where it turns linear.
        scales: label -> typical size, which residuals are divided by.
    """
    known = batch.globals
    n_graphs = batch.n_node.shape[0]
    n_atoms = jnp.maximum(known["n_atoms"], 1)
    owner = graph_of_nodes(batch)
    n_frames = jnp.maximum(jnp.sum(known["n_atoms"] > 0), 1)

    def cost(residual: Array) -> Array:
        return _penalty(residual, *penalty)

    def per_frame(values: Array, weight: Array) -> Array:
        return jnp.sum(values * weight) / n_frames

    def of_nodes(values: Array) -> Array:
        return jax.ops.segment_sum(values, owner, n_graphs) / n_atoms

    energy = (found.energy - known["energy"]) / n_atoms / scales["energy"]
    forces = (found.forces - batch.nodes["forces"]) / scales["forces"]
    stress = (found.stress - known["stress"]).reshape(n_graphs, 9) / scales["stress"]
    result = {
        "energy": per_frame(cost(energy[:, None]), known["energy_weight"]),
        "forces": per_frame(of_nodes(cost(forces)), known["forces_weight"]),
        "stress": per_frame(cost(stress), known["stress_weight"]),
    }
    if found.response is not None:
        change = (found.response - batch.nodes["response"]) / scales["curvature"]
        # Real and imaginary parts of one product are one vector of six.
        products = change.transpose(0, 1, 3, 2).reshape(*change.shape[:2], -1) * change.shape[2] ** 0.5
        # In whole matrices only the columns of the frame itself count; the others are zero.
        columns: Any = 3 * n_atoms if kind == "spectrum" else found.response.shape[1]
        weight = known["curvature_weight"]
        result["curvature"] = per_frame(of_nodes(jnp.sum(cost(products), 1)) / columns, weight)
        bra = _project(batch.nodes["left"], change, owner, n_graphs) / (3 * n_atoms[:, None, None]) ** 0.5
        result["projections"] = per_frame(jnp.sum(cost(bra * bra.shape[-1] ** 0.5), 1) / columns, weight)
    if kind == "spectrum":
        result["spectrum"] = _spectral(found, batch, scales, cost, per_frame)
    return result


def _project(left: Array, change: Array, owner: Array, n_graphs: int) -> Array:
    """u† x of each graph: (n_graphs, n_columns, parts)."""
    if left.shape[2] == 1:
        parts = [jnp.sum(left * change, (2, 3))]
    else:
        (u, v), (x, y) = (left[:, :, 0], left[:, :, 1]), (change[:, :, 0], change[:, :, 1])
        parts = [jnp.sum(u * x + v * y, -1), jnp.sum(u * y - v * x, -1)]
    return jax.ops.segment_sum(jnp.stack(parts, -1), owner, n_graphs)


def _spectral(found: Prediction, batch: jraph.GraphsTuple, scales: dict, cost: Any, per_frame: Any) -> Array:
    """Sorted frequencies against sorted frequencies."""
    known = batch.globals
    predicted = frequencies(found, batch)
    inside = jnp.arange(predicted.shape[1]) < 3 * known["n_atoms"][:, None]
    residual = jnp.where(inside, (predicted - _soften(known["spectrum"])) / scales["spectrum"], 0.0)
    n = jnp.maximum(known["n_atoms"], 1)
    return per_frame(jnp.sum(cost(residual[..., None]), 1) / (3 * n), known["spectrum_weight"])


def _soften(frequency: Array) -> Array:
    """Signed frequency [THz], bent to its square over `SOFT_THZ` near zero."""
    square = jnp.sign(frequency) * frequency**2
    return square / (square**2 + SOFT_THZ**4) ** 0.25


def frequencies(found: Prediction, batch: jraph.GraphsTuple) -> Array:
    """(n_graphs, 3 largest) softened frequencies [THz], ascending; what lies beyond 3 n_atoms is padding.

    The directions of the batch are all unit displacements times sqrt(3n).
    """
    assert found.response is not None
    n_graphs, columns = batch.n_node.shape[0], found.response.shape[1]
    n_atoms = batch.globals["n_atoms"]
    first = jnp.cumsum(batch.n_node) - batch.n_node
    slots = jnp.minimum(first[:, None] + jnp.arange(columns // 3), found.response.shape[0] - 1)
    inside = jnp.arange(columns) < 3 * n_atoms[:, None]
    scaled = found.response / batch.nodes["masses"].clip(1e-3)[:, None, None, None] ** 0.5
    # (graph, atom, column, part, axis) -> (graph, row, column)
    rows = scaled[slots].transpose(0, 3, 1, 4, 2).reshape(n_graphs, 2, columns, columns)
    masses = jnp.repeat(batch.nodes["masses"].clip(1e-3)[slots], 3, axis=1)
    rows = rows / ((3 * jnp.maximum(n_atoms, 1))[:, None] * masses)[:, None, None, :] ** 0.5
    both = inside[:, :, None] & inside[:, None, :]
    matrix = jnp.where(both, rows[:, 0] + 1j * rows[:, 1], 0)
    matrix = (matrix + matrix.conj().transpose(0, 2, 1)) / 2
    matrix = matrix + jnp.where(inside, 0.0, 1e6)[:, :, None] * jnp.eye(columns, dtype=rows.dtype)
    squares = eigenvalues(matrix) * THZ_PER_SQRT_EV_A2_AMU**2
    return squares / (squares**2 + SOFT_THZ**4) ** 0.25


@jax.custom_vjp
def eigenvalues(matrix: Array) -> Array:
    """(..., n, n) Hermitian -> (..., n) ascending, with a gradient that no degeneracy spoils.

    d lambda = u† dM u needs no differences of eigenvalues; within a set of (nearly) equal ones the basis is
    arbitrary, so the incoming gradient is averaged over the set.
    """
    return jnp.linalg.eigvalsh(matrix)


def _eigenvalues_forward(matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    values, vectors = jnp.linalg.eigh(matrix)
    return values, (values, vectors)


def _eigenvalues_backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array]:
    values, vectors = kept
    # Padding may be far larger than any true eigenvalue.
    size = jnp.max(jnp.where(jnp.abs(values) < 1e5, jnp.abs(values), 0.0), -1)[..., None]
    steps = values[..., 1:] - values[..., :-1] > DEGENERATE * size
    group = jnp.concatenate([jnp.zeros_like(steps[..., :1], int), jnp.cumsum(steps, -1)], -1)
    same = (group[..., :, None] == group[..., None, :]).astype(values.dtype)
    mean = jnp.einsum("...ij,...j->...i", same, slope) / same.sum(-1)
    # JAX pairs a complex gradient without conjugation: the transpose of the outer product.
    outer = jnp.einsum("...ik,...k,...jk->...ij", vectors.conj(), mean.astype(vectors.dtype), vectors)
    return (outer,)


eigenvalues.defvjp(_eigenvalues_forward, _eigenvalues_backward)
