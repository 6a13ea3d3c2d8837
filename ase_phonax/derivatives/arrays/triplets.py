"""Third derivatives of the energy along three waves of displacements: Phi(q1, q2, q3) with q1 + q2 + q3 = G.

    Phi(q1, q2, q3)[i, j, k] = sum over R, R' of Phi(i 0, j R, k R') exp 2 pi i (q2.R + q3.R')

by the 2n + 1 theorem (`third_order`), without a supercell and at any wave vectors. Responses to single wave vectors
are computed once (`wave_responses`); opposite ones are conjugates. A triplet then costs products of matrices.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ...base.cores import n_cores, on_cores
from ...base.errors import StructureError
from ...base.memory import memory_bytes
from ...base.progress import Progress
from ...models.o3.irreps import Sizes
from ...models.parts import Blocks
from .edge_functions import ThirdOrderEdges, third_of_edges
from .edge_tensors import Expansion
from .wave_responses import WaveResponse, wave_responses

# Wave vectors whose responses are computed together.
_AT_ONCE = 2
_STEPS = 2**40  # in which wave vectors are compared
_ROOM = 0.8  # of the memory, for all responses


def triplet_matrices(
    expansion: Expansion, qpoints: np.ndarray, triplets: np.ndarray, progress: Progress | None = None
) -> np.ndarray:
    """What `Route.triplet_matrices` describes, of a structure with these tensors."""
    asked = np.unique(triplets)
    distinct, found, turned = _half(qpoints[asked])
    sources, opposite = (np.zeros(len(qpoints), own.dtype) for own in (found, turned))
    sources[asked], opposite[asked] = found, turned
    _refuse_too_many(expansion, len(distinct), len(triplets))
    functions = ThirdOrderEdges.of(expansion)
    at_once = max(1, min(_AT_ONCE, -(-len(distinct) // n_cores())))
    blocks = [distinct[begin : begin + at_once] for begin in range(0, len(distinct), at_once)]
    # Progress counts triplets, and some thirty of them for a response, which takes as long.
    total = 30 * len(distinct) + len(triplets)
    known: list[WaveResponse] = []
    with closing(on_cores(lambda block: wave_responses(expansion, functions, block), blocks)) as responses:
        for some in responses:
            known.extend(some)
            if progress:
                progress(30 * len(known), total)
    contraction = _Contraction.of(expansion, functions)

    def matrix(triplet: np.ndarray) -> np.ndarray:
        own = [known[sources[k]].reversed() if opposite[k] else known[sources[k]] for k in triplet]
        return contraction(own)

    result = np.empty((len(triplets), *(3 * (3 * expansion.edges.n_atoms,))), complex)
    with closing(on_cores(matrix, triplets)) as matrices:
        for done, own in enumerate(matrices):
            result[done] = own
            if progress:
                progress(30 * len(distinct) + done + 1, total)
    return result


def _refuse_too_many(expansion: Expansion, n_waves: int, n_triplets: int) -> None:
    """Refuse what would not fit the memory, before anything long is computed.

    Raises:
        StructureError: with the number of gigabytes.
    """
    n, n_c = expansion.edges.n_atoms, 3 * expansion.edges.n_atoms
    widths = [(_width(own.state.parts.inputs), _width(own.state.parts.collect.outputs)) for own in expansion.layers]
    features = sum(inputs + entering for inputs, entering in widths[1:])
    gates = 2 * sum(entering for _, entering in widths)
    numbers = n * (4 * features + gates) * n_c + 9 * len(expansion.edges.receivers) * n_c
    # Kept of every wave; in the gates of one triplet, some six products of two changes; and the results.
    single = 2 * expansion.network.dtype.itemsize
    at_once = 6 * n_cores() * n * max(entering for _, entering in widths) * n_c**2
    n_bytes = single * (numbers * n_waves + at_once) + 16 * n_triplets * n_c**3
    there = memory_bytes()
    if n_bytes > _ROOM * there:
        raise StructureError(
            f"{n} atoms at {n_waves} wave vectors take {n_bytes / 1e9:.0f} GB, and there are {there / 1e9:.0f}",
            "the responses to all wave vectors are kept until their triplets are done",
            'take a smaller supercell, or dtype="float32"',
        )


def _width(irreps: Sizes) -> int:
    return sum(mul * dim for mul, dim in irreps)


def _half(qpoints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One of each wave vector and its opposite: these, which of them each one is, and whether opposite.

    Reciprocal lattice vectors do not count: phases exp(2 pi i q.S) of whole cells S do not know them.
    """
    places: dict[tuple[int, ...], tuple[int, bool]] = {}
    distinct: list[np.ndarray] = []
    sources, opposite = [], []
    for q in qpoints:
        key = tuple((np.rint(q * _STEPS).astype(np.int64) % _STEPS).tolist())
        if key not in places:
            places[tuple(-x % _STEPS for x in key)] = len(distinct), True
            places[key] = len(distinct), False
            distinct.append(q)
        source, turned = places[key]
        sources.append(source)
        opposite.append(turned)
    return np.array(distinct).reshape(-1, 3), np.array(sources), np.array(opposite)


@dataclass(frozen=True, eq=False)
class PairsOfAtoms:
    """Edges sorted by the pair of atoms that they join.

    Attributes:
        n_atoms: of the structure.
        order: of the edges; starts: where pairs begin among them; ends: (2, pairs) receivers and senders.
    """

    n_atoms: int
    order: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, expansion: Expansion) -> PairsOfAtoms:
        """Of a structure."""
        edges = expansion.edges
        order = np.lexsort((edges.senders, edges.receivers))
        ends = np.stack([edges.receivers, edges.senders])[:, order]
        starts = np.flatnonzero(np.diff(ends, axis=1, prepend=-1).any(axis=0))
        return cls(edges.n_atoms, order, starts, ends[:, starts])

    def sums(self, of_edges: np.ndarray) -> np.ndarray:
        """Sums (pairs, x) over the edges (e, x) that join two atoms."""
        return np.asarray(np.add.reduceat(of_edges[self.order], self.starts, axis=0))


def of_gates(expansion: Expansion, waves: list[WaveResponse]) -> np.ndarray:
    """Of the gates of all layers: (c1, c2, c3)."""
    total: np.ndarray | float = 0.0
    for number, layer in enumerate(reversed(expansion.layers)):  # responses know the last layer first
        bars, moved = (tuple(own[number] for own in kind) for kind in zip(*map(_of_gate, waves), strict=True))
        total = total + layer.state.gate.third(layer.state.value_bar, bars, moved)
    return np.asarray(total)


def _of_gate(wave: WaveResponse) -> tuple[list[Blocks], list[Blocks]]:
    return wave.value_bar, wave.entering


def of_two_responses(one: WaveResponse, two: WaveResponse) -> np.ndarray:
    """Of two responses, and the displacement of each atom along x in the third wave: (c1, c2, n, 3)."""
    n, n_one, n_two = len(one.slopes), one.features.shape[2], two.features.shape[2]
    first = one.slopes.swapaxes(2, 3).reshape(n, 3 * n_one, -1) @ two.features
    second = two.slopes.swapaxes(2, 3).reshape(n, 3 * n_two, -1) @ one.features
    both = first.reshape(n, 3, n_one, n_two) + second.reshape(n, 3, n_two, n_one).swapaxes(2, 3)
    return both.transpose(2, 3, 0, 1)


def of_one_response(own: WaveResponse, pairs: PairsOfAtoms, second: WaveResponse, third: WaveResponse) -> np.ndarray:
    """Of one response, and displacements of atoms in the second and the third wave: (c, n, 3, n, 3)."""
    n, n_c = pairs.n_atoms, own.edges.shape[2]
    tensors = np.zeros((n, n, 3, 3, n_c), complex)
    here = np.arange(n)
    tensors[here, here] += own.at_ends.reshape(n, 3, 3, n_c)
    receivers, senders = pairs.ends
    for wave, places in ((second, (senders, receivers)), (third, (receivers, senders))):
        sums = pairs.sums(wave.phases[:, None] * own.edges.reshape(len(own.edges), -1))
        tensors[places] -= sums.reshape(-1, 3, 3, n_c)  # every pair is there once
    return tensors.transpose(4, 0, 2, 1, 3)


@dataclass(frozen=True, eq=False)
class _Contraction:
    """What all triplets share.

    Attributes:
        expansion: the structure.
        pairs: of its atoms.
        alone: third derivatives of edges alone (e, 27).
        at_ends: (n, 3, 3, 3) of these where all displacements are of one atom.
    """

    expansion: Expansion
    pairs: PairsOfAtoms
    alone: np.ndarray
    at_ends: np.ndarray

    @classmethod
    def of(cls, expansion: Expansion, functions: ThirdOrderEdges) -> _Contraction:
        edges = expansion.edges
        alone = third_of_edges(expansion, functions)
        at_ends = np.zeros((edges.n_atoms, 3, 3, 3))
        np.add.at(at_ends, edges.senders, alone)
        np.subtract.at(at_ends, edges.receivers, alone)
        return cls(expansion, PairsOfAtoms.of(expansion), alone.reshape(-1, 27), at_ends)

    def __call__(self, waves: list[WaveResponse]) -> np.ndarray:
        """Phi of three wave vectors, (3n, 3n, 3n) complex."""
        n = self.pairs.n_atoms
        result = of_gates(self.expansion, waves).astype(complex).reshape(n, 3, n, 3, n, 3)
        self._add_alone(result, waves)
        for k, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
            # Axes (n, 3) of each wave in turn: those of the displacement stand last there, those of the response first.
            two = of_two_responses(waves[i], waves[j]).reshape(n, 3, n, 3, n, 3)
            result += np.moveaxis(two, (4, 5), (2 * k, 2 * k + 1))
            one = of_one_response(waves[k], self.pairs, waves[i], waves[j]).reshape(n, 3, n, 3, n, 3)
            result += np.moveaxis(one, (0, 1), (2 * k, 2 * k + 1))
        return result.reshape(3 * n, 3 * n, 3 * n)

    def _add_alone(self, result: np.ndarray, waves: list[WaveResponse]) -> None:
        """Of edges alone: all three displacements at one end, or one of them at the other end."""
        n = np.arange(result.shape[0])
        result[n, :, n, :, n] += self.at_ends
        blocks = result.transpose(0, 2, 4, 1, 3, 5)
        receivers, senders = self.pairs.ends
        for k, wave in enumerate(waves):
            sums = self.pairs.sums(wave.phases[:, None] * self.alone).reshape(-1, 3, 3, 3)
            for ends, own in (((senders, receivers), sums), ((receivers, senders), -sums.conj())):
                # The displacement k at the first of the two ends, both others at the second.
                places = tuple(ends[0] if k == axis else ends[1] for axis in range(3))
                np.add.at(blocks, places, own)
