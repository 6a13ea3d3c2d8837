"""The gate that ends a layer, after an optional RMS layer norm, with its derivatives written out.

Norm: y = a x / sqrt(s), s = sum of squares weighted by irrep. Gate: scalars through an activation, other
irreps times an activated even scalar of their own. Letters: t the dot product of a x with its cotangent.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..o3.irreps import EVEN_SCALAR, Irreps
from ..parts import Blocks
from .activations import NORMED
from .gate_third import third_derivative

_SMALLEST_SQUARE = 1e-12
BY_PARITY = {1: NORMED["silu"], -1: NORMED["tanh"]}  # an odd scalar must change sign with what it is made of


def gate(
    irreps_out: Irreps,
    affine: Sequence[np.ndarray] | None = None,
    activations: Mapping[int, Callable[..., Any]] = BY_PARITY,
) -> Callable[..., "GateAtValues"]:
    """What makes the gate around some values.

    Args:
        irreps_out: of what leaves; what enters has the gating scalars behind the even ones (`pre_gate_irreps`).
        affine: per block (u,) of the norm; None for no norm.
        activations: of even (1) and odd (-1) scalars: x -> value, first and second derivative.
    """
    return partial(GateAtValues, irreps_out=irreps_out, affine=affine, activations=activations)


def pre_gate_irreps(irreps_out: Irreps) -> Irreps:
    """What enters the gate: one even scalar more for every channel that is no scalar."""
    n_gates = sum(mul for mul, ir in irreps_out if ir.l > 0)
    return tuple((mul + n_gates if ir == EVEN_SCALAR else mul, ir) for mul, ir in irreps_out)


class _Kept(NamedTuple):
    """What enters, its inner product with the values, and the change of what is normed."""

    moved: Blocks
    inner: Any
    dy: Blocks


class GateAtValues:
    """The gate around values, the same for all species; see `parts.GateAt`."""

    def __init__(
        self,
        blocks: Blocks,
        species: np.ndarray | None = None,
        *,
        irreps_out: Irreps,
        affine,
        activations: Mapping[int, Callable[..., Any]],
    ):
        self.irreps_out, self.activations = irreps_out, activations
        self.x, self.affine = blocks, None
        if affine is not None:
            self.affine = [a[:, None, None] for a in affine]
            # As Nequix has it: squares summed over channels, averaged over components and degrees.
            self.weights = [1 / (ir.dim**2 * len(blocks)) for _, ir in irreps_out]
            square = sum(w * np.einsum("uni,uni->n", x, x) for w, x in zip(self.weights, blocks, strict=True))
            self.factor = 1 / np.sqrt(square + _SMALLEST_SQUARE)[:, None]
            blocks = [a * x * self.factor for a, x in zip(self.affine, blocks, strict=True)]
        self.normed = blocks
        # Per scalar block (value, slope, curvature) of its activation; gating scalars at the end of the even ones.
        self.acted: list[Any] = [
            activations[ir.p](y) if ir.l == 0 else None for (_, ir), y in zip(irreps_out, blocks, strict=True)
        ]
        self._last: tuple[Blocks, Blocks] | None = None
        self.n_gates = sum(mul for mul, ir in irreps_out if ir.l > 0)
        self.even = next((b for b, (_, ir) in enumerate(irreps_out) if ir == EVEN_SCALAR), 0)
        self.value: Blocks = [
            a[0][:mul] if a is not None else y * self._gates(b)[0]
            for b, ((mul, _), y, a) in enumerate(zip(irreps_out, blocks, self.acted, strict=True))
        ]

    def pull_back(self, bar: Blocks) -> Blocks:
        """Cotangents of what enters."""
        return self._unnormed(self._ungated(bar))

    def response(self, moved: Blocks) -> tuple[Blocks, _Kept]:
        """Change of what leaves; what enters and what the norm makes of it are kept."""
        inner = self._inner(moved)
        dy, result = self._normed_response(moved, inner), []
        for b, (mul, _) in enumerate(self.irreps_out):
            acted = self.acted[b]
            if acted is not None:
                result.append(acted[1][:mul, ..., None] * dy[b][:mul])
            else:
                value, slope, _ = self._gates(b)
                y = self.normed[b]
                result.append(value[..., None] * dy[b] + (y * slope)[..., None] * dy[self.even][self._place(b)])
        return result, _Kept(moved, inner, dy)

    def back_response(self, kept: _Kept, bar: Blocks, moved_bar: Blocks) -> Blocks:
        """Change of `pull_back`."""
        change = self._pulled(kept, bar, moved_bar)
        return self._unnormed_response(kept.moved, kept.inner, self._ungated(bar), change)

    def _pulled(self, kept: _Kept, bar: Blocks, moved_bar: Blocks) -> Blocks:
        """Change of the cotangents of the normed blocks."""
        dy = kept.dy
        change: Blocks = []
        gates = np.zeros((self.n_gates, dy[0].shape[1], 1, dy[0].shape[3]), dy[0].dtype)
        for b, (mul, _) in enumerate(self.irreps_out):
            acted = self.acted[b]
            if acted is not None:
                bent = (acted[2][:mul] * bar[b])[..., None]
                change.append(acted[1][:mul, ..., None] * moved_bar[b] + bent * dy[b][:mul])
                continue
            value, slope, curvature = self._gates(b)
            y, dg = self.normed[b], dy[self.even][self._place(b)]
            change.append(value[..., None] * moved_bar[b] + (slope * bar[b])[..., None] * dg)
            across = y[:, :, None] @ moved_bar[b] + bar[b][:, :, None] @ dy[b]
            bent = curvature * np.sum(y * bar[b], axis=-1, keepdims=True)
            gates[self._rows(b)] = slope[..., None] * across + bent[..., None] * dg
        if self.n_gates:
            change[self.even] = np.concatenate([change[self.even], gates])
        return change

    def third(self, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> np.ndarray:
        """The third derivative of the values times their cotangents (`gate_third`)."""
        return np.asarray(third_derivative(self, bar, bars, moved))

    def _place(self, b: int) -> slice:
        """Where the gates of a block lie among the even scalars."""
        rows, mul = self._rows(b), self.irreps_out[self.even][0]
        return slice(mul + rows.start, mul + rows.stop)

    def _rows(self, b: int) -> slice:
        start = sum(mul for mul, ir in self.irreps_out[:b] if ir.l > 0)
        return slice(start, start + self.irreps_out[b][0])

    def _gates(self, b: int) -> list[np.ndarray]:
        """Value, slope and curvature (u, n, 1) of the gates of a block."""
        return [a[self._place(b)] for a in self.acted[self.even]]

    def _ungated(self, bar: Blocks) -> Blocks:
        """Cotangents of the normed blocks; those of the last question are kept: nobody changes `bar` in place."""
        last = self._last  # read once: threads that ask about other cotangents replace it
        if last is not None and last[0] is bar:
            return last[1]
        result: Blocks = []
        gates = np.zeros((self.n_gates, *bar[0].shape[1:-1], 1), bar[0].dtype)
        for b, (mul, _) in enumerate(self.irreps_out):
            acted = self.acted[b]
            if acted is not None:
                result.append(acted[1][:mul] * bar[b])
            else:
                value, slope, _ = self._gates(b)
                result.append(value * bar[b])
                gates[self._rows(b)] = slope * np.sum(self.normed[b] * bar[b], axis=-1, keepdims=True)
        if self.n_gates:
            result[self.even] = np.concatenate([result[self.even], gates])
        self._last = bar, result
        return result

    # The norm: factor p = 1 / sqrt(s), dp = -p³ <w x, dx>.

    def _inner(self, moved: Blocks) -> Any:
        """<w x, dx>: (n, 1, z); None without a norm."""
        if self.affine is None:
            return None
        return sum(_dots(w * x, dx) for w, x, dx in zip(self.weights, self.x, moved, strict=True))

    def _normed_response(self, moved: Blocks, inner: Any) -> Blocks:
        if self.affine is None:
            return moved
        p = self.factor[:, :, None]
        dp = -(p**3) * inner
        return [
            (a * self.factor)[..., None] * dx + (a * x)[..., None] * dp
            for a, x, dx in zip(self.affine, self.x, moved, strict=True)
        ]

    def _unnormed(self, bar: Blocks) -> Blocks:
        if self.affine is None:
            return bar
        p = self.factor
        t = sum(np.einsum("uni,uni->n", a * x, b) for a, x, b in zip(self.affine, self.x, bar, strict=True))[:, None]
        terms = zip(self.affine, self.weights, self.x, bar, strict=True)
        return [a * p * b - (w * p**3 * t) * x for a, w, x, b in terms]

    def _unnormed_response(self, moved: Blocks, inner: Any, bar: Blocks, change: Blocks) -> Blocks:
        if self.affine is None:
            return change
        p = self.factor[:, :, None]  # (n, 1, 1)
        dp, dcube = -(p**3) * inner, -3 * p**5 * inner
        t, dt = np.zeros_like(self.factor), np.zeros_like(inner)
        for a, x, b, dx, db in zip(self.affine, self.x, bar, moved, change, strict=True):
            t += np.einsum("uni,uni->n", a * x, b)[:, None]
            dt += _dots(a * b, dx) + _dots(a * x, db)
        fixed, moving = self.factor**3 * t, dcube * t[:, :, None] + p**3 * dt
        terms = zip(self.affine, self.weights, self.x, bar, moved, change, strict=True)
        return [
            (a * b)[..., None] * dp
            + (a * self.factor)[..., None] * db
            - (w * fixed)[..., None] * dx
            - (w * x)[..., None] * moving
            for a, w, x, b, dx, db in terms
        ]


def _dots(values: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Products of values (u, n, i) with responses (u, n, i, z), summed for every atom: (n, 1, z)."""
    n, z = responses.shape[1], responses.shape[3]
    return values.swapaxes(0, 1).reshape(n, 1, -1) @ responses.swapaxes(0, 1).reshape(n, -1, z)
