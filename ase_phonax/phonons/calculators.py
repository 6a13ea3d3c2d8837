"""What this room asks of a calculator. `PhonaxCalculator` offers all of it; others may offer a part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    from ..base.progress import Progress


class ForceConstantsCalculator(Protocol):
    """It fills phonopy's supercells."""

    def get_force_constants(self, phonopy: Phonopy, *, progress: Progress | None = None) -> NDArray[np.float64]:
        """(n_primitive, n_supercell, 3, 3) compact constants in phonopy's order [eV/Å²]."""
        ...


class MatrixCalculator(Protocol):
    """It knows exact dynamical matrices."""

    def get_dynamical_matrix(
        self,
        atoms: Atoms | PhonopyAtoms,
        qpoints: ArrayLike,
        *,
        symmetry: bool = True,
        progress: Progress | None = None,
    ) -> NDArray[np.complex128]:
        """(n_q, 3n, 3n) D(q) at reduced wave vectors, in phonopy's convention [eV/Å²/amu]."""
        ...


class SlopeCalculator(MatrixCalculator, Protocol):
    """It knows their derivatives by the wave vector as well."""

    def get_dynamical_matrix_gradient(
        self, atoms: Atoms | PhonopyAtoms, qpoints: ArrayLike, *, progress: Progress | None = None
    ) -> NDArray[np.complex128]:
        """(n_q, 3, 3n, 3n) dD/dk along x, y, z [eV/Å/amu]."""
        ...


class CrystalCalculator(MatrixCalculator, ForceConstantsCalculator, Protocol):
    """It knows both, so that a supercell can be compared with what is exact."""
