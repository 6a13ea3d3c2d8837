"""What a response can be asked for: a perturbation says how it changes the edges, and which phase it carries.

To first order a perturbation changes the vector of every edge by dr, as the receiver's cell reads it; in cell R all
changes are exp(2 pi i q.R) times those of the home cell. `linear_response` passes them through a network. All that it
needs of a perturbation is the contract `Perturbation`: what dr does to messages and to cotangents, and the way back
from there to the perturbation's own amplitudes, which gives second derivatives of the energy. `displacement_waves` and
`strains` fulfil it. A perturbation that changes more than edges (a field that enters messages) fulfils it as well.

Edges are vectors from receiver to sender, and letters are those of `edge_tensors` and `columns`. The rows of a second
derivative are the amplitudes that it is taken by: 3n of displacements, 9 of strains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np

from ...models.parts import Blocks
from .columns import Columns
from .edge_tensors import Expansion, LayerTensors, Pairs


def is_real(qpoints: np.ndarray) -> np.ndarray:
    """Whether all phases at reduced wave vectors (q, 3) are 1 or -1: (q,)."""
    return np.abs(2 * qpoints - np.rint(2 * qpoints)).max(axis=1) < 1e-12


@dataclass(frozen=True, eq=False)
class Phases:
    """The phase p = exp(2 pi i q.S) that each edge carries whose sender lies in cell S, for some wave vectors.

    Attributes:
        of_edges: (e, q, parts) real and imaginary part; the real part alone where all are 1 or -1.
        of_pairs: the same of the edges of each group of receivers, zero on padding: (g, p, q parts, s).
        with_constants: whether terms without a phase count. They are no part of a derivative by q.
    """

    of_edges: np.ndarray
    of_pairs: list[np.ndarray]
    with_constants: bool = True

    @classmethod
    def at(cls, qpoints: np.ndarray, expansion: Expansion, real: bool = False) -> "Phases":
        """Phases of all edges of a structure at reduced wave vectors (q, 3), all of them real if `is_real` says so."""
        angle = 2 * np.pi * (expansion.edges.shifts @ qpoints.T)
        parts = [np.rint(np.cos(angle))] if real else [np.cos(angle), np.sin(angle)]
        return cls._of_edges(np.stack(parts, -1).astype(expansion.network.dtype), expansion.pairs)

    @classmethod
    def _of_edges(cls, phases: np.ndarray, pairs: Sequence[Pairs], with_constants: bool = True) -> "Phases":
        side_by_side = phases.reshape(len(phases), phases.shape[1] * phases.shape[2])
        of_pairs = [
            np.ascontiguousarray((side_by_side[group.table] * group.real[..., None]).swapaxes(2, 3)) for group in pairs
        ]
        return cls(phases, of_pairs, with_constants)

    @property
    def n_q(self) -> int:
        """How many wave vectors there are."""
        return self.of_edges.shape[1]

    @property
    def parts(self) -> int:
        """How many numbers a phase has: 2, or 1 where all are real."""
        return self.of_edges.shape[2]

    def differentiated(self, axis: int, expansion: Expansion) -> "Phases":
        """dp/dq along a reduced component, 2 pi i S p; phases must not have been taken as real."""
        factor = (2 * np.pi * expansion.edges.shifts[:, axis, None]).astype(self.of_edges.dtype)
        real, imaginary = self.of_edges[..., 0], self.of_edges[..., 1]
        slopes = np.stack([-factor * imaginary, factor * real], -1)
        return self._of_edges(slopes, expansion.pairs, with_constants=False)

    def as_complex(self) -> np.ndarray:
        """Phases of edges as numbers (e, q): complex, or real where all are."""
        return self.of_edges[..., 0] if self.parts == 1 else self.of_edges[..., 0] + 1j * self.of_edges[..., 1]


# What a perturbation keeps of a layer from the way forward to the way back; it alone reads it.
Kept = Any


class Perturbation(Protocol):
    """Some perturbations of one kind, at the same wave vectors: one in each column.

    Attributes:
        expansion: the structure that they perturb.
        phases: which phase they carry.
        columns: how their responses are laid out.
    """

    @property
    def expansion(self) -> Expansion:
        """The structure that is perturbed."""

    @property
    def phases(self) -> Phases:
        """The phases that it carries."""

    @property
    def columns(self) -> Columns:
        """The layout of responses."""

    def edge_changes(self) -> np.ndarray:
        """dr of every edge, as the receiver's cell reads it: (e, 3, q, c) [Å per unit of amplitude]."""

    def rows_of_edges(self, edges_bar: np.ndarray) -> np.ndarray:
        """The transpose of `edge_changes`, conjugated: from cotangents of edges (e, 3, q, c) to rows (rows, q, c)."""

    def curvature(self) -> np.ndarray:
        """K dr of every edge, brought to rows as `rows_of_edges` does: (rows, q, c)."""

    def messages(self, layer: LayerTensors) -> tuple[Blocks, Kept]:
        """J dr, summed onto the receivers: per output irrep (u, n, k, z); and what `rows_of_messages` can use again."""

    def rows_of_messages(self, layer: LayerTensors, kept: Kept, da_bar: Blocks) -> np.ndarray:
        """From the response of messages' cotangents, per output irrep (u, n, k, z), J^H da' in rows (rows, q, c)."""

    def cotangents(self, layer: LayerTensors, dh: Blocks | None) -> tuple[Blocks, np.ndarray | None]:
        """p* C dr, summed onto the senders: blocks (u, n, i, z); and, with dh, C^H dh in rows (rows, q, c).

        Both at once, since they take the same sums over edges. There is none in the first layer.
        """


@dataclass(frozen=True, eq=False)
class Together:
    """Perturbations of several kinds at once, with the methods of a `Perturbation`.

    Their changes of edges add up, column by column. Their rows follow one another, so that second derivatives by one
    kind and another are among them. A kind whose amplitudes are zero adds its rows alone.

    Attributes:
        kinds: with the same structure, phases and layout of columns.
    """

    kinds: tuple[Perturbation, ...]

    def __post_init__(self) -> None:
        first = self.kinds[0]
        for other in self.kinds[1:]:
            assert other.phases is first.phases, "perturbations of different wave vectors do not add up"
            assert other.columns == first.columns, "perturbations add up column by column"

    @property
    def expansion(self) -> Expansion:
        """The structure that is perturbed."""
        return self.kinds[0].expansion

    @property
    def phases(self) -> Phases:
        """The phases that it carries."""
        return self.kinds[0].phases

    @property
    def columns(self) -> Columns:
        """The layout of responses."""
        return self.kinds[0].columns

    def edge_changes(self) -> np.ndarray:
        return reduce(np.add, (kind.edge_changes() for kind in self.kinds))

    def rows_of_edges(self, edges_bar: np.ndarray) -> np.ndarray:
        return np.concatenate([kind.rows_of_edges(edges_bar) for kind in self.kinds])

    def curvature(self) -> np.ndarray:
        return self.rows_of_edges(curved(self.expansion, self.edge_changes()))

    def messages(self, layer: LayerTensors) -> tuple[Blocks, list[Kept]]:
        blocks, kept = zip(*(kind.messages(layer) for kind in self.kinds), strict=True)
        return [sum(block) for block in zip(*blocks, strict=True)], list(kept)

    def rows_of_messages(self, layer: LayerTensors, kept: list[Kept], da_bar: Blocks) -> np.ndarray:
        of_kinds = zip(self.kinds, kept, strict=True)
        return np.concatenate([kind.rows_of_messages(layer, own, da_bar) for kind, own in of_kinds])

    def cotangents(self, layer: LayerTensors, dh: Blocks | None) -> tuple[Blocks, np.ndarray | None]:
        blocks, rows = zip(*(kind.cotangents(layer, dh) for kind in self.kinds), strict=True)
        return [sum(block) for block in zip(*blocks, strict=True)], None if dh is None else np.concatenate(rows)


def curved(expansion: Expansion, edge_changes: np.ndarray) -> np.ndarray:
    """K dr of every edge, both (e, 3, q, c)."""
    n_e, _, n_q, n_columns = edge_changes.shape
    return (expansion.curvature @ edge_changes.reshape(n_e, 3, n_q * n_columns)).reshape(edge_changes.shape)
