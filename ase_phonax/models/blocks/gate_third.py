"""The third derivative of a gate: of its values times their cotangents, along three changes of both.

With y = a x p the normed blocks, p = 1 / sqrt(s), and L = sum of bar . value(y): derivatives of y by two and three
changes are products of first changes with scalars of atoms, p_i, p_ij and p_123, so that all that is left are inner
products over channels and components, one matrix product each:

    L_123 = L'''(y_1, y_2, y_3) + <y_12, v_3> + <y_13, v_2> + <y_23, v_1> + <y_123, v_0>,
    y_ij = a (x_i p_j + x_j p_i + x p_ij),

L''' that of the activations alone, with changes of bar in it; v_0 the cotangents of y and v_k their change.
Changes may be complex: everything is linear in each of them.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..parts import Blocks

if TYPE_CHECKING:
    from .gates import GateAtValues

_PAIRS = tuple(combinations(range(3), 2))
_Scalars = dict[tuple[int, ...], Any]  # of a set of changes: (n, c1, c2, c3), with 1 for changes that are not in it


def third_derivative(gate: GateAtValues, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> Any:
    """d³L along all triples of changes, summed over atoms: (c1, c2, c3).

    Args:
        bar: cotangents (u, n, i) of what leaves.
        bars: their changes (u, n, i, c) of each of the three.
        moved: changes (u, n, i, c) of what enters.
    """
    responses = [gate.response(x) for x in moved]
    changes = [kept.dy for _, kept in responses]
    counts = [x[0].shape[3] for x in moved]
    result = np.zeros(counts, np.result_type(*(x.dtype for own in moved for x in own)))
    for b, ((mul, _), y) in enumerate(zip(gate.irreps_out, gate.normed, strict=True)):
        own, own_bars = [dy[b] for dy in changes], [z[b] for z in bars]
        if gate.acted[b] is not None:
            orders = [z[:mul, :, 0] for z in gate.activations[gate.irreps_out[b][1].p](y, order=3)]
            result += _scalars(orders, bar[b][:, :, 0], [z[:, :, 0] for z in own_bars], [z[:mul, :, 0] for z in own])
        else:
            place = gate._place(b)
            orders = [z[:, :, 0] for z in gate.activations[1](gate.normed[gate.even][place], order=3)]
            gates = [dy[gate.even][place][:, :, 0] for dy in changes]
            result += _gated(orders, y, gates, bar[b], own_bars, own)
    if gate.affine is not None:
        pulled = [gate._pulled(kept, bar, z) for (_, kept), z in zip(responses, bars, strict=True)]
        result += _of_norm(gate, moved, gate._ungated(bar), pulled)
    return result


def _scalars(orders: list[Any], bar: Any, bars: list[Any], y: list[Any]) -> Any:
    """Of activated scalars: values (u, n) and changes (u, n, c)."""
    _, _, d2, d3 = (z[..., None, None] for z in orders)
    (b1, b2), (y1, y2) = _crossed(bars), _crossed(y)
    both = y1 * y2
    return _summed(d3 * bar[..., None, None] * both + d2 * (b1 * y2 + y1 * b2), y[2]) + _summed(d2 * both, bars[2])


def _gated(orders: list[Any], y: Any, gates: list[Any], bar: Any, bars: list[Any], own: list[Any]) -> Any:
    """Of blocks y (u, n, i) times the activation f of gates: changes of gates (u, n, c), of blocks (u, n, i, c)."""
    _, f1, f2, f3 = (z[..., None, None] for z in orders)
    values = np.sum(bar * y, axis=2)[..., None, None]
    # Changes of bar . y along one, and along two.
    one = [(y[:, :, None] @ b + bar[:, :, None] @ dy)[:, :, 0] for b, dy in zip(bars, own, strict=True)]
    two = {(j, k): bars[j].swapaxes(2, 3) @ own[k] + own[j].swapaxes(2, 3) @ bars[k] for j, k in _PAIRS}
    (g1, g2), (t1, t2) = _crossed(gates), _crossed(one)
    both = g1 * g2
    result = _summed(f3 * values * both + f2 * (g1 * t2 + t1 * g2) + f1 * two[0, 1], gates[2])
    result += _summed(f2 * both, one[2])
    result += _summed(f1 * two[0, 2], gates[1]).swapaxes(1, 2)
    return result + _summed(f1 * two[1, 2], gates[0]).transpose(2, 0, 1)


def _crossed(changes: list[Any]) -> tuple[Any, Any]:
    """The first two changes on the axes (..., c1, c2)."""
    return changes[0][..., :, None], changes[1][..., None, :]


def _summed(pairs: Any, last: Any) -> Any:
    """Sum over channels and atoms of (u, n, c1, c2) times (u, n, c3): (c1, c2, c3)."""
    flat = pairs.reshape(-1, pairs.shape[2] * pairs.shape[3])
    return (flat.T @ last.reshape(-1, last.shape[2])).reshape(*pairs.shape[2:], -1)


def _of_norm(gate: GateAtValues, moved: tuple[Blocks, ...], pulled: Blocks, changes: list[Blocks]) -> Any:
    """<y_12, v_3> + <y_13, v_2> + <y_23, v_1> + <y_123, v_0>."""
    assert gate.affine is not None
    p = gate.factor.reshape(-1, 1, 1, 1)
    x = [_of_atoms([own[..., None] for own in gate.x]), *map(_of_atoms, moved)]  # (n, features, c); of values first
    weights = _of_atoms([np.broadcast_to(w, own.shape)[..., None] for w, own in zip(gate.weights, gate.x, strict=True)])
    scales = _of_atoms([np.broadcast_to(a, own.shape)[..., None] for a, own in zip(gate.affine, gate.x, strict=True)])
    v = [_of_atoms([own[..., None] for own in pulled]), *map(_of_atoms, changes)]
    # Inner products of changes i and k, 0 for the values: <w x_i, x_k>, and <a x_i, v_k>.
    weighted, scaled = ([(z * own).swapaxes(1, 2) for own in x] for z in (weights, scales))
    w = {(i, k): _placed(weighted[i + 1] @ x[k + 1], i, k) for i, k in [(-1, 0), (-1, 1), (-1, 2), *_PAIRS]}
    t = {(i, k): _placed(scaled[i + 1] @ v[k + 1], i, k) for i in range(-1, 3) for k in range(-1, 3) if i != k or i < 0}
    of_one = [w[-1, i] for i in range(3)]
    p_one = [-(p**3) * own for own in of_one]
    p_two = {(i, j): 3 * p**5 * of_one[i] * of_one[j] - p**3 * w[i, j] for i, j in _PAIRS}
    p_all = -15 * p**7 * of_one[0] * of_one[1] * of_one[2]
    total: Any = 0.0
    for k, (i, j) in zip((2, 1, 0), _PAIRS, strict=True):
        p_all = p_all + 3 * p**5 * of_one[k] * w[i, j]
        total = total + p_one[j] * t[i, k] + p_one[i] * t[j, k] + p_two[i, j] * t[-1, k] + p_two[i, j] * t[k, -1]
    return np.sum(total + p_all * t[-1, -1], axis=0)


def _of_atoms(blocks: Blocks) -> Any:
    """Blocks (u, n, i, c) as one array (n, features, c)."""
    return np.concatenate([z.swapaxes(0, 1).reshape(z.shape[1], -1, z.shape[3]) for z in blocks], 1)


def _placed(products: Any, i: int, k: int) -> Any:
    """Products (n, c_i, c_k) on the axes (n, c1, c2, c3); -1 for values, which have one column."""
    if i > k:
        products, i, k = products.swapaxes(1, 2), k, i
    shape = [len(products), 1, 1, 1]
    if i >= 0:
        shape[1 + i] = products.shape[1]
    if k >= 0:
        shape[1 + k] = products.shape[2]
    return products.reshape(shape)
