"""What force constants have to fulfil, measured."""

from collections.abc import Callable, Sequence

import numpy as np
from phonopy import Phonopy

from ...derivatives.stars import exact_operations, rotated
from ...structures.space_groups import get_operations
from ..calculators import DirectedCalculator, charges_on_one_side
from ..defaults import EVERYWHERE
from .constants import compact_constants, crystal_atoms, images_of, interpolation_errors
from .door import checked
from .images import image_finder, transposed

# Incommensurate wave vectors at which interpolated and exact D(q) are compared: fixed, so that two runs
# print the same number, and spread evenly over the zone: the additive recurrence of powers of 1/g, where
# g^4 = g + 1 (M. Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018).
PROBES = (0.5 + np.outer(np.arange(1, 11), 1.2207440846057596 ** -np.arange(1.0, 4.0))) % 1.0 - 0.5
# Where there are charges, LO branches are hardest to interpolate between Gamma and the supercell's first wave vectors.
_NEAR_GAMMA = 0.3 * PROBES[:5]


def probes_for(calc: object, repeated: Sequence[bool] = EVERYWHERE) -> np.ndarray:
    """Wave vectors at which a calculator's D(q) is compared with what is interpolated, (n_q, 3) reduced.

    Args:
        calc: one with the interaction of dipoles is asked near Gamma as well.
        repeated: directions that the crystal extends in.
    """
    chosen = np.concatenate([PROBES, _NEAR_GAMMA]) if isinstance(calc, DirectedCalculator) else PROBES
    return np.where(np.array(repeated), chosen, 0.0)


def checks(
    phonopy: Phonopy, exact: Callable[..., np.ndarray], qpoints: Sequence | np.ndarray = PROBES, charged: bool = False
) -> dict[str, float]:
    """Numerical noise of force constants, symmetry of their structure, error of their supercell.

    Args:
        phonopy: with compact or full force constants.
        exact: exact(q-points, symmetry=...) -> D(q) of `phonopy.primitive` in phonopy's convention
            [eV/Å²/amu]; with symmetry=False each q-point by itself.
        qpoints: where interpolation is compared with it.
        charged: it contains the interaction of dipoles, as the object's nac_params do.

    Returns:
        acoustic_sum_rule, hermiticity, space_group_residual: largest violation over the largest constant
            (the last one also that of an exact D(q) over its own largest entry);
        interpolation_error_thz, interpolation_error_max_thz: RMS and largest, over branches and q, of the
            frequency differences.

    Raises:
        InputError: no force constants; or NAC parameters on one side alone.
    """
    if (checked(phonopy).nac_params is not None) != charged:
        raise charges_on_one_side(charged)
    found = constant_checks(phonopy)
    qpoints = np.asarray(qpoints, float)
    operations = exact_operations(crystal_atoms(phonopy.primitive), phonopy.symmetry.tolerance)
    # One wave vector once more, moved by an operation: constants are unfolded with the symmetry, so that
    # only an exact matrix can say whether it holds.
    last = _hardest(operations.cartesian)
    moved = np.linalg.solve(operations.rotations[last].T, qpoints[0])
    matrices, image = exact(qpoints, symmetry=True), exact(moved[None], symmetry=False)[0]
    difference = interpolation_errors(phonopy, matrices, qpoints)
    asymmetry = np.abs(rotated(matrices[0], last, operations) - image).max() / (np.abs(image).max() or 1.0)
    return {
        **found,
        "space_group_residual": float(max(asymmetry, found["space_group_residual"])),
        **error_of(difference),
    }


def constant_checks(phonopy: Phonopy) -> dict[str, float]:
    """The first three of `checks`, of the constants alone."""
    constants = compact_constants(phonopy)
    largest = np.abs(constants).max() or 1.0
    return {
        "acoustic_sum_rule": float(np.abs(constants.sum(axis=1)).max() / largest),
        "hermiticity": float(_hermiticity(phonopy, constants) / largest),
        "space_group_residual": float(_space_group_residual(phonopy, constants) / largest),
    }


def error_of(difference: np.ndarray) -> dict[str, float]:
    """The last two of `checks`, of differences of frequencies [THz]."""
    return {
        "interpolation_error_thz": float(np.sqrt(np.mean(difference**2))),
        "interpolation_error_max_thz": float(np.abs(difference).max()),
    }


def _hardest(cartesian: np.ndarray) -> int:
    """The last operation that is no rotation, which some models do not have; else the last."""
    improper = np.flatnonzero(np.linalg.det(cartesian) < 0)
    return int(improper[-1]) if len(improper) else len(cartesian) - 1


def _hermiticity(phonopy: Phonopy, constants: np.ndarray) -> float:
    """Largest |Phi(i, k) - Phi(k, i)^T|."""
    return float(np.abs(constants - transposed(constants, phonopy)).max())


def _space_group_residual(phonopy: Phonopy, constants: np.ndarray) -> float:
    """Largest |Phi(gi, gk) - W Phi(i, k) W^T| over the operations of the crystal that keep the supercell.

    Others have no meaning on that supercell: an anisotropic one is checked against fewer.
    """
    primitive, supercell = phonopy.primitive, phonopy.supercell
    rotations, translations = get_operations(crystal_atoms(primitive), phonopy.symmetry.tolerance)
    find, worst = image_finder(phonopy), 0.0
    j = images_of(phonopy)
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
