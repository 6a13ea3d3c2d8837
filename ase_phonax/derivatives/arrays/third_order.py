"""Third derivatives of the energy from first-order responses alone, on the primitive cell, at any wave vectors.

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
from ...base.progress import Progress
from ...models.o3.spherical import harmonics_and_derivatives
from ...models.parts import Blocks
from .columns import Columns
from .displacement_waves import DisplacementWaves
from .edge_tensors import Expansion
from .linear_response import LayerResponse, respond
from .perturbations import Perturbation, Phases, Together
from .strains import Strains

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
        return _contracted(expansion, _Edges.of(expansion), [_along(own) for own in perturbations])


def _contracted(expansion: Expansion, edges: _Edges, along: list[_Along]) -> np.ndarray:
    """All local terms along three perturbations whose responses are known."""
    assert np.abs(np.prod([own.phases for own in along], axis=0) - 1).max() < _CLOSED, "wave vectors close"
    result = _of_pairs(expansion, edges, along)
    for number in range(len(expansion.layers)):
        result = result + _of_gate(expansion, along, number) + _of_edges(expansion, edges, along, number)
    return np.asarray(result)


def strain_slopes(
    expansion: Expansion,
    qpoints: np.ndarray,
    strains: np.ndarray,
    displacements: np.ndarray,
    progress: Progress | None = None,
) -> np.ndarray:
    """Derivatives of lattice matrices by strains, and displacements beside them (`Route.strain_slopes`)."""
    n = expansion.edges.n_atoms
    at_rest = Phases.at(np.zeros((1, 3)), expansion, real=True)
    beside = DisplacementWaves.of(expansion, at_rest, displacements.reshape(1, len(strains), 3 * n).swapaxes(1, 2))
    moved, slopes = np.eye(3 * n)[None], []
    with one_blas_thread():
        edges = _Edges.of(expansion)
        strained = _along(Together((Strains(expansion, at_rest, strains.transpose(1, 2, 0).copy()), beside)))
        for q in qpoints:
            waves = [DisplacementWaves.of(expansion, Phases.at(own[None], expansion), moved) for own in (q, -q)]
            slopes.append(_contracted(expansion, edges, [strained, *map(_along, waves)]).swapaxes(1, 2))
            if progress:
                progress(len(slopes), len(qpoints))
    return np.array(slopes)


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


def _of_edges(expansion: Expansion, edges: _Edges, along: list[_Along], number: int) -> np.ndarray:
    """d³(A . m) of all edges of a layer."""
    state = expansion.layers[number].state
    parts, receivers, senders = state.parts, expansion.edges.receivers, expansion.edges.senders
    radial = parts.radial(edges.basis, expansion.edges.kinds)
    n_e = len(receivers)
    counts = [own.edges.shape[2] for own in along]
    # Derivatives along vectors of edges only, and the same with one response in B, and with two.
    only = np.zeros((n_e, 3, 3, 3))
    with_one = [np.zeros((n_e, c, 3, 3), complex) for c in counts]
    pairs = [(0, 1), (0, 2), (1, 2)]
    with_two = [np.zeros((n_e, counts[a], counts[b], 3), complex) for a, b in pairs]
    messages_bar = [own.blocks(own.layers[number].da_bar) for own in along]
    features = [None if (dh := own.layers[number].dh) is None else own.blocks(dh) for own in along]
    for path in parts.paths:
        first, second, third = edges.products(path.degree, [z[:, path.weights] for z in radial])
        coupling = path.coupling
        h = state.mixed[path.block][:, senders].swapaxes(0, 1)  # (e, i, u)
        bar = state.out_bar[path.out][:, receivers, path.rows].swapaxes(0, 1)  # (e, k, u)
        half = np.einsum("imk,eiu->emku", coupling, h, optimize=True)
        only += np.einsum("exyzmu,emku,eku->exyz", third, half, bar, optimize=True)
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
    result = np.einsum("exyz,exa,eyb,ezc->abc", only, *r, optimize=True)
    result = result + np.einsum("eaxy,exb,eyc->abc", with_one[0], r[1], r[2], optimize=True)
    result = result + np.einsum("ebxy,exa,eyc->abc", with_one[1], r[0], r[2], optimize=True)
    result = result + np.einsum("ecxy,exa,eyb->abc", with_one[2], r[0], r[1], optimize=True)
    for (a, b), found, text in zip(pairs, with_two, ("eabx,exc->abc", "eacx,exb->abc", "ebcx,exa->abc"), strict=True):
        (other,) = {0, 1, 2} - {a, b}
        result = result + np.einsum(text, found, r[other], optimize=True)
    return np.asarray(result)


def _of_pairs(expansion: Expansion, edges: _Edges, along: list[_Along]) -> np.ndarray:
    """Of energies of edges that depend on their lengths alone."""
    counts = tuple(own.edges.shape[2] for own in along)
    pairs = expansion.network.pairs
    if pairs is None:
        return np.zeros(counts, complex)
    tensors = edges.third_of_length(*pairs(edges.lengths, 3, expansion.edges.kinds)[1:])
    return np.asarray(np.einsum("exyz,exa,eyb,ezc->abc", tensors, *(own.edges for own in along), optimize=True))


@dataclass(frozen=True, eq=False)
class _Edges:
    """Functions of edges with three derivatives, in double precision; the same for all layers.

    Attributes:
        lengths: (e,); along: (e, 3) unit vectors.
        harmonics: of each degree, with derivatives by the vector.
        basis: of all layers' radial weights, with derivatives by the length.
    """

    lengths: np.ndarray
    along: np.ndarray
    harmonics: list[tuple[np.ndarray, ...]]
    basis: list[np.ndarray]

    @classmethod
    def of(cls, expansion: Expansion) -> _Edges:
        """Of a structure."""
        edges, network = expansion.edges, expansion.network
        vectors = edges.vectors.astype(float)
        lengths = np.linalg.norm(vectors, axis=1)
        harmonics = harmonics_and_derivatives(vectors, network.l_max, order=3)
        return cls(lengths, vectors / lengths[:, None], harmonics, network.basis(lengths, 3, edges.kinds))

    def products(self, degree: int, weights: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First, second and third derivatives of Y_m w_u: (e, 3, m, u), (e, 3, 3, m, u), (e, 3, 3, 3, m, u)."""
        y, y1, y2, y3 = self.harmonics[degree]
        w, d1, d2, d3 = weights
        n = self.along
        across = (np.eye(3) - n[:, :, None] * n[:, None]) / self.lengths[:, None, None]
        w1 = n[:, :, None] * d1[:, None]
        w2 = n[:, :, None, None] * n[:, None, :, None] * d2[:, None, None] + across[..., None] * d1[:, None, None]
        w3 = self.third_of_length(d1, d2, d3)
        first = np.einsum("exm,eu->exmu", y1, w) + np.einsum("em,exu->exmu", y, w1)
        second = np.einsum("exym,eu->exymu", y2, w) + np.einsum("em,exyu->exymu", y, w2)
        mixed = np.einsum("exm,eyu->exymu", y1, w1)
        second += mixed + mixed.swapaxes(1, 2)
        third = np.einsum("exyzm,eu->exyzmu", y3, w) + np.einsum("em,exyzu->exyzmu", y, w3)
        for part in (np.einsum("exym,ezu->exyzmu", y2, w1), np.einsum("ezm,exyu->exyzmu", y1, w2)):
            third += part + part.transpose(0, 1, 3, 2, 4, 5) + part.transpose(0, 3, 2, 1, 4, 5)
        return first, second, third

    def third_of_length(self, d1: np.ndarray, d2: np.ndarray, d3: np.ndarray) -> np.ndarray:
        """d³f(|r|)/dr³ from derivatives (e, ...) by the length: (e, 3, 3, 3, ...)."""
        n, eye = self.along, np.eye(3)
        nnn = n[:, :, None, None] * n[:, None, :, None] * n[:, None, None, :]
        own = eye[None, :, :, None] * n[:, None, None, :]
        tilted = own + own.transpose(0, 1, 3, 2) + own.transpose(0, 3, 2, 1) - 3 * nnn
        shape = (..., *([None] * (d1.ndim - 1)))
        wide = self.lengths.reshape(-1, *([1] * (d1.ndim - 1)))
        bent = d2 / wide - d1 / wide**2
        return np.asarray(nnn[shape] * d3[:, None, None, None] + tilted[shape] * bent[:, None, None, None])
