"""The smallest supercell that is large enough: chosen by its error, not guessed.

With exact D(q) at hand the error of interpolating from a supercell can be measured, and so supercells
are tried from small to large until one meets a tolerance. Candidates keep the point group and hold their
images as far apart as repeats of the primitive or the conventional cell allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

from ...base.errors import check_calculator
from ...derivatives.conventions import frequencies_thz
from ...structures.lattices import cell_heights
from ...structures.space_groups import SYMPREC, get_conventional_matrix, get_operations
from ..calculators import CrystalCalculator
from ..defaults import EVERYWHERE, MAX_ATOMS, TOLERANCE_THZ
from .checks import probes_for
from .constants import interpolated_dynamical_matrices
from .objects import build_phonopy

if TYPE_CHECKING:
    from ...base.progress import Progress

FIRST_DISTANCE = 7.0  # [Å] between images where the search begins: smaller ones hardly ever suffice


@dataclass(frozen=True)
class SupercellChoice:
    """A supercell, and those tried on the way to it.

    Attributes:
        matrix: (3, 3) in phonopy's sense, in the basis of the cell given.
        n_atoms: of the supercell.
        error_thz: RMS over branches and probes of interpolated against exact frequencies [THz].
        tolerance_thz: what was asked for [THz].
        tried: (matrix, atoms, error) of every supercell tried, in that order.
        against: atoms of the supercell that it was compared with; 0 for exact D(q).
    """

    matrix: NDArray[np.int64]
    n_atoms: int
    error_thz: float
    tolerance_thz: float
    tried: tuple[tuple[NDArray[np.int64], int, float], ...]
    against: int = 0

    @property
    def reached(self) -> bool:
        """Whether the tolerance is met; if not, this is the largest supercell allowed."""
        return self.error_thz <= self.tolerance_thz


def supercell_candidates(
    atoms: Atoms, max_atoms: int = MAX_ATOMS, repeated: tuple[bool, bool, bool] = EVERYWHERE, symprec: float = SYMPREC
) -> list[NDArray[np.int64]]:
    """Supercells from small to large, the images of an atom further apart in each than in the last.

    That distance decides up to where constants of a supercell are those of the crystal; for one number of
    atoms it is largest in nearly cubic and close-packed lattices.

    Args:
        atoms: crystal, usually primitive.
        max_atoms: largest supercell; the cell itself is a candidate even if it is larger.
        repeated: directions that may be repeated; not the vacuum of a layer.
        symprec: of the point group that a supercell has to keep [Å].

    Returns:
        (3, 3) matrices in phonopy's sense.
    """
    rotations = np.unique(get_operations(atoms, symprec)[0], axis=0)
    free, one = np.array(repeated), np.eye(3, dtype=np.int64)
    matrices = [one]
    for basis in [one, get_conventional_matrix(atoms, symprec)] if free.all() else [one]:
        heights = cell_heights(basis.T @ atoms.cell[:])
        largest = max_atoms // (len(atoms) * round(np.linalg.det(basis)))
        # Fewest repeats that reach a height, for every height at which one of the numbers changes.
        for target in np.outer(np.arange(1, largest + 1), heights[free]).ravel():
            repeats = np.where(free, np.ceil(target / heights - 1e-6), 1).astype(np.int64)
            matrices.append(basis @ np.diag(repeats))
    sizes = [round(np.linalg.det(matrix)) for matrix in matrices]
    kept, furthest = [one], image_distance(one, atoms, free)
    distances = [image_distance(matrix, atoms, free) for matrix in matrices]
    faces = [cell_heights(matrix.T @ atoms.cell[:])[free].min(initial=np.inf) for matrix in matrices]
    # Of equal size the one with the furthest images first, and then the roundest.
    for index in np.lexsort((-np.array(faces), -np.round(distances, 6), np.array(sizes))):
        small = sizes[index] * len(atoms) <= max_atoms
        if small and distances[index] > furthest + 1e-6 and _keeps(matrices[index], rotations):
            kept.append(matrices[index])
            furthest = distances[index]
    return kept


def choose_supercell(
    atoms: Atoms,
    calc: CrystalCalculator,
    tolerance_thz: float = TOLERANCE_THZ,
    max_atoms: int = MAX_ATOMS,
    repeated: tuple[bool, bool, bool] = EVERYWHERE,
    progress: Progress | None = None,
) -> SupercellChoice:
    """The smallest candidate whose interpolated frequencies meet a tolerance.

    Args:
        atoms: crystal, usually primitive and relaxed.
        calc: a `PhonaxCalculator`; it remembers the matrices, so the constants cost nothing afterwards.
        tolerance_thz: RMS frequency difference allowed, over branches and `supercell.checks.probes_for` [THz].
        max_atoms: of the supercell; where none meets the tolerance the largest is returned.
        repeated: directions that may be repeated.
        progress: called with (done, total) columns.
    """
    check_calculator(calc, "get_dynamical_matrix")
    free = np.array(repeated)
    probes = probes_for(calc, repeated)
    exact = frequencies_thz(calc.get_dynamical_matrix(atoms, probes, progress=progress))
    candidates = supercell_candidates(atoms, max_atoms, repeated)
    sizes = [len(atoms) * round(np.linalg.det(matrix)) for matrix in candidates]
    errors: dict[int, float] = {}

    def meets(index: int) -> bool:
        errors[index] = _interpolation_error(atoms, calc, candidates[index], probes, exact, progress)
        return errors[index] <= tolerance_thz

    last = len(candidates) - 1
    index = next((i for i, m in enumerate(candidates) if image_distance(m, atoms, free) >= FIRST_DISTANCE), last)
    while not meets(index) and index < last:
        # Far from the goal, small steps would only cost time; what is left out is tried afterwards.
        growth = 1.0 + min(1.5, 0.2 * errors[index] / tolerance_thz)
        index = next((i for i in range(index + 1, last) if sizes[i] >= growth * sizes[index]), last)
    if errors[index] <= tolerance_thz:
        failed = max((i for i, error in errors.items() if error > tolerance_thz), default=-1)
        index = next((i for i in range(failed + 1, index) if meets(i)), index)
    return SupercellChoice(
        candidates[index],
        sizes[index],
        errors[index],
        tolerance_thz,
        tuple((candidates[i], sizes[i], error) for i, error in errors.items()),
    )


def _interpolation_error(
    atoms: Atoms,
    calc: CrystalCalculator,
    matrix: NDArray[np.int64],
    probes: NDArray[np.float64],
    exact: NDArray[np.float64],
    progress: Progress | None,
) -> float:
    """RMS of what frequencies at the probes are off by where they are interpolated from a supercell [THz]."""
    phonopy = build_phonopy(atoms, matrix, is_symmetry=False)
    phonopy.force_constants = calc.get_force_constants(phonopy, progress=progress)
    interpolated = frequencies_thz(interpolated_dynamical_matrices(phonopy, probes))
    return float(np.sqrt(np.mean((interpolated - exact) ** 2)))


def _keeps(matrix: NDArray[np.int64], rotations: NDArray[np.int64]) -> bool:
    """Whether every rotation takes the supercell's lattice, columns of the matrix, to itself."""
    turned = np.linalg.inv(matrix) @ rotations @ matrix
    return bool(np.abs(turned - np.rint(turned)).max() < 1e-6)


def image_distance(matrix: NDArray[np.int64], atoms: Atoms, free: NDArray[np.bool_]) -> float:
    """Length of the shortest vector of the supercell's lattice, in the directions that repeat [Å]."""
    if not free.any():
        return np.inf
    reduced, _ = minkowski_reduce(matrix.T @ atoms.cell[:], pbc=free)
    return float(np.linalg.norm(reduced[free], axis=1).min())
