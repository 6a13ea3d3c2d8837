"""Densities of states from the structure alone, by a network that learned them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
from ...structures.checks import check_atoms_given, check_cell, check_elements, check_finite
from ...structures.layers import kind_in_vacuum
from ...structures.periodic_table import nearest
from ..committees import beside, evaluators_of

Mixture = Mapping[str, float]  # chemical symbol -> share of a site
GRID_THZ = np.asarray(GRID_CM1 / CM1_PER_THZ, float)
STEP_THZ = STEP_CM1 / CM1_PER_THZ
MODES = 3  # of an atom
# Of three networks with these labels: what they misplace over how far they differ, on 141 crystals to validate
# (examples/density_of_states).
ERROR_OVER_SPREAD = 1.6


@dataclass(frozen=True)
class DensityOfStates:
    """A density of states on a grid of frequencies.

    Attributes:
        frequencies_thz: (m,) ascending, equally spaced, from zero [THz].
        by_atom: (n, m) of each atom, three modes over all frequencies [1/THz].
        model: name of the network.
        spread: (m,) standard deviation of `total` between the members of a committee [1/THz]; None of one network.
        imaginary: share of modes with imaginary frequencies, which are left out; zero where a network was asked.
        stand_ins: symbol of each element that the network never saw -> the one that stood for it.
    """

    frequencies_thz: NDArray[np.float64]
    by_atom: NDArray[np.float64]
    model: str
    spread: NDArray[np.float64] | None = None
    imaginary: float = 0.0
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    @property
    def expected_error(self) -> float | None:
        """Share of the modes that lie at other frequencies (`misplaced`), as far as the spread speaks for it.

        None of a single network, and of one that was asked for elements that it has never seen.
        """
        if self.spread is None or self.stand_ins:
            return None
        return min(1.0, ERROR_OVER_SPREAD * float(self.spread.sum() / self.total.sum() / 2))

    def misplaced(self, other: DensityOfStates) -> float:
        """Share of the modes that lie at other frequencies than those of another density: half the area between both.

        0 of equal ones, 1 of those that share no frequency; the same whatever the unit or the highest frequency.
        """
        first, second = (own.total / own.total.sum() for own in (self, other))
        return float(np.abs(first - second).sum() / 2)

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
        mixtures: index of an atom -> shares of the elements on its site, {"Mg": 0.75, "Al": 0.25}: an alloy on average,
            of elements with their natural masses.
        stand_ins: let the most similar element that the network knows stand for one that it does not, with the mass of
            the latter, and warn: one of the same group where it knows one.

    Raises:
        StructureError: no crystal, atoms without neighbours, or an element that the network does not know.
        InputError: a model without that output, mixtures that are none, or isotopes on shared sites.
    """
    check_periodic(atoms)
    evaluators = evaluators_of(model, DENSITY)
    name, known = evaluators[0].potential.name, evaluators[0].potential.numbers
    shared = _checked_mixtures(mixtures or {}, len(atoms))
    _check_masses(atoms, list(shared))
    strange = _strange_elements(atoms, shared, known)
    if strange and not stand_ins:
        raise _never_seen(name, strange, known)
    replaced = _stand_ins(strange, known)
    crystal = atoms.copy()
    crystal.calc = None
    crystal.numbers = [replaced.get(z, z) for z in atoms.numbers.tolist()]
    ratios = atoms.get_masses() / atomic_masses[crystal.numbers]
    ratios[list(shared)] = 1.0
    shared = {k: _renamed(mixture, replaced) for k, mixture in shared.items()}
    pairs = [(evaluator, crystal) for evaluator in evaluators]
    if shared:
        pairs = _mixed(evaluators, crystal, shared)
    for evaluator, own in pairs:
        evaluator.require_neighbours(own)
    shares = [np.asarray(site_densities(evaluator.outputs(own)[DENSITY.name])) for evaluator, own in pairs]
    answers = [MODES / STEP_THZ * _rescaled(own, np.sqrt(ratios)) for own in shares]
    by_atom, _ = mean_and_spread(answers)
    _, spread = mean_and_spread([own.mean(axis=0) for own in answers])
    names = {chemical_symbols[z]: chemical_symbols[other] for z, other in replaced.items()}
    return DensityOfStates(GRID_THZ.copy(), by_atom, name, spread, stand_ins=names)


def check_periodic(atoms: Atoms) -> None:
    """Refuse what is no crystal in three dimensions."""
    check_atoms_given(atoms)
    check_finite(atoms)
    check_elements(atoms)
    if atoms.pbc.all():
        check_cell(atoms)
        empty = kind_in_vacuum(atoms)
        kind = None if empty is None else f"{empty} in a box"
    else:
        kind = f"a structure with pbc={atoms.pbc.tolist()}"
    if kind is not None:
        raise StructureError(
            f"a density of states was asked for of {kind}",
            "densities here are of crystals in three dimensions: a molecule has levels, and a layer bends",
            "take ase-phonax molecule, or phonons for layers",
        )


def _checked_mixtures(mixtures: Mapping[int, Mixture], n: int) -> dict[int, Mixture]:
    """The mixtures, refused where they are none or there is no such atom."""
    whole = isinstance(mixtures, Mapping) and all(isinstance(own, Mapping) for own in mixtures.values())
    if not whole or not all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in mixtures):
        raise InputError(
            f"the mixtures are {mixtures!r}"[:200],
            "each names an atom by its number, and the shares of elements on its site",
            'write them like {0: {"Mg": 0.75, "Al": 0.25}}',
        )
    if not all(0 <= k < n for k in mixtures):
        raise InputError(
            f"mixtures are given for the atoms {list(mixtures)}",
            f"the structure has {n}, counted from 0",
            "name each of them by its index",
        )
    for symbol in {symbol for own in mixtures.values() for symbol in own}:
        if symbol not in atomic_numbers:
            raise InputError(f"there is no element {symbol!r}", "mixtures name elements", 'write them like {"Mg": 1.0}')
    return {int(k): own for k, own in mixtures.items()}


def _check_masses(atoms: Atoms, shared: list[int]) -> None:
    """Refuse masses that are none, and on shared sites any but those of the elements."""
    masses = atoms.get_masses()
    if not (np.isfinite(masses).all() and (masses > 0).all()):
        raise StructureError(
            f"the masses are from {masses.min():g} to {masses.max():g} amu",
            "frequencies are square roots over them",
            "give amu above zero",
        )
    if np.abs(masses / atomic_masses[atoms.numbers] - 1)[shared].max(initial=0) > 1e-3:
        raise InputError(
            "masses are given on sites that several elements share",
            "of such a site the network knows the mixture of natural elements alone",
            "leave the masses out, or the mixture",
        )


def _strange_elements(atoms: Atoms, shared: Mapping[int, Mixture], known: tuple[int, ...]) -> list[int]:
    """Atomic numbers of what the network never saw, on whole sites and on shared ones."""
    there = {z for k, z in enumerate(atoms.numbers.tolist()) if k not in shared}
    there |= {atomic_numbers[symbol] for mixture in shared.values() for symbol, x in mixture.items() if x != 0}
    return sorted(there - set(known))


def _never_seen(name: str, strange: list[int], known: tuple[int, ...]) -> StructureError:
    symbols = ", ".join(chemical_symbols[z] for z in strange)
    others = ", ".join(chemical_symbols[nearest(z, known)] for z in strange)
    return StructureError(
        f"{name} has never seen {symbols}",
        "what it would say is arbitrary",
        f"take a potential (`ase-phonax phonons`), or let {others} stand for it with `stand_ins=True`",
    )


def _stand_ins(strange: list[int], known: tuple[int, ...]) -> dict[int, int]:
    """The element that stands for each, with a warning."""
    replaced = {z: nearest(z, known) for z in strange}
    for z, other in replaced.items():
        warnings.warn(
            f"{chemical_symbols[other]} with its mass stands for {chemical_symbols[z]}, which the network never saw",
            UnstableWarning,
            stacklevel=3,
        )
    return replaced


def _renamed(mixture: Mixture, replaced: Mapping[int, int]) -> dict[str, float]:
    """A mixture with stand-ins for what the network never saw."""
    shares: dict[str, float] = {}
    for symbol, share in mixture.items():
        number = atomic_numbers[symbol]
        name = chemical_symbols[replaced.get(number, number)]
        shares[name] = shares.get(name, 0.0) + share
    return shares


def _mixed(
    evaluators: Sequence[Evaluator], atoms: Atoms, mixtures: Mapping[int, Mixture]
) -> list[tuple[Evaluator, Atoms]]:
    """Networks that know the mixtures, each with the crystal that has their numbers on its sites."""
    by_number = {k: {atomic_numbers[symbol]: x for symbol, x in mixture.items()} for k, mixture in mixtures.items()}
    different: list[dict[int, float]] = []
    for mixture in by_number.values():
        if mixture not in different:
            different.append(mixture)
    pairs: list[tuple[Evaluator, Atoms]] = []
    for evaluator in evaluators:
        potential, numbers = with_mixtures(evaluator.potential, different)
        renumbered = atoms.copy()
        for k, mixture in by_number.items():
            renumbered.numbers[k] = numbers[different.index(mixture)]
        own = beside(pairs[0][0], potential) if pairs else Evaluator(potential, evaluator.dtype)
        pairs.append((own, renumbered))
    return pairs


def _rescaled(shares: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) shares with all frequencies of each row divided by its factor, sums kept: what leaves the grid at its end
    is put on its last frequency.
    """
    result = shares.copy()
    edges = np.append(GRID_CM1 - STEP_CM1 / 2, np.inf)
    for k in np.flatnonzero(np.abs(factors - 1) > 1e-6):
        below = np.interp(edges[1:] * factors[k], edges[:-1] + STEP_CM1, np.cumsum(shares[k]), left=0.0)
        result[k] = np.diff(below, prepend=0.0)
    return result
