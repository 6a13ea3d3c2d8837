"""Characters of the point groups with one main axis, of any order, from their formula.

About the axis a representation goes as e^{imφ}: A for m = 0, B for m = n/2, else E_m, which is both signs of m and
counts as one. What turns the axis over, or is a mirror along it, has the sign that tells A1 from A2 and B1 from B2, and
no trace in E. The rest is a factor: the group times its inversion (g, u) or the mirror across the axis (' and '').
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .point_groups import SAME, PointGroup, axis_and_order

Table = dict[str, NDArray[np.float64]]


def axial_table(group: PointGroup) -> Table:
    """Label -> (n_operations,) characters of Cn, Cnv, Cnh, Dn, Dnh, Dnd and S2n (Ci and Cs among them).

    C2v, D2 and D2h are left to names by x, y and z.
    """
    rotations, symbol = group.rotations, group.symbol
    n = {"Cs": 1, "Ci": 1}.get(symbol) or int("".join(c for c in symbol if c.isdigit()))
    axis = _main_axis(group)
    letter, last = symbol[0], symbol[-1]
    handed = np.linalg.det(rotations)
    if symbol == "Ci" or _has(rotations, -np.eye(3)):
        inner = rotations * handed[:, None, None]  # the proper partner of each
        order = n // 2 if letter == "S" else n
        return _doubled(_proper_table(group, inner, axis, order, letter == "D"), handed, ("g", "u"))
    mirror = np.eye(3) - 2 * np.outer(axis, axis)
    if _has(rotations, mirror):
        inner = np.where((handed > 0)[:, None, None], rotations, mirror @ rotations)
        return _doubled(_proper_table(group, inner, axis, n, letter == "D"), handed, ("'", "''"))
    if letter == "S" or last == "d":  # the main axis is improper, of twice the order; C2' come first, σd second
        turned = np.where((handed > 0)[:, None, None], rotations, mirror @ rotations)
        about = np.einsum("i,gij,j->g", axis, rotations, axis) * handed > 0
        order, kinds = (n, None) if letter == "S" else (2 * n, np.where(about, 0.0, handed))
        return _table(turned, axis, order, kinds)
    if last == "v":
        return _table(rotations, axis, n, _vertical(group, axis))
    return _proper_table(group, rotations, axis, n, letter == "D")


def _proper_table(group: PointGroup, inner: NDArray, axis: NDArray, n: int, dihedral: bool) -> Table:
    """The table of Cn or Dn, for the proper partners of all operations."""
    if not dihedral:
        return _table(inner, axis, n, None)
    across = np.einsum("i,gij,j->g", axis, inner, axis) < 0
    return _table(inner, axis, n, np.where(across, _kinds(group, inner, axis, n, planes=False), 0.0))


def _vertical(group: PointGroup, axis: NDArray) -> NDArray:
    """Kinds of the operations of Cnv: 1 of σv, -1 of σd, 0 of rotations."""
    n = len(group.rotations) // 2
    return np.where(np.linalg.det(group.rotations) < 0, _kinds(group, -group.rotations, axis, n, planes=True), 0.0)


def _table(turns: NDArray, axis: NDArray, n: int, kinds: NDArray | None) -> Table:
    """Characters A, B and E_m of turns about the axis, and of other operations.

    `kinds` tells these apart: 1 of the first kind, -1 of the second, 0 of a turn.
    """
    secondary = np.zeros(len(turns), bool) if kinds is None else kinds != 0
    angle = np.array([0.0 if k else _angle(turn, axis) for turn, k in zip(turns, secondary, strict=True)])
    alternating = np.rint(np.cos(n * angle / 2))
    table: Table = {}
    for number, sign in (("", 1.0),) if kinds is None else (("1", 1.0), ("2", -1.0)):
        table[f"A{number}"] = np.where(secondary, sign, 1.0)
        if n % 2 == 0:
            table[f"B{number}"] = np.where(secondary, 0.0 if kinds is None else sign * kinds, alternating)
    return dict(sorted(table.items())) | _doubly_degenerate(angle, secondary, n)


def _doubly_degenerate(angle: NDArray, secondary: NDArray, n: int) -> Table:
    """Characters E_m of turns by angles about an axis of order n; 0 of the other operations."""
    orders = range(1, (n + 1) // 2)
    single = len(orders) == 1
    return {f"E{'' if single else m}": np.where(secondary, 0.0, 2 * np.cos(m * angle)) for m in orders}


def _doubled(table: Table, handed: NDArray, marks: tuple[str, str]) -> Table:
    """The group times an operation that commutes with all: even first, then odd."""
    signs = zip(marks, (np.ones(len(handed)), handed), strict=True)
    return {f"{label}{mark}": row * sign for mark, sign in signs for label, row in table.items()}


def _main_axis(group: PointGroup) -> NDArray:
    """(3,) unit axis of the operation of highest order, an improper one before a proper one; the normal of Cs."""
    best, power = np.array([0.0, 0.0, 1.0]), 0.0
    for rotation in group.rotations:
        proper = np.linalg.det(rotation) > 0
        axis, order = axis_and_order(rotation if proper else -rotation)
        if order == 1:
            continue
        # An improper one turns by the angle that is left when the mirror across its axis is taken away.
        mirror = np.eye(3) - 2 * np.outer(axis, axis)
        turn = float(order) if proper else axis_and_order(mirror @ rotation)[1] + 0.5 * (order != 2)
        if turn > power:
            best, power = axis, turn
    return best


def _kinds(group: PointGroup, turns: NDArray, axis: NDArray, n: int, *, planes: bool) -> NDArray:
    """Kinds of half turns across the axis, or of mirrors along it, by their normals: 1 of the first, -1 of the second.

    The first holds more atoms; where they hold as many, heavier atoms lie nearer to it. Odd orders have one kind.
    """
    directions = np.array([axis_and_order(turn)[0] for turn in turns])
    across = (np.abs(directions @ axis) < 1e-3) & (np.linalg.norm(directions, axis=1) > 0.5)
    if n % 2:
        return np.ones(len(turns))
    # Two are of one kind where the angle between them is an even multiple of 180/n degrees.
    first = directions[np.argmax(across)]
    angles = np.arctan2(directions @ np.cross(axis, first), directions @ first)
    same = np.rint(angles * n / np.pi).astype(int) % 2 == 0
    scores = []
    for kind in (same, ~same):
        of_kind = directions[across & kind]
        along = np.abs(group.positions @ of_kind.T)
        beside = along if planes else np.linalg.norm(np.cross(group.positions[:, None], of_kind[None]), axis=2)
        distances = beside.min(axis=1)
        scores.append((np.sum(distances < 1e-3), -np.round(group.numbers @ distances, 3)))
    return np.where(same, 1.0, -1.0) * (1.0 if scores[0] >= scores[1] else -1.0)


def _angle(rotation: NDArray, axis: NDArray) -> float:
    """The angle by which a turn about the axis turns, in its sense."""
    beside = np.linalg.svd(axis[None])[2][1]
    moved = rotation @ beside
    return float(np.arctan2(np.cross(beside, moved) @ axis, beside @ moved))


def _has(rotations: NDArray, operation: NDArray) -> bool:
    """Whether an operation is among those of a group."""
    return bool((np.abs(rotations - operation).max(axis=(1, 2)) < 1e3 * SAME).any())
