"""Energies with forces, and Hessians, of one MACE model with random weights: here and by mace-torch.

    python -m benchmarks.mace_torch --atoms 32 --channels 64

Needs torch and mace-torch beside this package. Times are those of the process on one core, so that other work on
the machine does not count; the same weights in double precision on rattled silicon at its density, cutoff 5 Å, two
layers with densities, Agnesi's transform and repulsion, as the foundation models have them since MACE-MP-0b.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_phonax.evaluation import Evaluator
from ase_phonax.weights.mace_checkpoint import read_mace
from tests.mace_models import torch_model


def silicon(n_atoms: int) -> Atoms:
    """The cubic cell repeated until it has so many atoms, rattled."""
    repeats = {8: (1, 1, 1), 32: (2, 2, 1), 64: (2, 2, 2), 216: (3, 3, 3)}
    atoms = bulk("Si", cubic=True).repeat(repeats[n_atoms])
    atoms.rattle(0.02, seed=1)
    return atoms


def seconds(work, count: int):
    """The best of some runs, and what the last gave."""
    best = np.inf
    for _ in range(count):
        begun = time.process_time()
        result = work()
        best = min(best, time.process_time() - begun)
    return best, result


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=32, choices=(8, 32, 64, 216))
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--no-hessian", action="store_true", help="energies and forces alone")
    arguments = parser.parse_args()
    import torch
    from mace.calculators import MACECalculator

    torch.set_num_threads(1)
    u = arguments.channels
    options = {"hidden_irreps": f"{u}x0e+{u}x1o", "max_ell": 3, "r_max": 5.0, "num_bessel": 8}
    model = torch_model("as MACE-MP-0b", radial_MLP=[64, 64, 64], MLP_irreps="16x0e", **options)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(model, Path(folder) / "random.model")
        potential = read_mace(Path(folder) / "random.model", trust=True)
    torch.set_default_dtype(torch.float64)
    atoms = silicon(arguments.atoms)
    n = len(atoms)
    evaluator = Evaluator(potential, np.dtype(float))
    atoms.calc = MACECalculator(models=[model], device="cpu", default_dtype="float64")

    def theirs() -> np.ndarray:
        atoms.calc.reset()
        return atoms.get_forces()

    ours, (_, forces, _) = seconds(lambda: evaluator.energy_forces_stress(atoms), 3)
    peer, expected = seconds(theirs, 3)
    error = np.abs(forces - expected).max() / np.abs(expected).max()
    print(f"{n} atoms, {u} channels, {potential.n_parameters:,} parameters; seconds of one core")
    print(f"energy and forces  here {ours:.3f}  mace-torch {peer:.3f}  ratio {peer / ours:.1f}  deviation {error:.0e}")
    if arguments.no_hessian:
        return
    ours, hessian = seconds(lambda: evaluator.hessian(atoms, np.arange(n)).reshape(3 * n, 3 * n), 1)
    peer, expected = seconds(lambda: np.asarray(atoms.calc.get_hessian(atoms)).reshape(3 * n, 3 * n), 1)
    error = np.abs(hessian - expected).max() / np.abs(expected).max()
    print(f"Hessian            here {ours:.2f}  mace-torch {peer:.2f}  ratio {peer / ours:.1f}  deviation {error:.0e}")


if __name__ == "__main__":
    main()
