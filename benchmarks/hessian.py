"""All constants of 64 silicon atoms: this package against the analytic Hessian of the model's own calculator.

    python benchmarks/hessian.py --peer PYTHON --model nequix-mp-1-pft.nqx

The cubic cell twice along each axis. Ours twice: as a supercell of the primitive cell, and as a cell of 64 atoms in
which nothing is known to repeat. The peer's Hessian takes minutes.
"""

import argparse
import subprocess
import sys
import time

import numpy as np

PEER = """
import sys, time
import numpy as np
from ase.build import bulk
from nequix.calculator import NequixCalculator
atoms = bulk("Si", cubic=True, a=5.43) * (2, 2, 2)
calc = NequixCalculator(model_path=sys.argv[1], use_kernel=False)
calc.get_forces(atoms)
start = time.perf_counter()
np.save(sys.argv[2], np.asarray(calc.get_hessian(atoms)))
print(time.perf_counter() - start)
"""


def main() -> None:
    from ase.build import bulk

    from ase_phonax import PhonaxCalculator
    from ase_phonax.phonons.supercell.objects import build_phonopy

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="interpreter of the peer's environment")
    parser.add_argument("--model", required=True)
    options = parser.parse_args()
    repeats = 2 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])  # the cubic cell twice along each axis
    phonopy = build_phonopy(bulk("Si", a=5.43), repeats)
    cubic = bulk("Si", cubic=True, a=5.43) * (2, 2, 2)
    times: dict[str, list[float]] = {"constants": [], "hessian": []}
    for _ in range(3):
        for name in times:
            calc = PhonaxCalculator(options.model, dtype="float32")
            start = time.perf_counter()
            found = calc.get_force_constants(phonopy) if name == "constants" else calc.get_hessian(cubic)
            times[name].append(time.perf_counter() - start)
    command = [options.peer, "-c", PEER, options.model, "/tmp/hessian_peer.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    peer = float(done.stdout.split()[-1])
    other = np.load("/tmp/hessian_peer.npy").transpose(0, 2, 1, 3)  # there (n, n, 3, 3)
    print(f"peer's Hessian, first call                  {peer:8.1f} s")
    for name, label in (
        ("constants", "force constants, from the primitive cell"),
        ("hessian", "Hessian of the cubic cell"),
    ):
        first, best = times[name][0], min(times[name])
        print(f"{label:42}{best:8.2f} s (first {first:.2f})  {peer / best:.0f} times faster")
    print(f"largest difference of the Hessians {np.abs(found - other).max():.1e} of {np.abs(found).max():.1f} eV/Å²")


if __name__ == "__main__":
    main()
