"""Where results of a screening lie: a database of ASE, arrays in files beside it, and a table of all of it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.claims import claimed_folder
from ...base.errors import OutputError
from ...base.files import write_whole

if TYPE_CHECKING:
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
        self.done = {row.key_value_pairs.get("screening_key", "") for row in database.select(include_data=False)}

    def add(self, key: str, number: int, name: str, outcome: Outcome) -> None:
        """Keep what came of a crystal: its arrays first, so that a row has them all.

        Raises:
            OutputError: the disk is full, or the database cannot be written.
        """
        if outcome.arrays:
            path = self.folder / ARRAYS / f"{key}.h5"
            path.parent.mkdir(exist_ok=True)
            write_whole(path, outcome.arrays)
        pairs = {"screening_key": f"k{key}", "place": number, "failed": int(bool(outcome.reason)), **outcome.quantities}
        if outcome.reason:
            pairs["reason"] = outcome.reason[:_REASON]
        data = {"name": name, "reason": outcome.reason, "seconds": outcome.seconds, "summary": outcome.summary}
        with _writing(self.folder):
            self._database.write(outcome.atoms, key_value_pairs=pairs, data=data)
        self.done.add(f"k{key}")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Names and numbers of all crystals, in the order in which they were given."""
        found = [
            {"name": row.data.get("name", ""), "formula": row.formula, "n_atoms": row.natoms, **row.key_value_pairs}
            for row in self._database.select()
        ]
        yield from sorted(found, key=lambda row: (row.get("place", 0), row["screening_key"]))

    def write_table(self) -> None:
        """table.csv of all crystals, with a column for each number that any of them has."""
        rows = list(self.rows())
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.folder / TABLE, text.getvalue())


@contextmanager
def open_store(folder: Path, url: str | None, about: dict[str, Any]) -> Iterator[Store]:
    """Open or make the database of a screening, which nobody else may write meanwhile.

    Args:
        folder: is made where there is none.
        url: of a PostgreSQL server ("postgresql://..."); None for a file in the folder.
        about: what all of its results have in common: study, settings, model.

    Raises:
        OutputError: another screening is at work there, it is a database of something else, or of another screening.
    """
    from ase.db import connect

    with claimed_folder(folder):
        place = url or str(folder / DATABASE)
        try:
            # Without ASE's lock file, which a killed run leaves behind: the folder is claimed.
            with connect(place, use_lock_file=False) as database:
                pass
            metadata = database.metadata
            count = database.count()
        except (sqlite3.Error, ValueError, OSError) as error:
            raise OutputError(
                f"{place} cannot be opened as a database: {error}",
                "results are kept there as they come",
                "choose another folder, or move that file away",
            ) from error
        mark = json.dumps(about, sort_keys=True)
        found = metadata.get(_MARK)
        if found is None and count:
            raise OutputError(
                f"{place} is a database of something else, with {count} rows",
                "results would be mixed with it",
                "choose another folder",
            )
        if found is not None and found != mark:
            raise OutputError(
                f"{place} holds another screening: {_differences(json.loads(found), about)}",
                "its results would not be comparable with these",
                "choose another folder, or ask for the same again",
            )
        if found is None:
            with _writing(folder):
                database.metadata = {**metadata, _MARK: mark, "title": f"ase-phonax, {about['study']} of many crystals"}
        yield Store(database, folder)


def _differences(found: dict[str, Any], asked: dict[str, Any]) -> str:
    names = [name for name in asked if found.get(name) != asked[name]]
    return ", ".join(f"{name} is {found.get(name)!r} there and {asked[name]!r} here" for name in names)[:500]


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
