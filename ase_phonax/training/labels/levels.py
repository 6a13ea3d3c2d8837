"""Levels of a structure as a model has them: modes, their degeneracy and their species, for lines to be assigned to."""

from dataclasses import fields
from math import lcm

import numpy as np
from ase import Atoms

from ...base.errors import InputError, StructureError
from ...base.units import CM1_PER_THZ
from ...calculator import PhonaxCalculator
from ...derivatives.conventions import mass_weighted, signed_roots_thz
from ...derivatives.stars import Operations, Stars, exact_operations
from ...molecules.normal_modes import NormalModes
from ...phonons.supercell.objects import get_phonopy
from ...phonons.symmetry.irreps import find_irreps
from ...structures.commensurate_cells import LARGEST_DENOMINATOR, as_fractions
from .lines import Level, Levels

SYMPREC = 1e-5  # Å, of relaxed crystals
EQUAL_THZ = 1e-3  # modes nearer than this are one level of a crystal
# Of squares of elements of a matrix that the little group allows, relative to its largest: below, modes never mix.
MIXED = 1e-12
SAME_MASS = 1e-6  # amu
IMAGINARY_THZ = 0.05  # an imaginary mode beyond this is none of a minimum


def levels_of_molecule(modes: NormalModes) -> Levels:
    """Levels of a molecule at a minimum, whole-body motions first.

    Raises:
        StructureError: an imaginary mode.
    """
    if modes.point_group is None:
        raise StructureError(
            f"{modes.atoms.get_chemical_formula()} has atoms that are held",
            "lines belong to modes in which all atoms move",
            "remove the constraints",
        )
    _refuse_imaginary(modes.atoms, modes.wavenumbers / CM1_PER_THZ)
    n = 3 * len(modes.atoms)
    own = (modes.displacements * np.sqrt(modes.atoms.get_masses())[:, None]).reshape(-1, n)
    n_rigid = n - len(own)
    rigid = np.linalg.svd(own, full_matrices=True)[2][len(own) :]
    labels = sorted({mode_set.label for mode_set in modes.sets})
    levels = tuple(
        Level(
            places=tuple(n_rigid + mode - 1 for mode in mode_set.modes),
            modes=mode_set.modes,
            frequency=mode_set.wavenumber / CM1_PER_THZ,
            label=mode_set.label,
            species=labels.index(mode_set.label),
        )
        for mode_set in modes.sets
    )
    return Levels(np.concatenate([rigid, own]).T, levels)


def levels_of_crystal(atoms: Atoms, calc: PhonaxCalculator, q: np.ndarray, *, named: bool = False) -> Levels:
    """Levels of a crystal at a minimum, at one wave vector; its translations at q = 0 are none.

    Two levels are of one species where a matrix that the little group allows couples them.

    Args:
        atoms: relaxed.
        q: (3,) reduced, of the cell of `atoms`.
        named: levels have the names of their irreducible representations, for which q has to fit into a supercell.

    Raises:
        StructureError: an imaginary mode.
        InputError: names are wanted, and q fits no supercell.
    """
    matrices = np.asarray(calc.evaluator.lattice_matrices(atoms, q[None]))
    squares, vectors = np.linalg.eigh(mass_weighted(matrices, atoms.get_masses())[0])
    frequencies = signed_roots_thz(squares)
    n_fixed = 3 if not np.any(q) else 0
    order = np.argsort(np.abs(frequencies) >= EQUAL_THZ, kind="stable") if n_fixed else np.arange(len(frequencies))
    frequencies, vectors = frequencies[order], vectors[:, order]
    _refuse_imaginary(atoms, frequencies[n_fixed:])
    gaps = np.flatnonzero(np.diff(frequencies[n_fixed:]) > EQUAL_THZ)
    sets = np.split(np.arange(n_fixed, len(frequencies)), gaps + 1)
    sets, vectors = _of_one_species(sets, vectors, _allowed(atoms, q))
    species = _coupled(vectors, sets, _allowed(atoms, q, seed=1))
    labels = _names(atoms, calc, q) if named else {}
    levels = tuple(
        Level(
            places=tuple(own.tolist()),
            modes=tuple((own + 1).tolist()),
            frequency=float(frequencies[own].mean()),
            label=labels.get(int(own[0]) + 1, ""),
            species=number,
        )
        for own, number in zip(sets, species, strict=True)
    )
    return Levels(vectors, levels)


def _operations(atoms: Atoms) -> Operations:
    """Those of the crystal that leave its masses where they are."""
    every, masses = exact_operations(atoms, SYMPREC), atoms.get_masses()
    kept = np.all(np.abs(masses[every.images] - masses) < SAME_MASS, axis=1)
    return Operations(*(getattr(every, part.name)[kept] for part in fields(every)))


def _allowed(atoms: Atoms, q: np.ndarray, seed: int = 0) -> np.ndarray:
    """A random Hermitian matrix (3n, 3n) that obeys the operations at q: it couples all that may be coupled."""
    rng, n = np.random.default_rng(seed), 3 * len(atoms)
    random = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    return Stars(_operations(atoms)).obeying(q, (random + random.conj().T) / 2)


def _of_one_species(
    sets: list[np.ndarray], vectors: np.ndarray, allowed: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sets that are equal by chance taken apart, and modes turned so that each part has its own.

    Within a set that symmetry makes, what it allows is a multiple of the identity (Schur's lemma).
    """
    apart, turned = [], vectors.copy()
    for own in sets:
        values, turn = np.linalg.eigh(vectors[:, own].conj().T @ allowed @ vectors[:, own])
        turned[:, own] = vectors[:, own] @ turn
        apart += np.split(own, np.flatnonzero(np.diff(values) > MIXED**0.5 * np.abs(allowed).max()) + 1)
    return apart, turned


def _coupled(vectors: np.ndarray, sets: list[np.ndarray], allowed: np.ndarray) -> list[int]:
    """Number of the species of each set."""
    coupling = np.abs(vectors.conj().T @ allowed @ vectors) ** 2 / np.abs(allowed).max() ** 2
    species: list[int] = []
    for k, own in enumerate(sets):
        alike = [j for j in range(k) if coupling[np.ix_(sets[j], own)].sum() > MIXED]
        species.append(species[alike[0]] if alike else len(set(species)))
    return species


def _names(atoms: Atoms, calc: PhonaxCalculator, q: np.ndarray) -> dict[int, str]:
    """Name of the representation of each mode, counted from 1; those that have none are left out."""
    try:
        fractions = as_fractions(q)
    except InputError as error:
        raise InputError(
            f"lines at q = {q.tolist()} are named by species",
            f"names are known where q fits a supercell, with denominators up to {LARGEST_DENOMINATOR}",
            "number these lines by mode",
        ) from error
    # As many cells along each vector: a smaller one that q fits has fewer operations than the crystal.
    phonopy = get_phonopy(atoms, calc, lcm(*(x.denominator for x in fractions)))
    return {mode: own.label for own in find_irreps(phonopy, q).sets for mode in own.modes if own.label}


def _refuse_imaginary(atoms: Atoms, frequencies: np.ndarray) -> None:
    if not len(frequencies):
        raise StructureError(
            f"{atoms.get_chemical_formula()} has no vibrations there",
            "a single atom moves as a whole, and so does a crystal of one atom at q = 0",
            "give lines another wave vector q",
        )
    if frequencies.min() < -IMAGINARY_THZ:
        raise StructureError(
            f"{atoms.get_chemical_formula()}: {np.sum(frequencies < -IMAGINARY_THZ)} modes of the starting model are "
            f"imaginary, the first {CM1_PER_THZ * abs(frequencies.min()):.0f}i cm⁻¹",
            "it is at no minimum there, and lines belong to vibrations about one",
            "start from a structure of lower symmetry, or from a model that holds this one",
        )
