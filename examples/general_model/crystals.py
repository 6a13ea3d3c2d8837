"""Which crystals the general model learns from, and which are kept to test it."""

import zlib
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii

RARE = 15  # an element in fewer crystals than this is left out, and every crystal with it
HELD_OUT = 0.1  # part of the formulas
QUICK = ("Na", "Cl", "Mg", "O", "Si", "C", "Al")
SUBSTITUTED, LARGEST = 1500, 12  # crystals made from others, and atoms of one at most
FAMILIES = (
    *(("Li", "Na", "K", "Rb", "Cs"), ("Be", "Mg", "Ca", "Sr", "Ba"), ("Sc", "Y", "La"), ("Ti", "Zr", "Hf")),
    *(("V", "Nb", "Ta"), ("Cr", "Mo", "W"), ("Co", "Rh", "Ir"), ("Ni", "Pd", "Pt"), ("Cu", "Ag", "Au")),
    *(("Zn", "Cd", "Hg"), ("B", "Al", "Ga", "In", "Tl"), ("C", "Si", "Ge", "Sn", "Pb")),
    *(("N", "P", "As", "Sb", "Bi"), ("O", "S", "Se", "Te"), ("F", "Cl", "Br", "I")),
)

# Common crystals that the published set lacks: (formula, structure, lattice constant [Å]).
ADDED = (
    *((f, "rocksalt", a) for f, a in (("NaCl", 5.69), ("NaF", 4.70), ("LiCl", 5.15), ("CaO", 4.84), ("SrSe", 6.3))),
    *((f, "zincblende", a) for f, a in (("SiC", 4.38), ("AlP", 5.50), ("InP", 5.96), ("GaP", 5.50), ("CuCl", 5.42))),
    *((f, "fcc", a) for f, a in (("Al", 4.04), ("Cu", 3.63), ("Ag", 4.15), ("Au", 4.16), ("Pd", 3.94), ("Pt", 3.97))),
    *((f, "bcc", a) for f, a in (("Li", 3.44), ("Na", 4.19), ("K", 5.28), ("Al", 3.24), ("Nb", 3.32), ("Ta", 3.32))),
    *((f, "hcp", a) for f, a in (("Mg", 3.19), ("Zn", 2.64), ("Ti", 2.94), ("Zr", 3.23), ("Be", 2.26), ("Sc", 3.32))),
    *((f, "diamond", a) for f, a in (("Ge", 5.76), ("Sn", 6.65))),
)


def published(path: Path) -> list[Atoms]:
    """The crystals of Petretto et al. (Scientific Data 5, 180065) whose elements are common enough among them."""
    crystals = [Atoms(a.numbers, positions=a.positions, cell=a.cell, pbc=True) for a in ase.io.read(path, ":")]
    counts: dict[int, int] = {}
    for atoms in crystals:
        for z in set(atoms.numbers.tolist()):
            counts[z] = counts.get(z, 0) + 1
    return [a for a in crystals if all(counts[z] >= RARE for z in set(a.numbers.tolist()))]


def added() -> list[Atoms]:
    """The table above."""
    return [bulk(formula, structure, a=a) for formula, structure, a in ADDED]


def substituted(crystals: list[Atoms], n: int, seed: int = 0) -> list[Atoms]:
    """New crystals in the place of old ones: one or two elements exchanged with their family, the cell scaled by radii.

    The teacher relaxes and labels whatever exists only on paper as well as what has been measured. Formulas that are
    held out, or there already, are never made.
    """
    rng = np.random.default_rng(seed)
    known = {z for atoms in crystals for z in atoms.numbers.tolist()}
    there, found = {formula(atoms) for atoms in crystals}, []
    small = [atoms for atoms in crystals if len(atoms) <= LARGEST]
    while len(found) < n:
        atoms = small[rng.integers(len(small))].copy()
        elements = sorted(set(atoms.get_chemical_symbols()))
        exchanged = {}
        for element in rng.permutation(elements)[: rng.integers(1, 3)]:
            family = next((f for f in FAMILIES if element in f), ())
            others = [e for e in family if e not in elements and atomic_numbers[e] in known]
            if others:
                exchanged[str(element)] = str(rng.choice(others))
        before = covalent_radii[atoms.numbers].mean()
        atoms.symbols = [exchanged.get(e, e) for e in atoms.get_chemical_symbols()]
        if len(set(atoms.get_chemical_symbols())) < len(elements) or formula(atoms) in there or is_held_out(atoms):
            continue
        atoms.set_cell(atoms.cell.array * covalent_radii[atoms.numbers].mean() / before, scale_atoms=True)
        there.add(formula(atoms))
        found.append(atoms)
    return found


def formula(atoms: Atoms) -> str:
    """Empirical formula, one for all polymorphs."""
    return atoms.get_chemical_formula("metal", empirical=True)


def is_held_out(atoms: Atoms) -> bool:
    """Decided by the formula alone: polymorphs stay together, and new crystals move none of the others."""
    return zlib.crc32(formula(atoms).encode()) % 1000 < 1000 * HELD_OUT


def write_structures(path: Path, source: Path, quick: bool = False) -> None:
    """All of them in one file, each with `info["held_out"]`; only published ones are held out.

    Args:
        path: written.
        source: the published crystals.
        quick: a few small ones.
    """
    structures = published(source)
    if quick:
        structures = [a for a in structures if set(a.get_chemical_symbols()) <= set(QUICK) and len(a) < 5]
    held = [k % 3 == 0 if quick else is_held_out(a) for k, a in enumerate(structures)]
    if not quick:
        structures += added()
        structures += substituted(structures, SUBSTITUTED)
    for k, atoms in enumerate(structures):
        atoms.info = {"formula": formula(atoms), "held_out": k < len(held) and held[k]}
    part = path.with_suffix(".part")
    ase.io.write(part, structures, format="extxyz")
    part.replace(path)
