"""Force constants of silicon as the supercell grows from 2³ to 8³: time and memory, each in a fresh process.

    python benchmarks/scaling.py --model nequix-mp-1-pft.nqx [--dtype float32]

The exponent is that of time in the number of atoms of the supercell. Exact bands know of no supercell: one time.
Constructing the `Phonopy` object is not on the clock. Memory is the peak minus what the process held after its
imports and a first calculation on another crystal.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

REPEATS = (2, 3, 4, 5, 6, 8)


def work(model: str, dtype: str, n: int) -> None:
    from ase.build import bulk
    from force_constants import resident_mb

    from ase_phonax import PhonaxCalculator
    from ase_phonax.phonons.supercell.objects import build_phonopy

    calc = PhonaxCalculator(model, dtype=dtype)
    phonopy = build_phonopy(bulk("Si", a=5.43), n)
    calc.get_force_constants(bulk("MgO", "rocksalt", a=4.3), 2)
    before, times = resident_mb(), []
    for _ in range(3):
        calc._forget()
        start = time.perf_counter()
        calc.get_force_constants(phonopy)
        times.append(time.perf_counter() - start)
    memory = resident_mb() - before
    path = np.linspace([0.0, 0, 0], [0.5, 0, 0.5], 30)
    calc._forget()
    start = time.perf_counter()
    calc.get_dynamical_matrix(phonopy.primitive, path)
    print(json.dumps({"s": min(times), "mb": memory, "bands": time.perf_counter() - start}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--worker", type=int)
    options = parser.parse_args()
    if options.worker:
        work(options.model, options.dtype, options.worker)
        return
    print(f"{'supercell':>10}{'atoms':>7}{'s':>9}{'MB':>7}{'30 exact q, s':>15}")
    atoms, taken = [], []
    for n in REPEATS:
        command = [sys.executable, __file__, "--model", options.model, "--dtype", options.dtype, "--worker", str(n)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        atoms.append(2 * n**3)
        taken.append(found["s"])
        row = f"{f'{n}x{n}x{n}':>10}{atoms[-1]:>7}{found['s']:>9.3f}{found['mb']:>7.0f}{found['bands']:>15.2f}"
        print(row, flush=True)
    slope = np.polyfit(np.log(atoms), np.log(taken), 1)[0]
    largest = np.log(taken[-1] / taken[-2]) / np.log(atoms[-1] / atoms[-2])
    print(f"exponent in the number of atoms: {slope:.2f} over all, {largest:.2f} between the two largest")


if __name__ == "__main__":
    main()
