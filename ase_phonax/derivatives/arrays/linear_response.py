"""Linear response of a structure to perturbations: one pass forward through the network, and one back.

A perturbation changes edges by dr and carries a phase p (`perturbations`). To first order, layer by layer,

    da_x   = sum_s T p dh_j + J dr                        forward,
    dh'_j  = sum_s (p T)^H da'_x + p* C dr                backward, ' for cotangents,
    E''    = K-, J- and C-terms of all edges, on the way back to the amplitudes of the perturbation.

Sums are over the edges s from receiver x to sender j; of T they are formed here, of J, C and K by the perturbation.
Between the two, features of single atoms respond through linear maps and the derivatives of the gate.
For waves of displacements E'' is D(q). `compiled.responses.lattice_columns` is the independent reference.

Letters: h features of atoms after the layer's linear mix, a sums of messages; T, J, C, K second derivatives of an
edge. The suffix _bar marks a cotangent, the prefix d a response. Axes as in `edge_tensors` and `columns`: responses
are blocks (u, n, i, z).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...models.parts import Blocks
from .bloch_sums import BlockMaps, keeps_maps, message_maps
from .displacement_waves import DisplacementWaves
from .edge_tensors import LayerTensors
from .perturbations import Kept, Perturbation


@dataclass(frozen=True, eq=False)
class LayerForward:
    """What the way back needs of a layer's response.

    Attributes:
        layer: which.
        dh: response of h; None in the first layer, whose features do not change.
        maps: Bloch sums of T for each group of receivers; None where they are too large to keep.
        kept_by_perturbation: of `Perturbation.messages`.
        kept_by_gate: of `GateAt.response`.
        entering: response of what enters the gate.
    """

    layer: LayerTensors
    dh: Blocks | None
    maps: list[list[BlockMaps]] | None
    kept_by_perturbation: Kept
    kept_by_gate: Any
    entering: Blocks


@dataclass(frozen=True, eq=False)
class LayerResponse:
    """The response of a layer's features h, None in the first one, and of the cotangents of its messages a.

    Attributes:
        layer: which.
        dh, da_bar: see above.
        entering, entering_bar: responses of what enters the gate, and of its cotangents.
        value_bar: response of the cotangents of what leaves it.
    """

    layer: LayerTensors
    dh: Blocks | None
    da_bar: Blocks
    entering: Blocks
    entering_bar: Blocks
    value_bar: Blocks


@dataclass(frozen=True, eq=False)
class Response:
    """The response of a structure to a perturbation.

    Attributes:
        rows: second derivatives of the energy, by amplitudes of the perturbation and by columns: (rows, q, c).
        layers: the last one first.
    """

    rows: np.ndarray
    layers: list[LayerResponse]


def second_derivatives(perturbation: Perturbation) -> np.ndarray:
    """Second derivatives of the energy, by all amplitudes and by those of each column: (q, rows, c) complex."""
    rows, _ = _responses(perturbation, keep=False)
    return rows.swapaxes(0, 1).astype(complex)


def wave_vector_slopes(waves: DisplacementWaves) -> np.ndarray:
    """d/dq of D(q) along each reduced component: (q, 3, 3n, 3n) complex, for waves whose columns are all atoms' axes.

    D(q) is stationary in the responses (they solve the linear equations that it is built from), so that
    only the phases are differentiated, at fixed responses: D' = K' + M + M^H, where M collects the
    phases' derivatives between cotangents and responses. The 2n+1 theorem, for q. Derivatives of real phases are
    imaginary: not for phases that were taken as real.
    """
    response, slopes = respond(waves), []
    for axis in range(3):
        turned = replace(waves, phases=waves.phases.differentiated(axis, waves.expansion))
        m = np.zeros((waves.columns.n_q, waves.columns.n_columns, waves.columns.n_columns), complex)
        for own in response.layers:
            messages, _ = turned.messages(own.layer)
            if own.dh is not None:
                add_messages(messages, turned, own.layer, own.dh, _fresh_maps(turned, own.layer))
                m += waves.columns.overlaps(own.dh, turned.cotangents(own.layer, None)[0])
            m += waves.columns.overlaps(own.da_bar, messages)
        slopes.append(turned.curvature().swapaxes(0, 1) + m + m.conj().transpose(0, 2, 1))
    return np.stack(slopes, 1)


def respond(perturbation: Perturbation) -> Response:
    """The response of all layers, and what it adds up to."""
    return Response(*_responses(perturbation, keep=True))


def _responses(perturbation: Perturbation, keep: bool) -> tuple[np.ndarray, list[LayerResponse]]:
    """Second derivatives, and the layers where they are to be kept."""
    df, forward = _forward(perturbation)
    df_bar = [np.zeros_like(z) for z in df]  # the energy is linear in the last features
    rows, layers = perturbation.curvature(), []
    for own in reversed(forward):
        df_bar, response, more = _layer_backward(perturbation, own, df_bar)
        if keep:
            layers.append(response)
        rows += more
    return rows, layers


def _forward(perturbation: Perturbation) -> tuple[Blocks, list[LayerForward]]:
    """The response of the last features, and all layers in order."""
    species = perturbation.expansion.edges.species
    keep = keeps_maps(perturbation.expansion, perturbation.phases)
    df: Blocks | None = None
    layers = []
    for layer in perturbation.expansion.layers:
        parts = layer.state.parts
        da, kept = perturbation.messages(layer)
        dh: Blocks | None = None
        maps: list[list[BlockMaps]] | None = [] if keep else None
        if df is not None:
            dh = parts.mix(df, species)
            add_messages(da, perturbation, layer, dh, _recorded(_fresh_maps(perturbation, layer), maps))
        entering = parts.collect(da, species)
        if df is not None:
            entering = [a + b for a, b in zip(entering, parts.skip(df, species), strict=True)]
        df, kept_by_gate = layer.state.gate.response(entering)
        layers.append(LayerForward(layer, dh, maps, kept, kept_by_gate, entering))
    assert df is not None, "a network has layers"
    return df, layers


def _layer_backward(
    perturbation: Perturbation, own: LayerForward, df_bar: Blocks
) -> tuple[Blocks, LayerResponse, np.ndarray]:
    """Cotangents of the features that enter, the layer's response, and its part of the second derivatives.

    Args:
        own: the layer on the way forward.
        df_bar: cotangents of the features that leave, blocks (u, n, i, z).
    """
    species, layer = perturbation.expansion.edges.species, own.layer
    state, parts, value_bar = layer.state, layer.state.parts, df_bar
    before = state.gate.back_response(own.kept_by_gate, state.value_bar, df_bar)
    da_bar = parts.collect.transposed(before, species)
    rows = perturbation.rows_of_messages(layer, own.kept_by_perturbation, da_bar)
    if own.dh is not None:
        dh_bar, more = perturbation.cotangents(layer, own.dh)
        assert more is not None
        rows += more
        maps = own.maps if own.maps is not None else _fresh_maps(perturbation, layer)
        add_cotangents(dh_bar, perturbation, da_bar, maps)
        through, skip = parts.mix.transposed(dh_bar, species), parts.skip.transposed(before, species)
        df_bar = [a + b for a, b in zip(through, skip, strict=True)]
    return df_bar, LayerResponse(layer, own.dh, da_bar, own.entering, before, value_bar), rows


def _fresh_maps(perturbation: Perturbation, layer: LayerTensors) -> Iterator[Iterator[BlockMaps]]:
    """Bloch sums of T for each group of receivers, formed when they are read."""
    for group in range(len(layer.groups)):
        yield message_maps(perturbation.expansion, perturbation.phases, layer, group)


def _recorded(
    maps: Iterable[Iterable[BlockMaps]], record: list[list[BlockMaps]] | None
) -> Iterator[Iterable[BlockMaps]]:
    """Bloch sums as they are, added to a record while they are read; None for no record."""
    for group in maps:
        if record is not None:
            group = list(group)
            record.append(group)
        yield group


def add_messages(
    da: Blocks, perturbation: Perturbation, layer: LayerTensors, dh: Blocks, maps: Iterable[Iterable[BlockMaps]]
) -> None:
    """Adds T p dh, summed onto the receivers, to responses of messages; dh (u, n, i, z), da (u, n, k, z)."""
    columns = perturbation.columns
    # With i times themselves, for the imaginary parts of the maps: (u, parts, n, i, z).
    reads = [np.stack([z, columns.times_i(z)], 1) if columns.parts == 2 else z[:, None] for z in dh]
    for pairs, group in zip(perturbation.expansion.pairs, maps, strict=True):
        for block, paths, block_maps in group:
            z = reads[block][:, :, pairs.senders]
            # One product over parts and senders together: (u, g k, z).
            one = block_maps.reshape(len(z), columns.n_q, -1, block_maps.shape[-1]).swapaxes(2, 3)
            y = columns.product(one, z)
            y = y.reshape(len(z), len(pairs.table), -1, z.shape[-1])
            for path in paths:
                da[path.out][path.rows, pairs.receivers] += y[:, :, path.columns]


def add_cotangents(
    dh_bar: Blocks, perturbation: Perturbation, da_bar: Blocks, maps: Iterable[Iterable[BlockMaps]]
) -> None:
    """Adds (p T)^H da', summed onto the senders, to cotangents of features (u, n, i, z); da' (u, n, k, z)."""
    columns = perturbation.columns
    for pairs, group in zip(perturbation.expansion.pairs, maps, strict=True):
        n_g = len(pairs.table)
        for block, paths, block_maps in group:
            into = dh_bar[block][:, pairs.senders]
            bar = np.empty((len(into), n_g, block_maps.shape[-1] // n_g, into.shape[-1]), into.dtype)
            for path in paths:
                bar[:, :, path.columns] = da_bar[path.out][path.rows, pairs.receivers]
            back = columns.product(block_maps[:, :, 0], bar)
            if columns.parts == 2:  # the maps' conjugate
                back -= columns.product(block_maps[:, :, 1], columns.times_i(bar))
            dh_bar[block][:, pairs.senders] += back.reshape(into.shape)
