"""Thermal expansion at 300 K against experiment, and which of its doubts tell that it is wrong.

    python benchmarks/thermal_expansion.py [--model FILE] [NAME ...]

Quasi-harmonic, seven volumes from -4 to +8 %, supercell 4 x 4 x 4. Measured are expansions of volume [1e-6/K] at room
temperature, three times the mean linear one where the source gives that; each crystal names its source in `SOURCES`.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from ase_phonax import PhonaxCalculator, PhonaxError, get_quasi_harmonic, phonons_at_volumes, relax
from ase_phonax.phonons.volumes.quasi_harmonic import RATIOS

TEMPERATURE = 300.0
SOURCES = {
    "CRC": "CRC Handbook of Chemistry and Physics, in Wikipedia, Thermal expansion coefficients of the elements",
    "WebElements": "WebElements, in Wikipedia, Thermal expansion coefficients of the elements",
    "Reeber": "R. R. Reeber and K. Wang, Mater. Chem. Phys. 46 (1996), p. 262, table 3, in ltmlab.fr, Germanium",
    "Sque": "S. J. Sque, University of Exeter, properties of diamond (300 K)",
    "HP": "T. J. B. Holland and R. Powell, J. Metamorph. Geol. 29, 333 (2011), assessed at 298.15 K",
    "JAC": "An extended thermal pressure equation of state for sodium fluoride, J. Appl. Cryst. 2025, issue 1:"
    " γ C / (K V) at 295 K of its Debye model, V 14.9724 cm³/mol, K 46.79 GPa, 459 K, γ 1.547",
    "NSM": "Ioffe Institute, NSM archive, pages GaAs, GaP, AlGaAs (x = 1)",
    "Alineason": "Alineason, data sheet of InAs wafers",
    "AZoM": "AZoM, article 8415, Zinc Sulfide (ZnS) Semiconductors",
    "Crystran": "Crystran handbook of infra-red and ultra-violet optical materials (2023), in refractiveindex.info",
}
# name: (structure, a [Å], measured, source)
CUBIC = {
    "Al": ("fcc", 4.05, 3 * 23.1, "CRC"),
    "Cu": ("fcc", 3.62, 3 * 16.5, "CRC"),
    "Ag": ("fcc", 4.10, 3 * 18.9, "CRC"),
    "Ca": ("fcc", 5.50, 3 * 22.3, "CRC"),
    "Na": ("bcc", 4.20, 3 * 71.0, "CRC"),
    "C": ("diamond", 3.57, 3 * 1.05, "Sque"),
    "Si": ("diamond", 5.46, 3 * 2.6, "WebElements"),
    "Ge": ("diamond", 5.70, 3 * 5.838, "Reeber"),
    "NaCl": ("rocksalt", 5.64, 114.7, "HP"),
    "KCl": ("rocksalt", 6.35, 110.9, "HP"),
    "NaF": ("rocksalt", 4.70, 97.9, "JAC"),
    "MgO": ("rocksalt", 4.25, 31.1, "HP"),
    "CaO": ("rocksalt", 4.83, 34.1, "HP"),
    "GaAs": ("zincblende", 5.70, 3 * 5.73, "NSM"),
    "GaP": ("zincblende", 5.50, 3 * 4.65, "NSM"),
    "AlAs": ("zincblende", 5.73, 3 * 5.20, "NSM"),
    "InAs": ("zincblende", 6.19, 3 * 4.52, "Alineason"),
    "ZnS": ("zincblende", 5.43, 3 * 6.36, "AZoM"),
    "CdTe": ("zincblende", 6.60, 3 * 5.9, "Crystran"),
}
# name: (a, c [Å], measured, source)
HEXAGONAL = {
    "Mg": (3.19, 5.18, 3 * 24.8, "CRC"),
    "Zn": (2.66, 4.95, 3 * 30.2, "CRC"),
    "Ti": (2.93, 4.65, 3 * 8.6, "CRC"),
}
FLUORITES = {"CaF2": (5.50, 3 * 18.85, "Crystran")}


def structure(name: str) -> tuple[Atoms, float, str]:
    """A primitive cell, the expansion measured, and the source of it."""
    if name in CUBIC:
        kind, a, measured, source = CUBIC[name]
        return bulk(name, kind, a=a), measured, source
    if name in HEXAGONAL:
        a, c, measured, source = HEXAGONAL[name]
        return bulk(name, "hcp", a=a, c=c), measured, source
    a, measured, source = FLUORITES[name]
    places, cell = [(0, 0, 0), (0.25, 0.25, 0.25)], [a, a, a, 90, 90, 90]
    atoms = crystal([name[:2], "F"], places, spacegroup=225, cellpar=cell, primitive_cell=True)
    return atoms, measured, source


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
        atoms, measured, source = structure(name)
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
        print(f"{name:5s} {expansion:7.1f}  measured {measured:6.1f} ({source})  {error:+5.0f} %  {told}")
    for doubted, amounts in errors.items():
        if amounts:
            words = "with doubts" if doubted else "without doubts"
            print(f"{len(amounts)} {words}: median {np.median(amounts):.0f} %, at most {max(amounts):.0f} %")
    print(f"all: median {np.median([*errors[True], *errors[False]]):.0f} %")
    for name, source in SOURCES.items():
        print(f"{name}: {source}")


if __name__ == "__main__":
    main()
