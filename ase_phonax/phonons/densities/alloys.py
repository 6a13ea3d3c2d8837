"""Alloys on average: sites that hold shares of several elements, and series from one crystal to another.

A network is asked with the mean of its elements' rows on a site (`models.spectra.mixtures`), cell and positions between
those of both ends: what Z. Chen et al. do (Adv. Sci. 8, 2004214 (2021)). Every site has the surroundings of the mean
crystal; order, and modes of single light atoms among heavy ones, are not in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.data import chemical_symbols as SYMBOLS
from numpy.typing import NDArray

from ...base.errors import InputError, StructureError
from ...models.committee import Model
from ...structures.formulas import crystal_formula
from ...structures.occupancies import mixed_sites
from .prediction import DensityOfStates, Mixture, predict_density

_FARTHEST = 0.25  # of a cell vector: how far an atom may lie from the one that it becomes


@dataclass(frozen=True)
class AlloySeries:
    """Densities from one crystal to another.

    Attributes:
        elements: symbols of the element at the beginning, and of the one that takes its place.
        fractions: (k,) share of the second.
        volumes: (k,) of a cell [Å³].
        densities: of each.
    """

    elements: tuple[str, str]
    fractions: NDArray[np.float64]
    volumes: NDArray[np.float64]
    densities: tuple[DensityOfStates, ...]


def read_mixture(text: str) -> dict[str, float]:
    """ "Mg0.75Al0.25" as {"Mg": 0.75, "Al": 0.25}.

    Raises:
        InputError: it is not written in that way, or its shares do not add up to 1.
    """
    parts = re.findall(r"([A-Z][a-z]?)(\d*\.?\d+)", text)
    shares = {symbol: float(share) for symbol, share in parts}
    if "".join(symbol + share for symbol, share in parts) != text or len(shares) < len(parts) or not parts:
        raise InputError(f"{text!r} is no mixture", "a site's elements and their shares are asked for", _WRITTEN)
    if unknown := [symbol for symbol in shares if symbol not in atomic_numbers]:
        raise InputError(f"{text!r} names {unknown[0]}, which is no element", "nothing is known of it", _WRITTEN)
    if abs(sum(shares.values()) - 1) > 1e-3:
        raise InputError(
            f"the shares of {text!r} add up to {sum(shares.values()):.4g}",
            "a site has one atom; vacancies are no element that a network has seen",
            _WRITTEN,
        )
    return shares


_WRITTEN = "write it like Mg0.75Al0.25, with shares that add up to 1"


def mixed_on(atoms: Atoms, mixture: Mixture) -> dict[int, Mixture]:
    """A mixture on every site of one of its elements.

    Raises:
        InputError: the structure has none of them.
    """
    sites = {int(k): mixture for k, symbol in enumerate(atoms.symbols) if symbol in mixture}
    if not sites:
        raise InputError(
            f"the structure has no {' or '.join(mixture)}",
            "the mixture takes the sites of its elements, and there are none",
            f"name an element of {atoms.symbols.formula.format('reduce')} among those of the mixture",
        )
    return sites


def stated_mixtures(atoms: Atoms) -> dict[int, Mixture]:
    """What a file says of sites that several elements share.

    Raises:
        StructureError: sites that are empty in part, or whose atoms cannot be found.
    """
    mixtures: dict[int, Mixture] = {}
    for name, members, elements in mixed_sites(atoms):
        if members is None or abs(sum(elements.values()) - 1) > 1e-2:
            raise StructureError(
                f"site {name} holds {' + '.join(f'{share:g} {symbol}' for symbol, share in elements.items())}",
                "vacancies are no element that a network has seen"
                if members
                else "which atoms that are is not stated any more",
                "give a structure without empty sites, in the CIF file in which it was published",
            )
        total = sum(elements.values())
        mixtures |= {k: {symbol: share / total for symbol, share in elements.items()} for k in members}
    return mixtures


def alloy_formula(atoms: Atoms, mixtures: Mapping[int, Mixture]) -> str:
    """Formula of an alloy, shares counted: "K0.4Na0.6Cl", in the order of `crystal_formula`."""
    sites = [tuple(sorted(mixtures.get(k, {symbol: 1.0}).items())) for k, symbol in enumerate(atoms.symbols)]
    unit = gcd(*Counter(sites).values())
    counts: dict[str, float] = {}
    for element, share in (pair for site in sites for pair in site):
        counts[element] = counts.get(element, 0.0) + share / unit
    counts = {symbol: count for symbol, count in counts.items() if count > 1e-9}
    ordered = re.findall("[A-Z][a-z]?", crystal_formula(Atoms(list(counts))))
    return "".join(symbol + (f"{counts[symbol]:.3g}" if abs(counts[symbol] - 1) > 1e-6 else "") for symbol in ordered)


def alloy_series(
    atoms: Atoms,
    elements: tuple[str, str],
    model: Model,
    *,
    fractions: Sequence[float] | NDArray[np.float64] | None = None,
    end: Atoms | None = None,
) -> AlloySeries:
    """Densities while one element takes the place of another, step by step.

    Args:
        atoms: the crystal at the beginning.
        elements: symbols of the element that goes, and of the one that takes its sites.
        model: as of `predict_density`.
        fractions: shares of the second; 0 to 1 in steps of a tenth unless given.
        end: the crystal with all of the second, its atoms in the same order: cell and positions go from one to the
            other in proportion (Vegard). Without it the cell stays, and only what the elements themselves do is seen.

    Raises:
        InputError: an element that is not there, or fractions beyond 0 to 1.
        StructureError: ends that are not the same crystal.
    """
    first, second = elements
    x = np.linspace(0, 1, 11) if fractions is None else np.atleast_1d(np.asarray(fractions, float))
    if not (np.isfinite(x).all() and (x >= 0).all() and (x <= 1).all()):
        raise InputError(f"the fractions are {x.tolist()}", "they are shares of sites", "give numbers from 0 to 1")
    for symbol in elements:
        if symbol not in atomic_numbers:
            raise InputError(
                f"there is no element {symbol!r}", "the series goes to or from it", "name it by its symbol"
            )
    sites = np.flatnonzero(atoms.numbers == atomic_numbers[first])
    if not len(sites) or first == second:
        raise InputError(
            f"the series goes from {first} to {second}, and the structure is {atoms.symbols.formula.format('reduce')}",
            "there is no site that would change",
            "name one of its elements first, and another one to take its place",
        )
    vectors, shifts = _way(atoms, end, first, second)
    densities, volumes = [], []
    for share in x:
        own = atoms.copy()
        own.set_cell(atoms.cell.array + share * vectors)
        own.set_scaled_positions(atoms.get_scaled_positions(wrap=False) + share * shifts)
        mixture = {first: 1 - float(share), second: float(share)}
        densities.append(predict_density(own, model, {int(k): mixture for k in sites}))
        volumes.append(own.get_volume())
    return AlloySeries((first, second), x, np.array(volumes), tuple(densities))


def _way(atoms: Atoms, end: Atoms | None, first: str, second: str) -> tuple[NDArray, NDArray]:
    """Changes of cell vectors and of scaled positions from one end to the other."""
    if end is None:
        return np.zeros((3, 3)), np.zeros((len(atoms), 3))
    expected = np.where(atoms.numbers == atomic_numbers[first], atomic_numbers[second], atoms.numbers)
    same = len(end) == len(atoms) and bool((end.numbers == expected).all())
    shifts = np.zeros((0, 3))
    if same:
        shifts = end.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
        shifts -= np.rint(shifts)
        angles = np.abs(end.cell.angles() - atoms.cell.angles()).max()
        same = bool(np.abs(shifts).max(initial=0.0) < _FARTHEST) and bool(angles < 10)
    if not same:
        wanted = "".join(SYMBOLS[z] for z in expected[:12]) + ("..." if len(expected) > 12 else "")
        raise StructureError(
            f"the other end has the atoms {end.symbols}, and {atoms.symbols} with {second} for {first} was expected",
            "each atom has to know which one it becomes, in a cell of the same kind",
            f"give both ends in one setting, with the atoms in the order {wanted}",
        )
    return end.cell.array - atoms.cell.array, shifts
