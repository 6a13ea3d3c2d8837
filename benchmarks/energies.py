"""One call of energy, forces and stress: silicon of 64 to 1000 atoms, this package against the model's own calculator.

    python benchmarks/energies.py --peer PYTHON --model nequix-mp-1-pft.nqx [--only 64 216]

float32 on both sides, rattled, warm (the third call at new positions; the peer's first of each size compiles).
"""

import argparse
import json
import subprocess
import sys
import time

SIZES = {"64": (2, 2, 2), "216": (3, 3, 3), "512": (4, 4, 4), "1000": (5, 5, 5)}


def work(side: str, model: str) -> None:
    from ase.build import bulk

    if side == "ours":
        from ase_phonax import PhonaxCalculator

        calc = PhonaxCalculator(model, dtype="float32")
    else:
        from nequix.calculator import NequixCalculator

        calc = NequixCalculator(model_path=model, use_kernel=False)
    print("ready", flush=True)
    for line in sys.stdin:
        atoms = bulk("Si", cubic=True) * SIZES[json.loads(line)]
        atoms.rattle(0.05, seed=1)
        atoms.calc = calc
        times = []
        for _ in range(4):
            atoms.positions[0, 0] += 0.01
            start = time.perf_counter()
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            atoms.get_stress()
            times.append(time.perf_counter() - start)
        found = {"first": times[0], "s": min(times[1:]), "energy": float(energy), "force": float(forces[0, 0])}
        print(json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="interpreter of the peer's environment")
    parser.add_argument("--model", required=True)
    parser.add_argument("--only", nargs="+", default=list(SIZES))
    parser.add_argument("--worker", choices=("ours", "peer"))
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.model)
        return
    command = [__file__, "--model", options.model, "--worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sides = {"ours": subprocess.Popen([sys.executable, *command, "ours"], **pipes)}
    sides["peer"] = subprocess.Popen([options.peer or sys.executable, *command, "peer"], **pipes)
    for process in sides.values():
        process.stdout.readline()  # nobody is timed while the other one still imports
    heads = ("atoms", 6), ("peer first s", 14), ("ours first s", 14), ("peer s", 9), ("ours s", 9), ("ratio", 7)
    print("".join(f"{head:>{width}}" for head, width in heads) + "  force differs by")
    for size in options.only:
        found = {}
        for side, process in sides.items():
            process.stdin.write(json.dumps(size) + "\n")
            process.stdin.flush()
            found[side] = json.loads(process.stdout.readline())
        ours, peer = found["ours"], found["peer"]
        print(
            f"{size:>6}{peer['first']:>14.2f}{ours['first']:>14.2f}{peer['s']:>9.3f}{ours['s']:>9.3f}"
            f"{peer['s'] / ours['s']:>7.2f}  {abs(ours['force'] - peer['force']):.0e} eV/Å",
            flush=True,
        )
    for process in sides.values():
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
