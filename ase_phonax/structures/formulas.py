"""Chemical formulas as they are printed: of crystals in the order of the periodic table, of molecules Hill's."""

from __future__ import annotations

from functools import reduce
from math import gcd

from ase import Atoms
from ase.data import atomic_numbers

# IUPAC, Red Book 2005, table VI, read from its end: what stands first is taken as the more electropositive. Columns
# of the periodic table from right to left with hydrogen between nitrogen and tellurium; the rare gases come first.
_IN_ORDER = (
    "Og Rn Xe Kr Ar Ne He Fr Cs Rb K Na Li Ra Ba Sr Ca Mg Be"
    " Lr No Md Fm Es Cf Bk Cm Am Pu Np U Pa Th Ac Lu Yb Tm Er Ho Dy Tb Gd Eu Sm Pm Nd Pr Ce La Y Sc"
    " Rf Hf Zr Ti Db Ta Nb V Sg W Mo Cr Bh Re Tc Mn Hs Os Ru Fe Mt Ir Rh Co Ds Pt Pd Ni Rg Au Ag Cu Cn Hg Cd Zn"
    " Nh Tl In Ga Al B Fl Pb Sn Ge Si C Mc Bi Sb As P N H Lv Po Te Se S Ts At I Br Cl O F"
)
_PLACE = {symbol: place for place, symbol in enumerate(_IN_ORDER.split())}


def crystal_formula(atoms: Atoms, *, reduced: bool = True) -> str:
    """Formula of a crystal, the more electropositive elements first: "SiO2", "BaTiO3", "GaAs".

    Args:
        atoms: of any cell.
        reduced: counts over their greatest common divisor, a formula unit; else those of the cell.
    """
    counts: dict[str, int] = {}
    for symbol in atoms.get_chemical_symbols():
        counts[symbol] = counts.get(symbol, 0) + 1
    unit = reduce(gcd, counts.values(), 0) if reduced else 1
    ordered = sorted(counts, key=lambda symbol: (_PLACE.get(symbol, -1), atomic_numbers[symbol]))
    return "".join(symbol + (str(counts[symbol] // unit) if counts[symbol] > unit else "") for symbol in ordered)


def formula(atoms: Atoms) -> str:
    """Formula of any structure, all atoms counted: as a crystal where it repeats in three directions, else Hill's."""
    return crystal_formula(atoms, reduced=False) if all(atoms.pbc) else molecular_formula(atoms)


def molecular_formula(atoms: Atoms) -> str:
    """Formula of a molecule in Hill's order, all atoms counted: "C2H6O"."""
    return atoms.get_chemical_formula("hill")
