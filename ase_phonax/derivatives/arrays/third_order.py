"""Third derivatives of the energy from first-order responses alone, along any three perturbations, directly.

The reference for `triplets` and `strain_slopes`, which give the same for waves, and for two waves and a strain, in a
hundredth of the time; and the way for what they do not know, such as three strains.

The energy with its layers as constraints is stationary in all features and all cotangents, so that the 2n + 1 theorem
holds: along three perturbations whose wave vectors add up to a reciprocal vector, the third derivative is that of the
local terms, contracted with first-order responses,

    E''' = sum_layers [ sum_edges d³(A . m(h, r)) + sum_atoms d³(f_bar . gate(x)) ],

A the cotangents of messages m, h the senders' features, x what enters the gate. Messages are linear in A and h,

    A . m = sum_paths Y_m(r) w_u(|r|) B_mu,   B = coupling . h A,

so that their third derivatives are those of Y w, up to the third, with B of one, two or no responses. Displacements
(`displacement_waves`) and strains (`strains`) are perturbations alike: two waves q and -q beside a strain give dD(q)
by strain. Phases: an edge reads its sender's response with the phase of the sender's cell; the three close.

Letters as in `linear_response`; columns c1, c2, c3 of the three perturbations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...base.cores import one_blas_thread
from ...models.parts import Blocks
from .columns import Columns
from .edge_functions import ThirdOrderEdges, third_of_edges
from .edge_tensors import Expansion
from .linear_response import LayerResponse, respond
from .perturbations import Perturbation

_CLOSED = 1e-6  # how far the product of three phases may be from 1


@dataclass(frozen=True, eq=False)
class _Along:
    """What edges and layers do along one perturbation, as complex numbers.

    Attributes:
        phases: (e,) of senders.
        edges: (e, 3, c) changes of vectors.
        layers: responses, the first layer first.
        columns: how their numbers are laid out.
    """

    phases: np.ndarray
    edges: np.ndarray
    layers: list[LayerResponse]
    columns: Columns

    def blocks(self, blocks: Blocks) -> Blocks:
        """Blocks (u, n, i, z) as complex (u, n, i, c)."""
        return [self.columns.as_numbers(z)[..., 0, :] for z in blocks]


def third_derivatives(perturbations: tuple[Perturbation, ...]) -> np.ndarray:
    """d³E of a cell along all triples of columns: (c1, c2, c3) complex.

    Args:
        perturbations: three of one structure, each at one wave vector; their sum is a reciprocal vector.
    """
    expansion = perturbations[0].expansion
    assert all(own.expansion is expansion for own in perturbations), "perturbations of one structure"
    with one_blas_thread():
        return _contracted(expansion, ThirdOrderEdges.of(expansion), [_along(own) for own in perturbations])


def _contracted(expansion: Expansion, edges: ThirdOrderEdges, along: list[_Along]) -> np.ndarray:
    """All local terms along three perturbations whose responses are known."""
    assert np.abs(np.prod([own.phases for own in along], axis=0) - 1).max() < _CLOSED, "wave vectors close"
    result = _of_edges_alone(expansion, edges, along)
    for number in range(len(expansion.layers)):
        result = result + _of_gate(expansion, along, number) + _of_edges(expansion, edges, along, number)
    return np.asarray(result)


def _along(perturbation: Perturbation) -> _Along:
    columns = perturbation.columns
    assert columns.n_q == 1, "one wave vector at a time"
    edges = perturbation.edge_changes()[:, :, 0]
    response = respond(perturbation)
    return _Along(perturbation.phases.as_complex()[:, 0], edges, response.layers[::-1], columns)


def _of_gate(expansion: Expansion, along: list[_Along], number: int) -> np.ndarray:
    state = expansion.layers[number].state
    bars = tuple(own.blocks(own.layers[number].value_bar) for own in along)
    moved = tuple(own.blocks(own.layers[number].entering) for own in along)
    return state.gate.third(state.value_bar, bars, moved)


def _of_edges(expansion: Expansion, edges: ThirdOrderEdges, along: list[_Along], number: int) -> np.ndarray:
    """d³(A . m) of all edges of a layer."""
    state = expansion.layers[number].state
    parts, receivers, senders = state.parts, expansion.edges.receivers, expansion.edges.senders
    radial = parts.radial(edges.basis, expansion.edges.kinds)
    n_e = len(receivers)
    counts = [own.edges.shape[2] for own in along]
    # Derivatives along vectors of edges with one response in B, and with two.
    with_one = [np.zeros((n_e, c, 3, 3), complex) for c in counts]
    pairs = [(0, 1), (0, 2), (1, 2)]
    with_two = [np.zeros((n_e, counts[a], counts[b], 3), complex) for a, b in pairs]
    messages_bar = [own.blocks(own.layers[number].da_bar) for own in along]
    features = [None if (dh := own.layers[number].dh) is None else own.blocks(dh) for own in along]
    for path in parts.paths:
        first, second = edges.products(path.degree, [z[:, path.weights] for z in radial])
        coupling = path.coupling
        h = state.mixed[path.block][:, senders].swapaxes(0, 1)  # (e, i, u)
        bar = state.out_bar[path.out][:, receivers, path.rows].swapaxes(0, 1)  # (e, k, u)
        half = np.einsum("imk,eiu->emku", coupling, h, optimize=True)
        h_bent = np.einsum("exymu,emku->exyku", second, half, optimize=True)
        bar_bent = None
        if features[0] is not None:
            bar_half = np.einsum("imk,eku->emiu", coupling, bar, optimize=True)
            bar_bent = np.einsum("exymu,emiu->exyiu", second, bar_half, optimize=True)
        bars, hs = [], []
        for a, own in enumerate(along):
            bars.append(messages_bar[a][path.out][path.rows][:, receivers].transpose(1, 2, 0, 3))  # (e, k, u, c)
            with_one[a] += np.einsum("exyku,ekuc->ecxy", h_bent, bars[a], optimize=True)
            if bar_bent is None:
                continue
            moved = features[a]
            assert moved is not None
            hs.append(own.phases[:, None, None, None] * moved[path.block][:, senders].transpose(1, 2, 0, 3))
            with_one[a] += np.einsum("exyiu,eiuc->ecxy", bar_bent, hs[a], optimize=True)
        if bar_bent is None:
            continue
        tilted = [np.einsum("exmu,imk,ekuc->exiuc", first, coupling, own, optimize=True) for own in bars]
        for place, (a, b) in enumerate(pairs):
            with_two[place] += np.einsum("eiua,exiub->eabx", hs[a], tilted[b], optimize=True)
            with_two[place] += np.einsum("eiub,exiua->eabx", hs[b], tilted[a], optimize=True)
    r = [own.edges for own in along]
    result = np.einsum("eaxy,exb,eyc->abc", with_one[0], r[1], r[2], optimize=True)
    result = result + np.einsum("ebxy,exa,eyc->abc", with_one[1], r[0], r[2], optimize=True)
    result = result + np.einsum("ecxy,exa,eyb->abc", with_one[2], r[0], r[1], optimize=True)
    for (a, b), found, text in zip(pairs, with_two, ("eabx,exc->abc", "eacx,exb->abc", "ebcx,exa->abc"), strict=True):
        (other,) = {0, 1, 2} - {a, b}
        result = result + np.einsum(text, found, r[other], optimize=True)
    return np.asarray(result)


def _of_edges_alone(expansion: Expansion, edges: ThirdOrderEdges, along: list[_Along]) -> np.ndarray:
    """Of the vectors of edges, features and cotangents as they are."""
    tensors = third_of_edges(expansion, edges)
    return np.asarray(np.einsum("exyz,exa,eyb,ezc->abc", tensors, *(own.edges for own in along), optimize=True))
