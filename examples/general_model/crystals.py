"""Which crystals the general model learns from, and which are kept to test it."""

import zlib
from pathlib import Path

import ase.io
from ase import Atoms
from ase.build import bulk

RARE = 15  # an element in fewer crystals than this is left out, and every crystal with it
HELD_OUT = 0.1  # part of the formulas

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


def formula(atoms: Atoms) -> str:
    """Empirical formula, one for all polymorphs."""
    return atoms.get_chemical_formula("metal", empirical=True)


def is_held_out(atoms: Atoms) -> bool:
    """Decided by the formula alone: polymorphs stay together, and new crystals move none of the others."""
    return zlib.crc32(formula(atoms).encode()) % 1000 < 1000 * HELD_OUT


def write_structures(path: Path, source: Path) -> None:
    """All of them in one file, each with `info["held_out"]`; those added are never held out."""
    structures = published(source) + added()
    n_published = len(structures) - len(ADDED)
    for k, atoms in enumerate(structures):
        atoms.info = {"formula": formula(atoms), "held_out": bool(k < n_published and is_held_out(atoms))}
    part = path.with_suffix(".part")
    ase.io.write(part, structures, format="extxyz")
    part.replace(path)
