"""All force constants of nine crystals: derivatives here against phonopy's displacements, same weights.

    python benchmarks/force_constants.py --peer PYTHON --model nequix-mp-1-pft.nqx [--dtype float64] [--only Si MgO]
        [--route compiled] [--device gpu]

PYTHON is the interpreter of an environment with phonopy and nequix (`pip install --no-deps nequix`, then
what it imports; with its dependencies it brings gigabytes of CUDA). Both sides run in this one go, crystal by
crystal, each in a process of its own that has done the same crystal once before (warm). Supercells are the
smallest diagonal ones at least 10 Å high. Clocks run from the structure to the compact array; constructing the
`Phonopy` object is on neither. The peer's precision is float32, the only one it has. Memory is the peak of
the process minus what it held after its imports; that of an accelerator is not in it. With `--route compiled` the
first of two runs compiles; on another machine than the peer's leave `--peer` out.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

HEIGHT = 10.0  # [Å]


def crystals() -> dict:
    """Nine crystals: those of the table of peers, and two of low symmetry."""
    from ase.build import bulk
    from ase.spacegroup import crystal

    def of(symbols, sites, group, cellpar):
        return crystal(symbols, sites, spacegroup=group, cellpar=cellpar, primitive_cell=True)

    return {
        "Si": bulk("Si", a=5.43),
        "NaCl": bulk("NaCl", "rocksalt", a=5.64),
        "MgO": bulk("MgO", "rocksalt", a=4.21),
        "ZnO": bulk("ZnO", "wurtzite", a=3.25, c=5.21, u=0.382),
        "MgB2": of(("Mg", "B"), [(0, 0, 0), (1 / 3, 2 / 3, 0.5)], 191, [3.086, 3.086, 3.524, 90, 90, 120]),
        "TiO2": of(("Ti", "O"), [(0, 0, 0), (0, 0, 0.208)], 141, [3.785, 3.785, 9.514, 90, 90, 90]),
        "Al2O3": of(("Al", "O"), [(0, 0, 0.3522), (0.3063, 0, 0.25)], 167, [4.759, 4.759, 12.993, 90, 90, 120]),
        # Baddeleyite: Howard et al., Acta Cryst. B 44, 116 (1988).
        "ZrO2": of(
            ("Zr", "O", "O"),
            [(0.2754, 0.0395, 0.2083), (0.0700, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
            14,
            [5.1505, 5.2116, 5.3173, 90, 99.230, 90],
        ),
        # Strained along and across: no symmetry left but inversion.
        "Si, triclinic": _triclinic(bulk("Si", a=5.43)),
    }


def _triclinic(atoms):
    strain = np.array([[1.01, 0.01, 0.0], [0.0, 0.99, 0.015], [0.0, 0.0, 1.005]])
    atoms.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
    return atoms


def repeats(atoms) -> list[int]:
    volume = abs(np.linalg.det(atoms.cell[:]))
    heights = [volume / np.linalg.norm(np.cross(atoms.cell[i - 2], atoms.cell[i - 1])) for i in range(3)]
    return [max(1, int(np.ceil(HEIGHT / h - 1e-6))) for h in heights]


def phonopy_of(atoms):
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(wrap=False),
    )
    return Phonopy(cell, np.diag(repeats(atoms)), primitive_matrix="P")


class Ours:
    """This package."""

    def __init__(self, options: argparse.Namespace):
        from ase_phonax import PhonaxCalculator

        self.calc = PhonaxCalculator(options.model, options.dtype, route=options.route, device=options.device)

    def constants(self, phonopy, atoms):
        self.calc._forget()  # forget what the last call computed
        start = time.perf_counter()
        constants = self.calc.get_force_constants(phonopy)
        return time.perf_counter() - start, constants, {"stars": len(self.calc._crystals.stars.last)}


class Peer:
    """phonopy's displacements with the model's own calculator."""

    def __init__(self, options: argparse.Namespace):
        from nequix.calculator import NequixCalculator

        self.calc = NequixCalculator(model_path=options.model, use_kernel=False)  # kernels are for GPUs

    def constants(self, phonopy, atoms):
        from ase import Atoms

        start = time.perf_counter()
        phonopy.generate_displacements(distance=0.01)
        forces = []
        for cell in phonopy.supercells_with_displacements:
            moved = Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)
            self.calc.reset()  # ASE would remember the forces of a crystal with one displacement
            forces.append(self.calc.get_forces(moved))
        phonopy.forces = forces
        phonopy.produce_force_constants(calculate_full_force_constants=False)
        return time.perf_counter() - start, phonopy.force_constants, {"displacements": len(forces)}


def resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(options: argparse.Namespace) -> None:
    """A process that answers names of crystals with seconds, MB, and a file of constants."""
    worker = (Ours if options.worker == "ours" else Peer)(options)
    before = resident_mb()
    known = crystals()
    print("ready", flush=True)
    for line in sys.stdin:
        name, path = json.loads(line)
        phonopy = phonopy_of(known[name])
        first = worker.constants(phonopy, known[name])[0]
        seconds, constants, more = min((worker.constants(phonopy, known[name]) for _ in range(2)), key=lambda r: r[0])
        np.save(path, constants)
        answer = {"first_s": first, "s": seconds, "mb": resident_mb() - before, "n": len(phonopy.supercell), **more}
        print(json.dumps(answer), flush=True)


def ask(process, name: str, path: str) -> dict:
    process.stdin.write(json.dumps([name, path]) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="interpreter of the peer's environment")
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--route", choices=("arrays", "compiled"), help="ours")
    parser.add_argument("--device", help="of our compiled route: cpu, gpu, gpu:1")
    parser.add_argument("--worker", choices=("ours", "peer"))
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    command = [__file__, "--model", options.model, "--dtype", options.dtype]
    for name in ("route", "device"):
        command += [f"--{name}", value] if (value := getattr(options, name)) else []
    command.append("--worker")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sides = {"ours": subprocess.Popen([sys.executable, *command, "ours"], **pipes)}
    if options.peer:
        sides["peer"] = subprocess.Popen([options.peer, *command, "peer"], **pipes)
    for process in sides.values():
        process.stdout.readline()  # nobody is timed while the other one still imports
    print(f"{'crystal':16}{'atoms':>6}{'peer s':>9}{'ours s':>9}{'ratio':>7}{'peer MB':>9}{'ours MB':>9}  difference")
    ratios = []
    for name in options.only or crystals():
        found = {side: ask(process, name, f"/tmp/constants_{side}.npy") for side, process in sides.items()}
        ours, peer = found["ours"], found.get("peer", {"s": np.nan, "mb": np.nan})
        ratios.append(peer["s"] / ours["s"])
        difference = ""
        if "peer" in found:
            a, b = (np.load(f"/tmp/constants_{side}.npy") for side in ("ours", "peer"))
            difference = f"{np.abs(a - b).max():.1e} of {np.abs(a).max():.1f} eV/Å²"
        print(
            f"{name:16}{ours['n']:>6}{peer['s']:>9.2f}{ours['s']:>9.3f}{ratios[-1]:>7.1f}"
            f"{peer['mb']:>9.0f}{ours['mb']:>9.0f}  {difference}",
            flush=True,
        )
    mean = np.exp(np.mean(np.log(ratios)))
    print(f"route {options.route or 'as it comes'}, device {options.device or 'as it comes'}")
    print(f"geometric mean {mean:.1f}, least {min(ratios):.1f}; {options.dtype} against float32")
    for process in sides.values():
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
