"""Derivatives of a supercell's force constants by strain, exactly: phonons of a strained crystal without one.

Of calculators that do not know D(q) they are differences (`by_displacements`).

Only strains that the crystal's symmetry leaves as they are: pressure and heat cause no others. There is one of them in
cubic crystals, two where one axis stands out, up to six.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy

from ...derivatives.crystals import invariant_strain_slopes
from ...structures.space_groups import SYMPREC, get_operations
from ..calculators import knows_matrices
from ..elastic.moduli import VOIGT
from ..supercell.constants import commensurate_qpoints, constants_from_lattice_matrices, crystal_atoms
from .by_displacements import strained_differences

if TYPE_CHECKING:
    from ...base.progress import Progress
    from ..calculators import EvaluatedCrystalCalculator

_SAME = 1e-6  # of eigenvalues of a projection, which are 0 or 1


def invariant_strains(atoms: Atoms, symprec: float = SYMPREC) -> NDArray[np.float64]:
    """The symmetric strains that the point group leaves as they are: (k, 3, 3), orthonormal, k from 1 to 6."""
    rotations = get_operations(atoms, symprec)[0]
    columns = atoms.cell.array.T
    turns = columns @ np.unique(rotations, axis=0) @ np.linalg.inv(columns)
    basis = np.zeros((6, 3, 3))
    for k, (x, y) in enumerate(VOIGT):
        basis[k, x, y] = basis[k, y, x] = 1.0 if x == y else np.sqrt(0.5)
    mean = np.einsum("gxa,kab,gyb->kxy", turns, basis, turns, optimize=True) / len(turns)
    values, vectors = np.linalg.eigh(np.einsum("kxy,lxy->kl", mean, basis))
    kept = vectors[:, values > 1 - _SAME].T
    return np.einsum("ck,kxy->cxy", kept, basis)


def as_engineers(strains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric strains (k, 3, 3) in Voigt's order, shear doubled: (k, 6)."""
    return np.stack([strains[:, x, y] * (1 if x == y else 2) for x, y in VOIGT], 1)


def strained_constants(
    phonopy: Phonopy,
    calc: EvaluatedCrystalCalculator,
    strains: NDArray[np.float64],
    internal: NDArray[np.float64],
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Derivatives of a supercell's constants by strains that atoms follow.

    Args:
        phonopy: on whose primitive cell's atoms there are no forces.
        strains: (k, 3, 3) of `invariant_strains`.
        internal: (n, 3, 6) where its atoms go (`ElasticConstants.internal_strain`).

    Returns:
        (k, n_primitive, n_supercell, 3, 3) compact, in phonopy's order [eV/Å²], in the axes of the strained crystal.
    """
    atoms = crystal_atoms(phonopy.primitive)
    qpoints, weights = commensurate_qpoints(phonopy.primitive.cell, phonopy.supercell.cell)
    followed = np.einsum("nxc,kc->knx", internal, as_engineers(strains))
    if not knows_matrices(calc):
        return strained_differences(phonopy, calc, strains, followed, progress)
    slopes = invariant_strain_slopes(calc.evaluator, atoms, qpoints, strains, followed, progress)
    return np.array([constants_from_lattice_matrices(own, qpoints, weights, phonopy) for own in slopes])
