"""A screening: one study of many crystals, kept as it comes, and gone on with where it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.errors import InputError, OutputError
from ..model_facts import facts_of, fingerprint_of
from ..watch import Watch
from .cluster import connected, outcomes
from .databases import DATABASE, is_server, shown
from .store import PARQUET, open_store, parquet_writer
from .tasks import Job, key_of

if TYPE_CHECKING:
    from ase import Atoms
    from distributed import Client

    from ...calculator import PhonaxCalculator
    from ..options import Settings
    from .store import Store


@dataclass(frozen=True)
class Screening:
    """What a screening has done.

    Attributes:
        folder: with the database, the table and the arrays.
        database: its name, for `ase.db.connect`; of a server without the password.
        n_structures: crystals given; n_equal: of these, copies of others, which are computed once.
        n_before: found in the database; n_computed: added now; n_failed: of all in it, those that have a reason instead
            of results.
        dashboard: address of Dask's page while it ran; "" for none.
    """

    folder: Path
    database: str
    n_structures: int
    n_equal: int
    n_before: int
    n_computed: int
    n_failed: int
    dashboard: str


def screen(
    structures: Sequence[Atoms],
    calc: PhonaxCalculator,
    study: str = "phonons",
    settings: Settings | dict[str, Any] | None = None,
    *,
    folder: str | Path,
    names: Sequence[str] | None = None,
    client: Client | None = None,
    n_workers: int | None = None,
    scheduler: str | None = None,
    database: str | None = None,
    parquet: bool = False,
    watch: Watch | None = None,
) -> Screening:
    """One study of many crystals, by all cores of this machine or by a cluster, into a database of ASE.

    What is in the database is not computed again, so that a screening that was stopped, by whatever it was, goes on
    when it is called again. A crystal that cannot be computed is a row with the reason.

    Args:
        structures: not changed.
        calc: a `PhonaxCalculator`; it is sent to the workers, once to each.
        study: "phonons", "elastic", "gruneisen", "expansion" or "conductivity".
        settings: those of the study, or a dictionary of some of them.
        folder: is made where there is none: screening.db, table.csv, and arrays/KEY.h5.
        names: of the structures, for the table; their numbers unless given.
        client: of Dask; else a cluster is started on this machine, or a scheduler asked.
        n_workers: processes on this machine; all cores unless given.
        scheduler: address of a scheduler, or its file.
        database: address of a PostgreSQL database, postgresql://USER:PASSWORD@HOST:PORT/NAME, instead of screening.db;
            needs the extra `postgresql`.
        parquet: write the table as table.parquet, too; needs the extra `parquet`.
        watch: is told how many are done.

    Raises:
        InputError: no structures; a study or settings that are none; Dask is not installed; no scheduler answers.
        OutputError: the database is something else's, or cannot be written.
        SchedulerLost: the scheduler is gone; results until then are kept.
    """
    from ...phonons.finite_differences import crystal_calculator

    asked_of: Any = crystal_calculator(calc)
    if not len(structures):
        raise InputError("no structures are given", "there is nothing to compute", "give a list of ASE's Atoms")
    if names is not None and len(names) != len(structures):
        raise InputError(f"{len(names)} names for {len(structures)} structures", "each has its own", "give as many")
    if database is not None and not is_server(database):
        raise InputError(
            f"{shown(database)} is no address of PostgreSQL",
            "other servers are not known, and a file is made in the folder",
            "write postgresql://USER:PASSWORD@HOST:PORT/NAME, or leave `database` out",
        )
    if parquet:
        parquet_writer()  # before anything is computed
    job, watch = Job.of(study, settings), watch or Watch()
    identity = fingerprint_of(asked_of)
    model = f"{identity[:32]}-{asked_of.dtype}".replace(" ", "-")
    tasks: dict[str, tuple[int, Atoms]] = {}
    for number, atoms in enumerate(structures):
        bare = atoms.copy()
        bare.calc = None
        tasks.setdefault(key_of(bare, job, model), (number, bare))
    facts = facts_of(asked_of, None)
    about = {"study": study, "settings": job.settings, "fingerprint": model, **facts}
    folder = Path(folder)
    with ExitStack() as stack:
        if client is None and scheduler is not None:  # before a database is made for nothing
            client = stack.enter_context(connected(n_workers, scheduler))
        store = stack.enter_context(open_store(folder, about, database))
        store.begin({key: number for key, (number, _) in tasks.items()})
        missing = {key: task for key, task in tasks.items() if f"k{key}" not in store.done}
        n_before, dashboard = len(tasks) - len(missing), ""
        stack.push(partial(_write_tables, store, parquet))
        if missing:
            with watch.section("workers"):
                asked = client or stack.enter_context(connected(n_workers, None))
            dashboard = str(getattr(asked, "dashboard_link", "") or "")
            watch.note("workers", {"dashboard": dashboard, "n_threads": sum(asked.nthreads().values())})
            with watch.section("screening"), watch.progress(f"{study} of {len(missing)} crystals") as progress:
                todo = ((key, atoms) for key, (_, atoms) in missing.items())
                coming = stack.enter_context(closing(outcomes(asked, asked_of, job, todo, f"phonax-{model}")))
                for done, (key, outcome) in enumerate(coming, 1):
                    number = missing[key][0]
                    store.add(key, number, names[number] if names else str(number), outcome)
                    progress(done, len(missing))
        failed = sum(bool(row["failed"]) for row in store.rows())
    return Screening(
        folder=folder,
        database=shown(database) if database is not None else str(folder / DATABASE),
        n_structures=len(structures),
        n_equal=len(structures) - len(tasks),
        n_before=n_before,
        n_computed=len(missing),
        n_failed=failed,
        dashboard=dashboard,
    )


def _write_tables(store: Store, parquet: bool, kind: Any, error: BaseException | None, trace: Any) -> None:
    """The tables, however the screening ends; but of a database that is gone there is none."""
    if isinstance(error, OutputError):
        return
    store.write_table()
    if parquet or (store.folder / PARQUET).exists():  # one that is there would be wrong from now on
        store.write_parquet()
