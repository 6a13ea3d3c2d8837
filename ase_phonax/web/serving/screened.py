"""A screening as a table, and one of its crystals as a page."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from ...base.errors import InputError
from ...studies.screening.databases import DATABASE, opened_to_read
from ...studies.screening.store import Kept, read_kept, read_rows
from ..data import curves, structure
from ..page import page

# Shown first, where there are such columns; all others can be chosen.
_FIRST = (
    *("formula", "n_atoms", "space_group", "stable", "min_frequency_thz", "max_frequency_thz", "debye_temperature_K"),
    *("thermal_heat_capacity_J_K_mol", "band_gap_thz", "flattest_mean_thz", "flattest_width", "volume_change"),
    *("bulk_modulus_vrh_GPa", "shear_modulus_vrh_GPa", "failed", "reason"),
)
_KEY = "screening_key"


class Screened:
    """The table of a screening, read again when its database has changed.

    Args:
        folder: of `ase-phonax screen`.

    Raises:
        InputError: it holds no screening.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()
        opened_to_read(folder)  # whoever names another folder hears what it lacks
        self._when, self._table = self._read()

    def table(self) -> dict[str, Any]:
        """Columns, those shown first, keys of crystals, and rows of numbers and texts."""
        with self._lock:
            if self._changed() != self._when:
                self._when, self._table = self._read()
            return self._table

    def page(self, key: str) -> str | None:
        """The page of one crystal; None where there is none of that key."""
        kept = read_kept(self.folder, key)
        return None if kept is None else page(_page_data(kept))

    def _changed(self) -> int:
        try:
            return (self.folder / DATABASE).stat().st_mtime_ns
        except OSError as error:
            raise InputError(
                f"{self.folder / DATABASE} is gone: {error.strerror}", "its table is read from there", "start anew"
            ) from error

    def _read(self) -> tuple[int, dict[str, Any]]:
        when = self._changed()
        rows = read_rows(self.folder)
        columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name != _KEY]
        return when, {
            "version": str(when),
            "columns": columns,
            "shown": [name for name in _FIRST if name in columns],
            "keys": [row[_KEY] for row in rows],
            "rows": [[row.get(name) for name in columns] for row in rows],
        }


def _page_data(kept: Kept) -> dict[str, Any]:
    rows = [
        {"label": name.replace("_", " "), "text": _text(value), "doubt": False}
        for name, value in kept.summary.items()
        if isinstance(value, (str, int, float)) or value is None
    ]
    if kept.reason:
        rows.insert(0, {"label": None, "text": f"not computed: {kept.reason}", "doubt": True})
    found: dict[str, Any] = {
        "title": f"{kept.atoms.get_chemical_formula(mode='hill', empirical=True)}, {kept.name}",
        "groups": [{"name": "", "rows": rows}],
        "summary": kept.summary,
        "structure": structure(kept.atoms),
        "motions": None,
    }
    if "bands/distances" in kept.arrays:
        ends = np.asarray(kept.arrays["bands/segments"])[1:-1]
        found |= curves(
            np.split(np.asarray(kept.arrays["bands/distances"]), ends),
            np.split(np.asarray(kept.arrays["bands/frequencies_thz"]), ends),
            str(kept.arrays.get("bands/labels", "")).split("\n"),
            np.asarray(kept.arrays["density/frequencies_thz"]),
            np.asarray(kept.arrays["density/total"]),
        )
    return found


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
