"""Waves of displacements: atom j of cell R moves by u_j exp(2 pi i q.R), and edges change by dr = p u_j - u_x.

Their second derivatives are D(q): with the sums over the edges from receiver x to sender j,

    J dr = (sum p J) u_j - (sum J) u_x            onto receivers,
    p* C dr = (sum C) u_j - (sum p C)* u_x        onto senders,

and the transposes of these on the way back. So J, C and K are summed once for each pair of atoms and wave vector
(`bloch_sums`). Axes as in `edge_tensors` and `columns`; the suffix _bar marks a cotangent, the prefix d a response.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...models.parts import Blocks
from .bloch_sums import bloch_sums, keeps_slopes
from .columns import Columns, flat_columns
from .edge_tensors import Expansion, LayerTensors
from .perturbations import Phases

# Bloch sums of J for each group of receivers, (g, q, parts, p, 3, D), where they have been formed.
SlopeSums = list[np.ndarray | None]


@dataclass(frozen=True, eq=False)
class DisplacementWaves:
    """A `Perturbation`; its rows are atoms and Cartesian axes, 3 i + x.

    Attributes:
        expansion: the structure that they perturb.
        phases: which phase they carry.
        amplitudes: u (n, 3, q, c) real.
    """

    expansion: Expansion
    phases: Phases
    amplitudes: np.ndarray

    @classmethod
    def of(cls, expansion: Expansion, phases: Phases, displacements: np.ndarray) -> "DisplacementWaves":
        """Waves of real amplitudes (q, 3n, c)."""
        u = displacements.reshape(len(displacements), expansion.edges.n_atoms, 3, -1).transpose(1, 2, 0, 3)
        return cls(expansion, phases, np.ascontiguousarray(u, expansion.network.dtype))

    @cached_property
    def columns(self) -> Columns:
        """The layout of responses."""
        return Columns(self.phases.n_q, self.amplitudes.shape[3], self.phases.parts, self.expansion.network.dtype)

    @cached_property
    def _moving(self) -> np.ndarray:
        """Which atoms move in at least one column: (n,)."""
        return np.abs(self.amplitudes).max(axis=(1, 2, 3)) > 0

    @cached_property
    def _keeps_slopes(self) -> bool:
        """Whether sums of J are kept from the way forward to the way back."""
        return keeps_slopes(self.expansion, self.phases)

    def edge_changes(self) -> np.ndarray:
        """dr = p u_j - u_x: (e, 3, q, c)."""
        edges = self.expansion.edges
        changes = self.phases.as_complex()[:, None, :, None] * self.amplitudes[edges.senders]
        return changes - self.amplitudes[edges.receivers] if self.phases.with_constants else changes

    def rows_of_edges(self, edges_bar: np.ndarray) -> np.ndarray:
        """Cotangents of edges (e, 3, q, c) times p* at their senders, less those at their receivers: (3n, q, c)."""
        edges = self.expansion.edges
        rows = np.zeros(self.amplitudes.shape, self.columns.number)
        np.add.at(rows, edges.senders, self.phases.as_complex().conj()[:, None, :, None] * edges_bar)
        if self.phases.with_constants:
            np.subtract.at(rows, edges.receivers, edges_bar)
        return self._flat(rows)

    def curvature(self) -> np.ndarray:
        """K dr at both ends of every edge: (3n, q, c)."""
        n_q, n_c, n = self.columns.n_q, self.columns.n_columns, self.expansion.edges.n_atoms
        u, expansion, parts = self.amplitudes, self.expansion, self.columns.parts
        rows = np.zeros(u.shape, self.columns.number)
        if self.phases.with_constants:
            rows += (expansion.curvature_sums @ u.reshape(n, 3, -1)).reshape(u.shape)
        for group, pairs in enumerate(expansion.pairs):
            sums = bloch_sums(self.phases, group, expansion.curvature[pairs.table])
            n_g, n_p = pairs.table.shape[:2]
            sums = sums.transpose(2, 1, 0, 4, 3, 5).reshape(parts, n_q, n_g * 3, n_p * 3)
            k = sums[0] if parts == 1 else sums[0] + 1j * sums[1]
            here, there = (u[ends].reshape(-1, n_q, n_c).swapaxes(0, 1) for ends in (pairs.receivers, pairs.senders))
            rows[pairs.receivers] -= (k @ there).reshape(n_q, n_g, 3, n_c).transpose(1, 2, 0, 3)
            back = k.conj().swapaxes(1, 2) @ here
            rows[pairs.senders] -= back.reshape(n_q, n_p, 3, n_c).transpose(1, 2, 0, 3)
        return self._flat(rows)

    def messages(self, layer: LayerTensors) -> tuple[Blocks, SlopeSums]:
        """J (p u_j - u_x), per output irrep (u, n, k, z), and the sums of J that are kept."""
        n_q, n_c, parts = self.columns.n_q, self.columns.n_columns, self.columns.parts
        n, width, u = self.expansion.edges.n_atoms, layer.slope_sums.shape[-1], self.amplitudes
        kept: SlopeSums = [None] * len(layer.groups)
        messages = np.zeros((parts, n, width, n_q, n_c), self.columns.dtype)
        for group, pairs in enumerate(self.expansion.pairs):
            moving = self._moving[pairs.senders]
            if not moving.any():
                continue
            if self._keeps_slopes:
                kept[group] = sums = bloch_sums(self.phases, group, layer.groups[group].slope)
                sums = sums if moving.all() else sums[:, :, :, moving]
            else:
                sums = bloch_sums(self.phases, group, layer.groups[group].slope, moving)
            there = u[pairs.senders][moving].reshape(-1, n_q, n_c).swapaxes(0, 1)  # (q, p 3, c)
            sums = sums.reshape(len(sums), n_q, parts, -1, width).swapaxes(3, 4)
            y = np.empty((parts, len(sums), width, n_q, n_c), messages.dtype)
            np.matmul(sums, there[:, None], out=y.transpose(1, 3, 0, 2, 4))
            messages[:, pairs.receivers] = y
        if self.phases.with_constants:
            messages[0] -= (layer.slope_sums.swapaxes(1, 2) @ u.reshape(n, 3, -1)).reshape(messages.shape[1:])
        return self.columns.blocks(messages, layer.state.parts.outputs), kept

    def rows_of_messages(self, layer: LayerTensors, kept: SlopeSums, da_bar: Blocks) -> np.ndarray:
        """J^H da' at both ends of every edge: (3n, q, c); da' per output irrep (u, n, k, z)."""
        n_q, n_c, parts = self.columns.n_q, self.columns.n_columns, self.columns.parts
        flat = flat_columns(da_bar)
        rows = -self.columns.as_numbers(layer.slope_sums @ flat)
        for group, pairs in enumerate(self.expansion.pairs):
            sums = kept[group]
            if sums is None:
                sums = bloch_sums(self.phases, group, layer.groups[group].slope)
            here = flat[pairs.receivers]
            here = here.reshape(*here.shape[:2], n_q, -1).swapaxes(1, 2)  # (g, q, D, c parts)
            y = (sums.reshape(len(sums), n_q, -1, sums.shape[-1]) @ here).sum(axis=0)
            y = y.view(self.columns.number).reshape(n_q, parts, -1, 3, n_c).transpose(1, 2, 3, 0, 4)
            rows[pairs.senders] += y[0] if parts == 1 else y[0] - 1j * y[1]
        return self._flat(rows)

    def cotangents(self, layer: LayerTensors, dh: Blocks | None) -> tuple[Blocks, np.ndarray | None]:
        """C (u_j - p* u_x), blocks (u, n, i, z); and, with dh, C^H dh at both ends of every edge: (3n, q, c)."""
        n_q, n_c, parts = self.columns.n_q, self.columns.n_columns, self.columns.parts
        assert layer.cross_sums is not None, "the first features do not depend on where atoms are"
        n, width, u = self.expansion.edges.n_atoms, layer.cross_sums.shape[-1], self.amplitudes
        cotangents = np.zeros((parts, n, width, n_q, n_c), self.columns.dtype)
        if self.phases.with_constants:
            cotangents[0] += (layer.cross_sums.swapaxes(1, 2) @ u.reshape(n, 3, -1)).reshape(cotangents.shape[1:])
        flat = None if dh is None else flat_columns(dh)
        rows = None if flat is None else self.columns.as_numbers(layer.cross_sums @ flat)
        for group, pairs in enumerate(self.expansion.pairs):
            moving = self._moving[pairs.receivers].any()
            if not moving and flat is None:
                continue
            cross = layer.groups[group].cross
            assert cross is not None
            n_g, n_p = cross.shape[:2]
            sums = bloch_sums(self.phases, group, cross).transpose(1, 2, 0, 4, 3, 5)
            sums = sums.reshape(n_q, parts, n_g * 3, n_p * width)
            if moving:
                here = u[pairs.receivers].reshape(-1, n_q, n_c).swapaxes(0, 1)  # (q, g 3, c)
                y = np.empty((parts, n_p * width, n_q, n_c), cotangents.dtype)
                np.matmul(sums.swapaxes(2, 3), here[:, None], out=y.transpose(2, 0, 1, 3))
                y = y.reshape(parts, n_p, *cotangents.shape[2:])
                cotangents[0, pairs.senders] -= y[0]
                cotangents[1:, pairs.senders] += y[1:]
            if flat is not None and rows is not None:
                there = flat[pairs.senders].reshape(n_p * width, n_q, -1).swapaxes(0, 1)
                y = (sums.reshape(n_q, -1, n_p * width) @ there).view(self.columns.number)
                y = y.reshape(n_q, parts, n_g, 3, n_c).transpose(1, 2, 3, 0, 4)
                rows[pairs.receivers] -= y[0] if parts == 1 else y[0] + 1j * y[1]
        blocks = self.columns.blocks(cotangents, layer.state.parts.inputs)
        return blocks, None if rows is None else self._flat(rows)

    def _flat(self, rows: np.ndarray) -> np.ndarray:
        """(n, 3, q, c) -> (3n, q, c)."""
        return rows.reshape(-1, *rows.shape[2:])
