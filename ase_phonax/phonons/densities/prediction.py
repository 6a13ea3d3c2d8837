"""Densities of states from the structure alone, by a network that learned them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from ...base.errors import InputError, StructureError
from ...base.units import CM1_PER_THZ
from ...derivatives.evaluator import Evaluator
from ...models.committee import Model, mean_and_spread
from ...models.spectra.densities import DENSITY, GRID_CM1, STEP_CM1, site_densities
from ...models.spectra.mixtures import with_mixtures
from ..committees import evaluators_of

Mixture = Mapping[str, float]  # chemical symbol -> share of a site
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


def predict_density(atoms: Atoms, model: Model, mixtures: Mapping[int, Mixture] | None = None) -> DensityOfStates:
    """The density of states of a crystal as a network knows it, in milliseconds: no second derivatives, no relaxation.

    Masses count: where an atom has not the mass of its element, its density is the one of its element with frequencies
    that go with one over the root of the mass, which is exact for an atom that moves alone.

    Args:
        atoms: a crystal near rest; any cell.
        model: name or file of a network with the output `density_of_states`, or a `Potential`.
        mixtures: index of an atom -> shares of the elements on its site, {"Mg": 0.75, "Al": 0.25}: an alloy on average.

    Raises:
        StructureError: no crystal, or an element that the network does not know.
        InputError: a model without that output, or mixtures that are none.
    """
    if not atoms.pbc.all():
        raise StructureError(
            f"a density of states was asked for of a structure with pbc={atoms.pbc.tolist()}",
            "the network learned crystals in three dimensions: a molecule has levels, and a layer bends",
            "take a potential: ase-phonax molecule, or phonons for layers",
        )
    evaluators = evaluators_of(model, DENSITY)
    heavier = np.sqrt(atoms.get_masses() / atomic_masses[atoms.numbers])
    if mixtures:
        heavier[_places(mixtures, len(atoms))] = 1.0
        pairs = [_mixed(evaluator, atoms, mixtures) for evaluator in evaluators]
    else:
        pairs = [(evaluator, atoms) for evaluator in evaluators]
    shares = [np.asarray(site_densities(evaluator.outputs(own)[DENSITY.name])) for evaluator, own in pairs]
    answers = [MODES / STEP_THZ * _rescaled(own, heavier) for own in shares]
    by_atom, _ = mean_and_spread(answers)
    _, spread = mean_and_spread([own.mean(axis=0) for own in answers])
    return DensityOfStates(GRID_THZ.copy(), by_atom, evaluators[0].potential.name, spread)


def _places(mixtures: Mapping[int, Mixture], n: int) -> list[int]:
    """Atoms with mixtures, refused where there is no such atom."""
    places = list(mixtures)
    if not all(isinstance(k, int | np.integer) and 0 <= k < n for k in places):
        raise InputError(
            f"mixtures are given for the atoms {places}",
            f"the structure has {n}, counted from 0",
            "name each of them by its index",
        )
    return places


def _mixed(evaluator: Evaluator, atoms: Atoms, mixtures: Mapping[int, Mixture]) -> tuple[Evaluator, Atoms]:
    """A network that knows the mixtures, and the crystal with their numbers on its sites."""
    by_number = {place: {_number(symbol): share for symbol, share in own.items()} for place, own in mixtures.items()}
    different: list[dict[int, float]] = []
    for mixture in by_number.values():
        if mixture not in different:
            different.append(mixture)
    potential, numbers = with_mixtures(evaluator.potential, different)
    renumbered = atoms.copy()
    for place, mixture in by_number.items():
        renumbered.numbers[place] = numbers[different.index(mixture)]
    return Evaluator(potential, evaluator.dtype), renumbered


def _number(symbol: str) -> int:
    """The atomic number of a chemical symbol."""
    if symbol not in atomic_numbers:
        raise InputError(f"there is no element {symbol!r}", "mixtures name elements", 'write them like {"Mg": 1.0}')
    return int(atomic_numbers[symbol])


def _rescaled(shares: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) shares with all frequencies of each row divided by its factor, their sums kept."""
    result = shares.copy()
    for k in np.flatnonzero(np.abs(factors - 1) > 1e-6):
        moved = np.interp(GRID_CM1 * factors[k], GRID_CM1, shares[k], right=0.0)
        result[k] = moved / moved.sum()
    return result
