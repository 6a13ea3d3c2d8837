"""Dipoles, polarizabilities and their derivatives by positions, from the outputs of a network.

Each component is the energy of a network (`models.functionals`), whose forces are exact by either route.
"""

import warnings
from typing import Any

import numpy as np
from ase import Atoms

from ..base.errors import StructureError, UnstableWarning
from ..models.fields import DIPOLE, POLARIZABILITY, as_tensor, has_output, require_output, symmetric_tensors
from ..models.functionals import functional
from ..models.outputs import Output
from ..models.potential import Potential
from ..structures.checks import refuse_charge
from .evaluator import Evaluator


class FieldResponse:
    """What a molecule has of a uniform field, by a model with field outputs.

    Args:
        evaluator: of the model.
        field: (3,) [V/Å] in which dipoles and Born charges are taken.
    """

    def __init__(self, evaluator: Evaluator, field: np.ndarray | None = None) -> None:
        self.evaluator = evaluator
        self.field = np.zeros(3) if field is None else field
        self._components: dict[str, list[Evaluator]] = {}

    def __reduce__(self) -> Any:
        return FieldResponse, (self.evaluator, self.field)  # components are made again where they are asked for

    def at(self, field: np.ndarray | None) -> "FieldResponse":
        """The same model in another field; what was made for this one serves there, too."""
        other = FieldResponse(self.evaluator, field)
        other._components = self._components
        return other

    @property
    def potential(self) -> Potential:
        """The model."""
        return self.evaluator.potential

    def dipole(self, atoms: Atoms) -> np.ndarray:
        """(3,) mu = -dU/dF [eÅ]."""
        self.check(atoms, DIPOLE)
        return self.outputs(atoms)[DIPOLE.name]

    def outputs(self, atoms: Atoms) -> dict[str, np.ndarray]:
        """What the network gives (`Evaluator.outputs`), with the dipole that the molecule has in the field."""
        values = self.evaluator.outputs(atoms)
        if self.field.any() and has_output(self.potential, POLARIZABILITY):
            values[DIPOLE.name] = values[DIPOLE.name] + as_tensor(values[POLARIZABILITY.name]) @ self.field
        return values

    def polarizability(self, atoms: Atoms) -> np.ndarray:
        """(3, 3) alpha = -d²U/dF² [e²Å²/eV]."""
        self.check(atoms, POLARIZABILITY)
        tensor = as_tensor(self.evaluator.outputs(atoms)[POLARIZABILITY.name])
        least = float(np.linalg.eigvalsh(tensor)[0])
        if least <= 0:
            warnings.warn(
                f"The polarizability of {atoms.get_chemical_formula()} is not positive (least eigenvalue {least:.3g} "
                f"e²Å²/eV): the model {self.potential.name!r} has not learned this molecule. Spectra and energies in "
                "fields mean as little there.",
                UnstableWarning,
                stacklevel=3,  # who asked the calculator
            )
        return tensor

    def born_charges(self, atoms: Atoms) -> np.ndarray:
        """(n, 3, 3) dmu_a/dx_b of each atom, field first, displacement second [e]."""
        self.check(atoms, DIPOLE)
        charges = self._gradients(atoms, DIPOLE, np.eye(3)).swapaxes(0, 1)
        if self.field.any() and has_output(self.potential, POLARIZABILITY):
            charges = charges + np.einsum("iacb,c->iab", self.polarizability_gradient(atoms), self.field)
        return charges

    def polarizability_gradient(self, atoms: Atoms) -> np.ndarray:
        """(n, 3, 3, 3) d alpha_ab/dx_c of each atom, displacement last [e²Å/eV]."""
        self.check(atoms, POLARIZABILITY)
        gradients = self._gradients(atoms, POLARIZABILITY, np.eye(6))
        return np.einsum("kic,kab->iabc", gradients, symmetric_tensors())

    def check(self, atoms: Atoms, output: Output) -> None:
        """Refuse what has no such quantity.

        Raises:
            InputError: the model does not give it.
            StructureError: a periodic or charged structure.
        """
        require_output(self.potential, output)
        refuse_no_neutral_molecule(atoms)

    def _gradients(self, atoms: Atoms, output: Output, rows: np.ndarray) -> np.ndarray:
        """(k, n, 3) derivatives by positions of an output's components, weighted by rows (k, components)."""
        if output.name not in self._components:
            known = self.evaluator
            self._components[output.name] = [known.of(functional(self.potential, {output.name: row})) for row in rows]
        return np.array([-component.energy_forces_stress(atoms)[1] for component in self._components[output.name]])


def refuse_no_neutral_molecule(atoms: Atoms) -> None:
    """Refuse structures whose energy in a uniform field is not defined here.

    Raises:
        StructureError: periodic along some direction, or charged.
    """
    if atoms.pbc.any():
        raise StructureError(
            f"the structure is periodic (pbc={atoms.pbc.tolist()})",
            "the energy of an infinite crystal in a uniform field has no minimum, and its dipole depends on the cell",
            "set pbc=False if it is a molecule; charges of crystals are another quantity (docs/polar.md)",
        )
    refuse_charge(atoms)
