"""Sums over the edges that join two atoms, with their phases: every operator between atoms at a wave vector is one.

Displacements and features belong to atoms, not to edges. So what edges do to them is summed once for each pair of atoms
and each wave vector, as one matrix product of phases and tensors, and then serves all columns.

Axes as in `edge_tensors` and `columns`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...models.parts import LayerParts, Path
from .edge_tensors import Expansion, LayerTensors
from .perturbations import Phases

# Bytes of maps between atoms that a response keeps for the way back, and of sums of J.
KEPT_BYTES = 64e6


def bloch_sums(phases: Phases, group: int, tensor: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
    """Sum over the edges s of each pair of p times a tensor (g, p, s, y, z): (g, q, parts, p, y, z).

    Args:
        group: of receivers, whose edges the tensor is of.
        chosen: (p,) for which senders; None for all.
    """
    of_pairs = phases.of_pairs[group]
    if chosen is not None and not chosen.all():
        of_pairs, tensor = of_pairs[:, chosen], tensor[:, chosen]
    n_g, n_p, n_s, n_y, n_z = tensor.shape
    sums = np.empty((n_g, phases.n_q, phases.parts, n_p, n_y, n_z), tensor.dtype)
    into = sums.reshape(n_g, -1, n_p, n_y * n_z).swapaxes(1, 2)
    np.matmul(of_pairs, tensor.reshape(n_g, n_p, n_s, -1), out=into)
    return sums


class BlockMaps(NamedTuple):
    """Bloch sums of T from one block of features to all messages that are made of it.

    Attributes:
        block: the input irrep.
        paths: those that begin there.
        maps: (u, q, parts, p i, g k), components k of all paths one after the other.
    """

    block: int
    paths: list[Path]
    maps: np.ndarray


def message_maps(expansion: Expansion, phases: Phases, layer: LayerTensors, group: int) -> Iterator[BlockMaps]:
    """Bloch sums of T to a group of receivers, for each input irrep that has paths."""
    tensors = layer.groups[group].weights, expansion.pairs[group].harmonics
    yield from summed_maps(layer.state.parts, phases.of_pairs[group], *tensors, phases.n_q)


def summed_maps(
    parts: LayerParts, of_pairs: np.ndarray, weights: list[np.ndarray], harmonics: list[np.ndarray], n_q: int
) -> Iterator[BlockMaps]:
    """Bloch sums of harmonics times radial weights; the coupling coefficients, the same for all edges, follow.

    Args:
        of_pairs: phases (g, p, q parts, s).
        weights: per degree (g, p, U, s); harmonics: per degree (g, p, s, m).
    """
    n_g, n_p, n_waves, n_s = of_pairs.shape
    n_parts, dtype = n_waves // n_q, of_pairs.dtype
    turned = of_pairs.swapaxes(2, 3)[..., None]
    merged = [
        np.empty((mul, n_q, n_parts, n_p, n_g, len(coupling)), dtype)
        for (mul, _), (_, coupling) in zip(parts.inputs, parts.by_block, strict=True)
    ]
    begins = [0] * len(merged)
    for own, w, y in zip(parts.by_degree, weights, harmonics, strict=False):
        waves = (turned * y[..., None, :]).reshape(n_g, n_p, n_s, -1)  # (g, p, s, q parts m)
        sums = (w @ waves).reshape(n_g, n_p, w.shape[2], n_q, n_parts, -1).transpose(2, 3, 4, 1, 0, 5)
        first = 0
        for path in own:
            into, begin, mul = merged[path.block], begins[path.block], len(merged[path.block])
            into[..., begin : begin + y.shape[3]] = sums[first : first + mul]
            first, begins[path.block] = first + mul, begin + y.shape[3]
    for block, ((paths, coupling), sums) in enumerate(zip(parts.by_block, merged, strict=True)):
        if paths:
            m, n_i, n_k = coupling.shape
            maps = sums.reshape(-1, m) @ coupling.reshape(m, -1).astype(dtype, copy=False)
            maps = maps.reshape(-1, n_g, n_i, n_k).swapaxes(1, 2)
            yield BlockMaps(block, paths, maps.reshape(len(sums), n_q, n_parts, n_p * n_i, n_g * n_k))


def map_numbers(expansion: Expansion) -> int:
    """How many numbers are in all maps between atoms at one wave vector with real phases."""
    layers = [layer.state.parts for layer in expansion.layers[1:]]
    numbers = sum(
        (path.weights.stop - path.weights.start) * path.coupling[:, 0].size for parts in layers for path in parts.paths
    )
    return numbers * _n_pairs(expansion)


def keeps_maps(expansion: Expansion, phases: Phases) -> bool:
    """Whether the maps of all layers are few enough to be kept from the way forward to the way back."""
    return _n_bytes(phases) * map_numbers(expansion) <= KEPT_BYTES


def keeps_slopes(expansion: Expansion, phases: Phases) -> bool:
    """Whether the Bloch sums of J of all layers are few enough to be kept."""
    numbers = 3 * _n_pairs(expansion) * sum(layer.slope_sums.shape[-1] for layer in expansion.layers)
    return _n_bytes(phases) * numbers <= KEPT_BYTES


def _n_pairs(expansion: Expansion) -> int:
    return sum(pairs.real[..., 0].size for pairs in expansion.pairs)


def _n_bytes(phases: Phases) -> int:
    """Memory of one number that each wave vector has."""
    return phases.parts * phases.n_q * phases.of_edges.dtype.itemsize
