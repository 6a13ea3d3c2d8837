"""Public trained MACE models here and by mace-torch: results side by side, and the time and memory of a Hessian.

    python benchmarks/public_mace.py [FOLDER]       in an environment with torch and mace-torch

FOLDER holds the .model files ($PHONAX_DATA/weights/mace unless given). Prints a row for each model: worst deviations
over the largest value; D(q) against displacements with mace-torch's own calculator, of two steps extrapolated to none.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

QPOINTS = [[0.5, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.5]]  # of the supercell
STEP = 0.01  # [Å]


def carbon_dioxide() -> Atoms:
    """Pa-3, dry ice."""
    from ase.spacegroup import crystal

    return crystal("CO", [(0, 0, 0), (0.118, 0.118, 0.118)], spacegroup=205, cellpar=[5.6, 5.6, 5.6, 90, 90, 90])


def structures() -> dict[str, Atoms]:
    return {
        "acesuit2022_GeSbTe_L1_mace_swa": bulk("GeTe", "rocksalt", 6.0),
        "aims-PAX_Si": bulk("Si"),
        "mace01_swa": carbon_dioxide(),
        "mace_PracI_Sec3_200conf_swa": carbon_dioxide(),
    }


def calculator(engine: str, path: Path):
    if engine == "here":
        from ase_phonax import PhonaxCalculator

        return PhonaxCalculator(path)
    from mace.calculators import MACECalculator

    return MACECalculator(str(path), default_dtype="float64", device="cpu")


def rattled(name: str) -> Atoms:
    atoms = structures()[name]
    atoms.rattle(0.05, seed=1)
    return atoms


def measure(engine: str, path: Path) -> dict:
    """Results of one engine, in a process of its own."""
    atoms, calc = rattled(path.stem), calculator(engine, path)
    atoms.calc = calc
    found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    started, n = time.perf_counter(), 3 * len(atoms)
    found["hessian"] = np.asarray(calc.get_hessian(atoms)).reshape(n, n)
    found["seconds"] = time.perf_counter() - started
    found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    still = structures()[path.stem]
    started = time.perf_counter()
    found["matrices"] = np.array(
        calc.get_dynamical_matrix(still, QPOINTS) if engine == "here" else displaced(still, calc)
    )
    found["seconds_matrices"] = time.perf_counter() - started
    found["matrices"] = [found["matrices"].real, found["matrices"].imag]
    return {key: np.asarray(value).tolist() for key, value in found.items()}


def displaced(atoms: Atoms, calc) -> np.ndarray:
    """D(q) of a supercell's constants by displacements, in the limit of small steps."""
    from ase_phonax import DisplacementCalculator, get_phonopy
    from ase_phonax.phonons.supercell.constants import interpolated_dynamical_matrices

    phonopy = get_phonopy(atoms, DisplacementCalculator(calc, STEP, "displacements"), 2)
    coarse = DisplacementCalculator(calc, 2 * STEP, "displacements").get_force_constants(phonopy)
    phonopy.force_constants = (4 * phonopy.force_constants - coarse) / 3
    return interpolated_dynamical_matrices(phonopy, np.array(QPOINTS))


def run(*words) -> str:
    """This script in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    warnings.simplefilter("ignore")
    if len(sys.argv) == 4 and sys.argv[2] == "convert":
        from ase_phonax.cli import main as command

        raise SystemExit(command(["convert", sys.argv[3], f"{sys.argv[1]}/{Path(sys.argv[3]).stem}.h5", "--trust"]))
    if len(sys.argv) == 4:
        print("RESULT" + json.dumps(measure(sys.argv[2], Path(sys.argv[3]))))
        return
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["PHONAX_DATA"] + "/weights/mace")
    print("| model | energy | forces | stress | Hessian | D(q), displacements | Hessian: seconds, MB | mace-torch |")
    print("|---|---|---|---|---|---|---|---|")
    for path in sorted(folder.glob("*.model")):
        if path.stem not in structures():
            continue
        both = {}
        with tempfile.TemporaryDirectory() as converted:
            run(converted, "convert", path)
            both["here"] = json.loads(run("-", "here", Path(converted, f"{path.stem}.h5")).partition("RESULT")[2])
        both["mace-torch"] = json.loads(run("-", "mace-torch", path).partition("RESULT")[2])
        here, peer = both["here"], both["mace-torch"]
        cells = []
        for key in ("energy", "forces", "stress", "hessian", "matrices"):
            one, other = np.array(here[key]), np.array(peer[key])
            cells.append(f"{np.abs(one - other).max() / np.abs(other).max():.0e}")
        cells += [f"{own['seconds']:.2g}, {own['memory_mb']:.0f}" for own in (here, peer)]
        print(f"| `{path.stem}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
