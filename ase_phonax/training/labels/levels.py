"""Levels of a structure as a model has them: modes, their degeneracy and their species, for lines to be assigned to."""

from dataclasses import fields
from math import lcm

import numpy as np
from ase import Atoms

from ...base.errors import StructureError
from ...base.units import CM1_PER_THZ
from ...calculator import PhonaxCalculator
from ...derivatives.conventions import signed_roots_thz
from ...derivatives.stars import Operations, Stars, exact_operations
from ...molecules.normal_modes import NormalModes
from ...phonons.supercell.objects import get_phonopy
from ...phonons.symmetry.irreps import find_irreps
from ...structures.commensurate_cells import as_fractions
from .lines import Level, Levels

SYMPREC = 1e-5  # Å, of relaxed crystals
EQUAL_THZ = 1e-3  # modes nearer than this are one level of a crystal
# Of the square of a random matrix that the little group leaves as it is, between two levels: below, they never mix.
MIXED = 1e-12
SAME_MASS = 1e-6  # amu
SOFT_THZ = 0.05  # an imaginary mode beyond this is none of a minimum


def levels_of_molecule(modes: NormalModes) -> Levels:
    """Levels of a molecule at a minimum, whole-body motions first.

    Raises:
        StructureError: an imaginary mode.
    """
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
    return Levels(np.concatenate([rigid, own]).T, levels, tuple(range(n_rigid)))


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
    roots = np.sqrt(np.repeat(atoms.get_masses(), 3))
    matrix = np.asarray(calc.evaluator.lattice_matrices(atoms, q[None]))[0] / np.outer(roots, roots)
    squares, vectors = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    frequencies = signed_roots_thz(squares)
    n_fixed = 3 if not np.any(q) else 0
    order = np.argsort(np.abs(frequencies) >= EQUAL_THZ, kind="stable") if n_fixed else np.arange(len(frequencies))
    frequencies, vectors = frequencies[order], vectors[:, order]
    _refuse_imaginary(atoms, frequencies[n_fixed:])
    gaps = np.flatnonzero(np.diff(frequencies[n_fixed:]) > EQUAL_THZ)
    sets = np.split(np.arange(n_fixed, len(frequencies)), gaps + 1)
    species = _coupled(vectors, sets, Stars(_operations(atoms)), q)
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
    return Levels(vectors, levels, tuple(range(n_fixed)))


def _operations(atoms: Atoms) -> Operations:
    """Those of the crystal that leave its masses where they are."""
    every, masses = exact_operations(atoms, SYMPREC), atoms.get_masses()
    kept = np.all(np.abs(masses[every.images] - masses) < SAME_MASS, axis=1)
    return Operations(*(getattr(every, part.name)[kept] for part in fields(every)))


def _coupled(vectors: np.ndarray, sets: list[np.ndarray], stars: Stars, q: np.ndarray) -> list[int]:
    """Number of the species of each set."""
    n = len(vectors)
    rng = np.random.default_rng(0)
    random = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    allowed = stars.obeying(q, (random + random.conj().T) / 2)
    coupling = np.abs(vectors.conj().T @ allowed @ vectors) ** 2 / n
    species: list[int] = []
    for k, own in enumerate(sets):
        alike = [j for j in range(k) if coupling[np.ix_(sets[j], own)].sum() > MIXED]
        species.append(species[alike[0]] if alike else len(set(species)))
    return species


def _names(atoms: Atoms, calc: PhonaxCalculator, q: np.ndarray) -> dict[int, str]:
    """Name of the representation of each mode, counted from 1; those that have none are left out."""
    # As many cells along each vector: a smaller one that q fits has fewer operations than the crystal.
    phonopy = get_phonopy(atoms, calc, lcm(*(x.denominator for x in as_fractions(q))))
    return {mode: own.label for own in find_irreps(phonopy, q).sets for mode in own.modes if own.label}


def _refuse_imaginary(atoms: Atoms, frequencies: np.ndarray) -> None:
    if frequencies.min() < -SOFT_THZ:
        raise StructureError(
            f"{atoms.get_chemical_formula()}: {np.sum(frequencies < -SOFT_THZ)} modes of the starting model are "
            f"imaginary, the first {CM1_PER_THZ * abs(frequencies.min()):.0f}i cm⁻¹",
            "it is at no minimum there, and lines belong to vibrations about one",
            "start from a structure of lower symmetry, or from a model that holds this one",
        )
