"""Where results of a screening lie: a database of ASE, arrays in files beside it, and a table of all of it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.claims import claimed_folder
from ...base.errors import InputError, OutputError
from ...base.files import write_whole
from ...base.hdf5 import read
from .tasks import DIED

if TYPE_CHECKING:
    from ase import Atoms

    from .tasks import Outcome

DATABASE, TABLE, ARRAYS = "screening.db", "table.csv", "arrays"
_MARK = "ase_phonax_screening"
_REASON = 500  # letters to select by; all of it is in `data`


class Store:
    """Results of one screening. Made by `open_store`.

    Attributes:
        folder: of the table and the arrays.
        done: keys of crystals that are in the database.
    """

    def __init__(self, database: Any, folder: Path):
        self._database, self.folder = database, folder
        self.done: set[str] = set()
        self._again: dict[str, int] = {}  # rows of crystals whose worker died, which says nothing of them
        self._places: dict[str, int] = {}
        self._first = 0  # place of the first crystal that is given now
        for row in database.select(include_data=False):
            key = row.key_value_pairs.get("screening_key")
            if key is None:  # somebody else's
                continue
            if row.key_value_pairs.get("reason", "").startswith(DIED):
                self._again[key] = row.id
            else:
                self.done.add(key)
            self._places[key] = row.key_value_pairs["place"]

    def begin(self, numbers: Mapping[str, int]) -> None:
        """Say which crystals are given: the same as before, which keep their places, or more, which come after them.

        Args:
            numbers: key -> number of the crystal among those given.
        """
        same = any(self._places.get(f"k{key}") == number for key, number in numbers.items())
        self._first = 0 if same or not self._places else 1 + max(self._places.values())

    def add(self, key: str, number: int, name: str, outcome: Outcome) -> None:
        """Keep what came of a crystal: its arrays first, so that a row has them all.

        Raises:
            OutputError: the disk is full, or the database cannot be written.
        """
        pairs = {"screening_key": f"k{key}", "place": self._first + number, "failed": int(bool(outcome.reason))}
        pairs |= outcome.quantities
        if outcome.reason:
            pairs["reason"] = outcome.reason[:_REASON]
        data = {"name": name, "reason": outcome.reason, "seconds": outcome.seconds, "summary": outcome.summary}
        with _writing(self.folder):
            if outcome.arrays:
                path = self.folder / ARRAYS / f"{key}.h5"
                path.parent.mkdir(exist_ok=True)
                write_whole(path, outcome.arrays, to_disk=True)
            known = self._again.pop(f"k{key}", None)
            self._database.write(outcome.atoms, key_value_pairs=pairs, data=data, id=known)
        self.done.add(f"k{key}")

    def rows(self) -> list[dict[str, Any]]:
        """Names and numbers of all crystals, in the order in which they were given."""
        return _rows(self._database)

    def write_table(self) -> None:
        """table.csv of all crystals, with a column for each number that any of them has."""
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.folder / TABLE, text.getvalue())


@dataclass(frozen=True)
class Kept:
    """What a screening holds of one crystal.

    Attributes:
        atoms: at rest.
        name: of the structure; summary: of its study; reason: why there is none, else "".
        arrays: bands, densities and heat by name, where there are any.
    """

    atoms: Atoms
    name: str
    summary: dict[str, Any]
    reason: str
    arrays: Mapping[str, Any]


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Names and numbers of all crystals of a screening, which may be under way, in the order in which they were given.

    Raises:
        InputError: there is none.
    """
    return _rows(_opened(folder))


def read_kept(folder: Path, key: str) -> Kept | None:
    """All that a screening holds of the crystal of a `screening_key`; None where it has none.

    Raises:
        InputError: there is no screening, or its file of arrays is damaged.
    """
    row = next(iter(_opened(folder).select(screening_key=key)), None)
    if row is None:
        return None
    path = folder / ARRAYS / f"{key.removeprefix('k')}.h5"
    content = read(path).arrays if path.is_file() else {}
    return Kept(row.toatoms(), row.data["name"], row.data["summary"], row.data["reason"], content)


def _opened(folder: Path) -> Any:
    from ase.db import connect

    place = folder / DATABASE
    database = connect(place, use_lock_file=False) if place.is_file() else None
    try:
        known = database is not None and _MARK in database.metadata
    except Exception as error:  # readers of databases answer damage by whatever they run into
        raise InputError(f"{place} cannot be opened: {error}", "it is no database", "name another folder") from error
    if not known:
        raise InputError(
            f"{folder} holds no screening", "its table is read from screening.db", "name the folder of one"
        )
    return database


def _rows(database: Any) -> list[dict[str, Any]]:
    found = [
        {"name": row.data.get("name", ""), "formula": row.formula, "n_atoms": row.natoms, **row.key_value_pairs}
        for row in database.select()
        if "screening_key" in row.key_value_pairs
    ]
    return sorted(found, key=lambda row: (row["place"], row["screening_key"]))


@contextmanager
def open_store(folder: Path, about: dict[str, Any]) -> Iterator[Store]:
    """Open or make the database of a screening, which nobody else may write meanwhile.

    Args:
        folder: is made where there is none.
        about: what all of its results have in common: study, settings, model.

    Raises:
        OutputError: another screening is at work there, it is a database of something else, or of another screening.
    """
    from ase.db import connect

    # Without ASE's lock file, which a killed run leaves behind: the folder is claimed.
    with claimed_folder(folder):
        place = folder / DATABASE
        if not place.exists():
            _make(place, about)
        database = connect(place, use_lock_file=False)
        try:
            found, count = database.metadata.get(_MARK), database.count()
        except Exception as error:  # readers of databases answer damage by whatever they run into
            raise OutputError(
                f"{place} cannot be opened as a database: {error}",
                "results are kept there as they come",
                "choose another folder, or move that file away",
            ) from error
        if found is None:
            raise OutputError(
                f"{place} is a database of something else, with {count} rows",
                "results would be mixed with it",
                "choose another folder",
            )
        if found != json.dumps(about, sort_keys=True):
            raise OutputError(
                f"{place} holds another screening: {_differences(json.loads(found), about)}",
                "its results would not be comparable with these",
                "choose another folder, or ask for the same again",
            )
        yield Store(database, folder)


def _make(place: Path, about: dict[str, Any]) -> None:
    """An empty database that knows what it is for, whole or not at all."""
    from ase.db import connect

    part = place.with_name(f".{place.name}.part")
    with _writing(place.parent):
        part.unlink(missing_ok=True)
        database = connect(part, type="db", use_lock_file=False)
        title = f"ase-phonax, {about['study']} of many crystals"
        database.metadata = {_MARK: json.dumps(about, sort_keys=True), "title": title}
        part.replace(place)


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


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Around writes to the database: a full disk is named."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise OutputError(
            f"a result could not be written to {folder}: {error}",
            "what was written before is whole, and the screening has stopped",
            "free some space, and give the same command again: it goes on from there",
        ) from error
