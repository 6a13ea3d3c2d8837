"""Force constants on a supercell from exact D(q), and the checks of every result.

Conventions (phases, signs, units): docs/conventions.md. `Phonopy` objects come in and arrays go out;
nothing is written and nothing is repaired.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points_in_integers
from phonopy.structure.atoms import PhonopyAtoms
from spglib import SpglibDataset

from .crystals import get_operations
from .errors import InputError, StructureError
from .phonopy_objects import checked
from .stars import exact_operations, rotated
from .units import THZ_PER_SQRT_EV_A2_AMU

# Incommensurate wave vectors at which interpolated and exact D(q) are compared: fixed, so that two runs
# print the same number, and spread evenly over the zone: the additive recurrence of powers of 1/g, where
# g^4 = g + 1 (M. Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018).
PROBES = (0.5 + np.outer(np.arange(1, 11), 1.2207440846057596 ** -np.arange(1.0, 4.0))) % 1.0 - 0.5


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


def phonopy_dynamical_matrices(
    lattice: np.ndarray, qpoints: np.ndarray, scaled_positions: np.ndarray, masses: np.ndarray
) -> np.ndarray:
    """From the lattice phase to phonopy's convention.

    D_ij(q) = exp[2 pi i q.(f_j - f_i)] sum_R Phi_ij(R) exp(2 pi i q.R) / sqrt(m_i m_j).

    Args:
        lattice: (n_q, 3n, 3n) sums over R [eV/Å²].
        qpoints: (n_q, 3) reduced.
        scaled_positions: (n, 3) of the atoms the lattice sums refer to, not wrapped.
        masses: (n,) [amu].

    Returns:
        (n_q, 3n, 3n) complex [eV/Å²/amu].
    """
    phase = np.repeat(np.exp(2j * np.pi * np.asarray(qpoints) @ scaled_positions.T), 3, axis=1)
    root = np.repeat(np.sqrt(masses), 3)
    return phase.conj()[:, :, None] * lattice * phase[:, None, :] / np.outer(root, root)


def phonopy_dynamical_gradients(
    lattice: np.ndarray,
    slopes: np.ndarray,
    qpoints: np.ndarray,
    scaled_positions: np.ndarray,
    masses: np.ndarray,
    cell: np.ndarray,
) -> np.ndarray:
    """dD/dk in phonopy's convention, k in 1/Å without 2 pi.

    Args:
        lattice: (n_q, 3n, 3n) as in `phonopy_dynamical_matrices` [eV/Å²].
        slopes: (n_q, 3, 3n, 3n) its derivatives along the reduced components of q [eV/Å²].
        cell: (3, 3) lattice vectors in rows [Å]; the others as there.

    Returns:
        (n_q, 3, 3n, 3n) along x, y, z [eV/Å/amu].
    """
    apart = np.repeat(np.repeat(scaled_positions[None] - scaled_positions[:, None], 3, 0), 3, 1)
    full = slopes + 2j * np.pi * np.moveaxis(apart, -1, 0) * lattice[:, None]
    along = [phonopy_dynamical_matrices(full[:, x], qpoints, scaled_positions, masses) for x in range(3)]
    # q_x = a_x.k, so that d/dk = sum over x of a_x d/dq_x.
    return np.einsum("xqij,xa->qaij", along, cell)


def frequencies_thz(dynamical: np.ndarray) -> np.ndarray:
    """Frequencies (..., 3n) [THz], ascending, imaginary ones negative, of D(q) [eV/Å²/amu]."""
    eigenvalues = np.linalg.eigvalsh(dynamical)
    return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU


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
    """Of the integer matrix that makes the supercell from the primitive cell."""
    size = abs(round(np.linalg.det(repeats)))
    # Exact integers: q = numerators / size.
    numerators = get_commensurate_points_in_integers(np.transpose(repeats)) % size
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


def constants_from_lattice_matrices(
    lattice: np.ndarray, qpoints: np.ndarray, weights: np.ndarray, phonopy: Phonopy
) -> np.ndarray:
    """Inverse Fourier sum over commensurate q onto phonopy's supercell.

    Phi(i, k) = (1/N) sum_q Re[D_ij(q) exp(-2 pi i q.R_ik)], with k an image of the primitive atom j in the
    cell R_ik seen from i. The result is the exact periodic fold sum_T Phi(R + T), the zero-step limit
    of finite displacements on that supercell.

    Args:
        lattice: (n_q, 3n, 3n) of `phonopy.primitive` as its atoms lie there [eV/Å²].
        qpoints, weights: of `commensurate_qpoints`.

    Returns:
        (n_primitive, n_supercell, 3, 3) compact constants in phonopy's order [eV/Å²].
    """
    primitive, supercell = phonopy.primitive, phonopy.supercell
    n, n_q, size = len(primitive), len(qpoints), int(weights.sum())
    j = _images_of(phonopy)
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


def _images_of(phonopy: Phonopy) -> np.ndarray:
    """(n_supercell,) which primitive atom each atom of the supercell is an image of."""
    return np.array([phonopy.primitive.p2p_map[s] for s in phonopy.primitive.s2p_map])


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
    matrix: Any = phonopy.dynamical_matrix
    result = []
    for q in np.asarray(qpoints, float):
        matrix.run(q)
        result.append(matrix.dynamical_matrix.copy())
    return np.array(result)


def checks(
    phonopy: Phonopy, exact: Callable[..., np.ndarray], qpoints: Sequence | np.ndarray = PROBES
) -> dict[str, float]:
    """Numerical noise, symmetry of the structure, error of the supercell.

    Args:
        phonopy: with compact or full force constants.
        exact: exact(q-points, symmetry=...) -> D(q) of `phonopy.primitive` in phonopy's convention
            [eV/Å²/amu]; with symmetry=False each q-point by itself.
        qpoints: where interpolation is compared with it.

    Returns:
        acoustic_sum_rule, hermiticity, space_group_residual: largest violation over the largest constant
            (the last one also that of an exact D(q) over its own largest entry);
        interpolation_error_thz, interpolation_error_max_thz: RMS and largest, over branches and q, of the
            frequency differences.

    Raises:
        InputError: no force constants; or NAC parameters, which the exact matrices know nothing of.
    """
    if checked(phonopy).nac_params is not None:
        raise InputError(
            "the Phonopy object has nac_params",
            "its interpolated D(q) then holds a dipole term that the exact D(q) of a short-range model lacks",
            "compare before setting nac_params",
        )
    constants = compact_constants(phonopy)
    largest = np.abs(constants).max() or 1.0
    qpoints = np.asarray(qpoints, float)
    operations = exact_operations(crystal_atoms(phonopy.primitive), phonopy.symmetry.tolerance)
    # One wave vector once more, moved by an operation: constants are unfolded with the symmetry, so that
    # only an exact matrix can say whether it holds.
    last = len(operations.rotations) - 1
    moved = np.linalg.solve(operations.rotations[last].T, qpoints[0])
    found, image = exact(qpoints, symmetry=True), exact(moved[None], symmetry=False)[0]
    difference = interpolation_errors(phonopy, found, qpoints)
    asymmetry = np.abs(rotated(found[0], last, operations) - image).max() / (np.abs(image).max() or 1.0)
    return {
        "acoustic_sum_rule": float(np.abs(constants.sum(axis=1)).max() / largest),
        "hermiticity": float(_hermiticity(phonopy, constants) / largest),
        "space_group_residual": float(max(asymmetry, _space_group_residual(phonopy, constants) / largest)),
        "interpolation_error_thz": float(np.sqrt(np.mean(difference**2))),
        "interpolation_error_max_thz": float(np.abs(difference).max()),
    }


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


def _image_finder(phonopy: Phonopy) -> Callable[[np.ndarray], np.ndarray]:
    """Positions (m, 3) [Å] -> indices of the supercell atoms nearest to there, modulo its lattice."""
    primitive, supercell = phonopy.primitive, phonopy.supercell
    to_primitive = np.linalg.inv(primitive.cell)
    repeats = np.rint(supercell.cell @ to_primitive).astype(int)
    size = abs(round(np.linalg.det(repeats)))
    to_supercell = np.rint(np.linalg.inv(repeats) * size).astype(int)
    home = primitive.positions @ to_primitive

    def keys(positions: np.ndarray) -> list[tuple[int, ...]]:
        from_home = positions @ to_primitive - home[:, None]
        cells = np.rint(from_home).astype(int)
        j = np.linalg.norm((from_home - cells) @ primitive.cell, axis=2).argmin(axis=0)
        cosets = cells[j, np.arange(len(positions))] @ to_supercell % size
        return list(map(tuple, np.column_stack([j, cosets]).tolist()))

    table = {key: index for index, key in enumerate(keys(supercell.positions))}
    return lambda positions: np.array([table[key] for key in keys(positions)])


def _hermiticity(phonopy: Phonopy, constants: np.ndarray) -> float:
    """Largest |Phi(i, k) - Phi(k, i)^T|, the partner found by lattice translation."""
    primitive, supercell = phonopy.primitive, phonopy.supercell
    find, worst = _image_finder(phonopy), 0.0
    j = _images_of(phonopy)
    home = supercell.positions[primitive.p2s_map]
    for i in range(len(primitive)):
        # Seen from k's representative in the home cell, atom i lies at the opposite lattice vector.
        partner = find(home[i] + home[j] - supercell.positions)
        worst = max(worst, float(np.abs(constants[i] - constants[j, partner].transpose(0, 2, 1)).max()))
    return worst


def _space_group_residual(phonopy: Phonopy, constants: np.ndarray) -> float:
    """Largest |Phi(gi, gk) - W Phi(i, k) W^T| over the operations of the crystal that keep the supercell.

    Others have no meaning on that supercell: an anisotropic one is checked against fewer.
    """
    primitive, supercell = phonopy.primitive, phonopy.supercell
    rotations, translations = get_operations(crystal_atoms(primitive), phonopy.symmetry.tolerance)
    find, worst = _image_finder(phonopy), 0.0
    j = _images_of(phonopy)
    home = supercell.positions[primitive.p2s_map]
    for rotation, translation in zip(rotations, translations, strict=True):
        w = primitive.cell.T @ rotation @ np.linalg.inv(primitive.cell.T)
        lattice = supercell.cell @ w.T @ np.linalg.inv(supercell.cell)
        if not np.allclose(lattice, np.rint(lattice), atol=1e-3):
            continue
        shift = translation @ primitive.cell
        for i in range(len(primitive)):
            moved = home[i] @ w.T + shift
            target = j[find(moved[None])[0]]
            # Translate so that the image of i is its representative again.
            images = find(supercell.positions @ w.T + shift - moved + home[target])
            rotated = np.einsum("ab,kbc,dc->kad", w, constants[i], w)
            worst = max(worst, float(np.abs(constants[target, images] - rotated).max()))
    return worst
