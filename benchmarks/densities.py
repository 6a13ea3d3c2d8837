"""Densities of states of a thousand crystals from one file, and of some of them by exact D(q) of a potential.

    python benchmarks/densities.py [--model phonax-dos] [--potential phonax-small] [--crystals 1000] [--exact 20]

Crystals are those of examples/general_model. The first number is the wall-clock time of the whole command, files and
pictures among them; the ratio is that of an exact density to a predicted one, of the same crystals.
"""

import argparse
import gzip
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import ase.io
import numpy as np

from ase_phonax import PhonaxCalculator, exact_density, predict_density

CRYSTALS = Path(__file__).resolve().parents[1] / "examples/general_model/crystals.extxyz.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phonax-dos")
    parser.add_argument("--potential", default="phonax-small")
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--exact", type=int, default=20)
    options = parser.parse_args()
    text = gzip.decompress(CRYSTALS.read_bytes()).decode()
    crystals = ase.io.read(io.StringIO(text), ":", format="extxyz")[: options.crystals]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crystals.extxyz"
        ase.io.write(file, crystals)
        start = time.perf_counter()
        command = [sys.executable, "-m", "ase_phonax", "dos", str(file), "--model", options.model, "--quiet"]
        subprocess.run([*command, "--output", str(Path(folder) / "dos")], check=True)
        seconds = time.perf_counter() - start
    print(f"{len(crystals)} crystals from one file: {seconds:.1f} s")
    calc = PhonaxCalculator(options.potential)
    some = crystals[:: max(1, len(crystals) // options.exact)]
    for answer in (lambda own: exact_density(own, calc), lambda own: predict_density(own, options.model)):
        answer(some[0])  # loads what is loaded once
    times = np.array([[timed(exact_density, own, calc), timed(predict_density, own, options.model)] for own in some])
    exact, predicted = np.median(times, axis=0)
    print(f"exact density by {options.potential}: {exact:.3f} s, predicted: {predicted:.4f} s (medians of {len(some)})")
    print(f"ratio, median: {np.median(times[:, 0] / times[:, 1]):.0f}")


def timed(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
