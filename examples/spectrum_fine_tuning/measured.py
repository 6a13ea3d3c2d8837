"""Measured fundamentals of molecules as lists of lines.

Numbers: T. Shimanouchi, Tables of Molecular Vibrational Frequencies (NSRDS-NBS 39, 1972, and J. Phys. Chem. Ref. Data
6, 993 (1977)), in two files of the reference data. Those of grades A to C are taken, uncertain by up to 15 cm⁻¹; D and
E are estimates. They are fundamentals: anharmonic, by much more than that, some moved by Fermi resonance, too; so all
count alike. Geometries to start from are those of the G2 set in ASE.
"""

import json
import os
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.collections import g2
from ase.neighborlist import natural_cutoffs, neighbor_list

from ase_phonax import Line, LineList, PhonaxCalculator, PhonaxError
from ase_phonax.base.units import CM1_PER_THZ
from ase_phonax.training.labels.line_lists import AssignedLines, assigned

DEUTERIUM = 2.014102  # amu
GRADES = "ABC"
# Name in the tables -> name in the G2 set, and which hydrogens are heavy: their numbers, the elements they sit on, or
# the number of a methyl group.
LEARNED = {
    "Benzene": ("C6H6", ()),
    "Ethane": ("C2H6", ()),
    "Methane": ("CH4", ()),
    "Ethylene": ("C2H4", ()),
    "Water": ("H2O", ()),
    "Ammonia": ("NH3", ()),
    "Formaldehyde": ("H2CO", ()),
    "Acetonitrile": ("CH3CN", ()),
    "Dimethyl ether": ("CH3OCH3", ()),
    "Methylamine": ("H3CNH2", ()),
    "Acetic acid": ("CH3COOH", ()),
    "1,3-Butadiene": ("butadiene", ()),
}
OTHERS = {
    "Acetone": ("CH3COCH3", ()),
    "Acetaldehyde": ("CH3CHO", ()),
    "Formic acid": ("HCOOH", ()),
    "Butane": ("trans-butane", ()),
    "Furan": ("C4H4O", ()),
    "1-Propene, 2-methyl-": ("isobutene", ()),
    "Cyclobutane": ("cyclobutane", ()),
    "Allene": ("C3H4_D2d", ()),
    "Ethylenimine": ("CH2NHCH2", ()),
    "Tetrafluoromethane": ("CF4", ()),
}
ISOTOPOLOGUES = {
    "deuterium oxide": ("H2O", "HCNO"),
    "Benzene-D6": ("C6H6", "C"),
    "Ethane-d6": ("C2H6", "C"),
    "Ethane-1,1,1-d3": ("C2H6", 0),
    "Methane-d2": ("CH4", (1, 2)),
    "Methylamine-N,N-d2": ("H3CNH2", "N"),
    "[2H3]acetonitrile": ("CH3CN", "C"),
    "Formaldehyde-d1": ("H2CO", (2,)),
    "Dimethylether-d3": ("CH3OCH3", 0),
    "[2H4]acetaldehyde": ("CH3CHO", "C"),
    "Acetone-alpha, alpha, alpha-d3": ("CH3COCH3", 0),
}


def tables() -> dict[str, list[dict[str, str]]]:
    """Name -> rows with "no", "species", "at" and "grade"."""
    folder = Path(os.environ["PHONAX_DATA"])
    folder = folder / "data" if (folder / "data").is_dir() else folder
    larger = json.loads((folder / "measured/fundamentals_shimanouchi.json").read_text())
    smaller = json.loads((folder / "experimental_fundamentals.json").read_text())["molecules"]
    found = {
        m["name"]: [
            {"no": v["no"], "species": v["sym_species"], "at": v["selected_value"], "grade": v["uncertainty"]}
            for v in m["vibrations"]
        ]
        for m in larger
    }
    for m in smaller:
        rows = [
            {"no": v["no"], "species": v["symmetry"], "at": v["wavenumber_cm1"], "grade": v["uncertainty"]}
            for v in m["modes"]
        ]
        found.setdefault(m["name"], rows)
    return found


def geometry(name: str, heavy: str | int | tuple[int, ...]) -> Atoms:
    """From the G2 set; `heavy` says which hydrogens are deuterium: on these elements, of this methyl, or these."""
    atoms = g2[name]
    masses = atoms.get_masses()
    i, j = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.2))
    on = {int(a): int(b) for a, b in zip(i, j, strict=True) if atoms.numbers[a] == 1}
    if isinstance(heavy, tuple):
        chosen = list(heavy)
    elif isinstance(heavy, int):
        carbons = [k for k in range(len(atoms)) if list(on.values()).count(k) == 3]
        chosen = [h for h, k in on.items() if k == carbons[heavy]]
    else:
        chosen = [h for h, k in on.items() if atoms.symbols[k] in heavy]
    masses[chosen] = DEUTERIUM
    return Atoms(atoms.numbers, atoms.positions, masses=masses)


def lines_of(rows: list[dict[str, str]]) -> tuple[Line, ...]:
    """Lines of grades A to C; several values for one fundamental are averaged."""
    species = {row["species"] for row in rows}
    by_number: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["grade"] and row["grade"] in GRADES and row["at"]:
            by_number.setdefault(row["no"], []).append(row)
    return tuple(
        Line(
            float(np.mean([float(row["at"]) for row in own])),
            species=_symbol(own[0]["species"], species),
        )
        for own in by_number.values()
    )


def _symbol(species: str, all_of_them: set[str]) -> str:
    """As Mulliken writes it: the tables have F for T, Greek names in quotes, and lost the primes of A''."""
    plain = species.replace("«sigma»", "Σ").replace("«pi»", "Π").replace("f", "T")
    return plain + "''" if f"{species}'" in all_of_them else plain


def fundamentals(names: dict[str, tuple], calc: PhonaxCalculator) -> dict[str, tuple[LineList, AssignedLines]]:
    """Lists by name, with the lines on the model's modes.

    Which of B1, B2 (B3) is which depends on axes that the tables do not state: the choice that fits best is taken.
    """
    every, result = tables(), {}
    for name, (there, heavy) in names.items():
        atoms, lines = geometry(there, heavy), lines_of(every[name])
        best, why = None, ""
        for other in _renamed(lines):
            try:
                found = assigned(LineList("", other), atoms, calc, name)
            except PhonaxError as error:
                why = str(error)
                continue
            if best is None or cost(found) < cost(best[1]):
                best = LineList("", other), found
        if best is None:
            print(f"left out: {why}", flush=True)
        else:
            result[name] = best
    return result


def _renamed(lines: tuple[Line, ...]) -> list[tuple[Line, ...]]:
    """The lines with B1, B2 (and B3 of D2h) in every order."""
    numbers = sorted({line.species[1] for line in lines if _is_numbered_b(line)} | set("12"))
    return [
        tuple(
            replace(line, species=f"B{order[numbers.index(line.species[1])]}{line.species[2:]}")
            if _is_numbered_b(line)
            else line
            for line in lines
        )
        for order in permutations(numbers)
    ]


def _is_numbered_b(line: Line) -> bool:
    return line.species[0] in "bB" and line.species[1:2].isdigit()


def cost(found: AssignedLines) -> float:
    """Sum of squared differences [THz²]."""
    return sum((own.line.at / CM1_PER_THZ - own.level.frequency) ** 2 for own in found.assignments)
