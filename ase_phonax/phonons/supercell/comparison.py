"""Supercells compared with each other, where exact D(q) is not known.

Frequencies interpolated from one supercell and from a larger one differ by what the smaller one misses, as long as
constants fade. It is an estimate: what both miss is not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy

from ...derivatives.conventions import frequencies_thz
from ..calculators import ForceConstantsCalculator
from ..defaults import EVERYWHERE, MAX_ATOMS, TOLERANCE_THZ
from .checks import probes_for
from .choice import FIRST_DISTANCE, SupercellChoice, image_distance, supercell_candidates
from .constants import crystal_atoms, interpolated_dynamical_matrices
from .objects import build_phonopy

if TYPE_CHECKING:
    from ...base.progress import Progress

GROWTH = 1.4  # of the number of atoms from one supercell to the next


def choose_by_comparison(
    atoms: Atoms,
    calc: ForceConstantsCalculator,
    tolerance_thz: float = TOLERANCE_THZ,
    max_atoms: int = MAX_ATOMS,
    repeated: tuple[bool, bool, bool] = EVERYWHERE,
    progress: Progress | None = None,
) -> SupercellChoice:
    """The first supercell from which frequencies are those of the one before it, within a tolerance.

    Arguments are those of `choice.choose_supercell`. Of the two that agree, the larger is returned, as it is known.
    """
    free = np.array(repeated)
    candidates = supercell_candidates(atoms, max_atoms, repeated)
    sizes = [len(atoms) * round(np.linalg.det(matrix)) for matrix in candidates]
    last = len(candidates) - 1
    index = next((i for i, m in enumerate(candidates) if image_distance(m, atoms, free) >= FIRST_DISTANCE), last)
    index = min(index, max(last - 1, 0))
    tried, error = [], np.inf
    before = probe_frequencies(atoms, calc, candidates[index], repeated, progress)
    while index < last and error > tolerance_thz:
        larger = next((i for i in range(index + 1, last) if sizes[i] >= GROWTH * sizes[index]), last)
        after = probe_frequencies(atoms, calc, candidates[larger], repeated, progress)
        error = float(np.sqrt(np.mean((after - before) ** 2)))
        tried.append((candidates[index], sizes[index], error))
        index, before = larger, after
    against = tried[-1][1] if tried else sizes[index]
    return SupercellChoice(candidates[index], sizes[index], error, tolerance_thz, tuple(tried), against)


def smaller_supercell(atoms: Atoms, matrix: NDArray[np.int64], repeated: tuple[bool, bool, bool]) -> NDArray[np.int64]:
    """(3, 3) the largest candidate with fewer atoms than a supercell; the cell itself where there is none."""
    n_atoms = len(atoms) * round(abs(np.linalg.det(matrix)))
    candidates = supercell_candidates(atoms, max(len(atoms), n_atoms - 1), repeated)
    smaller = [m for m in candidates if len(atoms) * round(np.linalg.det(m)) < n_atoms]
    return smaller[-1] if smaller else np.eye(3, dtype=np.int64)


def errors_by_comparison(
    phonopy: Phonopy,
    calc: ForceConstantsCalculator,
    repeated: tuple[bool, bool, bool] = EVERYWHERE,
    smaller: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], int]:
    """Frequencies of a supercell at `checks.probes_for` minus those of a smaller one.

    Args:
        phonopy: with force constants, of a crystal whose cell is primitive.
        smaller: (3, 3) the other; `smaller_supercell` unless given.

    Returns:
        (n_q, n_branches) [THz], and the number of atoms of the other supercell.
    """
    atoms = crystal_atoms(phonopy.unitcell)
    matrix = smaller_supercell(atoms, np.asarray(phonopy.supercell_matrix), repeated) if smaller is None else smaller
    own = frequencies_thz(interpolated_dynamical_matrices(phonopy, probes_for(calc, repeated)))
    others = probe_frequencies(atoms, calc, matrix, repeated, progress)
    return own - others, len(atoms) * round(abs(np.linalg.det(matrix)))


def probe_frequencies(
    atoms: Atoms,
    calc: ForceConstantsCalculator,
    matrix: NDArray[np.int64],
    repeated: tuple[bool, bool, bool],
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Frequencies interpolated from a supercell at `checks.probes_for`: (n_q, n_branches) [THz]."""
    phonopy = build_phonopy(atoms, matrix, is_symmetry=False)
    phonopy.force_constants = calc.get_force_constants(phonopy, progress=progress)
    return frequencies_thz(interpolated_dynamical_matrices(phonopy, probes_for(calc, repeated)))
