"""Screening: crystals per hour by number of workers, memory of the workers over the run, and what scheduling costs.

    PHONAX_DATA=... python benchmarks/screening.py [--crystals 200] [--workers 1 2] [--set mesh_length=30 ...]

Crystals are those of examples/general_model (published ones of up to 16 atoms, elements, and pairs of ions in several
structures: 1,317), drawn by a fixed seed. Each number of workers screens the same ones anew, into
a folder of its own under runs/. Scheduling is timed with tasks that do nothing, which tells how many workers one
scheduler can keep busy: each task holds it for that long.
"""

import argparse
import os
import shutil
import sys
import time
import warnings
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ase.build import bulk

from ase_phonax import PhonaxCalculator, screen
from ase_phonax.base.errors import UnstableWarning
from ase_phonax.studies.screening.cluster import _ENVIRONMENT, connected
from ase_phonax.studies.screening.settings import assignment
from ase_phonax.studies.screening.tasks import Job, computed

SEED = 0
COARSE = {"supercell": [2, 2, 2], "mesh_length": 15.0}
N_EMPTY = 2000


def crystals(n: int):
    """Drawn by a fixed seed."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/born_dielectric_pbesol_train.xyz")
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples/general_model"))
    from crystals import added, published

    found = [*published(Path(os.environ["PHONAX_DATA"]) / "data/born_dielectric_pbesol_train.xyz"), *added()]
    return [found[k] for k in np.random.default_rng(SEED).permutation(len(found))[:n]]


def resident(client) -> list[float]:
    """Memory of each worker process [MB]."""
    return [w["metrics"]["memory"] / 2**20 for w in client.scheduler_info()["workers"].values()]


def nothing(number: int) -> int:
    return number


def scheduling(n_workers: int) -> float:
    """Seconds for each task that does nothing."""
    with connected(n_workers, None) as client:
        client.gather(client.map(nothing, range(100)))
        start = time.perf_counter()
        client.gather(client.map(nothing, range(1000, 1000 + N_EMPTY)))
        return (time.perf_counter() - start) / N_EMPTY


def begun(settings: dict) -> None:
    """In a process without Dask: the model, and what is compiled or imported at first use."""
    global _calc, _job
    warnings.simplefilter("ignore")
    _calc, _job = PhonaxCalculator(), Job.of("phonons", settings)
    computed(bulk("Si"), _calc, _job)


def alone(atoms) -> None:
    computed(atoms, _calc, _job)


def without_dask(n: int, chosen: list, settings: dict) -> float:
    """Crystals a second by so many processes of one thread each: what the cores of this machine can do together."""
    os.environ.update(_ENVIRONMENT)
    with get_context("spawn").Pool(n, begun, (settings,)) as pool:
        pool.map(alone, chosen[:n], chunksize=1)
        start = time.perf_counter()
        pool.map(alone, chosen, chunksize=1)
        return len(chosen) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the phonons")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)
    calc = PhonaxCalculator()
    chosen, settings = crystals(options.crystals), COARSE | dict(map(assignment, options.set))
    print(f"{len(chosen)} crystals of {np.mean([len(a) for a in chosen]):.1f} atoms, {settings}")
    rates = {}
    for n in options.workers:
        folder = Path("runs/screening") / str(n)
        shutil.rmtree(folder, ignore_errors=True)
        with connected(n, None) as client:
            screen(chosen[:2], calc, "phonons", settings, folder=folder, client=client)  # imports, compiled functions
            before, start = resident(client), time.perf_counter()
            found = screen(chosen, calc, "phonons", settings, folder=folder, client=client)
            seconds = time.perf_counter() - start
            after = resident(client)
        rates[n] = found.n_computed / seconds
        print(
            f"{n} workers: {3600 * rates[n]:.0f} an hour, {86400 * rates[n]:.0f} a day, {found.n_failed} failed;"
            f" memory of a worker {max(before):.0f} MB at first, {max(after):.0f} MB at last",
            flush=True,
        )
    first = options.workers[0]
    for n in options.workers[1:]:
        print(f"{n} workers: {100 * rates[n] / rates[first] * first / n:.0f} % of {n} times one worker's rate")
    bare = {n: without_dask(n, chosen, settings) for n in options.workers}
    for n in options.workers:
        share = 100 * rates[n] / bare[n]
        print(f"without Dask, {n} processes: {3600 * bare[n]:.0f} an hour; with it {share:.0f} % of that", flush=True)
    each, own = scheduling(2), rates[first] / first
    print(f"scheduling: {1e3 * each:.2f} ms a task; one scheduler keeps {1 / (each * own):.0f} such workers busy")


if __name__ == "__main__":
    main()
