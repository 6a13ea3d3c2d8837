"""What this room asks of a calculator. `PhonaxCalculator` offers all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase.vibrations import VibrationsData

    from ..base.progress import Progress
    from ..models.potential import Potential


class HessianCalculator(Protocol):
    """It knows the Hessian of a molecule."""

    def get_vibrations(self, atoms: Atoms, *, progress: Progress | None = None) -> VibrationsData:
        """ASE's container of the Hessian of all atoms that no FixAtoms holds [eV/Å²]."""
        ...


class ModelCalculator(HessianCalculator, Protocol):
    """It is one of a potential, which says how far atoms know of each other."""

    potential: Potential


class FieldCalculator(Protocol):
    """It knows what a uniform electric field does to a neutral molecule, as far as its model gives it."""

    potential: Potential

    def get_dipole_moment(self, atoms: Atoms) -> NDArray[np.float64]:
        """(3,) [eÅ]."""
        ...

    def get_polarizability(self, atoms: Atoms) -> NDArray[np.float64]:
        """(3, 3) [e²Å²/eV]."""
        ...

    def get_born_charges(self, atoms: Atoms) -> NDArray[np.float64]:
        """(n, 3, 3) of each atom, field first, displacement second [e]."""
        ...

    def get_polarizability_gradient(self, atoms: Atoms) -> NDArray[np.float64]:
        """(n, 3, 3, 3) of each atom, displacement last [e²Å/eV]."""
        ...


def reach_of(calc: object) -> float | None:
    """How far atoms know of each other [Å]; None where nobody says."""
    potential = getattr(calc, "potential", None)
    return None if potential is None else float(potential.cutoff)
