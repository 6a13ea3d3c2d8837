"""What can be asked of a screening, besides the settings of its study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..options import Settings, Unfit, flag, option, positive_integer, text
from .tasks import STUDIES

_STUDY, _WORKERS, _OUTPUT = "study", "workers", "output"


def assignment(value: Any) -> tuple[str, Any]:
    """ "mesh_length=30" as ("mesh_length", 30): the value is read as YAML."""
    import yaml

    if isinstance(value, (list, tuple)) and len(value) == 2:
        name, equals, rest = str(value[0]), "=", value[1]
    else:
        name, equals, rest = str(value).partition("=")
    if not equals or not name:
        raise Unfit(f"{value!r} is not like mesh_length=30")
    try:
        return name.replace("-", "_"), yaml.safe_load(rest) if isinstance(rest, str) else rest
    except yaml.YAMLError:
        raise Unfit(f"{rest!r} is no value") from None


@dataclass(frozen=True)
class ScreeningSettings(Settings):
    """What `ase-phonax screen` is told; names and values are those of its help."""

    study: str = option(
        "phonons", text, _STUDY, "what is computed of each crystal (default: %(default)s)", choices=tuple(STUDIES)
    )
    set: tuple[tuple[str, Any], ...] = option(
        (),
        assignment,
        _STUDY,
        "settings of the study, by the names of its command's options: mesh_length=30 supercell=[3,3,3] no_relax=true",
        metavar="NAME=VALUE",
        n_values="*",
    )
    workers: int | None = option(
        None,
        positive_integer,
        _WORKERS,
        "processes on this machine, of one thread each (default: one for each core)",
        metavar="N",
        either="scheduler",
    )
    scheduler: str | None = option(
        None,
        text,
        _WORKERS,
        "address of a Dask scheduler, such as tcp://host:8786, or its scheduler file: its workers compute",
        metavar="ADDRESS",
        either="scheduler",
    )
    database: str | None = option(
        None,
        text,
        _OUTPUT,
        "of a PostgreSQL server, postgresql://USER:PASSWORD@HOST:PORT/NAME, instead of screening.db",
        metavar="URL",
    )
    parquet: bool = flag(_OUTPUT, "write table.parquet as well")
