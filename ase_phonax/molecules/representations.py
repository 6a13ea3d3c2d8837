"""Irreducible representations of a molecule's point group, as projectors of its displacements.

Names follow Mulliken's recommendations (J. Chem. Phys. 23, 1997 (1955)): a planar C2v or D2h molecule lies in the
yz plane, z of D2h passes through the most atoms, C2' axes and σv planes of other groups hold more atoms than C2'' and
σd; where these are as many, the heavier atoms lie nearer to them. Groups with one main axis have their characters
from the formula, whatever its order; those of the cubic and icosahedral groups are posym's (A. Carreras et al.), whose
operations are turned onto those of the molecule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from .axial_tables import axial_table
from .point_groups import SAME, PointGroup, axis_and_order, proper_axes


@dataclass(frozen=True)
class Representation:
    """One irreducible representation, over the reals: complex conjugate pairs count as one of two dimensions.

    Attributes:
        label: Mulliken symbol.
        dimension: how many modes share a frequency.
        infrared: it occurs in that of a vector: modes change the dipole moment in first order.
        raman: it occurs in the symmetric square of that: modes change the polarizability.
        projector: (3 n_atoms, 3 n_atoms) onto the displacements that transform so.
    """

    label: str
    dimension: int
    infrared: bool
    raman: bool
    projector: NDArray[np.float64]


def representations(group: PointGroup) -> list[Representation]:
    """All irreducible representations, as the character table has them; of a linear molecule those of displacements."""
    if group.axis is not None:
        return _linear(group)
    moves = displacement_matrices(group)
    traces = np.trace(group.rotations, axis1=1, axis2=2)
    squares = (traces**2 + np.trace(group.rotations @ group.rotations, axis1=1, axis2=2)) / 2
    irreps = []
    for label, characters in character_table(group).items():
        norm = float(np.mean(characters**2))
        dimension = round(characters[_identity(group)])
        projector = (dimension / norm) * np.einsum("g,gij->ij", characters, moves) / len(moves)
        infrared, raman = (bool(np.mean(characters * square) > 0.5) for square in (traces, squares))
        irreps.append(Representation(label, dimension, infrared, raman, projector))
    return irreps


def displacement_matrices(group: PointGroup) -> NDArray[np.float64]:
    """(n_operations, 3 n_atoms, 3 n_atoms): how operations turn displacements and hand them to other atoms."""
    n_atoms = group.permutations.shape[1]
    moves = np.zeros((len(group.rotations), n_atoms, 3, n_atoms, 3))
    for move, rotation, permutation in zip(moves, group.rotations, group.permutations, strict=True):
        move[permutation, :, np.arange(n_atoms), :] = rotation
    return moves.reshape(len(moves), 3 * n_atoms, 3 * n_atoms)


def character_table(group: PointGroup) -> dict[str, NDArray[np.float64]]:
    """Label -> (n_operations,) characters, in the order of the group's operations."""
    if group.symbol in ("C1", "Kh"):
        return {"A": np.ones(1)}
    if group.symbol in ("C2v", "D2", "D2h"):
        return _table_by_axes(group)
    return _cubic_table(group) if group.symbol[0] in "TOI" else axial_table(group)


def _cubic_table(group: PointGroup) -> dict[str, NDArray[np.float64]]:
    """The character table of posym; all orientations that fit give the same names."""
    from posym import PointGroup as PosymGroup

    table = PosymGroup(group.symbol)
    classes = table.ir_table.get_all_operations()
    labels = [label for label, operations in classes.items() for _ in operations]
    matrices = np.array([o.matrix_representation for operations in classes.values() for o in operations])
    places = next(_alignments(matrices, group.rotations))
    rows = [list(table.op_labels).index(labels[k]) for k in places]
    return {name: table.ir_table[name].to_numpy(float)[rows] for name in table.ir_labels}


def _table_by_axes(group: PointGroup) -> dict[str, NDArray[np.float64]]:
    """C2v, D2 and D2h, whose operations are diagonal in x, y and z: B1, B2 and B3 belong to z, y and x.

    In C2v B1 and B2 are what x and y are.
    """
    signs = np.einsum("ai,gij,aj->ga", axes := _named_axes(group), group.rotations, axes)
    x, y, z = np.rint(signs).T
    if group.symbol == "C2v":
        return {"A1": z, "A2": x * y, "B1": x, "B2": y}
    handed = x * y * z
    even = {"A": np.ones(len(x)), "B1": handed * z, "B2": handed * y, "B3": handed * x}
    if group.symbol == "D2":
        return even
    return {f"{name}{p}": row * (handed if p == "u" else 1) for p in "gu" for name, row in even.items()}


def _named_axes(group: PointGroup) -> NDArray:
    """(3, 3) axes x, y, z in rows: most atoms lie on the plane across x, then on z, then heavy ones near to them."""
    turns = group.rotations[np.linalg.det(group.rotations) > 0]
    directions = proper_axes(turns)[0]
    if group.symbol == "C2v":
        normals = proper_axes(-group.rotations[np.linalg.det(group.rotations) < 0])[0]
        choices = [np.array([*pair, directions[0]]) for pair in permutations(normals)]
    else:
        choices = [directions[list(order)] for order in permutations(range(3))]
    mirrors = group.symbol != "D2"

    def score(axes: NDArray) -> tuple[float, ...]:
        x, _, z = axes
        plane = _nearness(group, np.abs(group.positions @ x)) if mirrors else ()
        return (*plane, *_nearness(group, np.linalg.norm(np.cross(group.positions, z), axis=1)))

    return max(choices, key=score)


def _nearness(group: PointGroup, distances: NDArray) -> tuple[float, float]:
    """Atoms on a plane or axis, and how near the others are to it, heavy ones counting more; for comparison."""
    return float(np.sum(distances < 1e-3)), -float(np.round(group.numbers @ distances, 3))


def _identity(group: PointGroup) -> int:
    """Which operation leaves all in place."""
    return int(np.argmax(np.trace(group.rotations, axis1=1, axis2=2)))


def _linear(group: PointGroup) -> list[Representation]:
    """Σ along the axis, Π across it, even and odd where there is an inversion."""
    assert group.axis is not None
    n = group.permutations.shape[1]
    along = np.asarray(np.kron(np.eye(n), np.outer(group.axis, group.axis)), float)
    across = np.eye(3 * n) - along
    if len(group.rotations) == 1:
        return [Representation("Σ+", 1, True, True, along), Representation("Π", 2, True, True, across)]
    inversion = displacement_matrices(group)[1]
    even: NDArray[np.float64] = (np.eye(3 * n) + inversion) / 2
    odd: NDArray[np.float64] = np.eye(3 * n) - even
    return [
        Representation("Σg+", 1, False, True, even @ along),
        Representation("Πg", 2, False, True, even @ across),
        Representation("Σu+", 1, True, False, odd @ along),
        Representation("Πu", 2, True, False, odd @ across),
    ]


def _alignments(standard: NDArray, ours: NDArray) -> Iterator[NDArray]:
    """Yields which standard operation each of ours is, for each rotation that takes the standard group onto ours.

    Two operations with different axes fix the rotation: all pairs of ours that could be they are tried.
    """
    axes, orders = zip(*(axis_and_order(np.linalg.det(matrix) * matrix) for matrix in standard), strict=True)
    first = int(np.argmax(orders))
    second = next(k for k, order in enumerate(orders) if order > 1 and abs(axes[k] @ axes[first]) < 0.999)
    between = axes[first] @ axes[second]
    for k in _alike(standard[first], ours):
        for m in _alike(standard[second], ours):
            there, other = _axis(ours[k]), _axis(ours[m])
            for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                if abs(signs[0] * signs[1] * (there @ other) - between) > 1e-3:
                    continue
                turn = _turn(axes[first], axes[second], signs[0] * there, signs[1] * other)
                if len(places := _match(turn @ standard @ turn.T, ours)):
                    yield places


def _axis(matrix: NDArray) -> NDArray:
    """Axis of a rotation, or of the rotation that an improper operation is minus of."""
    return axis_and_order(np.linalg.det(matrix) * matrix)[0]


def _alike(matrix: NDArray, ours: NDArray) -> NDArray:
    """Which of ours turn by the same angle and have the same handedness."""
    traces = np.trace(ours, axis1=1, axis2=2)
    return np.flatnonzero(
        (np.abs(traces - np.trace(matrix)) < 1e-3) & (np.abs(np.linalg.det(ours) - np.linalg.det(matrix)) < 0.1)
    )


def _turn(a: NDArray, b: NDArray, to_a: NDArray, to_b: NDArray) -> NDArray:
    """The rotation that takes the frame of a and b to that of others, which enclose the same angle."""
    frames = []
    for u, v in ((a, b), (to_a, to_b)):
        normal = np.cross(u, v)
        normal /= np.linalg.norm(normal)
        frames.append(np.array([u / np.linalg.norm(u), np.cross(normal, u) / np.linalg.norm(u), normal]))
    return frames[1].T @ frames[0]


def _match(turned: NDArray, ours: NDArray) -> NDArray:
    """For each of ours the turned standard operation that equals it; empty where one has none."""
    differences = np.abs(turned[:, None] - ours[None]).max(axis=(2, 3))
    places = differences.argmin(axis=0)
    fits = differences[places, np.arange(len(ours))].max() < 1e3 * SAME
    return places if fits and len(np.unique(places)) == len(ours) else np.empty(0, int)
