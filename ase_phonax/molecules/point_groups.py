"""The point group of a molecule: every rotation and reflection that takes it to itself, and its name.

Operations are found as atoms are: two of them that are not in line with the centre have few places to go, and
each place is one operation to try. What holds within a tolerance is then made exact, the way a slightly bent
model is: atoms are moved to the mean of where the group takes them. Isotopes of different mass are different atoms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..base.errors import InputError
from ..structures.checks import check_structure
from .defaults import TOLERANCE

LARGEST_TOLERANCE = 0.3  # [Å] half a bond to hydrogen is 0.4
NEARBY = 3.0  # another group within this factor of the tolerance makes the choice ambiguous
SAME = 1e-6  # between orthogonal matrices that are exact but for rounding
_UNMOVED = 1e-9  # [Å] the symmetric geometry has been reached


@dataclass(frozen=True)
class PointGroup:
    """The symmetry of a molecule.

    Attributes:
        symbol: of Schoenflies: "Td", "C2v", "D∞h"; "Kh" of a single atom.
        rotations: (n_operations, 3, 3) orthogonal, about the centroid; of the linear groups only those that are
            found in a finite table: the identity, and the inversion of D∞h.
        permutations: (n_operations, n_atoms): operation k takes atom i to the place of atom permutations[k, i].
        positions: (n_atoms, 3) the symmetric geometry, centroid at the origin [Å].
        numbers: (n_atoms,) atomic numbers.
        axis: (3,) unit vector of a linear molecule; None elsewhere.
        deviation: largest distance between an atom and the image of another [Å].
        tolerance: that was asked for [Å].
        neighbours: (tolerance, symbol) of other groups found within a factor of three of it: the choice is ambiguous.
    """

    symbol: str
    rotations: NDArray[np.float64]
    permutations: NDArray[np.int64]
    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    axis: NDArray[np.float64] | None
    deviation: float
    tolerance: float
    neighbours: tuple[tuple[float, str], ...] = ()

    @property
    def is_linear(self) -> bool:
        """Whether all atoms lie on a line; a single one does not."""
        return self.axis is not None

    @property
    def symmetry_number(self) -> int:
        """How many rotations turn the molecule into itself: sigma of its rotational entropy."""
        if self.axis is not None:
            return len(self.rotations)
        return int(np.sum(np.linalg.det(self.rotations) > 0))


def find_point_group(atoms: Atoms, tolerance: float = TOLERANCE) -> PointGroup:
    """The largest group whose operations all take the molecule to itself within a tolerance.

    Where the operations found within it form no group, those that hold worst are left out until they do.

    Args:
        atoms: one molecule; periodicity is not looked at. Symbols and masses tell atoms apart.
        tolerance: largest distance between an atom and the image of another [Å].

    Raises:
        InputError: a tolerance beyond 0.3 Å, at which neighbouring atoms would be confused.
        StructureError: no atoms, positions that are not finite, two atoms in one place.
    """
    if not 0 < tolerance <= LARGEST_TOLERANCE:
        raise InputError(
            f"the tolerance of symmetry is {tolerance:g} Å",
            f"beyond {LARGEST_TOLERANCE:g} Å an atom could be taken for its neighbour; below 0 nothing is symmetric",
            f"give something like {TOLERANCE:g}",
        )
    check_structure(atoms)
    numbers, centred = atoms.numbers, atoms.positions - atoms.positions.mean(axis=0)
    unlike = np.column_stack((atoms.numbers, np.rint(atoms.get_masses() * 1e6)))
    kinds = np.unique(unlike, axis=0, return_inverse=True)[1].ravel()
    if len(atoms) == 1:
        return PointGroup("Kh", np.eye(3)[None], np.zeros((1, 1), int), centred, numbers, None, 0.0, tolerance)
    loose = min(NEARBY * tolerance, LARGEST_TOLERANCE)
    operations = lru_cache(lambda: _operations(centred, kinds, loose))

    def within(limit: float) -> PointGroup:
        linear = _linear(centred, numbers, kinds, limit)
        return linear or _finite(centred, numbers, _largest_group(operations(), limit), limit)

    group = within(tolerance)
    others = [(limit, within(limit).symbol) for limit in (tolerance / NEARBY, loose)]
    return replace(group, neighbours=tuple(other for other in others if other[1] != group.symbol))


@dataclass(frozen=True)
class _Operation:
    """An operation as the permutation of atoms it means, and how far it takes an atom beside another [Å]."""

    permutation: tuple[int, ...]
    proper: bool
    deviation: float


def _linear(centred: NDArray, numbers: NDArray, kinds: NDArray, tolerance: float) -> PointGroup | None:
    """C∞v, or D∞h where the line is its own mirror image; None where the atoms do not lie on a line.

    Half a turn about the line takes an atom beside it to the other side: twice its distance.
    """
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = centred @ axis
    deviation = 2 * float(np.linalg.norm(centred - np.outer(along, axis), axis=1).max())
    if deviation > tolerance:
        return None
    identity = np.arange(len(centred))
    order = np.argsort(along)
    asymmetry = float(np.abs(along[order] + along[order[::-1]]).max())
    if (kinds[order] != kinds[order[::-1]]).any() or asymmetry > tolerance:
        straight = np.outer(along, axis)
        return PointGroup("C∞v", np.eye(3)[None], identity[None], straight, numbers, axis, deviation, tolerance)
    inversion = np.empty_like(identity)
    inversion[order] = order[::-1]
    straight = np.outer((along - along[inversion]) / 2, axis)
    rotations, permutations = np.stack([np.eye(3), -np.eye(3)]), np.stack([identity, inversion])
    return PointGroup("D∞h", rotations, permutations, straight, numbers, axis, max(deviation, asymmetry), tolerance)


def _operations(centred: NDArray, kinds: NDArray, loose: float) -> list[_Operation]:
    """Everything that takes the molecule to itself within a loose tolerance, the identity among it."""
    first, second = _reference_atoms(centred, kinds, loose)
    lengths = np.linalg.norm(centred, axis=1)
    apart = np.linalg.norm(centred[first] - centred[second])
    frame = _frame(centred[first], centred[second])
    trees = {kind: (np.flatnonzero(kinds == kind), cKDTree(centred[kinds == kind])) for kind in np.unique(kinds)}
    itself = tuple(range(len(centred)))
    operations = {(itself, True): _Operation(itself, True, 0.0)}
    for k in np.flatnonzero((kinds == kinds[first]) & (np.abs(lengths - lengths[first]) <= loose)):
        distances = np.linalg.norm(centred - centred[k], axis=1)
        to = (kinds == kinds[second]) & (np.abs(lengths - lengths[second]) <= loose)
        to &= np.abs(distances - apart) <= 2 * loose
        for other in np.flatnonzero(to):
            there = _frame(centred[k], centred[other])
            if there is None:
                continue
            for handedness in (1.0, -1.0):
                rough = there.T @ np.diag([1, 1, handedness]) @ frame
                operation = _refined(centred, kinds, trees, rough, loose)
                if operation is not None:
                    operations[operation.permutation, operation.proper] = operation
    return sorted(operations.values(), key=lambda operation: operation.deviation)


def _reference_atoms(centred: NDArray, kinds: NDArray, loose: float) -> tuple[int, int]:
    """Two atoms, not in line with the centre, that have as few as possible of their like to go to."""
    lengths = np.linalg.norm(centred, axis=1)
    alike = (kinds[:, None] == kinds) & (np.abs(lengths[:, None] - lengths) <= 2 * loose)
    counts = alike.sum(axis=1)
    areas = np.linalg.norm(np.cross(centred[:, None], centred), axis=2)
    # Well spread pairs first; of those the rarest.
    good = areas > 0.3 * areas.max()
    choices = np.where(good, counts[:, None] * counts[None], np.iinfo(int).max)
    first, second = np.unravel_index(np.argmin(choices), choices.shape)
    return int(first), int(second)


def _frame(a: NDArray, b: NDArray) -> NDArray | None:
    """(3, 3) orthonormal rows made of two vectors; None where they are in line."""
    normal = np.cross(a, b)
    size = np.linalg.norm(normal)
    if size < _UNMOVED:
        return None
    e1, e3 = a / np.linalg.norm(a), normal / size
    return np.array([e1, np.cross(e3, e1), e3])


def _refined(centred: NDArray, kinds: NDArray, trees: dict, rough: NDArray, loose: float) -> _Operation | None:
    """An operation as the permutation it means, if it means one, with how well it holds."""
    images = centred @ rough.T
    permutation = np.empty(len(centred), int)
    for members, tree in trees.values():
        permutation[members] = members[tree.query(images[members])[1]]
    if len(np.unique(permutation)) < len(centred):
        return None
    proper = bool(np.linalg.det(rough) > 0)
    best = _best_rotations(centred, permutation[None], np.array([proper]))[0]
    deviation = float(np.linalg.norm(centred @ best.T - centred[permutation], axis=1).max())
    return _Operation(tuple(permutation.tolist()), proper, deviation) if deviation <= loose else None


def _best_rotations(positions: NDArray, permutations: NDArray, proper: NDArray) -> NDArray:
    """(n, 3, 3) orthogonal matrices of given handedness that best take atoms to their images (Kabsch)."""
    covariances = np.einsum("gia,ib->gab", positions[permutations], positions)
    left, _, right = np.linalg.svd(covariances)
    signs = np.ones((len(permutations), 3))
    signs[:, 2] = np.where(proper, 1, -1) * np.linalg.det(left @ right)
    return (left * signs[:, None, :]) @ right


def _largest_group(operations: list[_Operation], tolerance: float) -> list[_Operation]:
    """Operations within the tolerance; if they form no group, fewer, the worst left out."""
    within = [operation for operation in operations if operation.deviation <= max(tolerance, _UNMOVED)]
    while not _is_group(within):
        worst = within[-1].deviation
        within = [operation for operation in within if operation.deviation < worst * (1 - 1e-6)]
    return within


def _is_group(operations: list[_Operation]) -> bool:
    """Whether the product of any two operations is among them."""
    members = {(operation.permutation, operation.proper) for operation in operations}
    permutations = np.array([operation.permutation for operation in operations])
    proper = [operation.proper for operation in operations]
    for operation in operations:
        products = permutations[:, operation.permutation]
        for product, handed in zip(products, proper, strict=True):
            if (tuple(product.tolist()), handed == operation.proper) not in members:
                return False
    return True


def _finite(centred: NDArray, numbers: NDArray, operations: list[_Operation], tolerance: float) -> PointGroup:
    """Name, exact rotations and exact geometry of a group that holds approximately."""
    permutations = np.array([operation.permutation for operation in operations])
    proper = np.array([operation.proper for operation in operations])
    positions = centred
    for _ in range(50):
        rotations = _best_rotations(positions, permutations, proper)
        images = np.einsum("gab,ib->gia", rotations, positions)
        moved = np.zeros_like(positions)
        for image, permutation in zip(images, permutations, strict=True):
            moved[permutation] += image / len(operations)
        shift, positions = np.abs(moved - positions).max(), moved
        if shift < _UNMOVED:
            break
    rotations = _best_rotations(positions, permutations, proper)
    deviation = max(operation.deviation for operation in operations)
    return PointGroup(schoenflies(rotations), rotations, permutations, positions, numbers, None, deviation, tolerance)


def schoenflies(rotations: NDArray[np.float64]) -> str:
    """Symbol of a finite group of orthogonal matrices, from the axes it has.

    Args:
        rotations: (n_operations, 3, 3), all of them.
    """
    determinants = np.linalg.det(rotations)
    n_operations = len(rotations)
    has_inversion = bool((np.abs(rotations + np.eye(3)).max(axis=(1, 2)) < 1e-3).any())
    axes, orders = proper_axes(rotations[determinants > 0])
    n = int(orders.max(initial=1))
    if np.sum(orders >= 3) > 1:
        return _cubic(n, n_operations, bool((determinants < 0).any()), has_inversion)
    if n == 1:
        return "C1" if n_operations == 1 else "Ci" if has_inversion else "Cs"
    mirrors = _mirror_normals(rotations)
    # D2d has three twofold axes; the mirrors meet in one of them.
    main = max(axes[orders == n], key=lambda axis: np.sum(np.abs(mirrors @ axis) < 0.01))
    horizontal = bool((np.abs(mirrors @ main) > 0.99).any())
    n_vertical = int(np.sum(np.abs(mirrors @ main) < 0.01))
    if np.sum((orders == 2) & (np.abs(axes @ main) < 0.01)) >= n:
        return f"D{n}h" if horizontal else f"D{n}d" if n_vertical else f"D{n}"
    if horizontal:
        return f"C{n}h"
    return f"C{n}v" if n_vertical else f"C{n}" if n_operations == n else f"S{2 * n}"


def _cubic(n: int, n_operations: int, improper: bool, has_inversion: bool) -> str:
    """Symbol of a group with several axes of the order n or more, 3 to 5."""
    letter = {3: "T", 4: "O", 5: "I"}[n]
    if not improper:
        return letter
    return f"{letter}h" if has_inversion else f"{letter}d"


def proper_axes(rotations: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Axes of proper rotations, each once, and the highest order of each.

    Args:
        rotations: (n, 3, 3) of determinant one; the identity has no axis.

    Returns:
        (n_axes, 3) unit vectors, (n_axes,) orders.
    """
    axes: list[NDArray] = []
    orders: list[int] = []
    for rotation in rotations:
        axis, order = axis_and_order(rotation)
        if order == 1:
            continue
        known = [k for k, there in enumerate(axes) if abs(there @ axis) > 0.999]
        if known:
            orders[known[0]] = max(orders[known[0]], order)
        else:
            axes.append(axis)
            orders.append(order)
    return np.array(axes).reshape(-1, 3), np.array(orders, int)


def axis_and_order(rotation: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """(3,) axis of a proper rotation and its order; (0, 0, 0) and 1 of the identity."""
    angle = float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    if angle < 1e-3:
        return np.zeros(3), 1
    # The symmetric part, R + R^T = 2 cos + 2 (1 - cos) n n^T, serves at 180 degrees as well.
    values, vectors = np.linalg.eigh(rotation + rotation.T)
    order = next(k for k in range(2, 1000) if abs((k * angle / (2 * np.pi) + 0.5) % 1 - 0.5) < 1e-6 * k)
    return vectors[:, np.argmax(values)], order


def _mirror_normals(rotations: NDArray) -> NDArray:
    """(n_mirrors, 3) unit normals of mirrors, each of which is minus a rotation by 180 degrees."""
    normals = []
    for rotation in rotations:
        if np.linalg.det(rotation) < 0:
            axis, order = axis_and_order(-rotation)
            if order == 2:
                normals.append(axis)
    return np.array(normals).reshape(-1, 3)
