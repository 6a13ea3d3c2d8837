"""The third derivative of a MACE gate: of its values times their cotangents, along three changes of both.

Subscripts name the changes that a derivative is along: x = s A with s = 1 / (1 + rho), B(x) polynomials with the
derivatives J, H and T, z = after(B) + S, E' = E + r(z).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..parts import Blocks

if TYPE_CHECKING:
    from .gate import MACEGateAt

_Moved = dict[str, Any]  # a set of changes -> derivative along them, (..., c2, c3)


def third_derivative(gate: MACEGateAt, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> Any:
    """d³ of the values times their cotangents along all triples of changes, summed over atoms: (c1, c2, c3).

    Args:
        bar: cotangents (u, n, i) of what leaves.
        bars: their changes (u, n, i, c) of each of the three.
        moved: changes (u, n, i, c) of what enters.
    """
    entering = [gate._sorted(own) for own in moved]
    left = [gate._split_leaving(bar), *(gate._split_leaving(own) for own in bars)]
    counts = [own[0].shape[3] for own in moved]
    bent, twisted = gate.gate.products.curvature_tensors(gate.x, gate.species)
    result = np.zeros(counts, np.result_type(*(x.dtype for own in moved for x in own)))
    for column in range(counts[0]):

        def wide(values: Any, which: int, column: int = column) -> Any:
            """A change (..., c) on the axes (..., c2, c3)."""
            place = ((column, None, None), (slice(None), None), (None, slice(None)))[which]
            return values[(..., *place)]

        messages = {str(k + 1): wide(own.factors, k) for k, own in enumerate(entering)}
        x = messages
        if gate.s is not None:
            x = _scaled(gate, messages, [wide(own.density, k) for k, own in enumerate(entering)])
        outputs = _polynomials(gate.slopes, bent, twisted, x)
        z = {name: gate.gate.after(gate._split_outputs(own), gate.species) for name, own in outputs.items()}
        if gate.gate.residual:
            for k, own in enumerate(entering):
                z[str(k + 1)] = [a + wide(b, k) for a, b in zip(z[str(k + 1)], own.old, strict=True)]
        energy = _read(gate, z)
        total: Any = 0.0
        for k, ((z_bar, e_bar), name) in enumerate(zip(left, ("123", "23", "13", "12"), strict=True)):
            factors = [b[..., None, None] if k == 0 else wide(b, k - 1) for b in z_bar]
            total = total + sum(np.sum(b * own, axis=(0, 1, 2)) for b, own in zip(factors, z[name], strict=True))
            if energy is not None:
                e = e_bar[..., None, None] if k == 0 else wide(e_bar, k - 1)
                total = total + np.sum(e * energy[name][None, :, None], axis=(0, 1, 2))
        result[column] = total
    return result


def _scaled(gate: MACEGateAt, messages: _Moved, densities: list[Any]) -> _Moved:
    """Derivatives of x = s A from those of A and rho."""
    assert gate.s is not None
    s, a = gate.s[..., None, None], gate.messages[..., None, None]
    r = {str(k + 1): own for k, own in enumerate(densities)}
    of_s = {name: -(s**2) * r[name] for name in "123"}
    of_s |= {f"{i}{j}": 2 * s**3 * r[i] * r[j] for i, j in combinations("123", 2)}
    of_s["123"] = -6 * s**4 * r["1"] * r["2"] * r["3"]
    x = {name: s * messages[name] + of_s[name] * a for name in "123"}
    for i, j in combinations("123", 2):
        x[i + j] = of_s[i] * messages[j] + of_s[j] * messages[i] + of_s[i + j] * a
    x["123"] = of_s["12"] * messages["3"] + of_s["13"] * messages["2"] + of_s["23"] * messages["1"] + of_s["123"] * a
    return x


def _polynomials(slopes: np.ndarray, bent: Any, twisted: Any, x: _Moved) -> _Moved:
    """Derivatives (u, n, M, c2, c3) of B from those of x (u, n, D, c2, c3)."""

    def along(own: Any) -> Any:
        return np.einsum("unmd,undxy->unmxy", slopes, own, optimize=True)

    def curved(first: Any, second: Any) -> Any:
        if bent is None:
            return 0.0
        half = np.einsum("unmde,undxy->unmexy", bent, first, optimize=True)
        return np.sum(half * second[:, :, None], axis=3)

    b = {name: along(x[name]) for name in "123"}
    for i, j in combinations("123", 2):
        b[i + j] = curved(x[i], x[j]) + (along(x[i + j]) if i + j in x else 0.0)
    total: Any = along(x["123"]) if "123" in x else 0.0
    for name, other in (("12", "3"), ("13", "2"), ("23", "1")):
        if name in x:
            total = total + curved(x[name], x[other])
    if twisted is not None:
        third = np.einsum("unmdef,undxy->unmefxy", twisted, x["1"], optimize=True)
        third = np.sum(third * x["2"][:, :, None, :, None], axis=3)
        total = total + np.sum(third * x["3"][:, :, None], axis=3)
    shape = np.broadcast_shapes(*(own.shape for own in b.values()))
    b["123"] = total if not np.isscalar(total) else np.zeros(shape)
    return {name: own if not np.isscalar(own) else np.zeros(shape) for name, own in b.items()}


def _read(gate: MACEGateAt, z: _Moved) -> _Moved | None:
    """Derivatives (n, c2, c3) of the readout from those of z."""
    readout = gate.gate.readout
    if readout is None:
        return None
    scalars, second = gate.gate.scalars, readout.second
    hidden = {name: np.einsum("uh,unxy->hnxy", readout.first, own[scalars][:, :, 0]) for name, own in z.items()}
    if readout.activation is None:
        return {name: np.einsum("h,hnxy->nxy", second, hidden[name]) for name in ("12", "13", "23", "123")}
    assert gate.hidden is not None, "there is a readout"
    _, d1, d2, d3 = (own[..., None, None] for own in readout.activation(gate.hidden, order=3))
    h = hidden
    result = {i + j: d2 * h[i] * h[j] + d1 * h[i + j] for i, j in combinations("123", 2)}
    result["123"] = d3 * h["1"] * h["2"] * h["3"] + d1 * h["123"]
    result["123"] = result["123"] + d2 * (h["12"] * h["3"] + h["13"] * h["2"] + h["23"] * h["1"])
    return {name: np.einsum("h,hnxy->nxy", second, own) for name, own in result.items()}
