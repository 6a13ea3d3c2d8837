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
from ...models.registry import FOR_DENSITIES
from ...structures.formulas import crystal_formula
from ...structures.occupancies import mixed_sites
from .prediction import DensityOfStates, Mixture, predict_density

_FARTHEST = 0.25  # of a cell vector: how far an atom may lie from the one that it becomes
_STRETCHED = 1.4  # how much longer or shorter the cell of one end may be, along any direction
_ROUNDED = 1e-2  # that shares in a file may be off


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
        raise InputError(f"{text!r} is no mixture", "each element is followed by its share of a site", _WRITTEN)
    _check_elements(list(shares), text)
    if abs(sum(shares.values()) - 1) > 1e-3:
        raise InputError(
            f"the shares of {text!r} add up to {sum(shares.values()):.4g}",
            "a site has one atom; vacancies are no element that a network has seen",
            _WRITTEN,
        )
    return shares


def read_series(text: str) -> tuple[str, str] | None:
    """ "Sb-Bi" as ("Sb", "Bi"); None of what has no dash, which is a mixture.

    Raises:
        InputError: something else with a dash.
    """
    if "-" not in text:
        return None
    parts = re.fullmatch(r"([A-Z][a-z]?)-([A-Z][a-z]?)", text)
    if parts is None:
        raise InputError(f"{text!r} is no series", "it goes from one element to another", _WRITTEN)
    _check_elements([parts[1], parts[2]], text)
    return parts[1], parts[2]


def _check_elements(symbols: Sequence[str], text: str) -> None:
    if unknown := [symbol for symbol in symbols if symbol not in atomic_numbers]:
        raise InputError(f"{text!r} names {unknown[0]}, which is no element", "nothing is known of it", _WRITTEN)


_WRITTEN = "write a mixture like Mg0.75Al0.25, with shares that add up to 1, and a series like Sb-Bi"


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
        StructureError: sites that are empty in part, that hold more than one atom, or whose atoms cannot be found.
    """
    mixtures: dict[int, Mixture] = {}
    for name, members, elements in mixed_sites(atoms):
        total = sum(elements.values())
        if members is None or abs(total - 1) > _ROUNDED:
            why = "vacancies are no element that a network has seen" if total < 1 else "a site has one atom"
            raise StructureError(
                f"site {name}, counted from 0, holds {' + '.join(f'{x:g} {symbol}' for symbol, x in elements.items())}",
                why if members else "which atoms that are is not stated any more",
                "give a structure whose sites are full, in the CIF file in which it was published",
            )
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
    model: Model = FOR_DENSITIES,
    *,
    fractions: Sequence[float] | NDArray[np.float64] | None = None,
    end: Atoms | None = None,
    mixtures: Mapping[int, Mixture] | None = None,
    stand_ins: bool = False,
) -> AlloySeries:
    """Densities while one element takes the place of another, step by step.

    Args:
        atoms: the crystal at the beginning.
        elements: symbols of the element that goes, and of the one that takes its sites.
        model, stand_ins: as of `predict_density`.
        fractions: shares of the second; 0 to 1 in steps of a tenth unless given.
        end: the crystal with all of the second, its atoms in the same order: cell and positions go from one to the
            other in proportion (Vegard), however the second lies in space. Without it the cell stays, and only what the
            elements themselves do is seen.
        mixtures: of sites that are shared at the beginning; the first element's part of them goes over, too.

    Raises:
        InputError: an element that is not there, or fractions beyond 0 to 1.
        StructureError: ends that are not the same crystal.
    """
    first, second = _two(elements)
    x = np.linspace(0, 1, 11) if fractions is None else np.atleast_1d(np.asarray(fractions, float))
    if not (len(x) and np.isfinite(x).all() and (x >= 0).all() and (x <= 1).all()):
        raise InputError(f"the fractions are {x.tolist()}", "they are shares of sites", "give numbers from 0 to 1")
    own = {k: {symbol: 1.0} for k, symbol in enumerate(atoms.get_chemical_symbols())} | dict(mixtures or {})
    sites = [k for k, mixture in own.items() if mixture.get(first, 0) > 0]
    if not sites or first == second:
        raise InputError(
            f"the series goes from {first} to {second}, and the structure is {alloy_formula(atoms, own)}",
            "there is no site that would change",
            "name one of its elements first, and another one to take its place",
        )
    vectors, shifts = _way(atoms, end, first, second)
    densities, volumes = [], []
    for share in x.tolist():
        between = atoms.copy()
        between.set_cell(atoms.cell.array + share * vectors)
        between.set_scaled_positions(atoms.get_scaled_positions(wrap=False) + share * shifts)
        gone = {k: _exchanged(own[k], first, second, share) for k in sites}
        densities.append(predict_density(between, model, {**(mixtures or {}), **gone}, stand_ins=stand_ins))
        volumes.append(between.get_volume())
    return AlloySeries((first, second), x, np.array(volumes), tuple(densities))


def _two(elements: Sequence[str]) -> tuple[str, str]:
    if isinstance(elements, str) or len(elements) != 2:
        raise InputError(f"the series is {elements!r}", "it goes from one element to another", 'write ("Sb", "Bi")')
    first, second = elements
    _check_elements([first, second], "-".join(map(str, elements)))
    return first, second


def _exchanged(mixture: Mixture, first: str, second: str, share: float) -> dict[str, float]:
    """A share of the first element's part of a site, given to the second."""
    gone = dict(mixture)
    part = gone.pop(first)
    gone[first] = (1 - share) * part
    gone[second] = gone.get(second, 0.0) + share * part
    return gone


def _way(atoms: Atoms, end: Atoms | None, first: str, second: str) -> tuple[NDArray, NDArray]:
    """Changes of cell vectors, without any rotation, and of scaled positions from one end to the other."""
    if end is None:
        return np.zeros((3, 3)), np.zeros((len(atoms), 3))
    expected = np.where(atoms.numbers == atomic_numbers[first], atomic_numbers[second], atoms.numbers)
    same = isinstance(end, Atoms) and len(end) == len(atoms) and bool((end.numbers == expected).all())
    if same:
        shifts = end.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
        shifts -= np.rint(shifts)
        deformation = np.linalg.solve(atoms.cell.array, end.cell.array)
        left, stretches, _ = np.linalg.svd(deformation)
        same = bool(np.abs(shifts).max(initial=0.0) < _FARTHEST and np.linalg.det(deformation) > 0)
        same = same and bool(np.abs(np.log(stretches)).max() < np.log(_STRETCHED))
    if not same:
        wanted = "".join(SYMBOLS[z] for z in expected[:12]) + ("..." if len(expected) > 12 else "")
        raise StructureError(
            f"the other end has the atoms {getattr(end, 'symbols', end)}, and {atoms.symbols} with {second} for {first}"
            " in a cell of the same kind was expected",
            "each atom has to know which one it becomes, and each cell vector, too",
            f"give both ends in one setting, with the atoms in the order {wanted}",
        )
    # Of cell vectors in rows, A F = A S R: the stretch S without the rotation R that follows it.
    return atoms.cell.array @ (left * stretches) @ left.T - atoms.cell.array, shifts
