"""Force constants on a supercell from exact D(q), and the checks of every result.

Conventions (phases, signs, units): docs/conventions.md. `Phonopy` objects come in and arrays go out;
nothing is written and nothing is repaired.
"""

from functools import lru_cache
from typing import Protocol

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points_in_integers
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import Primitive
from spglib import SpglibDataset

from ...base.errors import InputError, StructureError
from ...base.progress import Progress
from ...derivatives.conventions import frequencies_thz
from ...derivatives.crystals import Crystals
from .door import dynamical_matrix


class Cells(Protocol):
    """A primitive cell and a supercell of it: a `Phonopy` object, or a `Phono3py` one."""

    @property
    def primitive(self) -> Primitive: ...

    @property
    def supercell(self) -> PhonopyAtoms: ...


def crystal_atoms(cell: Atoms | PhonopyAtoms) -> Atoms:
    """A crystal as ASE Atoms, in the order and at the positions it has; masses are kept.

    Raises:
        StructureError: not periodic in three directions (phonopy itself never asks).
    """
    if isinstance(cell, PhonopyAtoms):
        return Atoms(numbers=cell.numbers, positions=cell.positions, cell=cell.cell, masses=cell.masses, pbc=True)
    if not all(cell.pbc):
        raise StructureError(
            f"the structure has pbc {cell.pbc.tolist()}",
            "wave vectors and supercells need periodicity in three directions",
            "set atoms.pbc = True for a crystal; for a molecule use get_hessian or get_vibrations",
        )
    return cell


def known_operations(phonopy: Phonopy) -> tuple[np.ndarray, np.ndarray] | None:
    """Rotations (n, 3, 3) and translations (n, 3) of the primitive cell that phonopy has found when it was made.

    None where it has not looked for all of them: told not to, or with magnetic moments.
    """
    symmetry = phonopy.primitive_symmetry
    if not isinstance(symmetry.dataset, SpglibDataset):
        return None
    return symmetry.symmetry_operations["rotations"], symmetry.symmetry_operations["translations"]


def commensurate_qpoints(primitive: np.ndarray, supercell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wave vectors that fit a supercell, one of each pair q, -q.

    Args:
        primitive, supercell: (3, 3) lattice vectors in rows [Å].

    Returns:
        (n_q, 3) reduced coordinates of the primitive cell, and (n_q,) how often each counts (1 or 2).
    """
    repeats = np.rint(supercell @ np.linalg.inv(primitive)).astype(int)
    qpoints, weights = _commensurate_qpoints(tuple(map(tuple, repeats.tolist())))
    return qpoints.copy(), weights.copy()


@lru_cache(maxsize=64)
def _commensurate_qpoints(repeats: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """What `commensurate_qpoints` returns, from the integer matrix that makes the supercell of the primitive cell."""
    numerators, size = commensurate_numerators(repeats)
    kept, weights = [], []
    seen = set()
    for q in map(tuple, numerators.tolist()):
        minus = tuple((-x) % size for x in q)
        if minus not in seen:
            seen.add(q)
            kept.append(q)
            weights.append(1 if q == minus else 2)
    assert sum(weights) == size, "the commensurate points do not close under inversion"
    return np.array(kept) / size, np.array(weights)


def commensurate_numerators(repeats: ArrayLike) -> tuple[np.ndarray, int]:
    """All wave vectors that fit a supercell as exact integers, q = numerators / size: (size, 3), and the size.

    Args:
        repeats: (3, 3) integers, the supercell's vectors in rows in those of the primitive cell.
    """
    size = abs(round(float(np.linalg.det(np.asarray(repeats)))))
    return np.asarray(get_commensurate_points_in_integers(np.transpose(repeats)) % size), size


def exact_constants(crystals: Crystals, phonopy: Phonopy, progress: Progress | None) -> np.ndarray:
    """Constants (n_primitive, n_supercell, 3, 3) of a supercell from exact D(q) of its primitive cell [eV/Å²]."""
    primitive, operations = crystal_atoms(phonopy.primitive), known_operations(phonopy)
    qpoints, weights = commensurate_qpoints(phonopy.primitive.cell, phonopy.supercell.cell)
    lattice = crystals.lattice_matrices(primitive, qpoints, True, progress, operations)
    constants = constants_from_lattice_matrices(lattice, qpoints, weights, phonopy)
    return validate_constants(constants, phonopy)


def constants_from_lattice_matrices(
    lattice: np.ndarray, qpoints: np.ndarray, weights: np.ndarray, phonopy: Phonopy
) -> np.ndarray:
    """Inverse Fourier sum over commensurate q onto phonopy's supercell.

    Phi(i, k) = (1/N) sum_q Re[D_ij(q) exp(-2 pi i q.R_ik)], with k an image of the primitive atom j in the
    cell R_ik seen from i. The result is the exact periodic fold sum_T Phi(R + T), the zero-step limit
    of finite displacements on that supercell.

    Args:
        lattice: (n_q, 3n, 3n) of `phonopy.primitive` as its atoms lie there [eV/Å²].
        qpoints, weights: as `commensurate_qpoints` returns them.
        phonopy: whose cells and order of atoms the constants shall have.

    Returns:
        (n_primitive, n_supercell, 3, 3) compact constants in phonopy's order [eV/Å²].
    """
    primitive, supercell = phonopy.primitive, phonopy.supercell
    n, n_q, size = len(primitive), len(qpoints), int(weights.sum())
    j = images_of(phonopy)
    cells = supercell.positions - primitive.positions[j]
    cells = np.rint(cells @ np.linalg.inv(primitive.cell)).astype(int)
    # Every q is a multiple of 1 / size, and so is every phase.
    turns = np.exp(-2j * np.pi * np.arange(size) / size)
    phases = turns[cells @ np.rint(size * qpoints.T).astype(int) % size]  # (n_supercell, n_q)
    # R_ik is the cell of k minus that of i.
    own = phases[primitive.p2s_map].T.conj() * (weights / size)[:, None]  # (n_q, n)
    blocks = (lattice.reshape(n_q, n, 3, n, 3) * own[:, :, None, None, None]).transpose(3, 0, 1, 2, 4)
    blocks = np.concatenate([blocks.real, -blocks.imag], 1).reshape(n, 2 * n_q, n * 9)
    waves = np.concatenate([phases.real, phases.imag], 1)
    constants = np.empty((n, len(supercell), 3, 3))
    for image in range(n):
        where = np.flatnonzero(j == image)
        constants[:, where] = (waves[where] @ blocks[image]).reshape(-1, n, 3, 3).swapaxes(0, 1)
    return constants


def images_of(cells: Cells) -> np.ndarray:
    """(n_supercell,) which primitive atom each atom of the supercell is an image of."""
    return np.array([cells.primitive.p2p_map[s] for s in cells.primitive.s2p_map])


def validate_constants(constants: np.ndarray, phonopy: Phonopy) -> np.ndarray:
    """The constants as a float array, refused where phonopy would take them and fail later.

    Raises:
        InputError: a shape that fits neither the compact nor the full layout, or values that are not finite.
    """
    constants = np.asarray(constants, float)
    n, m = len(phonopy.primitive), len(phonopy.supercell)
    if constants.shape not in ((n, m, 3, 3), (m, m, 3, 3)):
        raise InputError(
            f"the force constants have shape {constants.shape}",
            "phonopy accepts any shape and fails later, or gives wrong frequencies",
            f"give ({n}, {m}, 3, 3) (compact) or ({m}, {m}, 3, 3), in phonopy's order of atoms",
        )
    if not np.isfinite(constants).all():
        raise InputError(
            f"{np.count_nonzero(~np.isfinite(constants))} force constants are not finite",
            "frequencies would not be numbers",
            "check the structure for atoms on top of each other",
        )
    return constants


def interpolated_dynamical_matrices(phonopy: Phonopy, qpoints: np.ndarray) -> np.ndarray:
    """D(q) that phonopy interpolates from its supercell constants: (n_q, 3n, 3n) [eV/Å²/amu]."""
    # Not run_qpoints, which would replace the caller's own q-points in the object.
    builder = dynamical_matrix(phonopy)
    result = []
    for q in np.asarray(qpoints, float):
        builder.run(q)
        result.append(np.array(builder.dynamical_matrix))
    return np.array(result)


def interpolation_errors(phonopy: Phonopy, exact: np.ndarray, qpoints: np.ndarray) -> np.ndarray:
    """Frequencies interpolated from the supercell minus exact ones, (n_q, n_branches) [THz].

    Args:
        phonopy: with force constants, without nac_params.
        exact: (n_q, 3n, 3n) exact D(q) of `phonopy.primitive` in phonopy's convention [eV/Å²/amu].
        qpoints: (n_q, 3) reduced coordinates of these.
    """
    return frequencies_thz(interpolated_dynamical_matrices(phonopy, qpoints)) - frequencies_thz(exact)


def compact_constants(phonopy: Phonopy) -> np.ndarray:
    """The constants of a Phonopy object in the compact layout (n_primitive, n_supercell, 3, 3) [eV/Å²].

    Raises:
        InputError: it has none.
    """
    constants = phonopy.force_constants
    if constants is None:
        raise InputError(
            "the Phonopy object has no force constants", "there is nothing to check", "fill it with get_force_constants"
        )
    full = constants.shape[0] == len(phonopy.supercell) and len(phonopy.supercell) != len(phonopy.primitive)
    return constants[phonopy.primitive.p2s_map] if full else constants
