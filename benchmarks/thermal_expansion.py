"""Thermal expansion at 300 K against experiment, and which of its doubts tell that it is wrong.

    python benchmarks/thermal_expansion.py [--model FILE] [NAME ...]

Quasi-harmonic, seven volumes from -4 to +8 %, supercell 4 x 4 x 4. Experimental expansions of volume are those of
handbooks, three times the linear one for cubic crystals [1e-6/K].
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from ase_phonax import PhonaxCalculator, PhonaxError, get_quasi_harmonic, phonons_at_volumes, relax
from ase_phonax.volumes.quasi_harmonic import RATIOS

TEMPERATURE = 300.0
# name: (structure, a [Å], measured)
CUBIC = {
    "Al": ("fcc", 4.05, 69.3), "Cu": ("fcc", 3.62, 49.8), "Ag": ("fcc", 4.10, 56.7), "Ca": ("fcc", 5.50, 66.0),
    "Na": ("bcc", 4.20, 212.0), "C": ("diamond", 3.57, 3.0), "Si": ("diamond", 5.46, 7.8),
    "Ge": ("diamond", 5.70, 17.7),
    "NaCl": ("rocksalt", 5.64, 119.0), "KCl": ("rocksalt", 6.35, 110.0), "KBr": ("rocksalt", 6.67, 116.0),
    "NaF": ("rocksalt", 4.70, 96.0), "NaBr": ("rocksalt", 6.05, 126.0), "LiF": ("rocksalt", 4.05, 99.6),
    "LiCl": ("rocksalt", 5.15, 132.0), "MgO": ("rocksalt", 4.25, 31.2), "CaO": ("rocksalt", 4.83, 34.0),
    "SrO": ("rocksalt", 5.20, 41.0), "GaAs": ("zincblende", 5.70, 17.2), "GaP": ("zincblende", 5.50, 14.0),
    "AlAs": ("zincblende", 5.73, 15.6), "InAs": ("zincblende", 6.19, 13.6), "ZnS": ("zincblende", 5.43, 20.0),
    "ZnSe": ("zincblende", 5.74, 22.8), "CdTe": ("zincblende", 6.60, 14.7),
}  # fmt: skip
HEXAGONAL = {"Mg": (3.19, 5.18, 78.0), "Zn": (2.66, 4.95, 91.0), "Ti": (2.93, 4.65, 25.8)}
FLUORITES = {"CaF2": (5.50, 56.6), "SrF2": (5.86, 54.0)}


def structure(name: str) -> tuple[Atoms, float]:
    """A primitive cell, and the expansion measured."""
    if name in CUBIC:
        kind, a, measured = CUBIC[name]
        return bulk(name, kind, a=a), measured
    if name in HEXAGONAL:
        a, c, measured = HEXAGONAL[name]
        return bulk(name, "hcp", a=a, c=c), measured
    a, measured = FLUORITES[name]
    places, cell = [(0, 0, 0), (0.25, 0.25, 0.25)], [a, a, a, 90, 90, 90]
    return crystal([name[:2], "F"], places, spacegroup=225, cellpar=cell, primitive_cell=True), measured


def main() -> None:
    """Print a table, and medians with and without doubts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="crystals (default: all)")
    parser.add_argument("--model", help="default: the one that ships")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    calc = PhonaxCalculator(options.model) if options.model else PhonaxCalculator()
    errors: dict[bool, list[float]] = {True: [], False: []}
    for name in options.names or [*CUBIC, *HEXAGONAL, *FLUORITES]:
        atoms, measured = structure(name)
        try:
            relaxed, _ = relax(atoms, calc)
            found = get_quasi_harmonic(phonons_at_volumes(relaxed, calc, 4, RATIOS))
        except PhonaxError as error:
            print(f"{name:5s} none: {error.what}")
            continue
        row, verdict = found.at(TEMPERATURE), found.verdicts[min(30, len(found.verdicts) - 1)]
        if row["temperature_k"] != TEMPERATURE:
            print(f"{name:5s} none: results end at {row['temperature_k']:g} K")
            continue
        expansion = 1e6 * row["thermal_expansion_per_k"]
        error = 100 * (expansion / measured - 1)
        errors[bool(verdict.doubts)].append(abs(error))
        told = f"B {row['bulk_modulus_gpa']:6.1f} GPa  γ {row['gruneisen']:5.2f}  {', '.join(verdict.doubts)}"
        print(f"{name:5s} {expansion:7.1f}  measured {measured:6.1f}  {error:+5.0f} %  {told}")
    for doubted, amounts in errors.items():
        if amounts:
            words = "with doubts" if doubted else "without doubts"
            print(f"{len(amounts)} {words}: median {np.median(amounts):.0f} %, at most {max(amounts):.0f} %")
    print(f"all: median {np.median([*errors[True], *errors[False]]):.0f} %")


if __name__ == "__main__":
    main()
