"""Attacks on the package: damaged and absurd inputs, processes killed at random moments, disks that fill.

    python benchmarks/attack.py fuzz                      all kinds of cases, 1,800 of them
    python benchmarks/attack.py fuzz --fraction 0.05      the same kinds, fewer of each
    python benchmarks/attack.py fuzz --only model:17      one case, with all that it prints
    python benchmarks/attack.py kills                     30 runs killed, two at a time in one folder
    python benchmarks/attack.py disk                      a disk filled at 20 sizes (needs root to mount one)
    python benchmarks/attack.py all

Everything follows from seeds. A case is good if the command succeeds, or refuses in words with its exit code; it is bad
if it ends in a traceback, hangs for more than 30 s, ends the process, takes a changed sealed file for sound, leaves
files behind that nobody asked for, or says too little. The exit code is 1 if any is. With PHONAX_DATA set, reference
data and public weights are attacked as well.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

# Before anything imports them: processes are forked, and several share the machine.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"


def fuzz(options: argparse.Namespace) -> int:
    """Damaged and absurd inputs."""
    from multiprocessing import get_context

    from attack_runner import GOOD, as_json, printed, run_cases

    with tempfile.TemporaryDirectory(prefix="attack-seeds-") as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{place}/compiled"
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

        import_all()
        import attack_inputs
        from attack_cases import KINDS

        data = os.environ.get("PHONAX_DATA")
        if options.only:
            cases = [(kind, int(seed)) for kind, seed in (case.split(":") for case in options.only)]
        else:
            chosen = [k for k in (options.kinds or KINDS) if k != "nequix" or data]
            cases = [(k, s + options.seed) for k in chosen for s in range(round(KINDS[k][1] * options.fraction))]
        seeds, training = Path(place, "seeds"), any(kind == "checkpoint" for kind, _ in cases)
        arguments = (seeds, Path(data) if data else None, training)
        # In a process of its own: after JAX has begun, none may be forked.
        maker = get_context("fork").Process(target=attack_inputs.prepare, args=arguments)
        maker.start()
        maker.join()
        if maker.exitcode:
            print("the valid inputs could not be made", file=sys.stderr)
            return 1
        outcomes, start = [], time.monotonic()
        for outcome in run_cases(cases, {k: m for k, (m, _) in KINDS.items()}, seeds, options.workers):
            outcomes.append(outcome)
            spent = time.monotonic() - start
            if outcome.name not in GOOD:
                print(f"{outcome.name} --only {outcome.kind}:{outcome.seed}   {outcome.what}", flush=True)
                if options.only or options.verbose:
                    print(outcome.tail, flush=True)
            if len(outcomes) % 50 == 0:
                left = spent / len(outcomes) * (len(cases) - len(outcomes))
                print(
                    f"{len(outcomes)} of {len(cases)}, {spent:.0f} s, {left:.0f} s to go", file=sys.stderr, flush=True
                )
        print(printed(outcomes))
        if options.json:
            options.json.write_text(as_json(outcomes) + "\n", encoding="utf-8")
        return int(any(o.name not in GOOD for o in outcomes))


def import_all() -> None:
    """What every case imports, once; JAX is imported, but none of its threads begun."""
    import importlib

    for name in (
        *("ase.io", "h5py", "haiku", "jax", "matplotlib.pyplot", "phonopy", "posym", "scipy.optimize", "seekpath"),
        *(
            "spglib",
            "yaml",
            "ase_phonax.studies.phonon_study",
            "ase_phonax.training.labels.phonopy_labels",
            "ase_phonax.training.labels.teacher",
        ),
        *(
            "ase_phonax.phonons.supercell.choice",
            "ase_phonax.training.loop",
            "ase_phonax.phonons.volumes",
            "ase_phonax.phonons.polar",
        ),
        *("ase_phonax.molecules.stationary", "ase_phonax.phonons.symmetry.irreps", "ase_phonax.phonons.formats"),
    ):
        importlib.import_module(name)


def kills(options: argparse.Namespace) -> int:
    """Processes killed at random moments."""
    from attack_kills import run

    return run(options)


def disk(options: argparse.Namespace) -> int:
    """Disks that fill."""
    from attack_disk import run

    return run(options)


def everything(options: argparse.Namespace) -> int:
    """All three."""
    return max([fuzz(options), kills(options), disk(options)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attack", choices=("fuzz", "kills", "disk", "all"))
    parser.add_argument("--fraction", type=float, default=1.0, help="of the number of cases, kills and sizes")
    parser.add_argument("--kinds", nargs="+", help="of fuzz cases, or commands to kill")
    parser.add_argument("--only", metavar="KIND:SEED", nargs="+", help="these fuzz cases")
    parser.add_argument("--seed", type=int, default=0, help="the first of each kind")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="print what bad cases printed")
    parser.add_argument("--json", type=Path, help="write all outcomes of fuzz cases to a file")
    options = parser.parse_args()
    return {"fuzz": fuzz, "kills": kills, "disk": disk, "all": everything}[options.attack](options)


if __name__ == "__main__":
    raise SystemExit(main())
