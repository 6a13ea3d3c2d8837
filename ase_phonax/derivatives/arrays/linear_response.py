"""Linear response to waves of displacements, as matrix products of the tensors of `edge_tensors`.

At one wave vector every operator between atoms is a Bloch sum over the edges that join them: with the
phase p = exp(2 pi i q.S) of an edge whose sender lies in cell S, and the displacement u of the home cell,

    da_x   = sum_s T p dh_j + J (p u_j - u_x)             forward, layer by layer,
    dh'_j  = sum_s (p T)^H da'_x + C (u_j - p* u_x)       backward, ' for cotangents,
    D u    = sum_s K-, J- and C-terms at both ends of an edge.

So T, J and C are summed once for each pair of atoms and q, as one product of phases and tensors, and
then serve all displacements. For T only harmonics times weights are summed; the coupling coefficients follow.
Between the two, features of single atoms respond through linear maps and the derivatives of the gate.
`compiled.responses.lattice_columns` is the independent reference; it is also the form to differentiate further.

Letters: f features of atoms, h the same after the layer's linear mix, a sums of messages; T, J, C, K second
derivatives of an edge.

Axes as in `edge_tensors`, and q wave vectors, c columns, z = (q, c, parts): of complex numbers real and imaginary part
after each other, or the first alone where all phases are real. In Bloch sums of real tensors the parts are an axis of
their own, farther left. Axes written without a comma between them, as in (p i, k), are one flattened axis. The suffix
_bar marks a cotangent, the prefix d a response. Responses of features are blocks (u, n, i, z): what belongs to one
wave vector are rows that products can read and write where they lie.
"""

from collections.abc import Iterable, Iterator
from copy import copy

import numpy as np

from ...models.parts import Blocks, Path
from .edge_tensors import Expansion, LayerTensors, split

# Bytes of maps between atoms that a response keeps for the way back, and of sums of J.
KEPT_BYTES = 64e6


def is_real(qpoints: np.ndarray) -> np.ndarray:
    """Whether all phases at wave vectors (q, 3) are 1 or -1: (q,)."""
    return np.abs(2 * qpoints - np.rint(2 * qpoints)).max(axis=1) < 1e-12


def map_numbers(expansion: Expansion) -> int:
    """In all maps between atoms at one wave vector with real phases."""
    layers = [layer.state.parts for layer in expansion.layers[1:]]
    numbers = sum(
        (path.weights.stop - path.weights.start) * path.coupling[:, 0].size for parts in layers for path in parts.paths
    )
    return numbers * sum(pairs.real[..., 0].size for pairs in expansion.pairs)


class Response:
    """Linear response of a structure to some displacements at some wave vectors.

    Args:
        expansion: of the structure.
        qpoints: (q, 3) reduced.
        displacements: (q, 3n, c) real amplitudes of waves at each of them.
        real: all phases are 1 or -1, and so nothing has an imaginary part (`is_real` of every wave vector).
    """

    def __init__(self, expansion: Expansion, qpoints: np.ndarray, displacements: np.ndarray, real: bool = False):
        self.expansion, self.edges = expansion, expansion.edges
        self.n_q, self.n_columns = len(qpoints), displacements.shape[-1]
        self.fixed = True  # whether terms without a phase count
        dtype = expansion.network.dtype
        angle = 2 * np.pi * (self.edges.shifts @ qpoints.T)
        self.parts = 1 if real else 2
        self.kind = dtype if real else np.result_type(dtype, np.complex64)
        waves = [np.rint(np.cos(angle))] if real else [np.cos(angle), np.sin(angle)]
        self._set_phases(np.stack(waves, -1).astype(dtype))
        u = displacements.reshape(self.n_q, self.edges.n_atoms, 3, -1).transpose(1, 2, 0, 3)
        self.u = np.ascontiguousarray(u, dtype)  # (n, 3, q, c)
        self.moving = np.abs(self.u).max(axis=(1, 2, 3)) > 0  # (n,)
        self.total = np.zeros(0)  # (n, 3, q, c), filled by each run
        # The way back needs the same sums as the way forward.
        n_pairs = sum(pairs.real[..., 0].size for pairs in expansion.pairs)
        slopes = 3 * n_pairs * sum(layer.slope_sums.shape[-1] for layer in expansion.layers)
        n_bytes = self.parts * self.n_q * dtype.itemsize
        self.kept_maps: dict[tuple[int, int], list] | None = (
            {} if n_bytes * map_numbers(expansion) <= KEPT_BYTES else None
        )
        self.kept_slopes: dict[tuple[int, int], np.ndarray] | None = {} if n_bytes * slopes <= KEPT_BYTES else None

    def _set_phases(self, phases: np.ndarray) -> None:
        """Phases of all edges (e, q, parts)."""
        self.phases = phases
        # Of the edges of each pair, zero on padding: (g, p, q parts, s).
        self.turns = []
        for pairs in self.expansion.pairs:
            turns = phases.reshape(len(phases), self.n_q * self.parts)[pairs.table] * pairs.real[..., None]
            self.turns.append(np.ascontiguousarray(turns.swapaxes(2, 3)))

    def matrix(self) -> np.ndarray:
        """(q, 3n, c) complex."""
        self._run()
        found = self.total.reshape(3 * self.edges.n_atoms, self.n_q, self.n_columns)
        return found.swapaxes(0, 1).astype(complex)

    def slopes(self) -> np.ndarray:
        """d/dq along each reduced component, all atoms being columns: (q, 3, 3n, 3n) complex.

        D(q) is stationary in the responses (they solve the linear equations that it is built from), so that
        only the phases are differentiated, at fixed responses: D' = K' + M + M^H, where M collects the
        phases' derivatives between cotangents and responses. The 2n+1 theorem, for q. Derivatives of real phases are
        imaginary: not for a response made with `real`.
        """
        tape, result = self._run(), []
        for x in range(3):
            turned = self._differentiated(x)
            k = turned.total.reshape(-1, self.n_q, self.n_columns).swapaxes(0, 1)
            m = np.zeros((self.n_q, self.n_columns, self.n_columns), complex)
            for layer, dh, da_bar in tape:
                m += self._overlap(da_bar, turned._forward(layer, dh))
                if dh is not None:
                    into = [np.zeros_like(z) for z in dh]
                    turned._cross(layer, into)
                    m += self._overlap(dh, into)
            result.append(k + m + m.conj().transpose(0, 2, 1))
        return np.stack(result, 1)

    def _differentiated(self, axis: int) -> "Response":
        """The same with d/dq of every phase; what has no phase drops out."""
        turned = copy(self)
        factor = (2 * np.pi * self.edges.shifts[:, axis, None]).astype(self.phases.dtype)
        turned._set_phases(np.stack([-factor * self.phases[..., 1], factor * self.phases[..., 0]], -1))
        turned.fixed, turned.kept_maps, turned.kept_slopes = False, None, None
        turned.total = turned._curvature()
        return turned

    def _overlap(self, left: Blocks, right: Blocks) -> np.ndarray:
        """Inner products of columns, the left ones conjugated: (q, c, c) complex."""
        result = np.zeros((self.n_q, self.n_columns, self.n_columns), complex)
        for blocks in zip(left, right, strict=True):
            a, b = (self._complex(z).reshape(-1, self.n_q, self.n_columns) for z in blocks)
            result += a.conj().transpose(1, 2, 0) @ b.swapaxes(0, 1)
        return result

    def _complex(self, columns: np.ndarray) -> np.ndarray:
        """Columns (..., z) -> (..., q, c)."""
        return columns.view(self.kind).reshape(*columns.shape[:-1], self.n_q, self.n_columns)

    def _joined(self, parts: np.ndarray) -> np.ndarray:
        """From parts of their own (parts, ..., q, c), in any order, to columns (..., z)."""
        found = np.empty(parts.shape[1:], self.kind)
        found.real = parts[0]
        if self.parts == 2:
            found.imag = parts[1]
        return found.reshape(*found.shape[:-2], -1).view(parts.dtype)

    def _run(self) -> list[tuple[LayerTensors, Blocks | None, Blocks]]:
        """Fill `total`; each layer's response of h and cotangent of a come back, last layer first."""
        self.total = self._curvature()
        species = self.edges.species
        df: Blocks | None = None
        tape, found = [], []
        for layer in self.expansion.layers:
            parts = layer.state.parts
            dh = None if df is None else parts.mix(df, species)
            moved = parts.collect(self._forward(layer, dh), species)
            if df is not None:
                moved = [a + b for a, b in zip(moved, parts.skip(df, species), strict=True)]
            df, kept = layer.state.gate.response(moved)
            tape.append((layer, dh, kept))
        assert df is not None, "a network has layers"
        df_bar = [np.zeros_like(z) for z in df]  # the energy is linear in the last features
        for layer, dh, kept in reversed(tape):
            parts = layer.state.parts
            before = layer.state.gate.back_response(kept, layer.state.value_bar, df_bar)
            da_bar = parts.collect.transposed(before, species)
            found.append((layer, dh, da_bar))
            dh_bar = self._backward(layer, dh, da_bar)
            if dh_bar is not None:
                through, skip = parts.mix.transposed(dh_bar, species), parts.skip.transposed(before, species)
                df_bar = [a + b for a, b in zip(through, skip, strict=True)]
        return found

    def _bloch(self, group: int, tensor: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        """Sums over the edges of each pair, or of the chosen senders (p,), with phases: (g, q, parts, p, y, z)."""
        turns = self.turns[group]
        if chosen is not None and not chosen.all():
            turns, tensor = turns[:, chosen], tensor[:, chosen]
        n_g, n_p, n_s, n_y, n_z = tensor.shape
        found = np.empty((n_g, self.n_q, self.parts, n_p, n_y, n_z), tensor.dtype)
        into = found.reshape(n_g, -1, n_p, n_y * n_z).swapaxes(1, 2)
        np.matmul(turns, tensor.reshape(n_g, n_p, n_s, -1), out=into)
        return found

    def _slopes(self, layer: LayerTensors, group: int, chosen: np.ndarray | None = None) -> np.ndarray:
        """Bloch sums of J, of all senders or of the chosen ones: (g, q, parts, p, 3, D)."""
        tensor = layer.groups[group].slope
        if self.kept_slopes is None:
            return self._bloch(group, tensor, chosen)
        key = id(layer), group
        if key not in self.kept_slopes:
            self.kept_slopes[key] = self._bloch(group, tensor)
        found = self.kept_slopes[key]
        return found if chosen is None or chosen.all() else found[:, :, :, chosen]

    def _maps(self, layer: LayerTensors, group: int) -> Iterable[tuple[int, list[Path], np.ndarray]]:
        """Input irreps that have paths, those, and Bloch sums of T ready to be multiplied: (u, q, parts, p i, g k)."""
        if self.kept_maps is None:
            return self._new_maps(layer, group)
        key = id(layer), group
        if key not in self.kept_maps:
            self.kept_maps[key] = list(self._new_maps(layer, group))
        return self.kept_maps[key]

    def _new_maps(self, layer: LayerTensors, group: int) -> Iterator[tuple[int, list[Path], np.ndarray]]:
        parts, weights = layer.state.parts, layer.groups[group].weights
        n_g, n_p, _, n_s = self.turns[group].shape
        n_q, dtype = self.n_q, self.phases.dtype
        turns = self.turns[group].swapaxes(2, 3)[..., None]
        merged = [
            np.empty((mul, n_q, self.parts, n_p, n_g, len(coupling)), dtype)
            for (mul, _), (_, coupling) in zip(parts.inputs, parts.by_block, strict=True)
        ]
        begins = [0] * len(merged)
        for own, w, y in zip(parts.by_degree, weights, self.expansion.pairs[group].harmonics, strict=False):
            waves = (turns * y[..., None, :]).reshape(n_g, n_p, n_s, -1)  # (g, p, s, q parts m)
            found = (w @ waves).reshape(n_g, n_p, w.shape[2], n_q, self.parts, -1).transpose(2, 3, 4, 1, 0, 5)
            first = 0
            for path in own:
                into, begin, mul = merged[path.block], begins[path.block], len(merged[path.block])
                into[..., begin : begin + y.shape[3]] = found[first : first + mul]
                first, begins[path.block] = first + mul, begin + y.shape[3]
        for block, ((paths, coupling), sums) in enumerate(zip(parts.by_block, merged, strict=True)):
            if paths:
                m, n_i, n_k = coupling.shape
                maps = sums.reshape(-1, m) @ coupling.reshape(m, -1).astype(dtype, copy=False)
                maps = maps.reshape(-1, n_g, n_i, n_k).swapaxes(1, 2)
                yield block, paths, maps.reshape(len(sums), n_q, self.parts, n_p * n_i, n_g * n_k)

    def _product(self, maps: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Maps (u, q, y, x) of columns (u, x, z), whose x may be several axes: (u, y, z)."""
        z = columns.reshape(len(columns), maps.shape[3], self.n_q, -1)
        found = np.empty((len(z), maps.shape[2], *z.shape[2:]), z.dtype)
        np.matmul(maps, z.swapaxes(1, 2), out=found.swapaxes(1, 2))
        return found.reshape(*found.shape[:2], -1)

    def _times_i(self, columns: np.ndarray) -> np.ndarray:
        """Columns (..., z) times i."""
        return (columns.view(self.kind) * 1j).view(columns.dtype)

    def _forward(self, layer: LayerTensors, dh: Blocks | None) -> Blocks:
        """Responses of a, per output irrep (u, n, k, z), from those of h (u, n, i, z)."""
        da = self._of_displacements(layer)
        # With i times themselves, for the imaginary parts of the maps: (u, parts, n, i, z).
        reads = [np.stack([z, self._times_i(z)], 1) if self.parts == 2 else z[:, None] for z in dh or []]
        for group, pairs in enumerate(self.expansion.pairs if reads else []):
            for block, paths, maps in self._maps(layer, group):
                z = reads[block][:, :, pairs.senders]
                # One product over parts and senders together: (u, g k, z).
                y = self._product(maps.reshape(len(z), self.n_q, -1, maps.shape[-1]).swapaxes(2, 3), z)
                y = y.reshape(len(z), len(pairs.table), -1, z.shape[-1])
                for path in paths:
                    da[path.out][path.rows, pairs.receivers] += y[:, :, path.columns]
        return da

    def _of_displacements(self, layer: LayerTensors) -> Blocks:
        """J (p u_j - u_x), per output irrep (u, n, k, z)."""
        n_q, n_c, n, outputs = self.n_q, self.n_columns, self.edges.n_atoms, layer.state.parts.outputs
        width = layer.slope_sums.shape[-1]
        found = np.zeros((self.parts, n, width, n_q, n_c), self.phases.dtype)
        for group, pairs in enumerate(self.expansion.pairs):
            moving = self.moving[pairs.senders]
            if moving.any():
                u = self.u[pairs.senders][moving].reshape(-1, n_q, n_c).swapaxes(0, 1)  # (q, p 3, c)
                moved = self._slopes(layer, group, moving)
                moved = moved.reshape(len(moved), n_q, self.parts, -1, width).swapaxes(3, 4)
                y = np.empty((self.parts, len(moved), width, n_q, n_c), found.dtype)
                np.matmul(moved, u[:, None], out=y.transpose(1, 3, 0, 2, 4))
                found[:, pairs.receivers] = y
        if self.fixed:
            found[0] -= (layer.slope_sums.swapaxes(1, 2) @ self.u.reshape(n, 3, -1)).reshape(found.shape[1:])
        return self._blocks(found, outputs)

    def _blocks(self, flat: np.ndarray, irreps: tuple[tuple[int, int], ...]) -> Blocks:
        """Blocks (u, n, i, z) of columns on the flat axis of irreps, parts apart (parts, n, D or H, q, c)."""
        return [
            self._joined(z.reshape(*z.shape[:2], dim, mul, *z.shape[3:]).transpose(0, 3, 1, 2, 4, 5))
            for z, (mul, dim) in zip(split(flat, irreps, axis=2), irreps, strict=True)
        ]

    def _backward(self, layer: LayerTensors, dh: Blocks | None, da_bar: Blocks) -> Blocks | None:
        """Cotangents of h, blocks (u, n, i, z); adds what reaches the atoms to `total`."""
        self._collect_slopes(layer, da_bar)
        if dh is None:
            return None
        blocks = [np.zeros_like(z) for z in dh]
        for group, pairs in enumerate(self.expansion.pairs):
            n_g = len(pairs.table)
            for block, paths, maps in self._maps(layer, group):
                into = blocks[block][:, pairs.senders]
                bar = np.empty((len(into), n_g, maps.shape[-1] // n_g, into.shape[-1]), into.dtype)
                for path in paths:
                    bar[:, :, path.columns] = da_bar[path.out][path.rows, pairs.receivers]
                found = self._product(maps[:, :, 0], bar)
                if self.parts == 2:  # the maps' conjugate
                    found -= self._product(maps[:, :, 1], self._times_i(bar))
                blocks[block][:, pairs.senders] += found.reshape(into.shape)
        self._cross(layer, blocks, dh)
        return blocks

    def _collect_slopes(self, layer: LayerTensors, da_bar: Blocks) -> None:
        """J^H da' at both ends of every edge, added to `total`; da' per output irrep (u, n, k, z)."""
        n_q, flat = self.n_q, _flat(da_bar)
        self.total -= self._complex(layer.slope_sums @ flat)
        for group, pairs in enumerate(self.expansion.pairs):
            moved, here = self._slopes(layer, group), flat[pairs.receivers]
            here = here.reshape(*here.shape[:2], n_q, -1).swapaxes(1, 2)  # (g, q, D, c parts)
            y = (moved.reshape(len(moved), n_q, -1, moved.shape[-1]) @ here).sum(axis=0)
            y = y.view(self.kind).reshape(n_q, self.parts, -1, 3, self.n_columns).transpose(1, 2, 3, 0, 4)
            self.total[pairs.senders] += y[0] if self.parts == 1 else y[0] - 1j * y[1]

    def _cross(self, layer: LayerTensors, dh_bar: Blocks, dh: Blocks | None = None) -> None:
        """C (u_j - p* u_x), added to the cotangents of h; with dh, C^H dh at both ends of every edge, to `total`.

        Both blocks are (u, n, i, z).
        """
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        assert layer.cross_sums is not None
        width = layer.cross_sums.shape[-1]
        found = np.zeros((self.parts, n, width, n_q, n_c), self.phases.dtype)
        if self.fixed:
            found[0] += (layer.cross_sums.swapaxes(1, 2) @ self.u.reshape(n, 3, -1)).reshape(found.shape[1:])
        flat = None if dh is None else _flat(dh)
        if flat is not None:
            self.total += self._complex(layer.cross_sums @ flat)
        for group, pairs in enumerate(self.expansion.pairs):
            moving = self.moving[pairs.receivers].any()
            if not moving and flat is None:
                continue
            cross = layer.groups[group].cross
            assert cross is not None
            n_g, n_p = cross.shape[:2]
            sums = self._bloch(group, cross).transpose(1, 2, 0, 4, 3, 5)
            sums = sums.reshape(n_q, self.parts, n_g * 3, n_p * width)
            if moving:
                u = self.u[pairs.receivers].reshape(-1, n_q, n_c).swapaxes(0, 1)  # (q, g 3, c)
                y = np.empty((self.parts, n_p * width, n_q, n_c), found.dtype)
                np.matmul(sums.swapaxes(2, 3), u[:, None], out=y.transpose(2, 0, 1, 3))
                y = y.reshape(self.parts, n_p, *found.shape[2:])
                found[0, pairs.senders] -= y[0]
                found[1:, pairs.senders] += y[1:]
            if flat is not None:
                there = flat[pairs.senders].reshape(n_p * width, n_q, -1).swapaxes(0, 1)
                y = (sums.reshape(n_q, -1, n_p * width) @ there).view(self.kind)
                y = y.reshape(n_q, self.parts, n_g, 3, n_c).transpose(1, 2, 3, 0, 4)
                self.total[pairs.receivers] -= y[0] if self.parts == 1 else y[0] + 1j * y[1]
        for into, block in zip(dh_bar, self._blocks(found, layer.state.parts.inputs), strict=True):
            into += block

    def _curvature(self) -> np.ndarray:
        """K-terms of all layers: (n, 3, q, c)."""
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        total = np.zeros(self.u.shape, self.kind)
        if self.fixed:
            total += (self.expansion.curvature_sums @ self.u.reshape(n, 3, -1)).reshape(self.u.shape)
        for group, pairs in enumerate(self.expansion.pairs):
            sums = self._bloch(group, self.expansion.curvature[pairs.table])
            n_g, n_p = pairs.table.shape[:2]
            sums = sums.transpose(2, 1, 0, 4, 3, 5).reshape(self.parts, n_q, n_g * 3, n_p * 3)
            k = sums[0] if self.parts == 1 else sums[0] + 1j * sums[1]
            here, there = (
                self.u[ends].reshape(-1, n_q, n_c).swapaxes(0, 1) for ends in (pairs.receivers, pairs.senders)
            )
            total[pairs.receivers] -= (k @ there).reshape(n_q, n_g, 3, n_c).transpose(1, 2, 0, 3)
            back = k.conj().swapaxes(1, 2) @ here
            total[pairs.senders] -= back.reshape(n_q, n_p, 3, n_c).transpose(1, 2, 0, 3)
        return total


def _flat(blocks: Blocks) -> np.ndarray:
    """Blocks (u, n, i, z) on the flat axis of their irreps: (n, D or H, z)."""
    n, z = blocks[0].shape[1], blocks[0].shape[3]
    return np.concatenate([block.transpose(1, 2, 0, 3).reshape(n, -1, z) for block in blocks], 1)
