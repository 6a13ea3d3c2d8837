"""Which atoms are the same, wherever symmetry is asked for: one element and one mass; and what masses are given as.

Forces do not know isotopes, vibrations do: an operation that exchanges carbon-12 and carbon-13 is a symmetry of the
force constants and none of the dynamical matrix. Magnetic moments are no part of it: no potential here reads them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ..base.errors import InputError, UnstableWarning

HYDROGEN_ISOTOPES = {"D": 2.0141018, "T": 3.0160493}  # [amu] AME2020
SAME_MASS = 1e-6  # [amu] finer than any table gives
_MOMENTS = (
    "initial_magmoms",
    "magmoms",
    "magmom",
    "magnetic_moments",
)  # ASE's array, and its names for results and columns of files


def distinct_species(kinds: ArrayLike, masses: ArrayLike) -> NDArray[np.int64]:
    """Integers from 1, equal for atoms of one kind and one mass.

    Args:
        kinds: (n_atoms,) atomic numbers, or other integers that tell elements apart.
        masses: (n_atoms,) [amu]; equal to 1e-6.

    Returns:
        (n_atoms,).
    """
    kinds, masses = np.asarray(kinds), np.asarray(masses, dtype=float)
    order = np.lexsort((masses, kinds))
    # Neighbours in this order are compared: rounding would tell apart two masses on both sides of an edge.
    other = (np.diff(kinds[order]) != 0) | (np.diff(masses[order]) > SAME_MASS)
    species = np.empty(len(order), np.int64)
    species[order] = np.concatenate(([1], 1 + np.cumsum(other)))[: len(order)]
    return species


def species_of(atoms: Atoms) -> NDArray[np.int64]:
    """`distinct_species` of a structure: (n_atoms,)."""
    return distinct_species(atoms.numbers, atoms.get_masses())


def set_isotopes(atoms: Atoms, masses: Sequence[tuple[str, float]]) -> None:
    """Give an element, or one atom, another mass; later ones prevail.

    Args:
        atoms: changed.
        masses: (element, or number of the atom counted from 1; mass [amu]) of each.

    Raises:
        InputError: an element or an atom that is not there, or a mass that is none.
    """
    values = atoms.get_masses()
    for what, mass in masses:
        number = int(what) - 1 if what.isdigit() else None
        chosen = [k for k, s in enumerate(atoms.symbols) if (s == what if number is None else k == number)]
        if not chosen:
            raise InputError(
                f"a mass is given for {what}, which is not in {atoms.get_chemical_formula()} of {len(atoms)} atoms",
                "no atom would get that mass",
                "name an element of the structure, or one of its atoms counted from 1",
            )
        if not (np.isfinite(mass) and mass > 0):
            raise InputError(
                f"the mass of {what} is {mass:g}", "frequencies are square roots over it", "give amu above zero"
            )
        values[chosen] = mass
    if masses:
        atoms.set_masses(values)


def warn_of_moments(atoms: Atoms) -> None:
    """Say of a structure with magnetic moments that nothing here uses them."""
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    given = [np.asarray(arrays[name]) for arrays in (atoms.arrays, results) for name in _MOMENTS if name in arrays]
    if any(values.dtype.kind in "fiu" and values.any() for values in given):
        say_moments_are_ignored()


def say_moments_are_ignored() -> None:
    """A warning, once for a Python process by Python's own rules."""
    warnings.warn(
        "The structure has magnetic moments. They are ignored: the potential gives one energy for all spin orders, and"
        " symmetry is that of elements, masses and positions.",
        UnstableWarning,
        stacklevel=1,  # the same place whoever asks: said once
    )
