"""Densities of states from the structure alone, by a network that learned them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_masses
from numpy.typing import NDArray

from ...base.errors import StructureError
from ...base.units import CM1_PER_THZ
from ...models.committee import Model, mean_and_spread
from ...models.spectra.densities import DENSITY, GRID_CM1, STEP_CM1, site_densities
from ..committees import evaluators_of

GRID_THZ = np.asarray(GRID_CM1 / CM1_PER_THZ, float)
STEP_THZ = STEP_CM1 / CM1_PER_THZ
MODES = 3  # of an atom


@dataclass(frozen=True)
class DensityOfStates:
    """A density of states on a grid of frequencies.

    Attributes:
        frequencies_thz: (m,) ascending, equally spaced, from zero [THz].
        by_atom: (n, m) of each atom, three modes over all frequencies [1/THz].
        model: name of the network.
        spread: (m,) standard deviation of `total` between the members of a committee [1/THz]; None of one network.
    """

    frequencies_thz: NDArray[np.float64]
    by_atom: NDArray[np.float64]
    model: str
    spread: NDArray[np.float64] | None = None

    @property
    def total(self) -> NDArray[np.float64]:
        """(m,) per atom: the mean of all atoms' [1/THz]."""
        return self.by_atom.mean(axis=0)


def predict_density(atoms: Atoms, model: Model) -> DensityOfStates:
    """The density of states of a crystal as a network knows it, in milliseconds: no second derivatives, no relaxation.

    Masses count: where an atom has not the mass of its element, its density is the one of its element with frequencies
    that go with one over the root of the mass, which is exact for an atom that moves alone.

    Args:
        atoms: a crystal near rest; any cell.
        model: name or file of a network with the output `density_of_states`, or a `Potential`.

    Raises:
        StructureError: no crystal, or an element that the network does not know.
        InputError: a model without that output.
    """
    if not atoms.pbc.all():
        raise StructureError(
            f"a density of states was asked for of a structure with pbc={atoms.pbc.tolist()}",
            "the network learned crystals in three dimensions: a molecule has levels, and a layer bends",
            "take a potential: ase-phonax molecule, or phonons for layers",
        )
    evaluators = evaluators_of(model, DENSITY)
    answers = [np.asarray(site_densities(evaluator.outputs(atoms)[DENSITY.name])) for evaluator in evaluators]
    heavier = np.sqrt(atoms.get_masses() / atomic_masses[atoms.numbers])
    answers = [MODES / STEP_THZ * _rescaled(shares, heavier) for shares in answers]
    by_atom, _ = mean_and_spread(answers)
    _, spread = mean_and_spread([own.mean(axis=0) for own in answers])
    return DensityOfStates(GRID_THZ.copy(), by_atom, evaluators[0].potential.name, spread)


def _rescaled(shares: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) shares with all frequencies of each row divided by its factor, their sums kept."""
    result = shares.copy()
    for k in np.flatnonzero(np.abs(factors - 1) > 1e-6):
        moved = np.interp(GRID_CM1 * factors[k], GRID_CM1, shares[k], right=0.0)
        result[k] = moved / moved.sum()
    return result
