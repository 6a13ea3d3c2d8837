"""From nothing to finished files: a fresh process each time, this package's command against a phonopy script.

    python benchmarks/first_run.py --peer PYTHON --model nequix-mp-1-pft.nqx [--only Si Al2O3]

Both read a POSCAR, take it as it is, and leave force constants, bands, densities of states and thermal properties;
the command also names the symmetries and measures its own interpolation error. The peer is phonopy with the model's
own calculator, its tables written and its plot drawn, on the same supercell and mesh. Run twice: nothing is kept
from the first run but what each side keeps by itself. "as it comes" draws bands from exact D(q) where the supercell
is too small for interpolated ones, which displacements cannot; "interpolated" is what the script does.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from force_constants import crystals, repeats

PEER = """
import sys
import matplotlib
matplotlib.use("Agg")
import numpy as np
from ase import Atoms
from ase.io import read
from nequix.calculator import NequixCalculator
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

path, model, *n = sys.argv[1:]
atoms = read(path)
calc = NequixCalculator(model_path=model, use_kernel=False)
cell = PhonopyAtoms(symbols=atoms.symbols, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions())
phonopy = Phonopy(cell, np.diag([int(k) for k in n]), primitive_matrix="P")
phonopy.generate_displacements(distance=0.01)
forces = []
for moved in phonopy.supercells_with_displacements:
    calc.reset()
    forces.append(calc.get_forces(Atoms(moved.symbols, moved.positions, cell=moved.cell, pbc=True)))
phonopy.forces = forces
phonopy.produce_force_constants()
phonopy.save("phonopy.yaml", settings={"force_constants": True})
phonopy.auto_band_structure(write_yaml=True)
phonopy.auto_total_dos(mesh=40.0, write_dat=True)
phonopy.run_mesh(40.0)
phonopy.run_thermal_properties()
phonopy.write_yaml_thermal_properties()
phonopy.plot_band_structure_and_dos().savefig("phonons.png")
"""


def seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - start


def main() -> None:
    from ase.io import write

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="interpreter of the peer's environment")
    parser.add_argument("--model", required=True)
    parser.add_argument("--only", nargs="+", default=["Si", "Al2O3"])
    options = parser.parse_args()
    print(f"{'crystal':10}{'bands':14}{'run':>4}{'peer s':>9}{'ours s':>9}{'ratio':>7}")
    for name in options.only:
        with tempfile.TemporaryDirectory() as place:
            folder, model = Path(place), str(Path(options.model).resolve())
            atoms = crystals()[name]
            write(folder / "POSCAR", atoms)
            (folder / "peer.py").write_text(PEER, encoding="utf-8")
            n = [str(k) for k in repeats(atoms)]
            for run in (1, 2):
                peer = seconds([options.peer, "peer.py", "POSCAR", model, *n], folder)
                base = [sys.executable, "-m", "ase_phonax", "phonons", "POSCAR", "--model", model]
                base += ["--no-relax", "--quiet", "--mesh-length", "40", "--dtype", "float32", "--supercell", *n]
                for how in ("as it comes", "interpolated"):
                    extra = ["--no-exact"] if how == "interpolated" else []
                    taken = seconds([*base, *extra, "--output", f"{how} {run}"], folder)
                    print(f"{name:10}{how:14}{run:>4}{peer:>9.1f}{taken:>9.1f}{peer / taken:>7.1f}", flush=True)


if __name__ == "__main__":
    main()
