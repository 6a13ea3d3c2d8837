"""Linear response to waves of displacements, as matrix products of the tensors of `edge_tensors`.

At one wave vector every operator between atoms is a Bloch sum over the edges that join them: with the
phase p = exp(2 pi i q.S) of an edge whose sender lies in cell S, and the displacement u of the home cell,

    da_x   = sum_s T p dh_j + J (p u_j - u_x)             forward, layer by layer,
    dh'_j  = sum_s (p T)^H da'_x + C (u_j - p* u_x)       backward, ' for cotangents,
    D u    = sum_s K-, J- and C-terms at both ends of an edge.

So T, J and C are summed once for each pair of atoms and q, as one product of phases and tensors, and
then serve all displacements. For T only harmonics times weights are summed; the coupling coefficients follow.
Between the two, features of single atoms respond through linear maps and the derivatives of the gate.
`derivatives.lattice_columns` is the independent reference; it is also the form to differentiate further.

Letters: f features of atoms, h the same after the layer's linear mix, a sums of messages; T, J, C, K second
derivatives of an edge. Complex arrays are kept as real and imaginary part, an axis of their own.

Axes as in `edge_tensors`, and q wave vectors, c columns, C = (parts, c) together: real and imaginary parts,
or the first alone where all phases are real. Axes written without a comma between them, as in (p i, k), are one
flattened axis. The suffix _bar marks a cotangent, the prefix d a response. Responses of features are blocks
(u, q, n, i, C): columns last, so that all products have long contiguous rows and nothing is transposed between them.
"""

from collections.abc import Iterable, Iterator
from copy import copy

import numpy as np

from .edge_tensors import Expansion, LayerTensors, split
from .layers import Blocks, Path

# Bytes of maps between atoms that a response keeps for the way back.
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
        waves = [np.rint(np.cos(angle))] if real else [np.cos(angle), np.sin(angle)]
        self._set_phases(np.stack(waves, -1).astype(dtype))
        self.u = displacements.reshape(self.n_q, self.edges.n_atoms, 3, -1).astype(dtype)  # (q, n, 3, c)
        self.moving = np.abs(self.u).max(axis=(0, 2, 3)) > 0  # (n,)
        self.total = np.zeros(0)  # (parts, q, n, 3, c), filled by each run
        # The way back needs the same maps between atoms as the way forward.
        n_bytes = 2 * self.n_q * map_numbers(expansion) * dtype.itemsize
        self.kept: dict[tuple[int, int], list] | None = {} if n_bytes <= KEPT_BYTES else None

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
        found = self.total[0] + 1j * self.total[1] if self.parts == 2 else self.total[0].astype(complex)
        return found.reshape(self.n_q, 3 * self.edges.n_atoms, self.n_columns)

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
            k = turned.total
            m = np.zeros((self.n_q, self.n_columns, self.n_columns), complex)
            for layer, dh, da_bar in tape:
                m += self._overlap(da_bar, turned._forward(layer, dh))
                if dh is not None:
                    into = [np.zeros_like(z) for z in dh]
                    turned._cross(layer, into)
                    m += self._overlap(dh, into)
            k = (k[0] + 1j * k[1]).reshape(m.shape)
            result.append(k + m + m.conj().transpose(0, 2, 1))
        return np.stack(result, 1)

    def _differentiated(self, axis: int) -> "Response":
        """The same with d/dq of every phase; what has no phase drops out."""
        turned = copy(self)
        factor = (2 * np.pi * self.edges.shifts[:, axis, None]).astype(self.phases.dtype)
        turned._set_phases(np.stack([-factor * self.phases[..., 1], factor * self.phases[..., 0]], -1))
        turned.fixed, turned.kept = False, None
        turned.total = turned._curvature()
        return turned

    def _overlap(self, left: Blocks, right: Blocks) -> np.ndarray:
        """Inner products of columns, the left ones conjugated: (q, c, c) complex."""
        result = np.zeros((self.n_q, self.n_columns, self.n_columns), complex)
        for blocks in zip(left, right, strict=True):
            a, b = (self._by_part(z) for z in blocks)
            a = a.swapaxes(2, 3)
            result += (a[0] @ b[0] + a[1] @ b[1]) + 1j * (a[0] @ b[1] - a[1] @ b[0])
        return result

    def _by_part(self, block: np.ndarray) -> np.ndarray:
        """(u, q, n, i, C) -> (2, q, everything else, c)."""
        parts = block.reshape(len(block), self.n_q, -1, 2, self.n_columns).transpose(3, 1, 0, 2, 4)
        return parts.reshape(2, self.n_q, -1, self.n_columns)

    def _run(self) -> list[tuple[LayerTensors, Blocks | None, Blocks]]:
        """Fill `total`; each layer's response of h and cotangent of a come back, last layer first."""
        self.total = self._curvature()
        species = self.edges.species
        df: Blocks | None = None
        tape, found = [], []
        for layer in self.expansion.layers:
            parts = layer.state.parts
            dh = None if df is None else parts.mix(df, species, 2)
            moved = parts.collect(self._forward(layer, dh), species, 2)
            if df is not None:
                moved = [a + b for a, b in zip(moved, parts.skip(df, species, 2), strict=True)]
            df = layer.state.gate.response(moved)
            tape.append((layer, dh, moved))
        assert df is not None, "a network has layers"
        df_bar = [np.zeros_like(z) for z in df]  # the energy is linear in the last features
        for layer, dh, moved in reversed(tape):
            parts = layer.state.parts
            before = layer.state.gate.back_response(moved, layer.state.value_bar, df_bar)
            da_bar = parts.collect.transposed(before, species, 2)
            found.append((layer, dh, da_bar))
            dh_bar = self._backward(layer, dh, da_bar)
            if dh_bar is not None:
                through, skip = parts.mix.transposed(dh_bar, species, 2), parts.skip.transposed(before, species, 2)
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

    def _maps(self, layer: LayerTensors, group: int) -> Iterable[tuple[int, list[Path], np.ndarray]]:
        """Input irreps that have paths, those, and Bloch sums of T ready to be multiplied: (u, q, parts, p i, g k)."""
        if self.kept is None:
            return self._new_maps(layer, group)
        key = id(layer), group
        if key not in self.kept:
            self.kept[key] = list(self._new_maps(layer, group))
        return self.kept[key]

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

    def _times_i(self, columns: np.ndarray, sign: int) -> np.ndarray:
        """Columns (..., C) times i or -i."""
        parts = columns.reshape(*columns.shape[:-1], 2, self.n_columns)
        turned = np.empty_like(parts)
        np.multiply(parts[..., 1, :], -sign, out=turned[..., 0, :])
        np.multiply(parts[..., 0, :], sign, out=turned[..., 1, :])
        return turned.reshape(columns.shape)

    def _forward(self, layer: LayerTensors, dh: Blocks | None) -> Blocks:
        """Responses of a, per output irrep (u, q, n, k, C), from those of h (u, q, n, i, C)."""
        n_q, columns = self.n_q, self.parts * self.n_columns
        da = self._of_displacements(layer)
        # With i times themselves, for the imaginary parts of the maps: (u, q, parts, n, i, C).
        reads = [np.stack([z, self._times_i(z, 1)], 2) if self.parts == 2 else z[:, :, None] for z in dh or []]
        for group, pairs in enumerate(self.expansion.pairs if reads else []):
            for block, paths, maps in self._maps(layer, group):
                z = reads[block][:, :, :, pairs.senders]
                # One product over parts and senders together: (u, q, g k, C).
                y = maps.reshape(len(z), n_q, -1, maps.shape[-1]).swapaxes(2, 3) @ z.reshape(len(z), n_q, -1, columns)
                y = y.reshape(len(z), n_q, len(pairs.table), -1, columns)
                for path in paths:
                    da[path.out][path.rows, :, pairs.receivers] += y[:, :, :, path.columns]
        return da

    def _of_displacements(self, layer: LayerTensors) -> Blocks:
        """J (p u_j - u_x), per output irrep (u, q, n, k, C)."""
        n_q, n_c, n, outputs = self.n_q, self.n_columns, self.edges.n_atoms, layer.state.parts.outputs
        found = np.zeros((n, n_q, self.parts, layer.slope_sums.shape[-1], n_c), self.phases.dtype)
        for group, pairs in enumerate(self.expansion.pairs):
            moving = self.moving[pairs.senders]
            if moving.any():
                moved = self._bloch(group, layer.groups[group].slope, moving)
                u = self.u[:, pairs.senders][:, moving].reshape(n_q, 1, -1, n_c)
                moved = moved.reshape(len(moved), n_q, self.parts, u.shape[2], -1)
                found[pairs.receivers] = moved.swapaxes(3, 4) @ u
        if self.fixed:
            found[:, :, 0] -= layer.slope_sums.swapaxes(1, 2)[:, None] @ self.u.swapaxes(0, 1)
        return [
            z.reshape(n, n_q, self.parts, dim, mul, n_c).transpose(4, 1, 0, 3, 2, 5).reshape(mul, n_q, n, dim, -1)
            for z, (mul, dim) in zip(split(found, outputs, axis=3), outputs, strict=True)
        ]

    def _backward(self, layer: LayerTensors, dh: Blocks | None, da_bar: Blocks) -> Blocks | None:
        """Cotangents of h, blocks (u, q, n, i, C); adds what reaches the atoms to `total`."""
        n, n_q, columns = self.edges.n_atoms, self.n_q, self.parts * self.n_columns
        self._collect_slopes(layer, da_bar)
        if dh is None:
            return None
        blocks = [np.zeros((mul, n_q, n, dim, columns), self.phases.dtype) for mul, dim in layer.state.parts.inputs]
        for group, pairs in enumerate(self.expansion.pairs):
            for block, paths, maps in self._maps(layer, group):
                into = blocks[block][:, :, pairs.senders]
                bar = np.empty((len(into), n_q, len(pairs.table), maps.shape[-1] // len(pairs.table), columns), maps.dtype)
                for path in paths:
                    bar[:, :, :, path.columns] = da_bar[path.out][path.rows, :, pairs.receivers]
                bar = bar.reshape(len(into), n_q, -1, columns)
                found = maps[:, :, 0] @ bar
                if self.parts == 2:  # the maps' conjugate
                    found += maps[:, :, 1] @ self._times_i(bar, -1)
                blocks[block][:, :, pairs.senders] += found.reshape(into.shape)
        self._cross(layer, blocks, dh)
        return blocks

    def _collect_slopes(self, layer: LayerTensors, da_bar: Blocks) -> None:
        """J^H da' at both ends of every edge, added to `total`; da' per output irrep (u, q, n, k, C)."""
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        columns = self.parts * n_c
        flat = np.concatenate([z.transpose(2, 1, 3, 0, 4).reshape(n, n_q, -1, columns) for z in da_bar], 2)
        here = (layer.slope_sums[:, None] @ flat).reshape(n, n_q, 3, self.parts, n_c)
        self.total -= here.transpose(3, 1, 0, 2, 4)
        for group, pairs in enumerate(self.expansion.pairs):
            moved = self._bloch(group, layer.groups[group].slope)
            y = (moved.reshape(len(moved), n_q, -1, moved.shape[-1]) @ flat[pairs.receivers]).sum(axis=0)
            y = y.reshape(n_q, self.parts, -1, 3, self.parts, n_c)  # (q, parts of J, p, 3, parts of da', c)
            self.total[0][:, pairs.senders] += y[:, 0, :, :, 0]
            if self.parts == 2:
                self.total[0][:, pairs.senders] += y[:, 1, :, :, 1]
                self.total[1][:, pairs.senders] += y[:, 0, :, :, 1] - y[:, 1, :, :, 0]

    def _cross(self, layer: LayerTensors, dh_bar: Blocks, dh: Blocks | None = None) -> None:
        """C (u_j - p* u_x), added to the cotangents of h; with dh, C^H dh at both ends of every edge, to `total`.

        Both blocks are (u, q, n, i, C).
        """
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        inputs = layer.state.parts.inputs
        assert layer.cross_sums is not None
        width = layer.cross_sums.shape[-1]
        found = np.zeros((n_q, self.parts, n_c, n, width), self.phases.dtype)
        if dh is not None:
            flat = np.concatenate([z.transpose(1, 2, 3, 0, 4).reshape(n_q, n, -1, self.parts * n_c) for z in dh], 2)
            here = (layer.cross_sums @ flat).reshape(n_q, n, 3, self.parts, n_c)
            self.total += here.transpose(3, 0, 1, 2, 4)
        u = self.u.transpose(1, 0, 3, 2)  # (n, q, c, 3)
        if self.fixed:
            found[:, 0] += (u @ layer.cross_sums[:, None]).transpose(1, 2, 0, 3)
        for group, pairs in enumerate(self.expansion.pairs):
            moving = self.moving[pairs.receivers].any()
            if not moving and dh is None:
                continue
            cross = layer.groups[group].cross
            assert cross is not None
            sums = self._bloch(group, cross).swapaxes(3, 4).reshape(len(cross), n_q, self.parts, 3, -1)
            if moving:
                y = (u[pairs.receivers, :, None] @ sums).sum(axis=0).reshape(n_q, self.parts, n_c, -1, width)
                found[:, 0][:, :, pairs.senders] -= y[:, 0]
                if self.parts == 2:
                    found[:, 1][:, :, pairs.senders] += y[:, 1]
            if dh is not None:
                y = sums.reshape(len(cross), n_q, 3 * self.parts, -1) @ flat[:, pairs.senders].reshape(
                    n_q, -1, self.parts * n_c
                )
                y = y.reshape(-1, n_q, self.parts, 3, self.parts, n_c).swapaxes(0, 1)
                self.total[0][:, pairs.receivers] -= y[:, :, 0, :, 0]
                if self.parts == 2:
                    self.total[0][:, pairs.receivers] += y[:, :, 1, :, 1]
                    self.total[1][:, pairs.receivers] -= y[:, :, 0, :, 1] + y[:, :, 1, :, 0]
        for into, block, (mul, dim) in zip(dh_bar, split(found, inputs), inputs, strict=True):
            turned = block.reshape(n_q, self.parts, n_c, n, dim, mul).transpose(5, 0, 3, 4, 1, 2)
            into += turned.reshape(into.shape)

    def _curvature(self) -> np.ndarray:
        """K-terms of all layers: (parts, q, n, 3, c)."""
        e, n = self.edges, self.edges.n_atoms
        k = self.expansion.curvature
        full = np.zeros((n, n, self.parts, self.n_q, 3, 3), k.dtype)
        turned = self.phases.transpose(0, 2, 1)[..., None, None] * k[:, None, None]
        np.add.at(full, (e.receivers, e.senders), -turned)
        turned[:, 1:] *= -1
        np.add.at(full, (e.senders, e.receivers), -turned)
        for ends in (e.receivers, e.senders) if self.fixed else ():
            own = np.zeros((n, 3, 3), k.dtype)
            np.add.at(own, ends, k)
            full[np.arange(n), np.arange(n), 0] += own[:, None]
        matrices = full.transpose(2, 3, 0, 4, 1, 5).reshape(self.parts, self.n_q, 3 * n, 3 * n)
        return (matrices @ self.u.reshape(self.n_q, 3 * n, -1)).reshape(self.parts, self.n_q, n, 3, self.n_columns)
