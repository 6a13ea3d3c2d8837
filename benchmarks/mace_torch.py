"""MACE with random weights: energies with forces, Hessians and force constants, here and by mace-torch.

    python -m benchmarks.mace_torch [--channels 64] [--only forces hessian constants]

Needs torch and mace-torch beside this package. Each side works in a process of its own, in double precision, with the
same weights and as many cores as it likes; both take the same structure one after the other. The network is as the
foundation models have been since MACE-MP-0b2: two layers, vectors, correlation 3, cutoff 5 Å, densities, Agnesi's
transform, repulsion. Memory is the peak of the process beyond what it held after its imports.

Of the Hessian of 216 atoms mace-torch computes the rows of the first 22 only, enough for it to take them in pieces of
16, as it does with all (fewer than 64 rows it takes singly). Each piece takes the same time, so that what is beyond one
evaluation of the forces is scaled to all rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

REPEATS = {32: (2, 2, 1), 64: (2, 2, 2), 216: (3, 3, 3)}
CRYSTALS = ("Si", "MgO", "ZnO", "TiO2", "Al2O3")
ELEMENTS = (8, 12, 13, 14, 22, 30)
ROWS_OF = {216: 22}  # atoms of which mace-torch computes the rows of the Hessian
TIMES = {"forces": 5, "hessian": 1, "constants": 1}


def silicon(n_atoms: int) -> Atoms:
    """The cubic cell repeated until it has so many atoms, rattled."""
    atoms = bulk("Si", cubic=True).repeat(REPEATS[n_atoms])
    atoms.rattle(0.02, seed=1)
    return atoms


def tasks(only: list[str]) -> list[tuple[str, str]]:
    """(kind, structure)."""
    every = [("forces", str(n)) for n in REPEATS] + [("hessian", str(n)) for n in REPEATS]
    return [(k, s) for k, s in [*every, *(("constants", name) for name in CRYSTALS)] if k in only]


class Ours:
    """This package."""

    def __init__(self, folder: Path):
        from ase_phonax import PhonaxCalculator

        self.make = lambda: PhonaxCalculator(str(folder / "random.h5"), dtype="float64")
        self.calc = self.make()

    def forces(self, atoms: Atoms) -> np.ndarray:
        self.calc.reset()
        return self.calc.get_forces(atoms)

    def hessian(self, atoms: Atoms) -> np.ndarray:
        n = 3 * len(atoms)
        return self.make().get_hessian(atoms).reshape(n, n)

    def constants(self, phonopy) -> np.ndarray:
        return self.make().get_force_constants(phonopy)


class Peer:
    """MACECalculator, and phonopy's displacements with it."""

    def __init__(self, folder: Path):
        import torch
        from mace.calculators import MACECalculator

        torch.set_default_dtype(torch.float64)
        self.calc = MACECalculator(str(folder / "random.model"), device="cpu", default_dtype="float64")

    def forces(self, atoms: Atoms) -> np.ndarray:
        self.calc.reset()  # ASE would remember the forces
        return self.calc.get_forces(atoms)

    def hessian(self, atoms: Atoms) -> np.ndarray:
        import mace.modules.utils as utils

        rows, whole = ROWS_OF.get(len(atoms), len(atoms)), utils.compute_hessians_vmap
        utils.compute_hessians_vmap = lambda forces, positions: whole(forces[:rows], positions)
        try:
            return np.asarray(self.calc.get_hessian(atoms)).reshape(3 * rows, -1)
        finally:
            utils.compute_hessians_vmap = whole

    def constants(self, phonopy) -> np.ndarray:
        phonopy.generate_displacements(distance=0.01)
        cells = phonopy.supercells_with_displacements
        phonopy.forces = [self.forces(Atoms(c.symbols, c.positions, cell=c.cell, pbc=True)) for c in cells]
        phonopy.produce_force_constants(calculate_full_force_constants=False)
        return phonopy.force_constants


def work(side: str, folder: Path) -> None:
    """A process that answers tasks with seconds, MiB, and a file of what it found."""
    from .force_constants import crystals, phonopy_of
    from .process_memory import Memory

    warnings.simplefilter("ignore")  # of packages that are none of ours
    worker = (Ours if side == "ours" else Peer)(folder)
    worker.forces(silicon(32))
    memory, known = Memory(), crystals()
    print("ready", flush=True)
    for line in sys.stdin:
        kind, name = json.loads(line)
        memory.forget()
        seconds = []
        for _ in range(TIMES[kind]):
            structure = phonopy_of(known[name]) if kind == "constants" else silicon(int(name))
            start = time.perf_counter()
            found = getattr(worker, kind)(structure)
            seconds.append(time.perf_counter() - start)
        np.save(folder / f"{side}.npy", found)
        atoms = len(structure.supercell if kind == "constants" else structure)
        print(json.dumps({"s": min(seconds), "mb": memory.peak(), "n": atoms}), flush=True)


def make_model(channels: int, folder: Path) -> None:
    """The model for both sides; in a process of its own, for it imports torch."""
    import torch

    from ase_phonax import save_model
    from ase_phonax.models.files.mace_checkpoint import read_mace
    from tests.mace_models import torch_model

    u = channels
    options = {"hidden_irreps": f"{u}x0e+{u}x1o", "max_ell": 3, "r_max": 5.0, "num_bessel": 8}
    options |= {"atomic_numbers": list(ELEMENTS), "num_elements": len(ELEMENTS)}
    options |= {"atomic_energies": np.zeros(len(ELEMENTS)), "avg_num_neighbors": 30.0}
    torch.save(
        torch_model("as MACE-MP-0b2", radial_MLP=[64, 64, 64], MLP_irreps="16x0e", **options), folder / "random.model"
    )
    potential = read_mace(folder / "random.model", trust=True)
    save_model(potential, folder / "random.h5")
    print(f"{potential.n_parameters:,} parameters", flush=True)


def ask(process: subprocess.Popen, task: tuple[str, str]) -> dict:
    process.stdin.write(json.dumps(task) + "\n")
    process.stdin.flush()
    return json.loads(answer(process, "{"))


def answer(process: subprocess.Popen, begin: str) -> str:
    """The next line that begins so: packages print lines of their own, too."""
    while line := process.stdout.readline():
        if line.startswith(begin):
            return line
    raise SystemExit("a side of the comparison has stopped; its error is above")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--only", nargs="+", choices=TIMES, default=list(TIMES))
    parser.add_argument("--worker", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        side, folder = options.worker
        make_model(options.channels, Path(folder)) if side == "model" else work(side, Path(folder))
        return
    command = [sys.executable, "-m", "benchmarks.mace_torch", "--channels", str(options.channels), "--worker"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([*command, "model", name], check=True, stderr=subprocess.DEVNULL)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        sides = {side: subprocess.Popen([*command, side, name], **pipes) for side in ("ours", "peer")}
        for process in sides.values():
            answer(process, "ready")  # nobody is timed while the other one still imports
        print(f"{'':12}{'':8}{'atoms':>6}{'peer s':>9}{'ours s':>9}{'ratio':>7}{'peer MB':>9}{'ours MB':>9}  deviation")
        for kind, structure in tasks(options.only):
            found = {side: ask(process, (kind, structure)) for side, process in sides.items()}
            ours, peer = found["ours"], found["peer"]
            a, b = (np.load(folder / f"{side}.npy") for side in ("ours", "peer"))
            if kind == "hessian" and len(b) < len(a):
                once = ask(sides["peer"], ("forces", structure))["s"]
                peer["s"] = once + (peer["s"] - once) * len(a) / len(b)
                a = a[: len(b)]
            print(
                f"{kind:12}{structure:8}{ours['n']:>6}{peer['s']:>9.2f}{ours['s']:>9.3f}{peer['s'] / ours['s']:>7.1f}"
                f"{peer['mb']:>9.0f}{ours['mb']:>9.0f}  {np.abs(a - b).max() / np.abs(b).max():.0e}",
                flush=True,
            )
        for process in sides.values():
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()
