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
derivatives of an edge. Complex arrays are kept as real and imaginary part, an axis of 2.

Axes as in `edge_tensors`, and q wave vectors, c columns, B = (q, 2, c) together, o output irreps.
The suffix _bar marks a cotangent, the prefix d a response. Responses of features are blocks (u, B, n, i).
"""

from copy import copy
from itertools import pairwise

import numpy as np

from .edge_tensors import Expansion, LayerTensors, Pairs, ReceiverTensors, paths_by_degree, split
from .layers import Blocks, Path


class Response:
    """Linear response of a structure to some displacements at some wave vectors; to be asked once.

    Args:
        expansion: of the structure.
        qpoints: (q, 3) reduced.
        displacements: (q, 3n, c) real amplitudes of waves at each of them.
    """

    def __init__(self, expansion: Expansion, qpoints: np.ndarray, displacements: np.ndarray):
        self.expansion, self.edges = expansion, expansion.edges
        self.n_q, self.n_columns = len(qpoints), displacements.shape[-1]
        self.fixed = True  # whether terms without a phase count
        dtype = expansion.network.dtype
        angle = 2 * np.pi * (self.edges.shifts @ qpoints.T)
        self.phases = np.stack([np.cos(angle), np.sin(angle)], -1).astype(dtype)  # (e, q, 2)
        # (q, n, 3, c), and with columns first (q, c, n, 3).
        u = displacements.reshape(self.n_q, self.edges.n_atoms, 3, -1).astype(dtype)
        self.u, self.u_rows = u, np.ascontiguousarray(u.transpose(0, 3, 1, 2))
        self.moving = np.abs(u).max(axis=(0, 2, 3)) > 0  # (n,)
        self.total = self._curvature()  # (2, q, n, 3, c)

    def matrix(self) -> np.ndarray:
        """(q, 3n, c) complex."""
        self._run()
        found = self.total[0] + 1j * self.total[1]
        return found.reshape(self.n_q, 3 * self.edges.n_atoms, self.n_columns)

    def slopes(self) -> np.ndarray:
        """d/dq along each reduced component, all atoms being columns: (q, 3, 3n, 3n) complex.

        D(q) is stationary in the responses (they solve the linear equations that it is built from), so that
        only the phases are differentiated, at fixed responses: D' = K' + M + M^H, where M collects the
        phases' derivatives between cotangents and responses. The 2n+1 theorem, for q.
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
        turned.fixed = False
        turned.total = turned._curvature()
        return turned

    def _overlap(self, left: Blocks, right: Blocks) -> np.ndarray:
        """Inner products of columns, the left ones conjugated: (q, c, c) complex."""
        result = np.zeros((self.n_q, self.n_columns, self.n_columns), complex)
        for blocks in zip(left, right, strict=True):
            a, b = (self._by_column(z) for z in blocks)
            b = b.transpose(0, 1, 3, 2)
            result += (a[:, 0] @ b[:, 0] + a[:, 1] @ b[:, 1]) + 1j * (a[:, 0] @ b[:, 1] - a[:, 1] @ b[:, 0])
        return result

    def _by_column(self, block: np.ndarray) -> np.ndarray:
        """(u, B, ...) -> (q, 2, c, everything else)."""
        return np.moveaxis(block, 0, 1).reshape(self.n_q, 2, self.n_columns, -1)

    def _run(self) -> list[tuple[LayerTensors, Blocks | None, Blocks]]:
        """Fill `total`; each layer's response of h and cotangent of a come back, last layer first."""
        species = self.edges.species
        df: Blocks | None = None
        tape, found = [], []
        for layer in self.expansion.layers:
            parts = layer.state.parts
            dh = None if df is None else parts.mix(df, species)
            moved = parts.collect(self._forward(layer, dh), species)
            if df is not None:
                moved = [a + b for a, b in zip(moved, parts.skip(df, species), strict=True)]
            df = layer.state.gate.response(moved)
            tape.append((layer, dh, moved))
        assert df is not None, "a network has layers"
        df_bar = [np.zeros_like(z) for z in df]  # the energy is linear in the last features
        for layer, dh, moved in reversed(tape):
            parts = layer.state.parts
            before = layer.state.gate.back_response(moved, layer.state.value_bar, df_bar)
            da_bar = parts.collect.transposed(before, species)
            found.append((layer, dh, da_bar))
            dh_bar = self._backward(layer, dh, da_bar)
            if dh_bar is not None:
                through, skip = parts.mix.transposed(dh_bar, species), parts.skip.transposed(before, species)
                df_bar = [a + b for a, b in zip(through, skip, strict=True)]
        return found

    def _turns(self, pairs: Pairs) -> np.ndarray:
        """Phases of the edges of each pair, zero on padding: (p, q 2, s)."""
        turns = self.phases[pairs.table] * pairs.real[:, :, None, None]
        return np.ascontiguousarray(turns.reshape(*pairs.table.shape, -1).transpose(0, 2, 1))

    def _bloch(self, pairs: Pairs, tensor: np.ndarray, chosen=slice(None)) -> np.ndarray:
        """Sums over the edges of each pair (p, s, ...) with their phases: (p, q, 2, ...)."""
        turns = self._turns(pairs)[chosen]
        tensor = tensor[chosen]
        found = turns @ tensor.reshape(*tensor.shape[:2], -1)
        return found.reshape(len(tensor), self.n_q, 2, *tensor.shape[2:])

    def _maps(self, layer: LayerTensors, pairs: Pairs, tensors: ReceiverTensors):
        """Input irreps that have paths, those, and Bloch sums of T ready to be multiplied: (u, q, p 2 i, k)."""
        parts, turns = layer.state.parts, self._turns(pairs)
        n_p, n_s, n_q = *pairs.table.shape, self.n_q
        sums: list[list[tuple[Path, np.ndarray]]] = [[] for _ in parts.inputs]
        for own, weights, y in zip(paths_by_degree(parts.paths), tensors.weights, pairs.harmonics, strict=False):
            waves = turns.transpose(0, 2, 1)[..., None] * y[:, :, None]  # (p, s, q 2, m)
            found = (weights @ waves.reshape(n_p, n_s, -1)).reshape(*weights.shape[:2], n_q, 2, y.shape[-1])
            ends = np.cumsum([0] + [p.weights.stop - p.weights.start for p in own]).tolist()
            for path, (begin, end) in zip(own, pairwise(ends), strict=True):
                sums[path.block].append((path, found[:, begin:end].transpose(1, 2, 0, 3, 4)))
        for block, (n_u, n_i) in enumerate(parts.inputs):
            if not sums[block]:
                continue
            # Couplings of all paths of a block as one matrix (m's of all paths, i k).
            rows = np.cumsum([0] + [path.coupling.shape[1] for path, _ in sums[block]]).tolist()
            n_k = sum(path.coupling.shape[2] for path, _ in sums[block])
            merged = np.empty((n_u, n_q, n_p, 2, rows[-1]), turns.dtype)
            couplings = np.zeros((rows[-1], n_i, n_k), turns.dtype)
            for (path, found), (begin, end) in zip(sums[block], pairwise(rows), strict=True):
                merged[..., begin:end] = found
                couplings[begin:end, :, path.columns] = path.coupling.transpose(1, 0, 2)
            maps = merged.reshape(-1, rows[-1]) @ couplings.reshape(rows[-1], -1)
            yield block, [path for path, _ in sums[block]], maps.reshape(n_u, n_q, n_p * 2 * n_i, n_k)

    def _forward(self, layer: LayerTensors, dh: Blocks | None) -> Blocks:
        """Responses of a, per output irrep (u, B, n, k), from those of h (u, B, n, i)."""
        n_c, n_q, n = self.n_columns, self.n_q, self.edges.n_atoms
        outputs, dtype = layer.state.parts.outputs, self.phases.dtype
        da = [np.zeros((mul, n_q, 2, n_c, n, dim), dtype) for mul, dim in outputs]
        reads = None if dh is None else [self._reads(z) for z in dh]
        for x, (pairs, tensors) in enumerate(zip(self.expansion.pairs, layer.receivers, strict=True)):
            if not len(pairs.senders):
                continue
            for into, found in zip(da, self._of_displacements(layer, x), strict=True):
                into[..., x, :] += found
            if reads is None:
                continue
            for block, paths, maps in self._maps(layer, pairs, tensors):
                z = reads[block] if len(pairs.senders) == n else reads[block][:, :, :, pairs.senders]
                y = z.reshape(*z.shape[:3], -1) @ maps  # (u, q, 2 c, k)
                y = y.reshape(len(y), n_q, 2, n_c, -1)
                for path in paths:
                    da[path.out][path.rows, ..., x, :] += y[..., path.columns]
        return [z.reshape(len(z), -1, n, z.shape[-1]) for z in da]

    def _of_displacements(self, layer: LayerTensors, x: int) -> Blocks:
        """J (p u_j - u_x) of one receiver, per output irrep (u, q, 2, c, k)."""
        n_q, n_c = self.n_q, self.n_columns
        pairs, slope = self.expansion.pairs[x], layer.receivers[x].slope
        found = np.zeros((n_q, 2, n_c, slope.shape[-1]), slope.dtype)
        moving = np.flatnonzero(self.moving[pairs.senders])
        if len(moving):
            moved = self._bloch(pairs, slope, moving).transpose(1, 2, 0, 3, 4)  # (q, 2, p, 3, D)
            rows = self.u_rows[:, :, pairs.senders[moving]].reshape(n_q, 1, n_c, -1)
            found += rows @ moved.reshape(n_q, 2, rows.shape[-1], -1)
        if self.fixed and self.moving[x]:
            found[:, 0] -= self.u_rows[:, :, x] @ layer.slope_sums[x]
        outputs = layer.state.parts.outputs
        blocks = zip(split(found, outputs), outputs, strict=True)
        return [z.reshape(n_q, 2, n_c, dim, mul).transpose(4, 0, 1, 2, 3) for z, (mul, dim) in blocks]

    def _reads(self, dh: np.ndarray) -> np.ndarray:
        """(u, B, n, i) -> (u, q, 2 c, n, 2, i): rows (re, -im) and (im, re) against (re T, im T)."""
        n_u, _, n, n_i = dh.shape
        re, im = np.moveaxis(dh.reshape(n_u, self.n_q, 2, self.n_columns, n, n_i), 2, 0)
        rows = np.empty((n_u, self.n_q, 2, self.n_columns, n, 2, n_i), dh.dtype)
        rows[:, :, 0, ..., 0, :], rows[:, :, 0, ..., 1, :] = re, -im
        rows[:, :, 1, ..., 0, :], rows[:, :, 1, ..., 1, :] = im, re
        return rows.reshape(n_u, self.n_q, -1, n, 2, n_i)

    def _backward(self, layer: LayerTensors, dh: Blocks | None, da_bar: Blocks) -> Blocks | None:
        """Cotangents of h, blocks (u, B, n, i); adds what reaches the atoms to `total`."""
        n, n_q, n_c = self.edges.n_atoms, self.n_q, self.n_columns
        da_bar = [z.reshape(len(z), n_q, 2, n_c, n, -1) for z in da_bar]
        inputs = layer.state.parts.inputs
        blocks = [np.zeros((mul, n_q, 2, n_c, n, dim), self.phases.dtype) for mul, dim in inputs]
        for x, (pairs, tensors) in enumerate(zip(self.expansion.pairs, layer.receivers, strict=True)):
            if not len(pairs.senders):
                continue
            self._collect_slopes(layer, x, [z[..., x, :] for z in da_bar])
            if dh is None:
                continue
            for block, paths, maps in self._maps(layer, pairs, tensors):
                into = blocks[block]
                bar = np.empty((len(into), n_q, 2, n_c, maps.shape[-1]), maps.dtype)
                for path in paths:
                    bar[..., path.columns] = da_bar[path.out][path.rows, ..., x, :]
                z = bar.reshape(len(bar), n_q, 2 * n_c, -1) @ maps.swapaxes(2, 3)
                z = z.reshape(len(bar), n_q, 2, n_c, len(pairs.senders), 2, -1)
                into[:, :, 0][..., pairs.senders, :] += z[:, :, 0, ..., 0, :] + z[:, :, 1, ..., 1, :]
                into[:, :, 1][..., pairs.senders, :] += z[:, :, 1, ..., 0, :] - z[:, :, 0, ..., 1, :]
        if dh is None:
            return None
        found = [z.reshape(len(z), -1, n, z.shape[-1]) for z in blocks]
        self._cross_of_displacements(layer, found)
        self._cross_of_features(layer, dh)
        return found

    def _collect_slopes(self, layer: LayerTensors, x: int, bar: Blocks) -> None:
        """J^H da' at both ends of the edges of one receiver; bar per output irrep (u, q, 2, c, k)."""
        n_q, n_c, pairs = self.n_q, self.n_columns, self.expansion.pairs[x]
        flat = np.concatenate([z.transpose(1, 2, 3, 4, 0).reshape(n_q, 2 * n_c, -1) for z in bar], -1)
        moved = self._bloch(pairs, layer.receivers[x].slope)  # (p, q, 2, 3, D)
        y = moved.reshape(len(moved), n_q, 6, -1) @ flat.transpose(0, 2, 1)
        y = y.reshape(-1, n_q, 2, 3, 2, n_c).transpose(1, 2, 4, 0, 3, 5)  # (q, 2 of J, 2 of bar, p, 3, c)
        self.total[0][:, pairs.senders] += y[:, 0, 0] + y[:, 1, 1]
        self.total[1][:, pairs.senders] += y[:, 0, 1] - y[:, 1, 0]
        here = (flat @ layer.slope_sums[x].T).reshape(n_q, 2, n_c, 3)
        self.total[:, :, x] -= here.transpose(1, 0, 3, 2)

    def _cross_of_displacements(self, layer: LayerTensors, dh_bar: Blocks) -> None:
        """C (u_j - p* u_x), added to the cotangents of h (u, B, n, i)."""
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        total = None
        for x in np.flatnonzero(self.moving):
            pairs, cross = self.expansion.pairs[x], layer.receivers[x].cross
            assert cross is not None
            if total is None:
                total = np.zeros((n_q, 2, n_c, n, cross.shape[-1]), cross.dtype)
            if not len(pairs.senders):
                continue
            summed = self._bloch(pairs, cross).transpose(1, 2, 3, 0, 4)  # (q, 2, 3, p, H)
            found = self.u_rows[:, None, :, x] @ summed.reshape(n_q, 2, 3, -1)
            found = found.reshape(n_q, 2, n_c, len(pairs.senders), -1)
            total[:, 0][:, :, pairs.senders] -= found[:, 0]
            total[:, 1][:, :, pairs.senders] += found[:, 1]
            if self.fixed:
                assert layer.cross_sums is not None
                total[:, 0, :, x] += self.u_rows[:, :, x] @ layer.cross_sums[x]
        if total is None:
            return
        inputs = layer.state.parts.inputs
        for into, block, (mul, dim) in zip(dh_bar, split(total, inputs), inputs, strict=True):
            into += block.reshape(-1, n, dim, mul).transpose(3, 0, 1, 2)

    def _cross_of_features(self, layer: LayerTensors, dh: Blocks) -> None:
        """C^H dh at both ends of every edge, added to `total`; dh (u, B, n, i)."""
        n_q, n_c, n = self.n_q, self.n_columns, self.edges.n_atoms
        flat = np.concatenate([np.moveaxis(z, 0, -1).reshape(n_q, 2 * n_c, n, -1) for z in dh], -1)  # (q, 2 c, n, H)
        for x, (pairs, tensors) in enumerate(zip(self.expansion.pairs, layer.receivers, strict=True)):
            if not len(pairs.senders):
                continue
            assert tensors.cross is not None
            summed = self._bloch(pairs, tensors.cross)  # (p, q, 2, 3, H)
            rows = summed.transpose(1, 2, 3, 0, 4).reshape(n_q, 6, -1)
            read = flat if len(pairs.senders) == n else flat[:, :, pairs.senders]
            y = (read.reshape(n_q, 2 * n_c, -1) @ rows.transpose(0, 2, 1)).reshape(n_q, 2, n_c, 2, 3)
            self.total[0][:, x] -= (y[:, 0, :, 0] - y[:, 1, :, 1]).transpose(0, 2, 1)
            self.total[1][:, x] -= (y[:, 0, :, 1] + y[:, 1, :, 0]).transpose(0, 2, 1)
        assert layer.cross_sums is not None
        here = np.einsum("qcnh,nxh->cqnx", flat, layer.cross_sums, optimize=True)
        self.total += here.reshape(2, n_c, n_q, n, 3).transpose(0, 2, 3, 4, 1)

    def _curvature(self) -> np.ndarray:
        """K-terms of all layers: (2, q, n, 3, c)."""
        e, n = self.edges, self.edges.n_atoms
        k = self.expansion.curvature
        full = np.zeros((n, n, 2, self.n_q, 3, 3), k.dtype)
        turned = self.phases.transpose(0, 2, 1)[..., None, None] * k[:, None, None]
        np.add.at(full, (e.receivers, e.senders), -turned)
        turned[:, 1] *= -1
        np.add.at(full, (e.senders, e.receivers), -turned)
        for ends in (e.receivers, e.senders) if self.fixed else ():
            own = np.zeros((n, 3, 3), k.dtype)
            np.add.at(own, ends, k)
            full[np.arange(n), np.arange(n), 0] += own[:, None]
        matrices = full.transpose(2, 3, 0, 4, 1, 5).reshape(2, self.n_q, 3 * n, 3 * n)
        return (matrices @ self.u.reshape(self.n_q, 3 * n, -1)).reshape(2, self.n_q, n, 3, self.n_columns)
