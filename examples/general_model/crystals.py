"""Which crystals the general model learns from, and which are kept to test it."""

import itertools
import zlib
from pathlib import Path

import ase.io
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii

HELD_OUT, VALIDATED = 0.1, 0.03  # parts of the formulas: to test, and to see when training has gone far enough
QUICK = ("Na", "Cl", "Mg", "O", "Si", "C", "Al")
# Few done well rather than many done badly: each is in a hundred crystals.
ELEMENTS = (
    *("Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca", "Sr", "Ba", "Ti", "Zr", "Cu", "Ag", "Zn", "Cd"),
    *("B", "Al", "Ga", "In", "C", "Si", "Ge", "Sn", "N", "P", "As", "Sb", "O", "S", "Se", "Te", "F", "Cl", "Br", "I"),
)
# Cations and anions of a valence, and the lattice constants [bond lengths] of structures in which any two are put.
CATIONS = {
    1: ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag"),
    2: ("Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd"),
    3: ("B", "Al", "Ga", "In"),
    4: ("C", "Si", "Ge", "Sn", "Ti", "Zr"),
}
ANIONS = {1: ("F", "Cl", "Br", "I"), 2: ("O", "S", "Se", "Te"), 3: ("N", "P", "As", "Sb"), 4: ("C", "Si", "Ge", "Sn")}
EDGES = {"rocksalt": 2.0, "zincblende": 4 / 3**0.5, "cesiumchloride": 2 / 3**0.5, "wurtzite": (8 / 3) ** 0.5}

# Elements, which the published set lacks: (symbol, structure, lattice constant [Å]).
ADDED = (
    *((f, "fcc", a) for f, a in (("Al", 4.04), ("Cu", 3.63), ("Ag", 4.15), ("Ca", 5.53), ("Sr", 6.02))),
    *((f, "bcc", a) for f, a in (("Li", 3.44), ("Na", 4.19), ("K", 5.28), ("Rb", 5.67), ("Cs", 6.16), ("Ba", 5.03))),
    *((f, "hcp", a) for f, a in (("Mg", 3.19), ("Zn", 2.64), ("Ti", 2.94), ("Zr", 3.23), ("Be", 2.26), ("Cd", 3.04))),
    *((f, "diamond", a) for f, a in (("Ge", 5.76), ("Sn", 6.65))),
)


def published(path: Path) -> list[Atoms]:
    """The crystals of Petretto et al. (Scientific Data 5, 180065) of `ELEMENTS` alone."""
    crystals = [Atoms(a.numbers, positions=a.positions, cell=a.cell, pbc=True) for a in ase.io.read(path, ":")]
    return [a for a in crystals if set(a.get_chemical_symbols()) <= set(ELEMENTS)]


def added() -> list[Atoms]:
    """Elements, and every pair of ions that balance in four structures and fluorite's, but for formulas held out."""
    crystals = [bulk(symbol, structure, a=a) for symbol, structure, a in ADDED]
    for (valence, cations), (charge, anions) in itertools.product(CATIONS.items(), ANIONS.items()):
        for cation, anion in itertools.product(cations, anions):
            bond = covalent_radii[atomic_numbers[cation]] + covalent_radii[atomic_numbers[anion]]
            if valence == charge and cation != anion:
                crystals += [bulk(cation + anion, s, a=edge * bond) for s, edge in EDGES.items()]
            elif valence == 2 * charge:
                crystals.append(bulk(f"{cation}{anion}2", "fluorite", a=EDGES["zincblende"] * bond))
            elif charge == 2 * valence:
                crystals.append(bulk(f"{anion}{cation}2", "fluorite", a=EDGES["zincblende"] * bond))
    return [atoms for atoms in crystals if not is_held_out(atoms)]


def formula(atoms: Atoms) -> str:
    """Empirical formula, one for all polymorphs."""
    return atoms.get_chemical_formula("metal", empirical=True)


def is_held_out(atoms: Atoms) -> bool:
    """Decided by the formula alone: polymorphs stay together, and new crystals move none of the others."""
    return _lot(atoms) < HELD_OUT


def is_validated(atoms: Atoms) -> bool:
    """Decided in the same way: neither trained on nor tested."""
    return HELD_OUT <= _lot(atoms) < HELD_OUT + VALIDATED


def _lot(atoms: Atoms) -> float:
    return zlib.crc32(formula(atoms).encode()) % 1000 / 1000


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
    for k, atoms in enumerate(structures):
        atoms.info = {"formula": formula(atoms), "held_out": k < len(held) and held[k]}
    part = path.with_suffix(".part")
    ase.io.write(part, structures, format="extxyz")
    part.replace(path)
