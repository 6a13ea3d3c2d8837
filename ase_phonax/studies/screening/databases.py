"""Databases of ASE in which results of screenings are kept: a file in their folder, or one of a PostgreSQL server."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...base.claims import claimed_folder
from ...base.errors import InputError, OutputError

DATABASE = "screening.db"
_MARK = "ase_phonax_screening"
_SERVER = ("postgresql://", "postgres://")
_CLAIM = "SELECT pg_try_advisory_lock(hashtext('ase_phonax_screening'))"


def is_server(url: str) -> bool:
    """Whether a text is the address of a database that can be written."""
    return url.startswith(_SERVER)


def shown(url: str) -> str:
    """An address without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1@", url)


@contextmanager
def opened_to_write(folder: Path, about: dict[str, Any], url: str | None) -> Iterator[Any]:
    """The database of a screening, made where there is none, which nobody else may write inside the block.

    Args:
        folder: of the screening, which is claimed as well; made where there is none.
        about: what all results have in common: study, settings, model.
        url: of a PostgreSQL server; a file in the folder unless given.

    Raises:
        InputError: no server answers, or what speaks to it is not installed.
        OutputError: another screening is at work there, it is a database of something else, or of another screening.
    """
    with claimed_folder(folder):
        if url is None:
            place = folder / DATABASE
            if not place.exists():
                _make(place, about)
            yield _checked(_opened(place), str(place), about)
            return
        with _claimed_server(url):
            database = _opened(url)
            if _count(database, shown(url)) == 0 and _MARK not in database.metadata:
                _mark(database, about)
            yield _checked(database, shown(url), about)


def opened_to_read(folder: Path) -> Any:
    """The database of a screening in a folder, which may be under way.

    Raises:
        InputError: there is none.
    """
    place = folder / DATABASE
    database = _opened(place) if place.is_file() else None
    try:
        known = database is not None and _MARK in database.metadata
    except Exception as error:  # readers of databases answer damage by whatever they run into
        raise InputError(f"{place} cannot be opened: {error}", "it is no database", "name another folder") from error
    if not known:
        raise InputError(
            f"{folder} holds no screening", "its table is read from screening.db", "name the folder of one"
        )
    return database


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around writes of results: a full disk, or a server that is gone, is named.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (sqlite3.Error, OSError, *_of_servers())):
            raise
        raise OutputError(
            f"a result could not be written to {folder}: {error}",
            "what was written before is whole, and the screening has stopped",
            "free some space or start the server, and give the same command again: it goes on from there",
        ) from error


def _opened(place: Path | str) -> Any:
    from ase.db import connect

    # Without ASE's lock file, which a killed run leaves behind: the folder is claimed.
    return connect(place, use_lock_file=False)


def _make(place: Path, about: dict[str, Any]) -> None:
    """An empty database that knows what it is for, whole or not at all."""
    part = place.with_name(f".{place.name}.part")
    with writing(place.parent):
        part.unlink(missing_ok=True)
        from ase.db import connect

        _mark(connect(part, type="db", use_lock_file=False), about)
        part.replace(place)


def _mark(database: Any, about: dict[str, Any]) -> None:
    title = f"ase-phonax, {about['study']} of many crystals"
    database.metadata = {_MARK: json.dumps(about, sort_keys=True), "title": title}


def _checked(database: Any, place: str, about: dict[str, Any]) -> Any:
    """The database, if it is that of this screening.

    Raises:
        OutputError: it is not, or is none.
    """
    count = _count(database, place)
    found = database.metadata.get(_MARK)
    if found is None:
        raise OutputError(
            f"{place} is a database of something else, with {count} rows",
            "results would be mixed with it",
            "choose another folder, or another database",
        )
    if found != json.dumps(about, sort_keys=True):
        raise OutputError(
            f"{place} holds another screening: {_differences(json.loads(found), about)}",
            "its results would not be comparable with these",
            "choose another folder or database, or ask for the same again",
        )
    return database


def _count(database: Any, place: str) -> int:
    try:
        return int(database.count())
    except Exception as error:  # readers of databases answer damage by whatever they run into
        raise OutputError(
            f"{place} cannot be opened as a database: {error}",
            "results are kept there as they come",
            "choose another folder or database, or move that file away",
        ) from error


@contextmanager
def _claimed_server(url: str) -> Iterator[None]:
    """The claim on a database of a server: a lock that ends with the connection, however that ends.

    Raises:
        InputError: no server answers, or what speaks to it is not installed.
        OutputError: another screening has it.
    """
    try:
        import ase_db_backends.postgresql  # noqa: F401  ASE asks for it
        import psycopg2
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed",
            "ASE writes to PostgreSQL with it",
            'pip install "ase-phonax[postgresql]", or leave `database` out',
        ) from error
    try:
        connection = psycopg2.connect(url)
    except psycopg2.Error as error:
        raise InputError(
            f"{shown(url)} cannot be opened: {' '.join(str(error).split())[:300]}",
            "results are kept there as they come",
            "check the address: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, of a database that is there",
        ) from error
    try:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM)
            if not cursor.fetchone()[0]:
                raise OutputError(
                    f"another screening writes into {shown(url)}",
                    "both would compute the same",
                    "wait for it, or choose another database",
                )
        connection.commit()  # the lock stays with the connection
        yield
    finally:
        connection.close()


def _of_servers() -> tuple[type[Exception], ...]:
    """Errors of what speaks to servers, where that is loaded."""
    loaded = sys.modules.get("psycopg2")
    return () if loaded is None else (loaded.Error,)


def _differences(found: dict[str, Any], asked: dict[str, Any]) -> str:
    """What differs, setting by setting."""
    apart = []
    for name in dict.fromkeys([*asked, *found]):
        one, other = found.get(name), asked.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            apart.append(_differences(one, other))
        else:
            apart.append(f"{name} is {one!r} there and {other!r} here"[:200])
    return ", ".join(apart)
