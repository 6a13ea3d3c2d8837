"""Propane as a function of the turns of its two methyl groups, and the symmetry of that map.

Axes: the carbons lie in the plane x = 0 with the twofold axis along z, the middle carbon first (ASE's order). A turn is
right-handed about the bond from the middle carbon to the carbon of the methyl; (0, 0) is staggered, the minimum.
"""

import numpy as np
from ase import Atoms

MIDDLE = 0
METHYLS = ((1, (5, 7, 8)), (2, (6, 9, 10)))  # carbon, its hydrogens
# C2v and what it does to the turns (a, b): identity, twofold axis (b, a), mirror x (-a, -b), mirror y (-b, -a).
OPERATIONS = np.array([np.diag(signs) for signs in ((1, 1, 1), (-1, -1, 1), (-1, 1, 1), (1, -1, 1))], float)
ON_TURNS = (
    lambda a, b: (a, b),
    lambda a, b: (b, a),
    lambda a, b: (-a, -b),
    lambda a, b: (-b, -a),
)
PERIOD = 120  # degrees
SAME = 1e-6  # Å, atoms that coincide


def permutation(image: np.ndarray, target: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(n,) which atom of `image` (n, 3) [Å] lies on each atom of `target` (n, 3) [Å].

    Raises:
        ValueError: they are not the same molecule at the same place.
    """
    distances = np.linalg.norm(target[:, None] - image[None], axis=-1)
    found = distances.argmin(axis=1)
    if distances.min(axis=1).max() > SAME or sorted(found) != list(range(len(numbers))):
        raise ValueError(f"no permutation brings the atoms closer than {distances.min(axis=1).max():.1e} Å")
    if not np.array_equal(numbers[found], numbers):
        raise ValueError("the atoms that coincide are of different elements")
    return found


def symmetrised(atoms: Atoms) -> Atoms:
    """The mean over C2v, centred in x and y.

    Raises:
        ValueError: the molecule is farther than 0.02 Å from that symmetry.
    """
    positions = atoms.positions - [*atoms.positions[MIDDLE, :2], 0]
    images = []
    for operation in OPERATIONS:
        image = positions @ operation.T
        nearest = np.linalg.norm(positions[:, None] - image[None], axis=-1).argmin(axis=1)
        images.append(image[nearest])
    mean = np.mean(images, axis=0)
    if np.abs(mean - positions).max() > 0.02:
        raise ValueError(f"symmetry broken by {np.abs(mean - positions).max():.3f} Å: turn the molecule to its axes")
    return Atoms(atoms.numbers, mean)


def with_threefold_methyls(atoms: Atoms) -> Atoms:
    """Both methyls made exactly threefold about their bonds to the middle carbon.

    In the minimum the hydrogen in the plane differs slightly from the two beside it, and a rigid turn by 120
    degrees would give another molecule: the map would have no period.
    """
    result = atoms.copy()
    for carbon, hydrogens in METHYLS:
        axis, radial = _frame(atoms, carbon, hydrogens[0])
        bonds = atoms.positions[list(hydrogens)] - atoms.positions[carbon]
        along = (bonds @ axis).mean()
        across = np.linalg.norm(bonds - np.outer(bonds @ axis, axis), axis=1).mean()
        third = np.cross(axis, radial)
        for hydrogen, bond in zip(hydrogens, bonds, strict=True):
            angle = np.round(np.arctan2(bond @ third, bond @ radial) / (2 * np.pi / 3)) * 2 * np.pi / 3
            direction = np.cos(angle) * radial + np.sin(angle) * third
            result.positions[hydrogen] = atoms.positions[carbon] + along * axis + across * direction
    return result


def turned(atoms: Atoms, turns: tuple[float, float]) -> Atoms:
    """The methyls turned rigidly by two angles [degrees]."""
    result = atoms.copy()
    for (carbon, hydrogens), turn in zip(METHYLS, turns, strict=True):
        axis, _ = _frame(atoms, carbon, hydrogens[0])
        bonds = atoms.positions[list(hydrogens)] - atoms.positions[carbon]
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        moved = c * bonds + s * np.cross(axis, bonds) + (1 - c) * np.outer(bonds @ axis, axis)
        result.positions[list(hydrogens)] = atoms.positions[carbon] + moved
    return result


def representative(turns: tuple[int, int]) -> tuple[tuple[int, int], np.ndarray]:
    """The irreducible point (smallest of its class) and the (3, 3) operation that leads from it to `turns`."""
    classes = []
    for operation, act in zip(OPERATIONS, ON_TURNS, strict=True):
        # Each operation is its own inverse.
        a, b = act(*turns)
        classes.append(((a % PERIOD, b % PERIOD), operation))
    return min(classes, key=lambda found: found[0])


def _frame(atoms: Atoms, carbon: int, hydrogen: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors: along the bond to the methyl, and across it towards its hydrogen in the plane."""
    axis = atoms.positions[carbon] - atoms.positions[MIDDLE]
    axis = axis / np.linalg.norm(axis)
    across = atoms.positions[hydrogen] - atoms.positions[carbon]
    across = across - (across @ axis) * axis
    return axis, across / np.linalg.norm(across)
