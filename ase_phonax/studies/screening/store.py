"""Where results of a screening lie: a database of ASE, arrays in files beside it, and a table of all of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.errors import InputError
from ...base.files import write_whole
from ...base.hdf5 import read
from .databases import opened_to_read, opened_to_write, writing
from .tasks import DIED

if TYPE_CHECKING:
    from ase import Atoms

    from .tasks import Outcome

TABLE, PARQUET, ARRAYS = "table.csv", "table.parquet", "arrays"
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
        with writing(self.folder):
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

    def _columns_and_rows(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Every name that any row has, in the order in which they come, and the rows."""
        rows = self.rows()
        return list(dict.fromkeys(name for row in rows for name in row)), rows

    def write_table(self) -> None:
        """table.csv of all crystals, with a column for each number that any of them has."""
        names, rows = self._columns_and_rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.folder / TABLE, text.getvalue())

    def write_parquet(self) -> None:
        """The same as table.parquet, with kinds of columns kept.

        Raises:
            InputError: pyarrow is not installed.
        """
        pyarrow, parquet = parquet_writer()
        names, rows = self._columns_and_rows()
        table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
        memory = io.BytesIO()
        parquet.write_table(table, memory)
        write_whole(self.folder / PARQUET, memory.getvalue())


def parquet_writer() -> tuple[Any, Any]:
    """pyarrow and its module of Parquet.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            "pyarrow is not installed", "it writes Parquet", 'pip install "ase-phonax[parquet]", or leave `parquet` out'
        ) from error
    return pyarrow, parquet


@contextmanager
def open_store(folder: Path, about: dict[str, Any], url: str | None = None) -> Iterator[Store]:
    """Open or make the database of a screening, which nobody else may write meanwhile.

    Args:
        folder: is made where there is none.
        about: what all of its results have in common: study, settings, model.
        url: of a PostgreSQL server; a file in the folder unless given.

    Raises:
        InputError, OutputError: as `opened_to_write`.
    """
    with opened_to_write(folder, about, url) as database:
        yield Store(database, folder)


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
    return _rows(opened_to_read(folder))


def read_kept(folder: Path, key: str) -> Kept | None:
    """All that a screening holds of the crystal of a `screening_key`; None where it has none.

    Raises:
        InputError: there is no screening, or its file of arrays is damaged.
    """
    row = next(iter(opened_to_read(folder).select(screening_key=key)), None)
    if row is None:
        return None
    path = folder / ARRAYS / f"{key.removeprefix('k')}.h5"
    content = read(path).arrays if path.is_file() else {}
    return Kept(row.toatoms(), row.data["name"], row.data["summary"], row.data["reason"], content)


def _rows(database: Any) -> list[dict[str, Any]]:
    found = [
        {"name": row.data.get("name", ""), "formula": row.formula, "n_atoms": row.natoms, **row.key_value_pairs}
        for row in database.select()
        if "screening_key" in row.key_value_pairs
    ]
    return sorted(found, key=lambda row: (row["place"], row["screening_key"]))
