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
from itertools import pairwise
from typing import Any

import numpy as np

from .edge_tensors import Expansion, LayerTensors, Pairs, ReceiverTensors, paths_by_degree, split
from .layers import Blocks, Path

# Bytes of maps between atoms that a response keeps for the way back.
KEPT_BYTES = 64e6


def is_real(qpoints: np.ndarray) -> np.ndarray:
    """Whether all phases at wave vectors (q, 3) are 1 or -1: (q,)."""
    return np.abs(2 * qpoints - np.rint(2 * qpoints)).max(axis=1) < 1e-12


def map_bytes(expansion: Expansion) -> int:
    """Of all maps between atoms at one wave vector."""
    n_pairs = sum(len(pairs.senders) for pairs in expansion.pairs)
    layers = [layer.state.parts for layer in expansion.layers[1:]]
    numbers = sum(
        (path.weights.stop - path.weights.start) * path.coupling[:, 0].size for parts in layers for path in parts.paths
    )
    return 2 * n_pairs * numbers * expansion.network.dtype.itemsize


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
        self.phases = np.stack(waves, -1).astype(dtype)  # (e, q, parts)
        self.u = displacements.reshape(self.n_q, self.edges.n_atoms, 3, -1).astype(dtype)  # (q, n, 3, c)
        self.moving = np.abs(self.u).max(axis=(0, 2, 3)) > 0  # (n,)
        self.total = np.zeros(0)  # (parts, q, n, 3, c), filled by each run
        # The way back needs the same maps between atoms as the way forward.
        self.kept: dict[tuple[int, int], list] | None = {} if map_bytes(expansion) * self.n_q <= KEPT_BYTES else None

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
                    turned._cross_of_displacements(layer, into)
                    m += self._overlap(dh, into)
            k = (k[0] + 1j * k[1]).reshape(m.shape)
            result.append(k + m + m.conj().transpose(0, 2, 1))
        return np.stack(result, 1)

    def _differentiated(self, axis: int) -> "Response":
        """The same with d/dq of every phase; what has no phase drops out."""
        turned = copy(self)
        factor = (2 * np.pi * self.edges.shifts[:, axis, None]).astype(self.phases.dtype)
        turned.phases = np.stack([-factor * self.phases[..., 1], factor * self.phases[..., 0]], -1)
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

    def _turns(self, pairs: Pairs) -> np.ndarray:
        """Phases of the edges of each pair, zero on padding: (p, q parts, s)."""
        turns = self.phases[pairs.table] * pairs.real[:, :, None, None]
        return np.ascontiguousarray(turns.reshape(*pairs.table.shape, -1).transpose(0, 2, 1))

    def _bloch(self, pairs: Pairs, tensor: np.ndarray, chosen=slice(None)) -> np.ndarray:
        """Sums over the edges of each pair (p, s, ...) with their phases: (p, q, parts, ...)."""
        turns = self._turns(pairs)[chosen]
        tensor = tensor[chosen]
        found = turns @ tensor.reshape(*tensor.shape[:2], -1)
        return found.reshape(len(tensor), self.n_q, self.parts, *tensor.shape[2:])

    def _maps(self, layer: LayerTensors, x: int) -> Iterable[tuple[int, list[Path], np.ndarray]]:
        """Input irreps that have paths, those, and Bloch sums of T ready to be multiplied: (u, q, parts, p i, k)."""
        pairs, tensors = self.expansion.pairs[x], layer.receivers[x]
        if self.kept is None:
            return self._new_maps(layer, pairs, tensors)
        key = id(layer), x
        if key not in self.kept:
            self.kept[key] = list(self._new_maps(layer, pairs, tensors))
        return self.kept[key]

    def _new_maps(
        self, layer: LayerTensors, pairs: Pairs, tensors: ReceiverTensors
    ) -> Iterator[tuple[int, list[Path], np.ndarray]]:
        parts, turns = layer.state.parts, self._turns(pairs)
        n_p, n_s, n_q = *pairs.table.shape, self.n_q
        sums: list[list[tuple[Path, np.ndarray]]] = [[] for _ in parts.inputs]
        for own, weights, y in zip(paths_by_degree(parts.paths), tensors.weights, pairs.harmonics, strict=False):
            waves = turns.transpose(0, 2, 1)[..., None] * y[:, :, None]  # (p, s, q parts, m)
            found = (weights @ waves.reshape(n_p, n_s, -1)).reshape(*weights.shape[:2], n_q, self.parts, y.shape[-1])
            ends = np.cumsum([0] + [p.weights.stop - p.weights.start for p in own]).tolist()
            for path, (begin, end) in zip(own, pairwise(ends), strict=True):
                sums[path.block].append((path, found[:, begin:end].transpose(1, 2, 3, 0, 4)))
        for block, (n_u, n_i) in enumerate(parts.inputs):
            if not sums[block]:
                continue
            # Couplings of all paths of a block as one matrix (m's of all paths, i k).
            rows = np.cumsum([0] + [path.coupling.shape[1] for path, _ in sums[block]]).tolist()
            n_k = sum(path.coupling.shape[2] for path, _ in sums[block])
            merged = np.empty((n_u, n_q, self.parts, n_p, rows[-1]), turns.dtype)
            couplings = np.zeros((rows[-1], n_i, n_k), turns.dtype)
            for (path, found), (begin, end) in zip(sums[block], pairwise(rows), strict=True):
                merged[..., begin:end] = found
                couplings[begin:end, :, path.columns] = path.coupling.transpose(1, 0, 2)
            maps = merged.reshape(-1, rows[-1]) @ couplings.reshape(rows[-1], -1)
            yield block, [path for path, _ in sums[block]], maps.reshape(n_u, n_q, self.parts, n_p * n_i, n_k)

    def _times_i(self, columns: np.ndarray, sign: int) -> np.ndarray:
        """Columns (..., C) times i or -i."""
        parts = columns.reshape(*columns.shape[:-1], 2, self.n_columns)
        turned = np.empty_like(parts)
        np.multiply(parts[..., 1, :], -sign, out=turned[..., 0, :])
        np.multiply(parts[..., 0, :], sign, out=turned[..., 1, :])
        return turned.reshape(columns.shape)

    def _forward(self, layer: LayerTensors, dh: Blocks | None) -> Blocks:
        """Responses of a, per output irrep (u, q, n, k, C), from those of h (u, q, n, i, C)."""
        n_q, n = self.n_q, self.edges.n_atoms
        columns = self.parts * self.n_columns
        da = [np.zeros((mul, n_q, n, dim, columns), self.phases.dtype) for mul, dim in layer.state.parts.outputs]
        reads = [] if dh is None else [[z, self._times_i(z, 1)] if self.parts == 2 else [z] for z in dh]
        for x, pairs in enumerate(self.expansion.pairs):
            if not len(pairs.senders):
                continue
            for into, found in zip(da, self._of_displacements(layer, x), strict=True):
                into[:, :, x] += found
            if not reads:
                continue
            for block, paths, maps in self._maps(layer, x):
                y: Any = 0  # (u, q, k, C)
                for part, z in enumerate(reads[block]):
                    z = z if len(pairs.senders) == n else z[:, :, pairs.senders]
                    y += maps[:, :, part].swapaxes(2, 3) @ z.reshape(len(z), n_q, -1, columns)
                for path in paths:
                    da[path.out][path.rows, :, x] += y[:, :, path.columns]
        return da

    def _of_displacements(self, layer: LayerTensors, x: int) -> Blocks:
        """J (p u_j - u_x) of one receiver, per output irrep (u, q, k, C)."""
        n_q, n_c = self.n_q, self.n_columns
        pairs, slope = self.expansion.pairs[x], layer.receivers[x].slope
        found = np.zeros((n_q, self.parts, slope.shape[-1], n_c), slope.dtype)
        moving = np.flatnonzero(self.moving[pairs.senders])
        if len(moving):
            moved = self._bloch(pairs, slope, moving).transpose(1, 2, 0, 3, 4)  # (q, parts, p, 3, D)
            u = self.u[:, pairs.senders[moving]].reshape(n_q, 1, -1, n_c)
            found += moved.reshape(n_q, self.parts, u.shape[2], -1).swapaxes(2, 3) @ u
        if self.fixed and self.moving[x]:
            found[:, 0] -= layer.slope_sums[x].T @ self.u[:, x]
        outputs = layer.state.parts.outputs
        blocks = zip(split(found.swapaxes(2, 3), outputs), outputs, strict=True)
        return [
            z.swapaxes(2, 3).reshape(n_q, -1, dim, mul, n_c).transpose(3, 0, 2, 1, 4).reshape(mul, n_q, dim, -1)
            for z, (mul, dim) in blocks
        ]

    def _backward(self, layer: LayerTensors, dh: Blocks | None, da_bar: Blocks) -> Blocks | None:
        """Cotangents of h, blocks (u, q, n, i, C); adds what reaches the atoms to `total`."""
        n, n_q, columns = self.edges.n_atoms, self.n_q, self.parts * self.n_columns
        blocks = [np.zeros((mul, n_q, n, dim, columns), self.phases.dtype) for mul, dim in layer.state.parts.inputs]
        for x, pairs in enumerate(self.expansion.pairs):
            if not len(pairs.senders):
                continue
            self._collect_slopes(layer, x, [z[:, :, x] for z in da_bar])
            if dh is None:
                continue
            for block, paths, maps in self._maps(layer, x):
                into = blocks[block]
                bar = np.empty((len(into), n_q, maps.shape[-1], columns), maps.dtype)
                for path in paths:
                    bar[:, :, path.columns] = da_bar[path.out][path.rows, :, x]
                found = maps[:, :, 0] @ bar
                if self.parts == 2:
                    found += maps[:, :, 1] @ self._times_i(bar, -1)  # the maps' conjugate
                found = found.reshape(len(into), n_q, len(pairs.senders), *into.shape[3:])
                if len(pairs.senders) == n:
                    into += found
                else:
                    into[:, :, pairs.senders] += found
        if dh is None:
            return None
        self._cross_of_displacements(layer, blocks)
        self._cross_of_features(layer, dh)
        return blocks

    def _collect_slopes(self, layer: LayerTensors, x: int, bar: Blocks) -> None:
        """J^H da' at both ends of the edges of one receiver; bar per output irrep (u, q, k, C)."""
        n_q, n_c, pairs = self.n_q, self.n_columns, self.expansion.pairs[x]
        flat = np.concatenate([z.transpose(1, 2, 0, 3).reshape(n_q, -1, self.parts * n_c) for z in bar], 1)  # (q, D, C)
        moved = self._bloch(pairs, layer.receivers[x].slope)  # (p, q, parts, 3, D)
        y = moved.reshape(len(moved), n_q, 3 * self.parts, -1) @ flat
        y = y.reshape(-1, n_q, self.parts, 3, self.parts, n_c).transpose(1, 2, 4, 0, 3, 5)
        self.total[0][:, pairs.senders] += y[:, 0, 0]  # (q, parts of J, parts of bar, p, 3, c)
        if self.parts == 2:
            self.total[0][:, pairs.senders] += y[:, 1, 1]
            self.total[1][:, pairs.senders] += y[:, 0, 1] - y[:, 1, 0]
        here = (layer.slope_sums[x] @ flat).reshape(n_q, 3, self.parts, n_c)
        self.total[:, :, x] -= here.transpose(2, 0, 1, 3)

    def _cross_of_displacements(self, layer: LayerTensors, dh_bar: Blocks) -> None:
        """C (u_j - p* u_x), added to the cotangents of h (u, q, n, i, C)."""
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        inputs = layer.state.parts.inputs
        total = np.zeros((n_q, self.parts, n, n_c, sum(mul * dim for mul, dim in inputs)), self.phases.dtype)
        for x in np.flatnonzero(self.moving):
            pairs, cross = self.expansion.pairs[x], layer.receivers[x].cross
            assert cross is not None
            u = self.u[:, x].swapaxes(1, 2)  # (q, c, 3)
            if len(pairs.senders):
                summed = self._bloch(pairs, cross).transpose(1, 2, 0, 3, 4)  # (q, parts, p, 3, H)
                found = u[:, None, None] @ summed
                total[:, 0][:, pairs.senders] -= found[:, 0]
                if self.parts == 2:
                    total[:, 1][:, pairs.senders] += found[:, 1]
            if self.fixed:
                assert layer.cross_sums is not None
                total[:, 0, x] += u @ layer.cross_sums[x]
        for into, block, (mul, dim) in zip(dh_bar, split(total, inputs), inputs, strict=True):
            turned = block.reshape(n_q, self.parts, n, n_c, dim, mul).transpose(5, 0, 2, 4, 1, 3)
            into += turned.reshape(into.shape)

    def _cross_of_features(self, layer: LayerTensors, dh: Blocks) -> None:
        """C^H dh at both ends of every edge, added to `total`; dh (u, q, n, i, C)."""
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        flat = np.concatenate([z.transpose(1, 2, 3, 0, 4).reshape(n_q, n, -1, self.parts * n_c) for z in dh], 2)
        for x, (pairs, tensors) in enumerate(zip(self.expansion.pairs, layer.receivers, strict=True)):
            if not len(pairs.senders):
                continue
            assert tensors.cross is not None
            summed = self._bloch(pairs, tensors.cross)  # (p, q, parts, 3, H)
            rows = summed.transpose(1, 2, 3, 0, 4).reshape(n_q, 3 * self.parts, -1)
            read = flat if len(pairs.senders) == n else flat[:, pairs.senders]
            y = rows @ read.reshape(n_q, -1, self.parts * n_c)
            y = y.reshape(n_q, self.parts, 3, self.parts, n_c)
            self.total[0][:, x] -= y[:, 0, :, 0]
            if self.parts == 2:
                self.total[0][:, x] += y[:, 1, :, 1]
                self.total[1][:, x] -= y[:, 0, :, 1] + y[:, 1, :, 0]
        assert layer.cross_sums is not None
        here = (layer.cross_sums @ flat).reshape(n_q, n, 3, self.parts, n_c)
        self.total += here.transpose(3, 0, 1, 2, 4)

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
