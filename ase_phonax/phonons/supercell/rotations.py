"""Constants of a supercell under rotations of the crystal: measured, and by request made invariant.

Energies of a model do not change when the crystal turns, and exact D(q) knows it. Constants folded into a supercell
keep that in part: where they reach its walls, their moments are those of nearest images. For a crystal free of stress
(M. Born and K. Huang, Dynamical Theory of Crystal Lattices (1954), sections 23 and 27), with r = x_k - x_i:

    Born-Huang:  sum_k Phi_ik^ab r^c = sum_k Phi_ik^ac r^b                          for all i, a, b, c
    Huang:       sum_ik Phi_ik^ab r^c r^d = sum_ik Phi_ik^cd r^a r^b                for all a, b, c, d

The bending branch of a layer leaves Gamma as q squared where both hold (J. Carrete et al., Mater. Res. Lett. 4, 204
(2016)).
"""

from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

import numpy as np
from phonopy import Phonopy
from scipy import sparse

from ...base.errors import InputError
from .constants import compact_constants, validate_constants
from .door import checked
from .images import transposed

FREE_OF_STRESS = 1e-6  # eV/Å³: bending modes of graphene feel 1e-5
_RANK = 1e-10  # of the largest singular value: conditions that depend on one another
_AXES = range(3)


@dataclass(frozen=True)
class RotationalInvariance:
    """How far constants are from invariance under rotations, or were before it was imposed.

    Attributes:
        born_huang: largest violation of that condition, over the largest sum of its terms' sizes.
        huang: the same of the other.
        changed_by: largest change of a constant where both were imposed [eV/Å²]; 0 where they were not.
    """

    born_huang: float
    huang: float
    changed_by: float = 0.0


def measure_rotations(phonopy: Phonopy) -> RotationalInvariance:
    """Violations of both conditions by the constants of a supercell.

    The second condition is that of a crystal free of stress: under stress it is violated by as much.

    Raises:
        InputError: the object has no constants.
    """
    constants = compact_constants(checked(phonopy))
    first, second = _moments(phonopy)
    turned, stretched = _born_huang(phonopy, first) @ constants.ravel(), _huang(second) @ constants.ravel()
    size = np.abs(constants).max(axis=(2, 3))
    of_turned = (size * np.abs(first).max(axis=2)).sum(axis=1).max()
    of_stretched = (size * np.abs(second).max(axis=(2, 3))).sum()
    return RotationalInvariance(
        float(np.abs(turned).max() / (of_turned or 1.0)), float(np.abs(stretched).max() / (of_stretched or 1.0))
    )


def impose_rotations(phonopy: Phonopy) -> RotationalInvariance:
    """Change the constants of a supercell by as little as makes them invariant under rotations and translations.

    The change is the smallest in squares, each pair of atoms measured by the size of its own constants, so that pairs
    which feel nothing of one another are left so. Symmetry and permutation of indices are kept. The constants, compact
    or full, are replaced in the object by compact ones. The crystal has to be free of stress: what stress does to
    bending and sound would be taken away with the rest.

    Returns:
        violations as they were, and the change.

    Raises:
        InputError: the object has no constants, or charges: the moments of dipoles are no sums over neighbours.
    """
    if checked(phonopy).nac_params is not None:
        raise InputError(
            "invariance under rotations is asked for of constants with the interaction of dipoles",
            "their moments depend on how far one sums, and the conditions on macroscopic fields",
            "leave charges out (`born=none`), or do not impose it",
        )
    before = measure_rotations(phonopy)
    constants = compact_constants(phonopy)
    first, second = _moments(phonopy)
    own = sparse.vstack([_translations(phonopy), _born_huang(phonopy, first)])
    # Seen from the other atom they are the same conditions; both are imposed, so that the change is symmetric.
    order = transposed(np.arange(constants.size).reshape(constants.shape), phonopy).ravel()
    conditions = sparse.vstack([own, own[:, np.argsort(order)], _huang(second)]).tocsr()
    weights = np.repeat((constants**2).sum(axis=(2, 3)).ravel(), 9)
    weighted = conditions.multiply(weights[None]).tocsr()
    normal = (weighted @ conditions.T).toarray()
    scale = 1.0 / np.sqrt(np.maximum(normal.diagonal(), np.finfo(float).tiny))
    solution = np.linalg.lstsq(scale[:, None] * normal * scale, scale * (conditions @ constants.ravel()), rcond=_RANK)[
        0
    ]
    change = -(weighted.T @ (scale * solution)).reshape(constants.shape)
    phonopy.force_constants = validate_constants(constants + change, phonopy)
    return RotationalInvariance(before.born_huang, before.huang, float(np.abs(change).max()))


def _moments(phonopy: Phonopy) -> tuple[np.ndarray, np.ndarray]:
    """Means over nearest images of r and of r r: (n, n_supercell, 3) [Å] and (n, n_supercell, 3, 3) [Å²]."""
    vectors, found = phonopy.primitive.get_smallest_vectors()
    vectors = vectors @ phonopy.primitive.cell
    counts, starts = found[..., 0].T, found[..., 1].T
    n, m = counts.shape
    first, second = np.zeros((n, m, 3)), np.zeros((n, m, 3, 3))
    for image in range(counts.max()):
        there = image < counts
        r = vectors[np.where(there, starts + image, 0)] * (there / counts)[..., None]
        first += r
        second += r[..., None] * vectors[np.where(there, starts + image, 0)][..., None, :]
    return first, second


def _rows(phonopy: Phonopy, terms: list[tuple[int, int, np.ndarray]]) -> sparse.csr_matrix:
    """One condition for each atom i: a sum over k of coefficients times Phi_ik^ab, for (a, b, coefficients (n, m))."""
    n, m = len(phonopy.primitive), len(phonopy.supercell)
    places = np.arange(n * m * 9).reshape(n, m, 3, 3)
    columns = np.concatenate([places[:, :, a, b] for a, b, _ in terms], axis=1)
    values = np.concatenate([coefficients for _, _, coefficients in terms], axis=1)
    starts = np.arange(n + 1) * columns.shape[1]
    return sparse.csr_matrix((values.ravel(), columns.ravel(), starts), shape=(n, n * m * 9))


def _translations(phonopy: Phonopy) -> sparse.csr_matrix:
    """sum_k Phi_ik = 0."""
    ones = np.ones((len(phonopy.primitive), len(phonopy.supercell)))
    return sparse.vstack([_rows(phonopy, [(a, b, ones)]) for a in _AXES for b in _AXES])


def _born_huang(phonopy: Phonopy, first: np.ndarray) -> sparse.csr_matrix:
    """Its conditions, b < c."""
    return sparse.vstack(
        [
            _rows(phonopy, [(a, b, first[..., c]), (a, c, -first[..., b])])
            for a in _AXES
            for b, c in combinations(_AXES, 2)
        ]
    )


def _huang(second: np.ndarray) -> sparse.csr_matrix:
    """Its conditions, for pairs of pairs."""
    pairs = list(combinations_with_replacement(_AXES, 2))
    rows = []
    for (a, b), (c, d) in combinations(pairs, 2):
        row = np.zeros((*second.shape[:2], 3, 3))
        for p, q, factor, r in ((a, b, 1.0, second[..., c, d]), (c, d, -1.0, second[..., a, b])):
            row[..., p, q] += factor * r / 2
            row[..., q, p] += factor * r / 2
        rows.append(row.ravel())
    return sparse.csr_matrix(np.array(rows))
