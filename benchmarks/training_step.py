"""One training step, this package against the `nequix` package's own, on the same frames with networks of equal sizes.

    PYTHON benchmarks/training_step_frames.py --model nequix-mp-1.nqx frames.extxyz     (the peer's interpreter)
    python benchmarks/training_step.py --peer PYTHON --frames frames.extxyz [--published] [--layers 2] [--repeats 5]

Both sides: float32, 8 frames of 16 atoms in a batch, AdamW, running average, the Nequix variant of the network (layer
norm, one self-connection for all species). Two steps: energy, forces and stress; the same with one Hessian column of
each frame, as the peer's phonon fine-tuning has it. Repeats alternate between the sides, after both have compiled;
the least of each is shown. Memory is the peak of the process in a step, less what it held before. What is measured of
the peer: training_step_peer.py.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SMALL = {"hidden_irreps": "64x0e + 32x1o + 16x2e", "l_max": 2, "n_layers": 2, "cutoff": 5.0}
PUBLISHED = {"hidden_irreps": "128x0e + 64x1o + 32x2e + 32x3o", "l_max": 3, "n_layers": 4, "cutoff": 6.0}
VARIANT = {
    "radial_sizes": [64, 64],
    "embedding": 0,
    "self_connection": "shared",
    "layer_norm": True,
    "envelope_p": 6,
    "radial_init": 4.0,
}
STEPS = {"energy, forces, stress": False, "with a Hessian column": True}


def work(options: argparse.Namespace) -> None:
    """Our side: a repeat of `--steps` steps for each line of stdin."""
    from dataclasses import replace

    import jax
    import numpy as np
    from process_memory import Memory

    from ase_phonax import read_frames
    from ase_phonax.training import steps
    from ase_phonax.training.config import config_from
    from ase_phonax.training.labels import SecondOrder
    from ase_phonax.training.loop import Run

    memory = Memory()
    frames = read_frames(options.frames)
    if options.hessian:  # the cost does not depend on the label
        frames = [
            replace(f, second=SecondOrder(np.zeros((1, 3)), np.zeros((1, 3 * len(f.atoms), 3 * len(f.atoms)), complex)))
            for f in frames
        ]
    sizes = PUBLISHED if options.published else SMALL | {"n_layers": options.layers}
    config = config_from(
        {
            "network": sizes | VARIANT,
            "loss": {"directions": "columns"},
            "run": {"n_shapes": 1},
            "optimiser": {
                "batch_size": 8,
                "accumulate": options.accumulate,
                "weight_decay": 1e-3,
                "clip": 100.0,
                "ema": 0.999,
            },
        }
    )
    run = Run(config, None, frames, [])
    plan = run.planner.epoch(0, 0)
    batches = [(shape, members, run.planner.batch(shape, members, (k,))) for k, (shape, members) in enumerate(plan)]
    print("ready", flush=True)
    count, first = 0, None

    def go(n: int) -> tuple[float, int]:
        nonlocal count
        start, edges = time.perf_counter(), 0
        for _ in range(n):
            shape, members, batch = batches[count % len(batches)]
            step = steps.training_step(run.potential.node_energies, run.potential.cutoff, run.rules, shape.kind)
            run.state, loss, _, norm = step(run.state, batch, run.rates[0], run.scales)
            count, edges = count + 1, edges + 2 * sum(run.planner.items[k].n_edges for k in members)
        jax.block_until_ready((run.state, loss, norm))
        return time.perf_counter() - start, edges

    for _ in sys.stdin:
        if first is None:
            first, _ = go(1)
            go(2)
        memory.forget()
        seconds, edges = go(options.steps)
        found = {
            "s": seconds / options.steps,
            "edges_per_step": edges / options.steps,
            "step_mb": memory.of_step(),
            "compile_s": first - seconds / options.steps,
            "parameters": run.potential.n_parameters - len(run.potential.numbers),
        }
        print(json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="interpreter of the peer's environment; without it only our side is timed")
    parser.add_argument("--frames", required=True)
    parser.add_argument("--published", action="store_true", help="sizes of nequix-mp-1")
    parser.add_argument("--layers", type=int, default=2, help="of the small network")
    parser.add_argument("--accumulate", default="auto", help="pieces of our batch taken one after the other")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--hessian", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options)
    print(f"{'step':24s} {'side':6s} {'ms':>8s} {'µs/edge':>8s} {'MB':>7s} {'compile s':>10s} {'parameters':>11s}")
    least = {}
    for name, hessian in STEPS.items():
        for side, lines in measure(options, hessian).items():
            best = min(lines, key=lambda line: line["s"])
            least[name, side] = best
            print(
                f"{name:24s} {side:6s} {1e3 * best['s']:8.1f} {1e6 * best['s'] / best['edges_per_step']:8.1f} "
                f"{best['step_mb']:7.0f} {best['compile_s']:10.1f} {best['parameters']:11,}",
                flush=True,
            )
        if options.peer:
            ratio = per_edge(least[name, "peer"]) / per_edge(least[name, "ours"])
            print(f"{name:24s} ours is {ratio:.2f} times as fast, per edge")
    plain, with_column = (least[name, "ours"] for name in STEPS)
    print(
        f"a Hessian column costs {per_edge(with_column) / per_edge(plain):.2f} times the time and "
        f"{with_column['step_mb'] / plain['step_mb']:.2f} times the memory of a step without"
    )


def per_edge(line: dict) -> float:
    return line["s"] / line["edges_per_step"]


def measure(options: argparse.Namespace, hessian: bool) -> dict[str, list[dict]]:
    """Repeats of both sides in turn, one process each; nobody is timed while the other imports or compiles."""
    common = ["--frames", options.frames, "--steps", str(options.steps), "--worker"]
    common += ["--layers", str(options.layers)]
    common += ["--published"] * options.published + ["--hessian"] * hessian
    commands = {"ours": [sys.executable, str(HERE / "training_step.py"), *common]}
    if options.peer:
        commands["peer"] = [options.peer, str(HERE / "training_step_peer.py"), "--batch", "8", *common]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    commands["ours"] += ["--accumulate", options.accumulate]
    sides = {side: subprocess.Popen(command, **pipes) for side, command in commands.items()}
    found: dict[str, list[dict]] = {side: [] for side in sides}

    def ask(process: subprocess.Popen) -> dict:
        process.stdin.write("\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    for process in sides.values():
        process.stdout.readline()
    for process in sides.values():
        ask(process)  # compiles
    for _ in range(options.repeats):
        for side, process in sides.items():
            found[side].append(ask(process))
    for process in sides.values():
        process.communicate()
    return found


if __name__ == "__main__":
    main()
