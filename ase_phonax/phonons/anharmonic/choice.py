"""The smallest supercell whose third-order constants hold between its wave vectors: chosen by its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...base.errors import InputError, check_calculator
from ...structures.checks import require_crystal
from ..defaults import MAX_THIRD_ORDER_ATOMS, THIRD_ORDER_TOLERANCE
from ..supercell.choice import supercell_candidates
from ..supercell.objects import build_phonopy
from .interpolation import exact_triplets, probe_triplets, third_order_error

if TYPE_CHECKING:
    from ase import Atoms

    from ...base.progress import Progress
    from ..calculators import EvaluatedThirdOrderCalculator

_SMALLEST_ATOMS = 16  # smaller supercells hardly ever suffice


@dataclass(frozen=True)
class ThirdOrderChoice:
    """A supercell for constants of third order, and those tried on the way to it.

    Attributes:
        matrix: (3, 3) in phonopy's sense, in the basis of the cell given.
        n_atoms: of the supercell.
        error: RMS of interpolated less exact Phi(q1, q2, q3) over RMS of exact ones, weighted by masses as phonons
            feel them, between the wave vectors that fit the supercell.
        tolerance: what was asked for.
        tried: (matrix, atoms, error) of every supercell tried, in that order.
        constants: (n_primitive, n_supercell, n_supercell, 3, 3, 3) of the supercell chosen [eV/Å³].
    """

    matrix: NDArray[np.int64]
    n_atoms: int
    error: float
    tolerance: float
    tried: tuple[tuple[NDArray[np.int64], int, float], ...]
    constants: NDArray[np.float64]

    @property
    def reached(self) -> bool:
        """Whether the tolerance is met; if not, this is the largest supercell allowed."""
        return self.error <= self.tolerance


def choose_third_order_supercell(
    atoms: Atoms,
    calc: EvaluatedThirdOrderCalculator,
    tolerance: float = THIRD_ORDER_TOLERANCE,
    max_atoms: int = MAX_THIRD_ORDER_ATOMS,
    progress: Progress | None = None,
) -> ThirdOrderChoice:
    """The smallest supercell whose interpolated third-order constants meet a tolerance.

    Args:
        atoms: crystal, usually primitive and relaxed.
        calc: a `PhonaxCalculator`.
        tolerance: relative error of Phi(q1, q2, q3) allowed (`ThirdOrderChoice.error`).
        max_atoms: of the supercell; where none meets the tolerance the largest is returned.
        progress: called with (done, total) of one supercell after the other.

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
    exact = exact_triplets(atoms, calc, probe_triplets(), progress)
    candidates = supercell_candidates(atoms, max_atoms)
    sizes = [len(atoms) * round(np.linalg.det(matrix)) for matrix in candidates]
    begin = next((k for k, size in enumerate(sizes) if size >= _SMALLEST_ATOMS), len(sizes) - 1)
    tried: list[tuple[NDArray[np.int64], int, float]] = []
    for matrix, size in zip(candidates[begin:], sizes[begin:], strict=True):
        constants, error = _measured(atoms, calc, matrix, exact, progress)
        tried.append((matrix, size, error))
        if error <= tolerance:
            break
    return ThirdOrderChoice(matrix, size, error, tolerance, tuple(tried), constants)


def stated_third_order_supercell(
    atoms: Atoms,
    calc: EvaluatedThirdOrderCalculator,
    matrix: NDArray[np.int64],
    tolerance: float = THIRD_ORDER_TOLERANCE,
    progress: Progress | None = None,
) -> ThirdOrderChoice:
    """A supercell that somebody has chosen, (3, 3) in the basis of the cell given, with its constants and its error."""
    exact = exact_triplets(atoms, calc, probe_triplets(), progress)
    constants, error = _measured(atoms, calc, matrix, exact, progress)
    size = len(atoms) * round(abs(np.linalg.det(matrix)))
    return ThirdOrderChoice(matrix, size, error, tolerance, ((matrix, size, error),), constants)


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
