"""The third derivative of a gate: of its values times their cotangents, along three changes of both.

With y the normed blocks and L = sum of bar . value(y(x)), all derivatives of products and of the norm are written out;
subscripts name the changes that a derivative is along. Changes may be complex: everything is linear in each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..parts import Blocks

if TYPE_CHECKING:
    from .gates import GateAtValues


class _Moved(NamedTuple):
    """Derivatives of a block along three changes, each (u, n, i, c2, c3) or with 1 in place of columns."""

    one: Any
    two: Any
    three: Any
    one_two: Any
    one_three: Any
    two_three: Any
    all: Any


def third_derivative(gate: GateAtValues, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> Any:
    """d³L along all triples of changes, summed over atoms: (c1, c2, c3).

    Args:
        bar: cotangents (u, n, i) of what leaves.
        bars: their changes (u, n, i, c) of each of the three.
        moved: changes (u, n, i, c) of what enters.
    """
    acted = [
        gate.activations[ir.p](y, order=3) if ir.l == 0 else None
        for (_, ir), y in zip(gate.irreps_out, gate.normed, strict=True)
    ]
    n_columns = [own[0].shape[3] for own in moved]
    result = np.zeros(n_columns, np.result_type(*(x.dtype for own in moved for x in own)))
    two, three = ([x[..., :, None] for x in moved[1]], [x[..., None, :] for x in moved[2]])
    for column in range(n_columns[0]):
        one = [x[..., column, None, None] for x in moved[0]]
        changes = _normed(gate, one, two, three)
        cotangents = [
            (b, b1[..., column, None, None], b2[..., :, None], b3[..., None, :])
            for b, b1, b2, b3 in zip([x[..., None, None] for x in bar], *bars, strict=True)
        ]
        result[column] = _contracted(gate, acted, changes, cotangents)
    return result


def _normed(gate: GateAtValues, one: Blocks, two: Blocks, three: Blocks) -> list[_Moved]:
    """Derivatives of the normed blocks y = a x / sqrt(s)."""
    if gate.affine is None:
        return [_Moved(x, y, z, 0.0, 0.0, 0.0, 0.0) for x, y, z in zip(one, two, three, strict=True)]
    s = {"1": one, "2": two, "3": three}
    pairs = {name: _inner(gate, s[name[0]], s[name[1]]) for name in ("12", "13", "23")}
    slopes = {name: _inner(gate, [x[..., None, None] for x in gate.x], s[name]) for name in s}
    p = gate.factor[..., None, None][None, :, 0]  # (1, n, 1, 1): on the axes (u, n, c2, c3) of inner products
    d1, d2, d3 = -(p**3) / 2, 0.75 * p**5, -1.875 * p**7
    first = {k: d1 * slopes[k] for k in s}
    second = {k: d2 * slopes[k[0]] * slopes[k[1]] + d1 * pairs[k] for k in pairs}
    third = d3 * slopes["1"] * slopes["2"] * slopes["3"]
    third = third + d2 * (pairs["12"] * slopes["3"] + pairs["13"] * slopes["2"] + pairs["23"] * slopes["1"])
    wide = {k: z[:, :, None] for k, z in (first | second).items()}
    p, third = p[:, :, None], third[:, :, None]
    result = []
    for a, x, x1, x2, x3 in zip(gate.affine, gate.x, one, two, three, strict=True):
        a, x = a[..., None, None], x[..., None, None]
        result.append(
            _Moved(
                a * (x1 * p + x * wide["1"]),
                a * (x2 * p + x * wide["2"]),
                a * (x3 * p + x * wide["3"]),
                a * (x1 * wide["2"] + x2 * wide["1"] + x * wide["12"]),
                a * (x1 * wide["3"] + x3 * wide["1"] + x * wide["13"]),
                a * (x2 * wide["3"] + x3 * wide["2"] + x * wide["23"]),
                a * (x1 * wide["23"] + x2 * wide["13"] + x3 * wide["12"] + x * third),
            )
        )
    return result


def _inner(gate: GateAtValues, first: Blocks, second: Blocks) -> Any:
    """2 <w x, y>, the second derivative of the squares: (1, n, c2, c3)."""
    return 2 * sum(w * np.sum(x * y, axis=(0, 2))[None] for w, x, y in zip(gate.weights, first, second, strict=True))


def _contracted(gate: GateAtValues, acted: list[Any], changes: list[_Moved], cotangents: list[Any]) -> Any:
    """bar . value_123 + bar_1 . value_23 + ..., summed: (c2, c3)."""
    total: Any = 0.0
    for b, ((mul, _), y) in enumerate(zip(gate.irreps_out, gate.normed, strict=True)):
        if acted[b] is not None:
            value = _composed(acted[b], _Moved(*(_rows(z, slice(mul)) for z in changes[b])), slice(mul))
        else:
            gates = _Moved(*(_rows(z, gate._place(b)) for z in changes[gate.even]))
            value = _times(
                acted[gate.even][0][gate._place(b)][..., None, None],
                _composed(acted[gate.even], gates, gate._place(b)),
                y[..., None, None],
                changes[b],
            )
        bar, *bars = cotangents[b]
        terms = (bar * value.all, bars[0] * value.two_three, bars[1] * value.one_three, bars[2] * value.one_two)
        total = total + sum(np.sum(term, axis=(0, 1, 2)) for term in terms)
    return total


def _rows(z: Any, rows: slice) -> Any:
    return z if np.isscalar(z) else z[rows]


def _composed(orders: Any, y: _Moved, rows: slice) -> _Moved:
    """Derivatives of a function of y from those of y, on some rows."""
    _, d1, d2, d3 = (z[rows][..., None, None] for z in orders)
    return _Moved(
        d1 * y.one,
        d1 * y.two,
        d1 * y.three,
        d2 * y.one * y.two + d1 * y.one_two,
        d2 * y.one * y.three + d1 * y.one_three,
        d2 * y.two * y.three + d1 * y.two_three,
        d3 * y.one * y.two * y.three
        + d2 * (y.one_two * y.three + y.one_three * y.two + y.two_three * y.one)
        + d1 * y.all,
    )


def _times(v: Any, f: _Moved, y: Any, g: _Moved) -> _Moved:
    """Derivatives of the product of two functions with the values v and y."""
    return _Moved(
        f.one * y + v * g.one,
        f.two * y + v * g.two,
        f.three * y + v * g.three,
        f.one_two * y + f.one * g.two + f.two * g.one + v * g.one_two,
        f.one_three * y + f.one * g.three + f.three * g.one + v * g.one_three,
        f.two_three * y + f.two * g.three + f.three * g.two + v * g.two_three,
        f.all * y
        + (f.one_two * g.three + f.one_three * g.two + f.two_three * g.one)
        + (f.one * g.two_three + f.two * g.one_three + f.three * g.one_two)
        + v * g.all,
    )
