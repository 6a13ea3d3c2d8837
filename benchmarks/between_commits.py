"""Two checkouts of this package by turns in one go: is the newer one slower?

    python benchmarks/between_commits.py --old TREE --new TREE [--models phonax-small nequix-mp-1-pft.nqx] [--pairs 9]
        [--only constants forces]

TREE is the root of a checkout; the interpreter is the same for both. Each side is a process with one BLAS thread.
What is timed: all force constants of the nine crystals of force_constants.py (`constants`, float64), D(q) with its
slopes at four wave vectors (`slopes`), a call of energy, forces and stress of silicon (`forces`, float32), a training
step with and without second derivatives (`training`), the command `phonons` in a fresh process (`command`), importing
the package and `--help` (`import`, `help`). Every repeat is of a crystal that differs by a part in ten thousand, so
nothing is remembered. Ratios are old CPU time over new: the median over pairs, and that of the least of each side.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

CRYSTALS = ("Si", "NaCl", "MgO", "ZnO", "MgB2", "TiO2", "Al2O3", "ZrO2", "Si, triclinic")
QPOINTS = [[0.1, 0.2, 0.3], [0.5, 0.0, 0.25], [0.0, 0.0, 0.0], [0.25, 0.25, 0.4]]
SIZES = {"Si of 64 atoms": 2, "Si of 216 atoms": 3}
STEPS = {"step: energy, forces, stress": False, "step: with a Hessian column": True}
FRESH = {
    "import": [sys.executable, "-c", "import ase_phonax"],
    "help": [sys.executable, "-m", "ase_phonax", "--help"],
    "command": [sys.executable, "-m", "ase_phonax", "phonons", "POSCAR", "--model", "phonax-small", "--output"],
}
LIMIT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "MPLBACKEND": "Agg"}


class Derivatives:
    """One side's calculator, asked for one thing after the other."""

    def __init__(self, tree: str):
        sys.path.insert(0, f"{tree}/benchmarks")
        from force_constants import crystals

        self.crystals = crystals()
        self.calcs: dict = {}

    def calc(self, model: str, dtype: str):
        from ase_phonax import PhonaxCalculator

        return self.calcs.setdefault((model, dtype), PhonaxCalculator(model, dtype))

    def seconds(self, what: str, model: str, case: str, run: int) -> float:
        from force_constants import phonopy_of

        if what == "forces":
            calc, atoms = self.calc(model, "float32"), self.crystals["Si"].repeat(2 * SIZES[case])
            atoms.rattle(0.01, seed=run)
            start = time.process_time()
            calc.calculate(atoms, ["energy", "forces", "stress"])
            return time.process_time() - start
        calc, atoms = self.calc(model, "float64"), self.crystals[case].copy()
        atoms.set_cell(atoms.cell.array * (1 + 1e-4 * run), scale_atoms=True)
        phonopy = phonopy_of(atoms) if what == "constants" else None
        start = time.process_time()
        if what == "constants":
            calc.get_force_constants(phonopy)
        else:
            for q in QPOINTS:
                calc.get_dynamical_matrix_gradient(atoms, q)
        return time.process_time() - start


class Training:
    """One side's training step, compiled once for each kind."""

    def __init__(self, tree: str):
        self.steps: dict = {}

    def seconds(self, what: str, model: str, case: str, run: int) -> float:
        import jax

        if case not in self.steps:
            self.steps[case] = _step(STEPS[case])
            self.steps[case]()
        start = time.process_time()
        jax.block_until_ready(self.steps[case]())
        return time.process_time() - start


def _step(hessian: bool):
    """A function that takes the next training step of a small network on eight frames of rattled silicon."""
    import numpy as np
    from ase.build import bulk
    from ase.calculators.singlepoint import SinglePointCalculator

    from ase_phonax import read_frames
    from ase_phonax.training import steps
    from ase_phonax.training.config import config_from
    from ase_phonax.training.loop import Run

    try:
        from ase_phonax.training.labels import SecondOrder
    except ModuleNotFoundError:  # checkouts before the nine rooms
        from ase_phonax.data import SecondOrder
    images = []
    for seed in range(8):
        atoms = bulk("Si", a=5.43).repeat(2)
        atoms.rattle(0.05, seed=seed)
        labels = np.random.default_rng(seed)
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=-5.0 * len(atoms),
            forces=labels.normal(size=(len(atoms), 3)),
            stress=labels.normal(size=6) / 100,
        )
        images.append(atoms)
    with tempfile.TemporaryDirectory() as folder:
        from ase.io import write

        write(f"{folder}/frames.extxyz", images)
        frames = read_frames(f"{folder}/frames.extxyz")
    if hessian:  # the cost does not depend on the label
        from dataclasses import replace

        n = 3 * len(images[0])
        frames = [replace(f, second=SecondOrder(np.zeros((1, 3)), np.zeros((1, n, n), complex))) for f in frames]
    config = config_from(
        {
            "network": {"hidden_irreps": "64x0e + 32x1o + 16x2e", "l_max": 2, "n_layers": 2, "cutoff": 5.0},
            "loss": {"directions": "columns"},
            "run": {"n_shapes": 1},
            "optimiser": {"batch_size": 8},
        }
    )
    run = Run(config, None, frames, [])
    shape, members = run.planner.epoch(0, 0)[0]
    batch = run.planner.batch(shape, members, (0,))
    step = steps.training_step(run.potential.node_energies, run.potential.cutoff, run.rules, shape.kind)

    def take():
        run.state, loss, _, norm = step(run.state, batch, run.rates[0], run.scales)
        return run.state, loss, norm

    return take


def work(tree: str, kind: str) -> None:
    import warnings

    warnings.simplefilter("ignore")
    side = (Training if kind == "training" else Derivatives)(tree)
    for line in sys.stdin:
        print(json.dumps(side.seconds(*json.loads(line))), flush=True)


class Workers:
    """Both sides, each a process that answers with seconds of CPU time."""

    def __init__(self, trees: dict[str, str], kind: str):
        self.sides = {
            name: subprocess.Popen(
                [sys.executable, __file__, "--worker", kind, "--old", tree],
                env={**os.environ, **LIMIT, "PYTHONPATH": tree},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, tree in trees.items()
        }

    def __call__(self, what: str, model: str, case: str, side: str, run: int) -> float:
        process = self.sides[side]
        process.stdin.write(json.dumps((what, model, case, run)) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def close(self) -> None:
        for process in self.sides.values():
            process.stdin.close()
            process.wait()


def fresh(trees: dict[str, str], what: str, side: str, run: int) -> float:
    """CPU seconds of a process of its own, the time of its children included."""
    tree = trees[side]
    with tempfile.TemporaryDirectory() as folder:
        from ase.build import bulk

        bulk("NaCl", "rocksalt", a=5.64).write(f"{folder}/POSCAR", format="vasp")
        command = FRESH[what] + [f"{folder}/out"] * (what == "command")
        before = os.times()
        subprocess.run(
            command, cwd=folder, env={**os.environ, **LIMIT, "PYTHONPATH": tree}, check=True, capture_output=True
        )
        after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def compare(what: str, case: str, pairs: int, ask) -> None:
    """Print one row: `ask(side, run)` gives seconds; the first two turns are warm-up."""
    seconds: dict[str, list[float]] = {"old": [], "new": []}
    for run in range(pairs + 2):
        for side in ("old", "new") if run % 2 else ("new", "old"):
            seconds[side].append(ask(side, run))
    old, new = (seconds[side][2:] for side in ("old", "new"))
    ratios = sorted(a / b for a, b in zip(old, new, strict=True))
    print(
        f"{what:12s} {case:46s} {1e3 * statistics.median(old):10.1f} {1e3 * statistics.median(new):10.1f} "
        f"{statistics.median(ratios):7.3f} {min(old) / min(new):7.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", required=True, help="root of a checkout")
    parser.add_argument("--new", help="root of another")
    parser.add_argument("--models", nargs="+", default=["phonax-small"])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", nargs="+", help="constants slopes forces training command import help")
    parser.add_argument("--crystals", nargs="+", default=CRYSTALS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.old, options.worker)
    trees = {side: str(Path(getattr(options, side)).resolve()) for side in ("old", "new")}
    wanted = options.only or ("constants", "slopes", "forces", "training", "command", "import", "help")
    print(f"{'what':12s} {'case':46s} {'old ms':>10s} {'new ms':>10s} {'median':>7s} {'least':>7s}")
    derivatives = {"constants": options.crystals, "slopes": options.crystals, "forces": SIZES}
    for model in options.models:
        ask = Workers(trees, "derivatives")
        name = Path(model).stem
        for what, cases in derivatives.items():
            for case in cases if what in wanted else ():
                compare(what, f"{name}: {case}", options.pairs, partial(ask, what, model, case))
        ask.close()
    if "training" in wanted:
        ask = Workers(trees, "training")
        for case in STEPS:
            compare("training", case, options.pairs, partial(ask, "training", "", case))
        ask.close()
    for what in FRESH:
        if what in wanted:
            compare(what, " ".join(FRESH[what][1:])[:46], options.pairs, partial(fresh, trees, what))


if __name__ == "__main__":
    main()
