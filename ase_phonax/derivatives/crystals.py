"""D(q) of crystals in phonopy's convention, computed at one member of each star of wave vectors."""

from collections.abc import Callable

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from ..base.progress import Progress
from ..base.sharing import Remembered
from ..structures.lattices import in_short_vectors
from ..structures.space_groups import SYMPREC
from .conventions import phonopy_dynamical_gradients, phonopy_dynamical_matrices, wave_vectors
from .evaluator import Evaluator
from .stars import Operations, Stars, exact_operations, obeyed_operations
from .triplet_stars import compute_all


class Crystals:
    """Second derivatives of crystals by an evaluator. Matrices of the last structure are remembered.

    Several threads may ask at once. A pickle or a copy remembers nothing.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.stars: Remembered[Stars] = Remembered()

    def dynamical_matrices(
        self, atoms: Atoms, qpoints: ArrayLike, symmetry: bool, progress: Progress | None
    ) -> np.ndarray:
        """D(q) with the crystal's own masses: (n_q, 3n, 3n) complex [eV/Å²/amu].

        Args:
            atoms: periodic in three directions.
            qpoints: (n_q, 3) or (3,) reduced.
            symmetry: compute one member of each star; else every wave vector by itself.
            progress: called with (done, total) columns.

        Raises:
            InputError: what are no wave vectors.
            StructureError: atoms that cannot be computed, or one out of reach of all others.
        """
        vectors = wave_vectors(qpoints)
        lattice = self.lattice_matrices(atoms, vectors, symmetry, progress)
        return phonopy_dynamical_matrices(lattice, vectors, scaled_positions(atoms), atoms.get_masses())

    def dynamical_gradients(self, atoms: Atoms, qpoints: ArrayLike, progress: Progress | None) -> np.ndarray:
        """dD/dk along x, y, z, with k in 1/Å without 2 pi: (n_q, 3, 3n, 3n) complex [eV/Å/amu].

        Arguments and errors are those of `dynamical_matrices`.
        """
        vectors = wave_vectors(qpoints)
        lattice = self.lattice_matrices(atoms, vectors, True, progress)
        slopes = self.evaluator.lattice_slopes(atoms, vectors, progress)
        return phonopy_dynamical_gradients(
            lattice, slopes, vectors, scaled_positions(atoms), atoms.get_masses(), atoms.cell[:]
        )

    def lattice_matrices(
        self,
        atoms: Atoms,
        qpoints: np.ndarray,
        symmetry: bool,
        progress: Progress | None,
        operations: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """sum_R Phi(R) exp(2 pi i q.R), home cell first, no masses: (n_q, 3n, 3n) complex [eV/Å²].

        Args:
            qpoints: (n_q, 3) reduced.
            operations: rotations (n, 3, 3) and translations (n, 3) of the space group; looked for when None.
        """
        self.evaluator.require_neighbours(atoms)
        given = atoms
        # Operations in long vectors are integers of many digits, and products with them are rounded.
        atoms, qpoints = in_short_vectors(atoms, qpoints)
        operations = operations if atoms is given else None

        def compute(qpoints: np.ndarray, displacements: list[np.ndarray] | None) -> list[np.ndarray]:
            return self.evaluator.lattice_matrices(atoms, qpoints, displacements, progress)

        if not symmetry:
            return np.array(compute(qpoints, None))
        structure = (atoms.cell[:].tobytes(), atoms.positions.tobytes(), atoms.numbers.tobytes())
        stars = self.stars.of(structure, lambda: Stars(kept_operations(self.evaluator, atoms, operations)))
        return stars.lattice_matrices(qpoints, compute)

    def triplet_matrices(self, atoms: Atoms, qpoints: np.ndarray, progress: Progress | None) -> np.ndarray:
        """Phi(q1, q2, q3) of all triplets of wave vectors that close: (n_q, n_q, 3n, 3n, 3n) complex [eV/Å³].

        Args:
            qpoints: (n_q, 3) reduced, closed under sums, as those that fit a supercell are.
            progress: called with (done, total).
        """
        self.evaluator.require_neighbours(atoms)
        atoms, qpoints = in_short_vectors(atoms, qpoints)

        def compute(qpoints: np.ndarray, triplets: np.ndarray) -> np.ndarray:
            return self.evaluator.triplet_matrices(atoms, qpoints, triplets, progress)

        return compute_all(qpoints, kept_operations(self.evaluator, atoms), compute)

    def forget(self) -> None:
        """Drop what is remembered of the last structure's second derivatives."""
        self.stars.forget()
        self.evaluator.forget()


def kept_operations(
    evaluator: Evaluator, atoms: Atoms, known: tuple[np.ndarray, np.ndarray] | None = None
) -> Operations:
    """Operations that second derivatives have: of a model that tells mirror images apart, rotations alone.

    Args:
        atoms: the crystal, whose atoms obey them to rounding.
        known: rotations (n, 3, 3) and translations (n, 3) of its space group; looked for when None.
    """
    found = exact_operations(atoms, SYMPREC) if known is None else obeyed_operations(atoms, *known)
    return found if evaluator.potential.parity else found.proper


def invariant_strain_slopes(
    evaluator: Evaluator,
    atoms: Atoms,
    qpoints: np.ndarray,
    strains: np.ndarray,
    displacements: np.ndarray,
    progress: Progress | None = None,
) -> np.ndarray:
    """Derivatives of lattice matrices by strains that the crystal's symmetry leaves as they are.

    They have the symmetry of D(q), so that one member of each star of wave vectors is computed.

    Args:
        qpoints: (n_q, 3) reduced.
        strains: (c, 3, 3) invariant under the point group, r -> r (1 + strain).
        displacements: (c, n, 3) of atoms beside each, invariant as well [Å].
        progress: called with (done, total) wave vectors.

    Returns:
        (c, n_q, 3n, 3n) complex [eV/Å²].
    """
    atoms, qpoints = in_short_vectors(atoms, qpoints)
    operations = kept_operations(evaluator, atoms)
    known: dict[bytes, np.ndarray] = {}

    def products_of(number: int) -> Callable[[np.ndarray, list[np.ndarray]], list[np.ndarray]]:
        def compute(qpoints: np.ndarray, columns: list[np.ndarray]) -> list[np.ndarray]:
            key = qpoints.tobytes()  # the same representatives for every strain
            if key not in known:
                known[key] = evaluator.strain_slopes(atoms, qpoints, strains, displacements, progress)
            return [own[number] @ u for own, u in zip(known[key], columns, strict=True)]

        return compute

    each = range(len(strains))
    return np.array([Stars(operations).lattice_matrices(qpoints, products_of(number)) for number in each])


def scaled_positions(atoms: Atoms) -> np.ndarray:
    """(n, 3) reduced, not wrapped into the cell."""
    return np.linalg.solve(atoms.cell.array.T, atoms.positions.T).T
