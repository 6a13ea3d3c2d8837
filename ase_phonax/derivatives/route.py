"""What every way to derivatives offers, whatever computes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..base.progress import Progress
from ..structures.neighbours import Neighbours

# Names by which users choose.
ARRAYS, COMPILED = "arrays", "compiled"
ROUTES = (ARRAYS, COMPILED)


@dataclass(frozen=True, eq=False)
class StrainDerivatives:
    """Second derivatives of a crystal's energy by strains, at fixed reduced positions, and by strains and positions.

    Attributes:
        of_strains: (3, 3, 3, 3) d²E / d eps_xy d eps_zw [eV]. Clamped-ion elastic constants of a crystal without
            stress are these, made symmetric in x y and in z w, by its volume.
        of_positions_and_strains: (n, 3, 3, 3) d²E / d x_iz d eps_xy = -dF_iz / d eps_xy [eV/Å].
    """

    of_strains: np.ndarray
    of_positions_and_strains: np.ndarray


class Route(Protocol):
    """A potential in one precision, asked about structures that have been checked, in several threads at once.

    What is remembered of the last structure, or compiled, is each route's own affair.
    """

    def energy_forces_stress(self, neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energies of the atoms (n,) [eV], forces (n, 3) [eV/Å], virial dE/dstrain (3, 3) [eV]."""

    def outputs(self, neighbours: Neighbours) -> dict[str, np.ndarray]:
        """What the network gives beside the energies, by name: (n, components) of the atoms."""

    def lattice_matrices(
        self,
        neighbours: Neighbours,
        qpoints: np.ndarray,
        displacements: Sequence[np.ndarray] | None,
        progress: Progress | None,
    ) -> list[np.ndarray]:
        """sum_R Phi(R) exp(2 pi i q.R), home cell first, no masses [eV/Å²].

        Args:
            qpoints: (n_q, 3) reduced.
            displacements: for each q-point (3n, c) real; None for every atom along x, y, z.
            progress: called with (done, total) columns.

        Returns:
            for each q-point (3n, c) complex: the products with its displacements.
        """

    def lattice_slopes(self, neighbours: Neighbours, qpoints: np.ndarray, progress: Progress | None) -> np.ndarray:
        """Exact d/dq_x of whole lattice matrices, x along each reduced component: (n_q, 3, 3n, 3n) complex [eV/Å²]."""

    def hessian(self, neighbours: Neighbours, rows: np.ndarray, progress: Progress | None) -> np.ndarray:
        """d²E/dx_i dx_j of this cell's energy, rows of the given atoms: (len(rows), 3, n, 3) [eV/Å²].

        In a periodic cell all images of an atom move together (the constants at q = 0).
        """

    def strain_derivatives(self, neighbours: Neighbours) -> StrainDerivatives:
        """Second derivatives of this cell's energy by strains, and by strains and positions, at q = 0."""

    def strain_slopes(
        self,
        neighbours: Neighbours,
        qpoints: np.ndarray,
        strains: np.ndarray,
        displacements: np.ndarray,
        progress: Progress | None,
    ) -> np.ndarray:
        """Exact derivatives of whole lattice matrices by strains that atoms follow: (n_q, c, 3n, 3n) complex [eV/Å²].

        At fixed reduced wave vectors, amplitudes in the axes of the strained crystal.

        Args:
            qpoints: (n_q, 3) reduced.
            strains: (c, 3, 3), r -> r (1 + strain).
            displacements: (c, n, 3) of atoms beside each [Å].
            progress: called with (done, total) wave vectors.
        """

    def triplet_matrices(
        self, neighbours: Neighbours, qpoints: np.ndarray, triplets: np.ndarray, progress: Progress | None
    ) -> np.ndarray:
        """Exact sum_RR' Phi_i0,jR,kR' exp 2 pi i (q2.R + q3.R'), no masses: (m, 3n, 3n, 3n) complex [eV/Å³].

        Args:
            qpoints: (n_q, 3) reduced.
            triplets: (m, 3) indices of wave vectors whose sum is a reciprocal vector.
            progress: called with (done, total).
        """

    def forget(self) -> None:
        """Drop what is remembered of the last structure's second derivatives."""
