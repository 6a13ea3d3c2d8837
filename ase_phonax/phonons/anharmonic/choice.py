"""The smallest supercell whose third-order constants hold between its wave vectors: chosen by its error.

Where exact third derivatives are not known, supercells are compared with each other, as those of second order are
(`supercell.comparison`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ...base.errors import InputError, check_calculator
from ...structures.checks import require_crystal
from ..calculators import knows_matrices
from ..defaults import EVERYWHERE, MAX_THIRD_ORDER_ATOMS, THIRD_ORDER_STEPS, THIRD_ORDER_TOLERANCE
from ..supercell.choice import supercell_candidates
from ..supercell.comparison import GROWTH, smaller_supercell
from ..supercell.constants import crystal_atoms
from ..supercell.objects import build_phonopy
from .interpolation import exact_triplets, interpolated_triplets, probe_triplets, third_order_error, triplets_error

if TYPE_CHECKING:
    from ase import Atoms

    from ...base.progress import Progress
    from ..calculators import DisplacingCalculator, EvaluatedThirdOrderCalculator

_SMALLEST_ATOMS = 16  # smaller supercells hardly ever suffice
_COMPARABLE = 0.5  # of the constants; a supercell that misses more of a larger one says little of it


@dataclass(frozen=True)
class ThirdOrderChoice:
    """A supercell for constants of third order, and those tried on the way to it.

    Attributes:
        matrix: (3, 3) in phonopy's sense, in the basis of the cell given.
        n_atoms: of the supercell.
        error: RMS of interpolated less exact Phi(q1, q2, q3) over RMS of exact ones, weighted by masses as phonons
            feel them, between the wave vectors that fit the supercell; the larger supercell in place of exact ones
            where these are not known.
        tolerance: what was asked for.
        tried: (matrix, atoms, error) of every supercell tried, in that order; of a comparison, of each but the last.
        constants: (n_primitive, n_supercell, n_supercell, 3, 3, 3) of the supercell chosen [eV/Å³].
        against: atoms of the other supercell of a comparison; 0 for exact derivatives, or where there is no other one
            (its error is infinite).
        noise: what steps twice as long change, of displacements, in the terms of `error`; None for exact derivatives.
    """

    matrix: NDArray[np.int64]
    n_atoms: int
    error: float
    tolerance: float
    tried: tuple[tuple[NDArray[np.int64], int, float], ...]
    constants: NDArray[np.float64]
    against: int = 0
    noise: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the tolerance is met; if not, this is the one that was stated, or the largest allowed."""
        return self.error <= self.tolerance


def choose_third_order_supercell(
    atoms: Atoms,
    calc: EvaluatedThirdOrderCalculator | DisplacingCalculator,
    tolerance: float = THIRD_ORDER_TOLERANCE,
    max_atoms: int = MAX_THIRD_ORDER_ATOMS,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> ThirdOrderChoice:
    """The smallest supercell whose interpolated third-order constants meet a tolerance.

    Args:
        atoms: crystal, usually primitive and relaxed.
        calc: a `PhonaxCalculator`, or a `DisplacementCalculator`.
        tolerance: relative error of Phi(q1, q2, q3) allowed (`ThirdOrderChoice.error`).
        max_atoms: of the supercell; where none meets the tolerance the largest is returned.
        progress: called with (done, total) of one supercell after the other.
        keep: a folder for forces of displaced atoms, from which an interrupted call goes on.

    Raises:
        StructureError: no crystal.
        InputError: a tolerance that is none.
    """
    check_calculator(calc, "get_third_order")
    require_crystal(atoms)
    if not 0 < tolerance < np.inf:
        raise InputError(
            f"the tolerance is {tolerance}", "it is a relative error", "give a number above zero, such as 0.01"
        )
    candidates = supercell_candidates(atoms, max_atoms)
    sizes = [len(atoms) * round(np.linalg.det(matrix)) for matrix in candidates]
    begin = next((k for k, size in enumerate(sizes) if size >= _SMALLEST_ATOMS), len(sizes) - 1)
    if not knows_matrices(calc):
        return _by_comparison(atoms, cast("DisplacingCalculator", calc), candidates[begin:], tolerance, progress, keep)
    calc = cast("EvaluatedThirdOrderCalculator", calc)
    exact = exact_triplets(atoms, calc, probe_triplets(), progress)
    tried: list[tuple[NDArray[np.int64], int, float]] = []
    for matrix, size in zip(candidates[begin:], sizes[begin:], strict=True):
        constants, error = _measured(atoms, calc, matrix, exact, progress)
        tried.append((matrix, size, error))
        if error <= tolerance:
            break
    return ThirdOrderChoice(matrix, size, error, tolerance, tuple(tried), constants)


def stated_third_order_supercell(
    atoms: Atoms,
    calc: EvaluatedThirdOrderCalculator | DisplacingCalculator,
    matrix: NDArray[np.int64],
    tolerance: float = THIRD_ORDER_TOLERANCE,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> ThirdOrderChoice:
    """A supercell that somebody has chosen, (3, 3) in the basis of the cell given, with its constants and its error."""
    if not knows_matrices(calc):
        smaller = smaller_supercell(atoms, matrix, EVERYWHERE)
        is_smaller = not np.isclose(abs(np.linalg.det(smaller)), abs(np.linalg.det(matrix)))
        both = [smaller, matrix] if is_smaller else [matrix]
        return _by_comparison(atoms, cast("DisplacingCalculator", calc), both, tolerance, progress, keep)
    calc = cast("EvaluatedThirdOrderCalculator", calc)
    exact = exact_triplets(atoms, calc, probe_triplets(), progress)
    constants, error = _measured(atoms, calc, matrix, exact, progress)
    size = len(atoms) * round(abs(np.linalg.det(matrix)))
    return ThirdOrderChoice(matrix, size, error, tolerance, ((matrix, size, error),), constants)


def _by_comparison(
    atoms: Atoms,
    calc: DisplacingCalculator,
    candidates: Sequence[NDArray[np.int64]],
    tolerance: float,
    progress: Progress | None,
    keep: Path | None,
) -> ThirdOrderChoice:
    """The larger of the first two supercells that agree within the tolerance, each `GROWTH` times the one before.

    Two that are stated are compared with each other.
    """
    triplets, sizes = probe_triplets(), [len(atoms) * round(abs(np.linalg.det(own))) for own in candidates]
    tried: list[tuple[NDArray[np.int64], int, float]] = []
    index, last, error = 0, len(candidates) - 1, np.inf
    cells = build_phonopy(atoms, candidates[0], is_symmetry=False)
    constants = calc.get_third_order(cells, progress=progress, keep=keep)
    before = interpolated_triplets(constants, cells, triplets)
    masses, known = crystal_atoms(cells.primitive).get_masses(), [(cells, before)]
    while index < last and error > tolerance:
        larger = next((k for k in range(index + 1, last) if sizes[k] >= GROWTH * sizes[index]), last)
        cells = build_phonopy(atoms, candidates[larger], is_symmetry=False)
        constants = calc.get_third_order(cells, progress=progress, keep=keep)
        after = interpolated_triplets(constants, cells, triplets)
        error = triplets_error(before, after, masses)
        tried.append((candidates[index], sizes[index], error))
        index, before = larger, after
        known.append((cells, after))
    against = tried[-1][1] if tried else 0
    # Of the smaller one, at a part of the cost, unless symmetry folds its constants, and their noise, to nothing.
    comparable = len(known) > 1 and error < _COMPARABLE
    of_cells, own = known[-2] if comparable else known[-1]
    doubled = calc.get_third_order(of_cells, progress=progress, step=2 * THIRD_ORDER_STEPS * calc.step, keep=keep)
    noise = triplets_error(interpolated_triplets(doubled, of_cells, triplets), own, masses)
    return ThirdOrderChoice(candidates[index], sizes[index], error, tolerance, tuple(tried), constants, against, noise)


def _measured(
    atoms: Atoms,
    calc: EvaluatedThirdOrderCalculator,
    matrix: NDArray[np.int64],
    exact: NDArray[np.complex128],
    progress: Progress | None,
) -> tuple[NDArray[np.float64], float]:
    """Constants of a supercell, and their error at `probe_triplets`, where `exact` is known."""
    phonopy = build_phonopy(atoms, matrix, is_symmetry=False)
    constants = calc.get_third_order(phonopy, progress=progress)
    return constants, third_order_error(constants, phonopy, exact, probe_triplets())
