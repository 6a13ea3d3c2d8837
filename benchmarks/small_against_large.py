"""Force constants with one model against another, both through this package: what a smaller network saves.

    python benchmarks/small_against_large.py --small phonax-small --large nequix-mp-1-pft [--only Si MgO]

Nine crystals, supercells at least 10 Å high, the two models by turns in one process. Each has computed the crystal once
before (warm); the clock then runs on crystals whose lattice differs by a part in ten thousand, so that nothing is
remembered. Constructing the `Phonopy` object is not on the clock. Medians of nine.
"""

import argparse
import time
from itertools import pairwise

import numpy as np
from force_constants import crystals, phonopy_of, repeats

from ase_phonax import PhonaxCalculator
from ase_phonax.models.nequip.config import layer_irreps
from ase_phonax.models.o3.paths import plan_convolution

RUNS = 9


def multiplications(potential) -> int:
    """Of one edge in one pass forward of a NequIP: radial networks, then features times harmonics times weights."""
    total = 0
    for irreps_in, irreps_out in layer_irreps(potential.config):
        plan = plan_convolution(irreps_in, potential.config.l_max, tuple(ir for _, ir in irreps_out))
        sizes = (potential.config.n_basis, *potential.config.radial_sizes, plan.n_weights)
        total += sum(a * b for a, b in pairwise(sizes))
        for (mul, ir), coupling in zip(irreps_in, plan.merged, strict=True):
            total += mul * coupling.shape[2] * (ir.dim + 1)
    return total


def seconds(calc: PhonaxCalculator, atoms, run: int) -> float:
    moved = atoms.copy()
    moved.set_cell(moved.cell.array * (1 + 1e-4 * run), scale_atoms=True)
    phonopy = phonopy_of(moved)
    start = time.perf_counter()
    calc.get_force_constants(phonopy)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", required=True, help="a name of `ase-phonax models`, or a model file")
    parser.add_argument("--large", required=True, help="the same")
    parser.add_argument("--dtype", default="float64", choices=("float64", "float32"))
    parser.add_argument("--only", nargs="+", help="crystals")
    options = parser.parse_args()
    calcs = [PhonaxCalculator(name, options.dtype) for name in (options.small, options.large)]
    if all(calc.potential.architecture == "nequip" for calc in calcs):
        counts = [multiplications(calc.potential) for calc in calcs]
        print(f"multiplications of an edge: {counts[0]:,} and {counts[1]:,}, ratio {counts[1] / counts[0]:.1f}")
    ratios = []
    print(f"{'crystal':15s} {'supercell':>12s} {options.small:>20s} {options.large:>20s}   ratio")
    for name, atoms in crystals().items():
        if options.only and name not in options.only:
            continue
        if not all(set(atoms.numbers) <= set(calc.potential.numbers) for calc in calcs):
            print(f"{name:15s} not among the elements of both")
            continue
        times = np.array([[seconds(calc, atoms, run) for calc in calcs] for run in range(RUNS + 1)])[1:]
        small, large = np.median(times, axis=0)
        ratios.append(large / small)
        cell = " x ".join(map(str, repeats(atoms)))
        print(f"{name:15s} {cell:>12s} {small:18.3f} s {large:18.3f} s   {ratios[-1]:5.1f}", flush=True)
    if ratios:
        print(f"ratio: {min(ratios):.1f} to {max(ratios):.1f}, median {np.median(ratios):.1f}")


if __name__ == "__main__":
    main()
