"""Thermal expansion by exact slopes in strain against measured ones, and bulk moduli.

    PHONAX_DATA=... python benchmarks/measured_expansion.py [--model nequix-mp-1-pft] [--crystals MgO Al2O3]

Measured are the assessed expansions of volume of T. J. B. Holland and R. Powell, J. Metamorph. Geol. 29, 333 (2011).
Ours is `get_anisotropic_expansion` on the supercell that `choose_supercell` finds, atoms and cell at rest at 0 K by the
model: harmonic phonons at each strain, nothing else. What the model's energies say of stiffness is compared as well,
at rest (measured is at 298 K).
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from ase_phonax import PhonaxCalculator, elastic_constants, get_anisotropic_expansion, relax
from ase_phonax.base.errors import PhonaxError, UnstableWarning

# Name of the crystal, its name in the tables, and a cell to begin at.
CRYSTALS = {
    "MgO": ("per", bulk("MgO", "rocksalt", a=4.25), 4),
    "CaO": ("lime", bulk("CaO", "rocksalt", a=4.83), 4),
    "Al2O3": (
        "cor",
        crystal(
            ["Al", "O"],
            [(0, 0, 0.352), (0.306, 0, 0.25)],
            spacegroup=167,
            cellpar=[4.80, 4.80, 13.1, 90, 90, 120],
            primitive_cell=True,
        ),
        2,
    ),
    "NaCl": ("hlt", bulk("NaCl", "rocksalt", a=5.69), 4),
    "KCl": ("syv", bulk("KCl", "rocksalt", a=6.38), 4),
    "Cu": ("Cu", bulk("Cu", "fcc", a=3.63), 4),
    "C": ("diam", bulk("C", "diamond", a=3.57), 4),
}
TEMPERATURES = (298.15, 500.0, 800.0)
STEPS = (800.0, 500.0, 298.15)  # highest temperatures that are tried in turn, for crystals that burst before


def measured() -> dict:
    """Expansions and bulk moduli by mineral."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/measured/thermo_measured.json")
    path = Path(os.environ["PHONAX_DATA"]) / "data/measured/thermo_measured.json"
    return json.loads(path.read_text())["HP2011"]


def expansions(atoms: Atoms, calc: PhonaxCalculator, cells: int) -> tuple[dict[float, float], str]:
    """Volumetric expansion [1/K] at as many of the temperatures as there are, and what ended the series."""
    why = ""
    for highest in STEPS:
        try:
            found = get_anisotropic_expansion(atoms, calc, cells, highest + 50)
        except PhonaxError as error:
            why = error.what
            continue
        traces = np.trace(found.expansion, axis1=1, axis2=2)
        return {t: float(np.interp(t, found.temperatures, traces)) for t in TEMPERATURES if t <= highest}, why
    return {}, why


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nequix-mp-1-pft")
    parser.add_argument("--crystals", nargs="+", default=list(CRYSTALS), choices=list(CRYSTALS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)
    warnings.simplefilter("ignore", UserWarning)
    calc, known = PhonaxCalculator(options.model), measured()
    print("expansion of volume in 1e-6/K, here / measured; bulk moduli in GPa")
    errors = []
    for name in options.crystals:
        key, start, cells = CRYSTALS[name]
        begin = time.perf_counter()
        atoms = relax(start, calc, fmax=1e-5, smax=1e-6)[0]
        found, why = expansions(atoms, calc, cells)
        modulus = elastic_constants(atoms, calc).hill.bulk
        row = [f"{name:6s}"]
        for t in TEMPERATURES:
            label = f"{t:g}" if f"{t:g}" in known[key]["alpha_T"] else f"{t:.2f}"
            expected = known[key]["alpha_T"][label]
            row.append(f"{t:g} K {1e6 * found[t]:6.1f} / {1e6 * expected:6.1f}" if t in found else f"{t:g} K none")
        if TEMPERATURES[0] in found:
            errors.append(found[TEMPERATURES[0]] / known[key]["alpha_T"]["298.15"] - 1)
        row.append(f"K {modulus:.0f} / {known[key]['KT298_GPa']:.0f}  {time.perf_counter() - begin:.0f} s  {why}")
        print("  ".join(row), flush=True)
    if errors:
        sizes = 100 * np.abs(errors)
        print(f"at 298 K: median of errors {np.median(sizes):.0f} %, at most {sizes.max():.0f} %")


if __name__ == "__main__":
    main()
