"""Crystals that nobody published, made of those to learn from: an element is exchanged for one of the same column."""

from collections.abc import Iterator, Set

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from ase.symbols import symbols2numbers

COLUMNS = (
    ("Li", "Na", "K", "Rb", "Cs"),
    ("Cu", "Ag", "Au"),
    ("Be", "Mg", "Ca", "Sr", "Ba"),
    ("Zn", "Cd", "Hg"),
    ("Sc", "Y", "La"),
    ("B", "Al", "Ga", "In", "Tl"),
    ("Ti", "Zr", "Hf"),
    ("C", "Si", "Ge", "Sn", "Pb"),
    ("V", "Nb", "Ta"),
    ("N", "P", "As", "Sb", "Bi"),
    ("Cr", "Mo", "W"),
    ("O", "S", "Se", "Te"),
    ("F", "Cl", "Br", "I"),
    ("Fe", "Ru", "Os"),
    ("Co", "Rh", "Ir"),
    ("Ni", "Pd", "Pt"),
)
STEPS, FORCE = 40, 0.03  # of a relaxation; eV/Å


def formula(atoms: Atoms) -> str:
    """Empirical formula, one for all polymorphs."""
    return atoms.get_chemical_formula("metal", empirical=True)


def substituted(
    published: list[Atoms], kept: Set[str], known: Set[int], most_atoms: int, rng: np.random.Generator
) -> Iterator[Atoms]:
    """One crystal after the other, in no order, with one or two elements exchanged; never a formula of `kept`.

    Args:
        published: crystals to start from.
        kept: formulas that are not made: those to judge by, and those that are there already.
        known: atomic numbers of the elements to exchange for.
        most_atoms: larger crystals are left alone.
    """
    columns = [[z for z in symbols2numbers(list(column)) if z in known] for column in COLUMNS]
    others = {z: [o for o in column if o != z] for column in columns for z in column}
    made = set(kept)
    small = [atoms for atoms in published if len(atoms) <= most_atoms and set(atoms.numbers) <= known]
    while True:
        before = small[rng.integers(len(small))]
        atoms = before.copy()
        elements = [z for z in np.unique(atoms.numbers) if others.get(z)]
        for z in rng.permutation(elements)[: rng.integers(1, 3)]:
            atoms.numbers[atoms.numbers == z] = rng.choice(others[z])
        name = f"{formula(atoms)} {len(atoms)}"
        if formula(atoms) in kept or name in made:
            continue
        made.add(name)
        factor = covalent_radii[atoms.numbers].mean() / covalent_radii[before.numbers].mean()
        atoms.set_cell(atoms.cell * factor, scale_atoms=True)
        yield atoms


def relaxed(atoms: Atoms, calc) -> Atoms | None:
    """At the rest of `calc`, or None where it is not reached."""
    moving = atoms.copy()
    moving.calc = calc
    optimiser = LBFGS(FrechetCellFilter(moving), logfile=None)
    done = optimiser.run(fmax=FORCE, steps=STEPS)
    return Atoms(moving.numbers, positions=moving.positions, cell=moving.cell, pbc=True) if done else None
