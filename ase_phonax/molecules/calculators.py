"""What this room asks of a calculator. `PhonaxCalculator` offers all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ase import Atoms

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
