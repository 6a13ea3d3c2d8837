"""How large must the supercell be? Interpolated frequencies against exact ones.

    python exact_dynamical_matrix.py [--quick] [--model MODEL]

phonopy interpolates D(q) from the constants of one supercell: exact at the wave vectors that fit it,
approximate in between. `get_dynamical_matrix` is exact at any q from the primitive cell alone, so the
error of a supercell can be seen instead of guessed.
"""

import argparse

import numpy as np
from ase.build import bulk

from ase_phonax import PhonaxCalculator, frequencies_thz, get_phonopy, relax


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="supercells up to 3x3x3 instead of 7x7x7")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    calc = PhonaxCalculator(options.model)
    atoms, _ = relax(bulk("NaCl", "rocksalt", a=5.6), calc)
    reach = 2 * calc.potential.n_layers * calc.potential.cutoff
    print(f"force constants reach {reach:.0f} Å (2 x {calc.potential.n_layers} layers x {calc.potential.cutoff:g} Å)")

    # Irrational multiples of each other: no supercell holds these wave vectors.
    qpoints = np.outer([0.1, 0.2, 0.3], [1.0, np.sqrt(2), np.sqrt(3)]) % 0.5
    exact = frequencies_thz(calc.get_dynamical_matrix(atoms, qpoints))
    for q, frequencies in zip(qpoints, exact, strict=True):
        print("q = " + " ".join(f"{x:.4f}" for x in q) + ": " + "  ".join(f"{f:.4f}" for f in frequencies) + " THz")

    print(f"{'supercell':>12} {'atoms':>6} {'height Å':>9} {'RMS THz':>10} {'largest THz':>12}")
    for n in range(1, 4 if options.quick else 8):
        phonopy = get_phonopy(atoms, calc, n)
        error = phonopy.run_qpoints(qpoints).frequencies - exact
        height = n / np.linalg.norm(np.linalg.inv(atoms.cell[:]), axis=0).max()
        rms, largest = np.sqrt(np.mean(error**2)), np.abs(error).max()
        print(f"{f'{n}x{n}x{n}':>12} {len(phonopy.supercell):>6} {height:9.1f} {rms:10.2e} {largest:12.2e}")


if __name__ == "__main__":
    main()
