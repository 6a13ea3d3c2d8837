"""What it costs to import the package and to ask for help, beside importing JAX and NumPy.

python benchmarks/imports.py
"""

import subprocess
import sys
import time

CASES = {
    "import jax": ["-c", "import jax"],
    "import numpy": ["-c", "import numpy"],
    "import ase_phonax": ["-c", "import ase_phonax"],
    "ase-phonax --help": ["-m", "ase_phonax", "--help"],
    "ase-phonax phonons --help": ["-m", "ase_phonax", "phonons", "--help"],
    "PhonaxCalculator('phonax-small')": ["-c", "import ase_phonax; ase_phonax.PhonaxCalculator('phonax-small')"],
}


def main() -> None:
    taken = {}
    for name, arguments in CASES.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        taken[name] = min(times)
    print(f"{'':30}{'s':>7}  of import jax")
    for name, value in taken.items():
        print(f"{name:30}{value:>7.2f}{value / taken['import jax']:>8.2f}")


if __name__ == "__main__":
    main()
