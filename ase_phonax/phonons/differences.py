"""What an evaluator gives of a model, found of any ASE calculator by differences of forces and stresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from ..base.errors import InputError
from ..derivatives.route import StrainDerivatives
from .elastic.moduli import VOIGT

if TYPE_CHECKING:
    from ..base.progress import Progress
    from .finite_differences import DisplacementCalculator

STRAIN = 1e-3  # of differences of stress, whose error is its square


class Differences:
    """Energies and their derivatives of a calculator, as `Evaluator` gives those of a model.

    Args:
        calc: with stress, where strains or stresses are asked for.
    """

    dtype = np.dtype(np.float32)  # differences are no more exact than exact derivatives in single precision

    def __init__(self, calc: DisplacementCalculator):
        self.calc = calc

    def energy_forces_stress(
        self, atoms: Atoms
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The energy, as an array of one number [eV], forces (n, 3) [eV/Å] and virial (3, 3) [eV] of crystals."""
        energy, forces = (self.calc.get_property(name, atoms) for name in ("energy", "forces"))
        virial = np.zeros((3, 3))
        if atoms.pbc.all():
            virial = voigt_6_to_full_3x3_stress(self.calc.get_property("stress", atoms)) * atoms.get_volume()
        return np.array([energy], float), np.array(forces, float), virial

    def lattice_matrices(self, atoms: Atoms, qpoints: NDArray[np.float64]) -> NDArray[np.float64]:
        """Second derivatives at q = 0: (n_q, 3n, 3n) [eV/Å²].

        Raises:
            InputError: another wave vector.
        """
        if np.any(qpoints):
            raise InputError(
                f"second derivatives of {self.calc.title} are asked for at wave vectors other than zero",
                "displacements of one cell say nothing of them",
                "take those of a larger cell at zero",
            )
        n = 3 * len(atoms)
        hessian = self.calc.get_hessian(atoms).reshape(n, n)
        return np.repeat((hessian + hessian.T)[None] / 2, len(qpoints), 0)

    def hessian(self, atoms: Atoms, rows: NDArray[np.int64], progress: Progress | None = None) -> NDArray[np.float64]:
        """See `DisplacementCalculator.get_hessian`."""
        return np.asarray(self.calc.get_hessian(atoms, rows, progress))

    def strain_derivatives(self, atoms: Atoms) -> StrainDerivatives:
        """Differences of stress and forces between strains of `STRAIN` to both sides, of a crystal at rest."""
        volume, n = atoms.get_volume(), len(atoms)
        of_strains, of_both = np.empty((3, 3, 3, 3)), np.empty((n, 3, 3, 3))
        for x, y in VOIGT:
            stresses, forces = [], []
            for sign in (1, -1):
                strain = np.zeros((3, 3))
                strain[x, y] += sign * STRAIN / 2
                strain[y, x] += sign * STRAIN / 2
                strained = atoms.copy()
                strained.set_constraint()
                strained.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
                stresses.append(voigt_6_to_full_3x3_stress(self.calc.get_property("stress", strained)))
                forces.append(self.calc.get_property("forces", strained))
            slope = (stresses[0] - stresses[1]) / (2 * STRAIN)
            pull = (forces[0] - forces[1]) / (2 * STRAIN)
            of_strains[:, :, x, y] = of_strains[:, :, y, x] = volume * slope
            of_both[:, :, x, y] = of_both[:, :, y, x] = -pull  # forces are minus the slope of the energy
        return StrainDerivatives(of_strains, of_both)
