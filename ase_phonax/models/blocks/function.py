"""What the function forms of all networks share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import haiku as hk
import jax.numpy as jnp
from jax import Array

from ..o3.irreps import Irreps
from ..outputs import Output


def equivariant_linear(
    name: str, irreps_in: Irreps, blocks: tuple[Array, ...], irreps_out: Irreps, select=None
) -> tuple:
    """Equivariant linear map, block by block; zero where no input has the irrep.

    Weights are standard normal at initialisation and divided by the root of the fan-in when used
    (e3nn's path normalisation "element", gradient normalisation "path"). Inputs of equal irrep have
    been concatenated before. With `select` (n,) and a leading axis of weights, each node uses its own.
    """
    result = []
    for mul_out, ir in irreps_out:
        found = [(mul, x) for (mul, ir_in), x in zip(irreps_in, blocks, strict=True) if ir_in == ir]
        if not found:
            result.append(jnp.zeros(blocks[0].shape[:-2] + (ir.dim, mul_out), blocks[0].dtype))
            continue
        ((mul, x),) = found
        shape: tuple[int, ...] = (mul, mul_out) if select is None else (select[1], mul, mul_out)
        weights = hk.get_parameter(f"{name}_{ir}", shape, x.dtype, hk.initializers.RandomNormal()).astype(x.dtype)
        if select is None:
            result.append(x @ weights / mul**0.5)
        else:
            result.append(jnp.einsum("niu,nuw->niw", x, weights[select[0]]) / mul**0.5)
    return tuple(result)


def read_outputs(outputs: Sequence[Output], irreps: Irreps, blocks: tuple[Array, ...]) -> dict[str, Array]:
    """Linear readouts of features, blocks (n, i, u): name -> (n, components)."""
    result = {}
    for output in outputs:
        values = equivariant_linear(f"output_{output.name}", irreps, blocks, output.blocks)
        flat = [v.swapaxes(-1, -2).reshape(len(v), -1) for v in values]
        result[output.name] = output.scale * jnp.concatenate(flat, -1)
    return result


@dataclass(frozen=True)
class Network:
    """Pure functions of one configuration; equal configurations give the same object.

    Attributes:
        init: (key, edge_vectors, species, exchange) -> parameters.
        node_energies: see `Potential.node_energies`.
        inside: the same arguments -> what leaves each layer (n_nodes, d), and the node energies; None where a network
            does not tell.
        outputs: the same arguments -> all that is read of atoms: name -> (n_nodes, components), the energy [eV] among
            it; None for a network that has the energy alone.
    """

    init: Callable[..., Any]
    node_energies: Callable[..., Any]
    inside: Callable[..., Any] | None = None
    outputs: Callable[..., Any] | None = None
