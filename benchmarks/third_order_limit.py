"""Third-order constants here against phono3py's displacements with the same forces, in the limit of small steps.

    python benchmarks/third_order_limit.py [--model nequix-mp-1-pft] [--crystals Si NaCl AlN]

float64, the same small supercell on both sides (its images included). Errors of displacements begin with the square of
the step: constants of three steps, each half the last, are extrapolated to zero (Richardson), twice.
"""

import argparse
import warnings
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_phonax import PhonaxCalculator
from ase_phonax.base.errors import UnstableWarning
from ase_phonax.phonons.anharmonic.objects import phono3py_class
from ase_phonax.phonons.supercell.objects import build_phonopy

CUBE = [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]
CRYSTALS = {
    "Si": (bulk("Si", a=5.47), CUBE),
    "NaCl": (bulk("NaCl", "rocksalt", a=5.69), [2, 2, 2]),  # in the cube of eight atoms symmetry leaves nothing
    "AlN": (bulk("AlN", "wurtzite", a=3.13, c=5.02, u=0.382), [2, 2, 1]),
}
STEPS = (0.02, 0.01, 0.005)  # [Å]


def displaced(cells, calc: PhonaxCalculator, step: float) -> np.ndarray:
    """Compact constants by phono3py."""
    phono3py = phono3py_class()(cells.unitcell, cells.supercell_matrix, primitive_matrix="P", log_level=0)
    phono3py.generate_displacements(distance=step, is_plusminus=True)
    forces = []
    for cell in phono3py.supercells_with_displacements:
        forces.append(calc.get_forces(Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)))
    phono3py.forces = np.array(forces)
    phono3py.produce_fc3(is_compact_fc=True)
    return phono3py.fc3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nequix-mp-1-pft")
    parser.add_argument("--crystals", nargs="+", default=list(CRYSTALS), choices=list(CRYSTALS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)
    calc = PhonaxCalculator(options.model)
    for name in options.crystals:
        cells = build_phonopy(*CRYSTALS[name])
        exact = calc.get_third_order(cells)
        rows = [displaced(cells, calc, step) for step in STEPS]
        once = [(4 * fine - coarse) / 3 for coarse, fine in pairwise(rows)]
        twice = (16 * once[1] - once[0]) / 15
        errors = [np.abs(found - exact).max() / np.abs(exact).max() for found in (*rows, *once, twice)]
        told = ", ".join(f"{error:.1e}" for error in errors)
        print(f"{name} ({len(cells.supercell)} atoms): steps {STEPS} Å, extrapolated once, twice: {told}", flush=True)


if __name__ == "__main__":
    main()
