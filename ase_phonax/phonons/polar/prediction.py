"""Born charges and the dielectric tensor of a crystal from its structure alone, by a network that learned them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from phonopy.structure.atoms import PhonopyAtoms

from ...base.errors import StructureError
from ...models.committee import Model, mean_and_spread
from ...models.polarity import CHARGES, SUSCEPTIBILITY, as_charges, dielectric_tensor
from ...models.potential import Potential
from ...models.registry import FOR_CHARGES
from ...structures.layers import vacuum_axis
from ...structures.oxidation import is_always_positive, why_not_an_insulator
from ...structures.space_groups import reduce_to_primitive
from ..committees import evaluators_of
from ..supercell.constants import crystal_atoms
from .charges import refuse_boxes

# Of the two networks of phonax-polar, the median over 137 crystals never learned from (examples/polar).
ERROR_OVER_SPREAD = 1.3
LARGEST = 30.0  # of the mean of eps: 98 of 100 insulators that the network learned from are below
# Among O, F and Cl metals are positive; phosphides, selenides and half-Heusler crystals have charges of the other sign.
_IONIC, _INVERTED = frozenset((8, 9, 17)), -0.2  # e


@dataclass(frozen=True)
class PredictedCharges:
    """What a network says of the charges of a crystal.

    Attributes:
        charges: (n, 3, 3) Born charges, field first, displacement second; they add up to zero [e].
        dielectric: (3, 3) electronic dielectric tensor, symmetric, above 1.
        model: name of the network.
        doubt: why the crystal may have no charges at all; None where nothing speaks for it.
        charges_spread, dielectric_spread: standard deviations of the members of a committee, in the shapes of the
            above; None of a single network.
    """

    charges: NDArray[np.float64]
    dielectric: NDArray[np.float64]
    model: str
    doubt: str | None
    charges_spread: NDArray[np.float64] | None = None
    dielectric_spread: NDArray[np.float64] | None = None

    @property
    def expected_error(self) -> tuple[float, float] | None:
        """Mean absolute errors per component that the spread speaks for: of charges [e], and of the tensor."""
        if self.charges_spread is None or self.dielectric_spread is None:
            return None
        charges, dielectric = (float(own.mean()) for own in (self.charges_spread, self.dielectric_spread))
        return ERROR_OVER_SPREAD * charges, ERROR_OVER_SPREAD * dielectric

    @property
    def born(self) -> dict[str, NDArray[np.float64]]:
        """As `PolarCalculator` and `set_nac` take them."""
        return {"born": self.charges, "dielectric": self.dielectric}


def predict_charges(atoms: Atoms | PhonopyAtoms, model: Model | Sequence[Model] = FOR_CHARGES) -> PredictedCharges:
    """Born charges and the electronic dielectric tensor of a crystal.

    The network was trained on insulators and knows nothing else. Whether a crystal is one is judged by its composition
    (electrons, oxidation states and d shells that leave a gap) and by a dielectric tensor that is not about to diverge,
    and said in `doubt`.

    >>> from ase.build import bulk
    >>> from ase_phonax import predict_charges
    >>> found = predict_charges(bulk("MgO", "rocksalt", a=4.21))
    >>> found.charges.shape, found.dielectric.shape, found.doubt
    ((2, 3, 3), (3, 3), None)

    Args:
        atoms: a crystal, at rest; any cell.
        model: name or file of a network with the outputs `charges` and `log_susceptibility`, or a `Potential`; of
            several the mean is taken.

    Raises:
        StructureError: no crystal, a layer, or an element that the network does not know.
        InputError: a model without these outputs; a molecule or a chain in a box.
    """
    crystal = crystal_atoms(atoms)
    refuse_boxes(crystal)
    if vacuum_axis(crystal) is not None:
        raise StructureError(
            "charges were asked for of a layer",
            "the network knows crystals in three dimensions, and a layer has no dielectric tensor",
            "give charges of the layer by a file",
        )
    models = [model] if isinstance(model, str | os.PathLike | Potential) else model
    evaluators = [evaluator for own in models for evaluator in evaluators_of(own, CHARGES, SUSCEPTIBILITY)]
    answers = [evaluator.outputs(crystal) for evaluator in evaluators]
    charges, charges_spread = mean_and_spread([np.asarray(as_charges(own[CHARGES.name])) for own in answers])
    # In the mean of logarithms the tensor stays above 1.
    components, _ = mean_and_spread([np.asarray(own[SUSCEPTIBILITY.name]) for own in answers])
    dielectric = dielectric_tensor(components)
    _, dielectric_spread = mean_and_spread([dielectric_tensor(own[SUSCEPTIBILITY.name]) for own in answers])
    names = dict.fromkeys(evaluator.potential.name for evaluator in evaluators)
    return PredictedCharges(
        charges, dielectric, ", ".join(names), _doubt(crystal, charges, dielectric), charges_spread, dielectric_spread
    )


def _doubt(crystal: Atoms, charges: NDArray[np.float64], dielectric: NDArray[np.float64]) -> str | None:
    """Why a crystal may be no insulator, or charges wrong."""
    if (reason := why_not_an_insulator(reduce_to_primitive(crystal).numbers.tolist())) is not None:
        return reason
    mean = float(np.trace(dielectric)) / 3
    if mean > LARGEST:
        return f"a dielectric constant of {mean:.0f} speaks for a gap that is small or none"
    if not _IONIC.isdisjoint(crystal.numbers.tolist()):
        isotropic = np.trace(charges, axis1=1, axis2=2) / 3
        for number in np.unique(crystal.numbers).tolist():
            if is_always_positive(number) and (own := isotropic[crystal.numbers == number].mean()) < _INVERTED:
                symbol = chemical_symbols[number]
                return f"{symbol} has {own:+.1f} e, and only positive oxidation states: the network fails, or a metal"
    return None
