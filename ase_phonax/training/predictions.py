"""What a network says of a batch: energies, forces, stresses, and second derivatives along directions. Pure JAX.

Second derivatives enter as products with directions that travel with the batch: one Jacobian-vector product
of the gradient gives forces and the product at once. On a crystal the product is with D(q) on the twisted
primitive graph (`exchange.TwistedExchange`), whose parameter gradients are right.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jraph
from jax import Array

from ..derivatives.compiled.exchange import Exchange, TwistedExchange
from ..derivatives.compiled.responses import Tree, edge_vectors
from ..models.fields import shares_in_field
from ..models.outputs import ENERGY
from ..models.potential import NodeEnergies, NodeOutputs
from .directions import OF_WAVES


class Prediction(NamedTuple):
    """What the network says of a batch.

    Attributes:
        energy: (n_graphs,) [eV]; forces: (n_nodes, 3) [eV/Å]; stress: (n_graphs, 3, 3) [eV/Å³].
        response: (n_nodes, n_columns, parts, 3) products of the second derivatives with the batch's directions
            [eV/Å² times the direction], real and imaginary parts at a general q; None for batches of the first order.
        outputs: name -> (n_nodes, components) of the network's outputs beside the energy; of those per structure these
            are contributions of atoms. Dipoles are those in the field of the frame.
        slopes: name of a label -> (n_nodes, components, 3) derivatives by positions, displacement last, of the output
            that the label needs: those that were asked for.
    """

    energy: Array
    forces: Array
    stress: Array
    response: Array | None
    outputs: Mapping[str, Array] = {}
    slopes: Mapping[str, Array] = {}


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


def predict(
    function: NodeEnergies | NodeOutputs,
    cutoff: float,
    kind: str,
    parameters: Tree,
    batch: jraph.GraphsTuple,
    slopes: Mapping[str, str] = {},
) -> Prediction:
    """Energies, forces, stress and products with second derivatives of every graph of a batch.

    Where a batch has the global "field", (n_graphs, 3) [V/Å], everything is derived from U = E - mu.F - 1/2 F.alpha.F.

    Args:
        function: `node_energies` or `node_outputs` of the potential.
        cutoff: of the potential [Å].
        kind: of `batches.Shape`: "first" (no second derivatives), "real" (at q = 0), "wave" (any q), "spectrum",
            "real spectrum".
        parameters: tree; differentiable.
        batch: padded graphs of `training.batches`.
        slopes: name of a label -> output whose derivatives by positions it is, of molecules at q = 0.
    """
    positions = batch.nodes["positions"]
    n, n_graphs = positions.shape[0], batch.n_node.shape[0]
    copies = 2 if kind in OF_WAVES else 1  # real and imaginary part of a wave: a graph for each
    owner = graph_of_nodes(batch)
    is_frame = batch.globals["n_atoms"] > 0  # the first graph after the frames holds all padding
    real_nodes = jnp.tile(is_frame[owner], copies)
    edge_owner = jnp.tile(owner[batch.receivers], 2 * copies)
    real_edges = is_frame[edge_owner]
    species = jnp.tile(batch.nodes["species"], copies)
    senders, receivers, offsets = both_ways(batch)
    offsets = jnp.tile(offsets, (copies, 1))
    field = batch.globals.get("field")
    field_at_nodes = None if field is None else jnp.tile(field[owner], (copies, 1))
    # Second derivatives need twice the memory, so they give up some: on processors it costs no time.
    second = kind != "first"
    exchange: Exchange | TwistedExchange = Exchange(senders, receivers, n, mirrored=True, recompute=second)
    if copies == 2:
        # Not mirrored: the response of a length at the other end carries a phase.
        cos, sin = batch.edges["cos"], batch.edges["sin"]
        exchange = TwistedExchange(senders, receivers, jnp.tile(cos, 2), jnp.concatenate([sin, -sin]), n, second)

    def total(x: Array, strain: Array) -> tuple[Array, tuple[Array, dict[str, Array]]]:
        vectors = edge_vectors(x, offsets, real_edges, cutoff, exchange)
        own = ((strain + strain.transpose(0, 2, 1)) / 2)[edge_owner]
        vectors = vectors + jnp.where(real_edges[:, None], jnp.einsum("ea,eab->eb", vectors, own), 0.0)
        given = function(parameters, vectors, species, exchange)
        outputs = dict(given) if isinstance(given, Mapping) else {ENERGY.name: given[:, None]}
        energies = outputs.pop(ENERGY.name)[:, 0]
        if field_at_nodes is not None:
            added, outputs = shares_in_field(outputs, field_at_nodes)
            energies = energies + added
        energies = jnp.where(real_nodes, energies, 0.0)
        return jnp.sum(energies), (energies, {name: values[:n] for name, values in outputs.items()})

    unstrained = jnp.zeros((n_graphs, 3, 3), positions.dtype)
    home = jnp.tile(positions, (copies, 1))

    def gradient(x: Array) -> tuple[Array, tuple[Array, Array, dict[str, Array]]]:
        (slope, virial), (energies, outputs) = jax.grad(total, argnums=(0, 1), has_aux=True)(x, unstrained)
        return slope, (virial, energies, outputs)

    by_position: dict[str, Array] = {}
    if slopes and copies == 1:

        def sums(x: Array) -> dict[str, Array]:
            """Components of outputs, summed over all graphs, whose atoms do not hear of each other."""
            _, (_, outputs) = total(x, unstrained)
            own = {name: outputs[output] for name, output in slopes.items()}
            return {name: jnp.sum(jnp.where(real_nodes[:, None], values, 0.0), 0) for name, values in own.items()}

        by_position = {name: values.transpose(1, 0, 2) for name, values in jax.jacrev(sums)(home).items()}
    response = None
    if not second:
        slope, (virial, energies, outputs) = gradient(home)
    else:

        def column(direction: Array) -> tuple[Array, Array, tuple[Array, Array, dict[str, Array]]]:
            return jax.jvp(gradient, (home,), (direction,), has_aux=True)

        # (n, columns, parts, 3) -> (columns, parts n, 3): the copies of the graph lie one after the other.
        moved = batch.nodes["direction"].transpose(1, 2, 0, 3).reshape(-1, copies * n, 3)
        slope, products, (virial, energies, outputs) = jax.vmap(column, out_axes=(None, 0, None))(moved)
        response = products.reshape(-1, copies, n, 3).transpose(2, 0, 1, 3)
    volume = jnp.maximum(batch.globals["volume"], 1e-6)
    return Prediction(
        jax.ops.segment_sum(energies[:n], owner, n_graphs),
        -slope[:n],
        virial / copies / volume[:, None, None],
        response,
        outputs,
        by_position,
    )
