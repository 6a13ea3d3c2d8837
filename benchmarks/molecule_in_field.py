"""A Hessian with Born charges and derivatives of the polarizability, of molecules of sixty atoms: time and memory.

    python benchmarks/molecule_in_field.py

By the model of molecules that ships.
Memory is the largest of the whole process, imports included.
"""

import resource
import time

import numpy as np
from ase import Atoms
from ase.build import molecule

from ase_phonax import PhonaxCalculator


def alkane(n: int) -> Atoms:
    """A stretched chain of n carbon atoms and its hydrogen."""
    carbon = np.array([[1.26 * k, 0.44 * (-1) ** k, 0.0] for k in range(n)])
    hydrogen = [place + [0.0, 0.63 * (-1) ** k, side] for k, place in enumerate(carbon) for side in (0.89, -0.89)]
    ends = [carbon[0] - [0.89, 0.63, 0.0], carbon[-1] + [0.89, 0.63 * (-1) ** n, 0.0]]
    return Atoms(f"C{n}H{2 * n + 2}", [*carbon, *hydrogen, *ends])


def main() -> None:
    calculator = PhonaxCalculator("phonax-molecules")
    for name, atoms in (("C19H40", alkane(19)), ("C60", molecule("C60"))):
        start = time.perf_counter()
        calculator.get_hessian(atoms)
        middle = time.perf_counter()
        calculator.get_born_charges(atoms)
        charges = time.perf_counter()
        calculator.get_polarizability_gradient(atoms)
        end = time.perf_counter()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(
            f"{name} ({len(atoms)} atoms): Hessian {middle - start:.2f} s, Born charges {charges - middle:.2f} s, "
            f"derivatives of the polarizability {end - charges:.2f} s, together {end - start:.2f} s; {memory:.2f} GB"
        )


if __name__ == "__main__":
    main()
