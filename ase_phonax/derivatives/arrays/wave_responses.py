"""What third derivatives along waves need of each wave vector, formed once and used in every triplet that it is in.

Waves of all atoms' axes change edges only where they end, dr = p (at the sender) - (at the receiver), and the phases
of three waves that close multiply to 1. So what two responses do with the third displacement,

    sum_edges ∂(dA_i . m(p_j dh_j, r))/∂r (p_k or -1),

is at the sender dh_j times a sum over edges that knows q_i alone, since p_j p_k = p_i*, and at the receiver dA_i times
one that knows q_j alone. What one response does with two displacements is a tensor of each edge, W_i, again of one
wave vector. What is left for a triplet are small matrix products (`triplets`).

Letters as in `linear_response`; c counts the columns, all atoms' axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...models.parts import Blocks
from .bloch_sums import BlockMaps, summed_maps
from .columns import flat_columns
from .displacement_waves import DisplacementWaves
from .edge_functions import ThirdOrderEdges
from .edge_tensors import Expansion, LayerTensors
from .linear_response import LayerResponse, add_cotangents, add_messages, respond
from .perturbations import Perturbation, Phases


@dataclass(frozen=True, eq=False)
class WaveResponse:
    """The response to one wave vector, as complex numbers; F is the axis of all layers' features and gates' inputs.

    Attributes:
        phases: (e,) of senders.
        features: (n, F, c) responses of h, and of the cotangents of what enters the gates.
        slopes: (n, 3, F, c) what multiplies those of another wave for a displacement of each atom.
        edges: W (e, 9, c).
        at_ends: (n, 9, c) of W summed where both displacements are of one atom.
        entering, value_bar: of each layer's gate, blocks (u, n, i, c).
    """

    phases: np.ndarray
    features: np.ndarray
    slopes: np.ndarray
    edges: np.ndarray
    at_ends: np.ndarray
    entering: list[Blocks]
    value_bar: list[Blocks]

    def reversed(self) -> WaveResponse:
        """That to the opposite wave vector: amplitudes are real."""
        return WaveResponse(
            np.conj(self.phases),
            np.conj(self.features),
            np.conj(self.slopes),
            np.conj(self.edges),
            np.conj(self.at_ends),
            [[np.conj(z) for z in own] for own in self.entering],
            [[np.conj(z) for z in own] for own in self.value_bar],
        )


def wave_responses(expansion: Expansion, functions: ThirdOrderEdges, qpoints: np.ndarray) -> list[WaveResponse]:
    """Responses to waves of all atoms' axes at some wave vectors (q, 3), reduced."""
    waves = all_waves(expansion, qpoints)
    return responses(waves, functions, respond(waves).layers)


def all_waves(expansion: Expansion, qpoints: np.ndarray) -> DisplacementWaves:
    """Waves of all atoms' axes."""
    n_q, size = len(qpoints), 3 * expansion.edges.n_atoms
    everything = np.broadcast_to(np.eye(size), (n_q, size, size))
    return DisplacementWaves.of(expansion, Phases.at(qpoints, expansion), everything)


def responses(waves: Perturbation, functions: ThirdOrderEdges, layers: list[LayerResponse]) -> list[WaveResponse]:
    """What third derivatives need of perturbations at each of their wave vectors, which is 0 for those without.

    Args:
        layers: of `respond`.
    """
    expansion, n_q, n_c = waves.expansion, waves.columns.n_q, waves.columns.n_columns
    n, phases = expansion.edges.n_atoms, waves.phases
    bent = _bent_edges(expansion, functions, waves, layers)
    features, slopes = [], []
    for own in layers:
        if own.dh is not None:
            own_slopes = _slopes(functions, waves, own)
            features.append(np.concatenate([flat_columns(own.dh), flat_columns(own.entering_bar)], 1))
            slopes.append(own_slopes)
    numbers = waves.columns.as_numbers
    empty = np.zeros((n, 0, n_q, n_c), waves.columns.number)
    all_features = numbers(np.concatenate(features, 1)) if features else empty
    all_slopes = numbers(np.concatenate(slopes, 2)) if features else np.stack([empty] * 3, 1)
    p = phases.as_complex()
    result = []
    for q in range(n_q):
        at_ends = np.zeros((n, *bent.shape[1:2], bent.shape[3]), bent.dtype)
        np.add.at(at_ends, expansion.edges.receivers, bent[:, :, q])
        np.add.at(at_ends, expansion.edges.senders, p[:, q, None, None].conj() * bent[:, :, q])
        result.append(
            WaveResponse(
                p[:, q].copy(),
                np.ascontiguousarray(all_features[..., q, :]),
                np.ascontiguousarray(all_slopes[..., q, :]),
                np.ascontiguousarray(bent[:, :, q]),
                at_ends,
                [[numbers(z)[..., q, :].copy() for z in own.entering] for own in layers],
                [[numbers(z)[..., q, :].copy() for z in own.value_bar] for own in layers],
            )
        )
    return result


def _slopes(functions: ThirdOrderEdges, waves: Perturbation, own: LayerResponse) -> np.ndarray:
    """What multiplies features of another wave, for displacements of each atom along x: (n, 3, F, z).

    That is d/dr of what cotangents da' give to senders, and, less, of what features dh give to receivers.
    """
    expansion, parts = waves.expansion, own.layer.state.parts
    assert own.dh is not None, "the first features do not change"
    species, result = expansion.edges.species, []
    for along in np.eye(3):
        maps = directed_maps(functions, waves, own.layer, np.broadcast_to(along, functions.frames[:, 2].shape))
        da = [np.zeros_like(z) for z in own.da_bar]
        add_messages(da, waves, own.layer, own.dh, maps)
        dh_bar = [np.zeros_like(z) for z in own.dh]
        add_cotangents(dh_bar, waves, own.da_bar, maps)
        result.append(np.concatenate([flat_columns(dh_bar), -flat_columns(parts.collect(da, species))], 1))
    return np.stack(result, 1)


def directed_maps(
    functions: ThirdOrderEdges, waves: Perturbation, layer: LayerTensors, directions: np.ndarray
) -> list[list[BlockMaps]]:
    """Bloch sums of dT/dr along directions of edges (e, 3), for each group of receivers."""
    expansion, parts = waves.expansion, layer.state.parts
    dtype = expansion.network.dtype
    radial = parts.radial(functions.basis, expansion.edges.kinds)
    lengths = np.einsum("ex,ex->e", functions.along, directions)[:, None]
    turned = [np.einsum("ex,exm->em", directions, y1) for _, y1, _, _ in functions.harmonics]
    result = []
    for group, pairs in enumerate(expansion.pairs):
        weights, harmonics = [], []
        for degree, paths in enumerate(parts.by_degree):
            # Two products for each edge: slopes of Y times w, and Y times the slope of w.
            y = functions.harmonics[degree][0]
            both = np.concatenate([turned[degree][pairs.table], (y * lengths)[pairs.table]], 2)
            harmonics.append(both.astype(dtype))
            chosen = [np.concatenate([z[pairs.table][..., p.weights] for p in paths], 3) for z in radial[:2]]
            weights.append(np.concatenate(chosen, 2).swapaxes(2, 3).astype(dtype))
        of_pairs = np.concatenate([waves.phases.of_pairs[group]] * 2, 3)
        result.append(list(summed_maps(parts, of_pairs, weights, harmonics, waves.columns.n_q)))
    return result


def _bent_edges(
    expansion: Expansion, functions: ThirdOrderEdges, waves: Perturbation, layers: list[LayerResponse]
) -> np.ndarray:
    """W = d²(dA . m(h, r) + A . m(p dh, r))/dr², summed over layers: (e, 9, q, c) complex."""
    edges, columns = expansion.edges, waves.columns
    phases = waves.phases.as_complex()[:, None, :, None]
    bent = np.zeros((len(edges.receivers), 6, columns.n_q, columns.n_columns), columns.number)
    dtype = expansion.network.dtype
    rows = [z.astype(dtype) for z in functions.rows]
    for own in layers:
        state = own.layer.state
        factors, besides = functions.factors(state.parts.radial(functions.basis, edges.kinds))
        given = rows, factors.astype(dtype), besides.astype(dtype)
        cotangents = flat_columns(own.da_bar)
        features = None if own.dh is None else flat_columns(own.dh)
        for atom in range(edges.n_atoms):
            here = slice(*edges.starts[atom : atom + 2])
            tensors = _bent_messages(state, given, here, edges.senders[here])
            bent[here] += columns.as_numbers((tensors @ cotangents[atom]).reshape(-1, 6, cotangents.shape[2]))
            if features is not None:
                to = np.flatnonzero(edges.senders == atom)
                tensors = _bent_cotangents(state, given, to, edges.receivers[to])
                moved = columns.as_numbers((tensors @ features[atom]).reshape(-1, 6, features.shape[2]))
                bent[to] += phases[to] * moved
    turned = functions.turns.astype(dtype) @ bent.reshape(len(bent), 6, -1)
    return turned.reshape(len(bent), 9, *bent.shape[2:])


_Given = tuple[list[np.ndarray], np.ndarray, np.ndarray]  # rows of harmonics, factors of weights, and besides


def _bent_messages(state, given: _Given, edges: slice, senders: np.ndarray) -> np.ndarray:
    """d²m/dr² of messages with the features as they are, some edges in their frames: (edges 6, D)."""
    parts = state.parts
    blocks = [np.zeros((len(senders), 6, dim, mul), given[0][0].dtype) for mul, dim in parts.outputs]
    for path in parts.paths:
        h = state.mixed[path.block].swapaxes(0, 1)  # (n, i, u)
        half = _coupled(path.coupling.transpose(1, 2, 0), h)
        blocks[path.out][..., path.rows] = _bent(given, path, edges, half[senders])
    return np.concatenate([z.reshape(len(senders) * 6, -1) for z in blocks], 1)


def _bent_cotangents(state, given: _Given, edges: np.ndarray, receivers: np.ndarray) -> np.ndarray:
    """d²/dr² of cotangents of features, those of messages as they are: (edges 6, H)."""
    parts = state.parts
    blocks = [np.zeros((len(receivers), 6, dim, mul), given[0][0].dtype) for mul, dim in parts.inputs]
    for path in parts.paths:
        bar = state.out_bar[path.out][:, :, path.rows].swapaxes(0, 1)  # (n, k, u)
        half = _coupled(path.coupling.transpose(1, 0, 2), bar)
        blocks[path.block] += _bent(given, path, edges, half[receivers])
    return np.concatenate([z.reshape(len(receivers) * 6, -1) for z in blocks], 1)


def _coupled(coupling: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Coupling (m, k, i) of features (n, i, u): (n, m, k, u)."""
    m, k, i = coupling.shape
    return (coupling.reshape(-1, i).astype(features.dtype) @ features).reshape(len(features), m, k, -1)


def _bent(given: _Given, path, edges, half: np.ndarray) -> np.ndarray:
    """Second derivatives of Y w times half (e, m, k, u): (e, 6, k, u)."""
    rows, factors, besides = given
    y = rows[path.degree][edges]
    products = (y @ half.reshape(*half.shape[:2], -1)).reshape(len(half), 6, *half.shape[2:])
    result = products * factors[edges][:, :, None, path.weights]
    more = products[:, 5] * besides[edges][:, None, path.weights]
    result[:, 0] += more
    result[:, 2] += more
    return result
