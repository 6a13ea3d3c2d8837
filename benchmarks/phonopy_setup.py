"""Seconds to construct a `Phonopy` object: phonopy alone, and with composed permutations.

    python benchmarks/phonopy_setup.py [repeats ...]

Both in one process, one after the other; the arrays are compared.
"""

import sys
import time

import numpy as np
from ase.build import bulk
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax.phonons.supercell.objects import SYMMETRY_LIMIT, build_phonopy


def main() -> None:
    atoms = bulk("Si")
    unitcell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions()
    )
    print(f"{'cells':>8}{'atoms':>8}{'phonopy s':>12}{'composed s':>12}{'ratio':>8}  same permutations")
    for n in [int(argument) for argument in sys.argv[1:]] or [4, 6, 8, 12]:
        symmetric = 2 * n**3 <= SYMMETRY_LIMIT
        start = time.perf_counter()
        theirs = Phonopy(unitcell, np.diag([n] * 3), primitive_matrix="P", is_symmetry=symmetric)
        middle = time.perf_counter()
        ours = build_phonopy(atoms, n)
        end = time.perf_counter()
        same = np.array_equal(theirs.primitive.atomic_permutations, ours.primitive.atomic_permutations)
        if symmetric:
            same &= np.array_equal(theirs.symmetry.atomic_permutations, ours.symmetry.atomic_permutations)
        note = "" if symmetric else "  (translations only)"
        seconds = middle - start, end - middle
        print(
            f"{n:>7}³{2 * n**3:>8}{seconds[0]:>12.2f}{seconds[1]:>12.2f}{seconds[0] / seconds[1]:>8.1f}  {same}{note}"
        )


if __name__ == "__main__":
    main()
