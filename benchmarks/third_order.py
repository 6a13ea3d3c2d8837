"""Complete third-order constants of six crystals: derivatives here against phono3py's displacements, same weights.

    python benchmarks/third_order.py --peer PYTHON --model nequix-mp-1-pft.nqx [--sample 60] [--only Si MgO]

PYTHON is the interpreter of an environment with phono3py and nequix. Three sides run in this one go, crystal by
crystal, each in a process of its own: derivatives; phono3py's displacements with our forces; the same with the
model's own calculator. Supercells are the smallest diagonal ones of the cells below at least 9.5 Å high. Clocks run
from the structure to the compact array; constructing the `Phono3py` object is on none. With `--sample` a side that
displaces computes so many of the displaced cells, evenly chosen, and its seconds are those times all of them (the
solution for the constants, which needs all forces, is then left out, in its favour). All are warm: derivatives have
been computed once before, forces of one displaced cell. The peer's precision is float32, the only one it has.
Memory is the peak of the process minus what it held after its imports.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
from force_constants import ask, crystals, resident_mb

HEIGHT = 9.5  # [Å]
SIDES = ("derivatives", "displacements", "peer")


def known() -> dict:
    """Six crystals."""
    from ase.build import bulk

    found = {name: atoms for name, atoms in crystals().items() if name in ("Si", "NaCl", "MgO", "ZnO", "MgB2")}
    return found | {"AlN": bulk("AlN", "wurtzite", a=3.11, c=4.98, u=0.382)}


def phono3py_of(atoms):
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(wrap=False),
    )
    volume = abs(np.linalg.det(atoms.cell[:]))
    heights = [volume / np.linalg.norm(np.cross(atoms.cell[i - 2], atoms.cell[i - 1])) for i in range(3)]
    if len(atoms) == 2:  # cubic ones: the conventional cell, as everybody takes it
        matrix = 2 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    else:
        matrix = np.diag([max(1, int(np.ceil(HEIGHT / h - 0.1))) for h in heights])
    return Phono3py(cell, matrix, primitive_matrix="P")


class Derivatives:
    """This package."""

    def __init__(self, options: argparse.Namespace):
        from ase_phonax import PhonaxCalculator

        self.calc = PhonaxCalculator(options.model, "float32")

    def warm(self, phono3py) -> None:
        self.calc.get_third_order(phono3py)

    def constants(self, phono3py) -> tuple[float, dict]:
        self.calc._forget()  # forget what the last call computed
        start = time.perf_counter()
        self.calc.get_third_order(phono3py)
        return time.perf_counter() - start, {}


class Displacements:
    """phono3py's displacements with our forces."""

    def __init__(self, options: argparse.Namespace):
        from ase_phonax import PhonaxCalculator

        self.calc, self.sample = PhonaxCalculator(options.model, "float32"), options.sample

    def forces(self, cell) -> np.ndarray:
        from ase import Atoms

        moved = Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)
        self.calc.reset()
        return self.calc.get_forces(moved)

    def warm(self, phono3py) -> None:
        self.forces(phono3py.supercell)

    def constants(self, phono3py) -> tuple[float, dict]:
        start = time.perf_counter()
        phono3py.generate_displacements(distance=0.03)
        cells = phono3py.supercells_with_displacements
        setting_up = time.perf_counter() - start
        number = len(cells) if self.sample is None else min(self.sample, len(cells))
        chosen = np.linspace(0, len(cells) - 1, number).astype(int)
        start = time.perf_counter()
        forces = np.array([self.forces(cells[k]) for k in chosen])
        seconds = setting_up + (time.perf_counter() - start) * len(cells) / number
        if number == len(cells):
            start = time.perf_counter()
            phono3py.forces = forces
            phono3py.produce_fc3(is_compact_fc=True)
            seconds += time.perf_counter() - start
        return seconds, {"displacements": len(cells), "computed": number}


class Peer(Displacements):
    """phono3py's displacements with the model's own calculator."""

    def __init__(self, options: argparse.Namespace):
        from nequix.calculator import NequixCalculator

        self.sample = options.sample
        self.calc = NequixCalculator(model_path=options.model, use_kernel=False)  # kernels are for GPUs


def work(options: argparse.Namespace) -> None:
    """A process that answers names of crystals with seconds, MB, and a file of constants where it has all."""
    kinds = dict(zip(SIDES, (Derivatives, Displacements, Peer), strict=True))
    worker, before = kinds[options.worker](options), resident_mb()
    print("ready", flush=True)
    for line in sys.stdin:
        name, path = json.loads(line)
        phono3py = phono3py_of(known()[name])
        worker.warm(phono3py)
        phono3py.fc3 = None
        seconds, more = worker.constants(phono3py)
        np.save(path, np.zeros(0) if phono3py.fc3 is None else phono3py.fc3)
        answer = {"s": seconds, "mb": resident_mb() - before, "n": len(phono3py.supercell), **more}
        print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="interpreter of the peer's environment")
    parser.add_argument("--model", required=True)
    parser.add_argument("--sample", type=int, help="displaced cells to compute; all unless given")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--worker", choices=SIDES)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    command = [__file__, "--model", options.model]
    command += ["--sample", str(options.sample)] if options.sample else []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    interpreters = dict.fromkeys(SIDES[:2], sys.executable) | ({"peer": options.peer} if options.peer else {})
    sides = {
        side: subprocess.Popen([python, *command, "--worker", side], **pipes) for side, python in interpreters.items()
    }
    for process in sides.values():
        process.stdout.readline()  # nobody is timed while another one still imports
    print(
        f"{'crystal':9}{'atoms':>6}{'cells':>7}{'peer s':>9}{'forces s':>10}{'ours s':>8}{'to peer':>9}"
        f"{'to forces':>10}{'peer MB':>9}{'ours MB':>9}  difference"
    )
    ratios = []
    for name in options.only or known():
        path = "/tmp/third_order_{}.npy"
        found = {side: ask(process, name, path.format(side)) for side, process in sides.items()}
        ours, forces = found["derivatives"], found["displacements"]
        peer = found.get("peer", {"s": np.nan, "mb": np.nan})
        ratios.append((peer["s"] / ours["s"], forces["s"] / ours["s"]))
        a, b = (np.load(path.format(side)) for side in SIDES[:2])
        difference = f"{np.abs(a - b).max():.1e} of {np.abs(a).max():.0f} eV/Å³" if len(b) else "sampled"
        print(
            f"{name:9}{ours['n']:>6}{forces['displacements']:>7}{peer['s']:>9.1f}{forces['s']:>10.1f}{ours['s']:>8.2f}"
            f"{ratios[-1][0]:>9.1f}{ratios[-1][1]:>10.1f}{peer['mb']:>9.0f}{ours['mb']:>9.0f}  {difference}",
            flush=True,
        )
    for which, own in zip(("peer", "our own forces"), np.array(ratios).T, strict=True):
        print(f"against {which}: geometric mean {np.exp(np.mean(np.log(own))):.1f}, least {own.min():.1f}")
    for process in sides.values():
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
