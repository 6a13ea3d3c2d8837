"""Dask: workers on this machine or on a cluster, each with the model, and results as they come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...base.cores import n_cores
from ...base.errors import InputError, PhonaxError, is_failure
from ...base.memory import SHARE, memory_bytes
from .tasks import DIED, Job, Outcome, computed, failure

if TYPE_CHECKING:
    from ase import Atoms
    from distributed import Client

    from ...calculator import PhonaxCalculator

_AHEAD = 3  # tasks for each thread, so that none waits; not all of them, which a scheduler would have to hold
_PATIENCE = 10.0  # [s] after which a scheduler is asked whether it is still there
# One thread for each worker process: results do not depend on how many there are, and nobody waits for anybody.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",  # phonopy's and phono3py's own
    # Dask has memory given back to the system at once, to be asked for again by the next array: two thirds more time.
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
    "MALLOC_MMAP_THRESHOLD_": str(2**28),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "MPLBACKEND": "Agg",
}


class SchedulerLost(PhonaxError):
    """The scheduler of a cluster is gone."""


class UnfitWorker(RuntimeError):
    """A worker whose results would differ from those of others."""


class ModelOnWorkers:
    """A plugin of Dask that gives every worker the calculator, once, whenever it comes.

    Args:
        calc: is sent to each of them.
        name: of the plugin; one for each model.
    """

    def __init__(self, calc: PhonaxCalculator, name: str):
        self.calc, self.name, self.version = calc, name, __version__

    def setup(self, worker: Any) -> None:
        """Called by Dask on each worker."""
        self.check(worker)

    def teardown(self, worker: Any) -> None:
        """Called by Dask at the end."""

    def check(self, worker: Any) -> None:
        """Refuse a worker whose results would differ. Of one that comes late Dask does not say what `setup` raises."""
        if self.version != __version__:
            raise UnfitWorker(f"ase-phonax is {__version__} on {worker.address}, and {self.version} here")
        n_threads = worker.state.nthreads
        if n_threads > 1:  # sums of numbers in another order differ in their last digits
            raise UnfitWorker(f"{worker.address} has {n_threads} threads, and results depend on their order")


def on_worker(name: str, job: Job, atoms: Atoms) -> Outcome:
    """A task: the study of one crystal by the model that the worker has."""
    from distributed import get_worker

    worker = get_worker()
    plugin: Any = worker.plugins[name]
    plugin.check(worker)
    return computed(atoms, plugin.calc, job)


@contextmanager
def connected(n_workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """A client of a scheduler, or of a cluster on this machine: one process with one thread for each core.

    Args:
        n_workers: processes on this machine; None for all cores.
        scheduler: address such as "tcp://host:8786", or the name of a scheduler file.

    Raises:
        InputError: Dask is not installed; nobody answers at the address.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(
            "dask.distributed is not installed",
            "it brings crystals to workers, and results back",
            'install it: pip install "ase-phonax[screen]", or pip install distributed',
        ) from error
    if scheduler is None:
        n_workers = n_workers or n_cores()
        with _same_environment(), _here(n_workers) as cluster, Client(cluster) as client:
            yield client
        return
    asked = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**asked, timeout=20)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"no scheduler answers at {scheduler}: {error}",
            "it hands crystals to workers",
            "give the address that `dask scheduler` prints, or its scheduler file",
        ) from error
    with client:
        yield client


def _here(n_workers: int) -> Any:
    """Processes on this machine, of one thread each, which share its memory."""
    import dask
    from distributed import LocalCluster

    # Libraries read theirs as they start.
    with dask.config.set({"distributed.nanny.pre-spawn-environ": _ENVIRONMENT}):
        return LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            silence_logs=50,
            env={SHARE: str(memory_bytes() // n_workers)},
        )


@contextmanager
def _same_environment() -> Iterator[None]:
    """Around worker processes: Dask writes their environment into that of this one, where it would stay."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def outcomes(
    client: Client, calc: PhonaxCalculator, job: Job, tasks: Iterable[tuple[str, Atoms]], model: str
) -> Generator[tuple[str, Outcome]]:
    """(key, outcome) of all tasks, in whatever order they end.

    Args:
        tasks: keys and crystals.
        model: name of the model on the workers.

    Raises:
        SchedulerLost: nobody is left to ask.
        InputError: workers have another version of this package.
    """
    from distributed import wait

    try:
        client.register_plugin(_plugin(calc, model), name=model)
    except (UnfitWorker, ImportError) as error:
        raise _unfit(error) from error
    waiting = iter(tasks)
    running: dict[Any, tuple[str, Atoms]] = {}
    try:
        while True:
            ahead = _AHEAD * max(1, _n_threads(client))
            while len(running) < ahead and (task := next(waiting, None)) is not None:
                future = client.submit(on_worker, model, job, task[1], key=f"phonax-{task[0]}", pure=False)
                running[future] = task
            if not running:
                return
            for future in _ended(client, wait, list(running)):
                key, atoms = running.pop(future)
                yield key, _outcome(future, atoms)
                future.release()
    except (asyncio.CancelledError, CancelledError, OSError) as error:  # a scheduler that dies takes all futures along
        raise _lost() from error
    finally:
        if client.status == "running":
            client.cancel(list(running))
            client.unregister_worker_plugin(model)


def _outcome(future: Any, atoms: Atoms) -> Outcome:
    """What a task has come to; of one whose worker has died, or whose result cannot be sent, the reason.

    Raises:
        InputError: the worker cannot be used.
    """
    from distributed.scheduler import KilledWorker

    try:
        found: Outcome = future.result()
        return found
    except KilledWorker as error:
        return failure(atoms, f"{DIED}, as often as Dask tries: {error}"[:400])
    except UnfitWorker as error:
        raise _unfit(error) from error
    except (asyncio.CancelledError, CancelledError, OSError):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        return failure(atoms, f"unexpected {type(error).__name__}: {error}"[:400])


def _unfit(error: Exception) -> InputError:
    return InputError(
        f"workers cannot be used: {error}",
        "results would not be those of one crystal after the other",
        "install one version everywhere, and start workers with one thread: `dask worker ADDRESS --nthreads 1`",
    )


def _lost() -> SchedulerLost:
    return SchedulerLost(
        "the scheduler is gone",
        "nobody hands crystals to workers any more; what was written before is whole",
        "start it again, and give the same command: it goes on from there",
    )


def _n_threads(client: Client) -> int:
    """Of all workers that are there now.

    Raises:
        SchedulerLost: nobody is left to ask.
    """
    try:
        return int(sum(client.nthreads().values()))
    except (AttributeError, OSError, TimeoutError) as error:  # a client that is closed has no scheduler
        raise _lost() from error


def _ended(client: Client, wait: Callable[..., Any], futures: list[Any]) -> list[Any]:
    """Futures that have ended; one at least."""
    while True:
        try:
            with client.as_current():
                return list(wait(futures, timeout=_PATIENCE, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            if client.status != "running":
                raise _lost() from None


def _plugin(calc: PhonaxCalculator, name: str) -> Any:
    """The plugin as Dask wants it: of its own class."""
    from distributed import WorkerPlugin

    class Plugin(ModelOnWorkers, WorkerPlugin):
        """With the calculator."""

    return Plugin(calc, name)
