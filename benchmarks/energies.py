"""One call of energy, forces and stress: silicon of 64 to 1000 atoms, this package against the model's own calculator.

    python benchmarks/energies.py --peer PYTHON --model nequix-mp-1-pft.nqx [--only 64 216]
        [--route compiled] [--device gpu]

float32 on both sides, rattled, warm (the third call at new positions; the peer's first of each size compiles).
Without `--peer` there is one side. Sizes above 1000 atoms are for accelerators (`--only 8000 27000 97336`).
"""

import argparse
import json
import subprocess
import sys
import time

SIZES = {str(8 * n**3): (n, n, n) for n in (2, 3, 4, 5, 10, 15, 23)}


def work(options: argparse.Namespace) -> None:
    from ase.build import bulk

    if options.worker == "ours":
        from ase_phonax import PhonaxCalculator

        calc = PhonaxCalculator(options.model, dtype="float32", route=options.route, device=options.device)
    else:
        from nequix.calculator import NequixCalculator

        calc = NequixCalculator(model_path=options.model, use_kernel=False)
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
    parser.add_argument("--only", nargs="+", default=["64", "216", "512", "1000"], choices=list(SIZES))
    parser.add_argument("--route", choices=("arrays", "compiled"), help="ours")
    parser.add_argument("--device", help="of our compiled route: cpu, gpu, gpu:1")
    parser.add_argument("--worker", choices=("ours", "peer"))
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    command = [__file__, "--model", options.model]
    for name in ("route", "device"):
        command += [f"--{name}", value] if (value := getattr(options, name)) else []
    command.append("--worker")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    sides = {"ours": subprocess.Popen([sys.executable, *command, "ours"], **pipes)}
    if options.peer:
        sides["peer"] = subprocess.Popen([options.peer, *command, "peer"], **pipes)
    for process in sides.values():
        process.stdout.readline()  # nobody is timed while the other one still imports
    heads = ("atoms", 6), ("peer first s", 14), ("ours first s", 14), ("peer s", 9), ("ours s", 9), ("ratio", 7)
    print("".join(f"{head:>{width}}" for head, width in heads) + "  force differs by")
    unknown = dict.fromkeys(("first", "s", "force"), float("nan"))
    for size in options.only:
        results = {}
        for side, process in sides.items():
            process.stdin.write(json.dumps(size) + "\n")
            process.stdin.flush()
            results[side] = json.loads(process.stdout.readline())
        ours, peer = results["ours"], results.get("peer", unknown)
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
