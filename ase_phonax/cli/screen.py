"""`ase-phonax screen`: one study of many crystals."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import StructureError
from . import loading
from .arguments import add_calculator, add_options, add_reporting, load_calculator, reporting, settings_of
from .config import add_config
from .parser import add_command

if TYPE_CHECKING:
    from ..studies.screening import Screening
    from .parser import Commands

_DESCRIPTION = """\
One study of many crystals, on all cores of this machine or on the workers of a Dask scheduler, into a database
of ASE. What is in the database is not computed again: a screening that was stopped, by whatever it was, goes
on when the same command is given. A crystal that cannot be computed is a row with the reason. Needs Dask:
pip install "ase-phonax[screen]"
"""

_EPILOG = """\
files in the output folder:
  screening.db           a row for each crystal, at rest, with numbers to select by (`ase db screening.db stable=1`)
  arrays/KEY.h5          its bands, densities of states and heat, by `screening_key` without the k
  table.csv              all of it as a table

examples:
  ase-phonax screen crystals.extxyz --set mesh_length=30 supercell=[3,3,3]
  ase-phonax screen *.cif --study elastic --output moduli
  ase-phonax screen crystals.extxyz --scheduler scheduler.json

Exit codes: see `ase-phonax --help`.
"""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    words = "one study of many crystals, on all cores or a cluster, into a database"
    add_command(commands, "screen", _add_arguments, _DESCRIPTION, help=words, epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..studies.screening.settings import ScreeningSettings

    parser.add_argument(
        "structures",
        metavar="STRUCTURE",
        nargs="+",
        help="files that ASE reads, all their structures (FILE@3 is one), or folders of them",
    )
    add_calculator(parser)
    add_options(parser, ScreeningSettings)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", "-o", metavar="FOLDER", type=Path, default=Path("screening"), help="(default: screening)"
    )
    add_reporting(parser)
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write and print."""
    from ..studies.screening.settings import ScreeningSettings

    with reporting(arguments) as watch:
        if not arguments.quiet:
            watch.handlers.append(_Announcement())
        settings = settings_of(ScreeningSettings, arguments)
        with watch.section("imports"):
            from ..studies.screening import screen
            from ..studies.screening.tasks import Job
        loading.check_model(arguments.model)
        Job.of(settings.study, dict(settings.set))
        with watch.section("structures"):
            named, unread = loading.read_structures(_files(arguments.structures))
        for name, reason in unread:
            print(f"left out: {name}: {reason}", file=sys.stderr)
        with watch.section("model"):
            calc = load_calculator(arguments)
        try:
            found = screen(
                [atoms for _, atoms in named],
                calc,
                settings.study,
                dict(settings.set),
                folder=arguments.output,
                names=[name for name, _ in named],
                n_workers=settings.workers,
                scheduler=settings.scheduler,
                database=settings.database,
                parquet=settings.parquet,
                watch=watch,
            )
        except KeyboardInterrupt as stop:
            what = f"what was computed is kept in {arguments.output}: the same command goes on from there"
            raise KeyboardInterrupt(what) from stop
        if not arguments.quiet:
            print(_in_words(found, len(unread)))
    return 0


class _Announcement(logging.Handler):
    """Says where the workers can be watched, as soon as there are some."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", "") == "workers" and (where := record.__dict__["values"]["dashboard"]):
            print(f"{record.__dict__['values']['n_threads']} workers, seen at {where}", file=sys.stderr, flush=True)


def _files(names: list[str]) -> list[str]:
    """Files, those of folders in the order of their names."""
    found: list[str] = []
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            found.append(name)
            continue
        inside = sorted(str(path) for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        if not inside:
            raise StructureError(f"the folder {name} holds no file", "there is nothing to compute", "name another")
        found += inside
    return found


def _in_words(found: Screening, n_unread: int) -> str:
    """What was done, for people."""
    equal = f", {found.n_equal} of them equal to others" if found.n_equal else ""
    before = f", {found.n_before} before" if found.n_before else ""
    failed = f"\n{found.n_failed} could not be computed: `ase db {found.database} failed=1`" if found.n_failed else ""
    unread = f"\n{n_unread} of the files could not be read: see above" if n_unread else ""
    tables = "table.csv, table.parquet" if (found.folder / "table.parquet").exists() else "table.csv"
    crystals = f"{found.n_structures} crystal{'s' * (found.n_structures != 1)}"
    return f"""\
{crystals}{equal}: {found.n_computed} computed now{before}{failed}{unread}
results in {found.folder}: {tables}, arrays of phonons; database {found.database}"""
