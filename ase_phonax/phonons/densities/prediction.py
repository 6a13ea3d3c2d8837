"""Densities of states from the structure alone, by a network that learned them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ...base.errors import InputError, StructureError, UnstableWarning
from ...base.units import CM1_PER_THZ
from ...derivatives.evaluator import Evaluator
from ...models.committee import Model, mean_and_spread
from ...models.registry import FOR_DENSITIES
from ...models.spectra.densities import DENSITY, GRID_CM1, STEP_CM1, site_densities
from ...models.spectra.mixtures import with_mixtures
from ...structures.layers import VACUUM_GAP, empty_gaps
from ...structures.periodic_table import nearest
from ..committees import evaluators_of

Mixture = Mapping[str, float]  # chemical symbol -> share of a site
GRID_THZ = np.asarray(GRID_CM1 / CM1_PER_THZ, float)
STEP_THZ = STEP_CM1 / CM1_PER_THZ
MODES = 3  # of an atom
KNOWN = 51  # frequencies up to 1000 1/cm, over which errors are counted
ERROR_OVER_SPREAD = 1.7  # mean absolute error over the spread of three networks, on 141 crystals to validate


@dataclass(frozen=True)
class DensityOfStates:
    """A density of states on a grid of frequencies.

    Attributes:
        frequencies_thz: (m,) ascending, equally spaced, from zero [THz].
        by_atom: (n, m) of each atom, three modes over all frequencies [1/THz].
        model: name of the network.
        spread: (m,) standard deviation of `total` between the members of a committee [1/THz]; None of one network.
        imaginary: share of modes with imaginary frequencies, which are left out; zero where a network was asked.
    """

    frequencies_thz: NDArray[np.float64]
    by_atom: NDArray[np.float64]
    model: str
    spread: NDArray[np.float64] | None = None
    imaginary: float = 0.0

    @property
    def expected_error(self) -> float | None:
        """Mean absolute error of the density over its maximum that the spread speaks for; None of a single network."""
        if self.spread is None:
            return None
        return ERROR_OVER_SPREAD * float(self.spread[:KNOWN].mean() / self.total.max())

    @property
    def total(self) -> NDArray[np.float64]:
        """(m,) per atom: the mean of all atoms' [1/THz]."""
        return self.by_atom.mean(axis=0)


def predict_density(
    atoms: Atoms,
    model: Model = FOR_DENSITIES,
    mixtures: Mapping[int, Mixture] | None = None,
    *,
    stand_ins: bool = False,
) -> DensityOfStates:
    """The density of states of a crystal as a network knows it, in milliseconds: no second derivatives, no relaxation.

    Masses count: where an atom has not the mass of its element, its density is the one of its element with frequencies
    that go with one over the root of the mass, which is exact for an atom that moves alone.

    Args:
        atoms: a crystal near rest; any cell.
        model: name or file of a network with the output `density_of_states`, or a `Potential`.
        mixtures: index of an atom -> shares of the elements on its site, {"Mg": 0.75, "Al": 0.25}: an alloy on average.

        stand_ins: let the most similar element that the network knows stand for one that it does not: one of the same
            group with the mass of the latter, and a warning.

    Raises:
        StructureError: no crystal, or an element that the network does not know.
        InputError: a model without that output, or mixtures that are none.
    """
    _check(atoms)
    evaluators = evaluators_of(model, DENSITY)
    known = evaluators[0].potential.numbers
    if stand_ins:
        atoms = _with_stand_ins(atoms, known)
    _require_known(
        atoms, [k for k in range(len(atoms)) if k not in (mixtures or ())], evaluators[0].potential.name, known
    )
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


def _check(atoms: Atoms) -> None:
    """Refuse what is no crystal in three dimensions."""
    if atoms.pbc.all():
        empty = int(np.count_nonzero(empty_gaps(atoms) > VACUUM_GAP))
        words = ("", "a layer, with vacuum on both sides", "a chain in a box", "a molecule in a box")[empty]
    else:
        words = f"a structure with pbc={atoms.pbc.tolist()}"
    if words:
        raise StructureError(
            f"a density of states was asked for of {words}",
            "the network learned crystals in three dimensions: a molecule has levels, and a layer bends",
            "take a potential: ase-phonax molecule, or phonons for layers",
        )


def _require_known(atoms: Atoms, whole: list[int], name: str, known: tuple[int, ...]) -> None:
    """Refuse elements that the network never saw, on the sites that are not shared."""
    strange = sorted({int(atoms.numbers[k]) for k in whole} - set(known))
    if strange:
        symbols = ", ".join(chemical_symbols[z] for z in strange)
        others = ", ".join(chemical_symbols[nearest(z, known)] for z in strange)
        raise StructureError(
            f"{name} has never seen {symbols}",
            "what it would say is arbitrary",
            f"take a potential (`ase-phonax phonons`), or let {others} stand for it with `stand_ins=True`",
        )


def _with_stand_ins(atoms: Atoms, known: tuple[int, ...]) -> Atoms:
    """The same atoms, with the masses that they have, as elements that are known."""
    result = atoms.copy()
    result.set_masses(atoms.get_masses())
    for z in sorted(set(atoms.numbers.tolist()) - set(known)):
        other = nearest(z, known)
        result.numbers[atoms.numbers == z] = other
        warnings.warn(
            f"{chemical_symbols[other]} with its mass stands for {chemical_symbols[z]}, which the network never saw",
            UnstableWarning,
            stacklevel=3,
        )
    return result


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
