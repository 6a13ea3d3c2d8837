"""How well a supercell's third-order constants hold between its wave vectors: interpolated against exact ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..supercell.checks import PROBES
from ..supercell.constants import Cells, crystal_atoms, images_of

if TYPE_CHECKING:
    from ase import Atoms

    from ...base.progress import Progress
    from ..calculators import EvaluatedCalculator

N_TRIPLETS = 6


def probe_triplets() -> NDArray[np.float64]:
    """Triplets of wave vectors that fit no supercell, two of each from `supercell.checks.PROBES`: (m, 3, 3) reduced."""
    first, second = PROBES[:N_TRIPLETS], np.roll(PROBES, 3, axis=0)[:N_TRIPLETS]
    return np.stack([first, second, -first - second], 1)


def exact_triplets(
    atoms: Atoms, calc: EvaluatedCalculator, triplets: NDArray[np.float64], progress: Progress | None = None
) -> NDArray[np.complex128]:
    """Exact Phi(q1, q2, q3) of triplets (m, 3, 3): (m, 3n, 3n, 3n), phases of atoms' places [eV/Å³]."""
    calc.evaluator.require_neighbours(atoms)
    numbers = np.arange(3 * len(triplets)).reshape(-1, 3)
    matrices = calc.evaluator.triplet_matrices(atoms, triplets.reshape(-1, 3), numbers, progress)
    # exp 2 pi i q.f of each leg: q1.f_i + q2.f_j + q3.f_k is q2.(f_j - f_i) + q3.(f_k - f_i) where the three close.
    places = np.linalg.solve(atoms.cell.array.T, atoms.positions.T)
    phases = np.repeat(np.exp(2j * np.pi * triplets @ places), 3, axis=2)  # (m, 3, 3n)
    return np.einsum("mabc,ma,mb,mc->mabc", matrices, phases[:, 0], phases[:, 1], phases[:, 2], optimize=True)


def interpolated_triplets(
    constants: NDArray[np.float64], cells: Cells, triplets: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """The same from constants of a supercell, by shortest vectors from each of the three atoms, as phono3py has it.

    Args:
        constants: (n_primitive, n_supercell, n_supercell, 3, 3, 3) [eV/Å³].
    """
    n, images = len(cells.primitive), images_of(cells)
    vectors, multiplicity = cells.primitive.get_smallest_vectors()
    own = np.zeros((n, len(images), n))
    own[:, np.arange(len(images)), images] = 1  # sums over the images of an atom
    result = np.empty((len(triplets), *(3 * (3 * n,))), complex)
    for number, q in enumerate(triplets):
        waves = np.exp(2j * np.pi * q @ vectors.T)  # (3, vectors)
        phases = np.empty((3, n, len(images)), complex)
        for image in range(len(images)):
            for atom in range(n):
                count, begin = multiplicity[image, atom]
                phases[:, atom, image] = waves[:, begin : begin + count].mean(axis=1)
        total: NDArray[np.complex128] | float = 0.0
        for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):  # the leg that vectors begin at stands first
            one, two = (phases[leg][:, :, None] * own for leg in order[1:])  # (i, J, j)
            leg = np.einsum("iJKxyz,iJj,iKk->ixjykz", constants, one, two, optimize=True)
            total = total + leg.reshape(3 * n, 3 * n, 3 * n).transpose(np.argsort(order))
        result[number] = total / 3
    return result


def third_order_error(
    constants: NDArray[np.float64], cells: Cells, exact: NDArray[np.complex128], triplets: NDArray[np.float64]
) -> float:
    """Root mean square of what interpolation misses over that of what is exact, with masses as phonons feel them.

    Args:
        exact: (m, 3n, 3n, 3n) of `exact_triplets`.
    """
    masses = crystal_atoms(cells.primitive).get_masses()
    return triplets_error(interpolated_triplets(constants, cells, triplets), exact, masses)


def triplets_error(found: NDArray[np.complex128], right: NDArray[np.complex128], masses: NDArray[np.float64]) -> float:
    """Root mean square of what is missed over that of what is right, both (m, 3n, 3n, 3n), masses (n,) [amu]."""
    scale = np.repeat(1 / np.sqrt(masses), 3)
    weights = scale[:, None, None] * scale[:, None] * scale
    return float(np.linalg.norm((found - right) * weights) / np.linalg.norm(right * weights))
