"""Files of a study of densities of states."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base.drawing import save_figure
from ..base.files import write_whole
from ..base.hdf5 import pack
from ..phonons.densities.pictures import draw_alloy, draw_many, draw_one
from .output import write_summary

if TYPE_CHECKING:
    from .density_rows import DensityRow
    from .density_study import DensityStudy

TABLE, HDF5, FAILURES = "dos.csv", "densities.h5", "failures.csv"
TOTAL, PROJECTED = "total_dos.dat", "projected_dos.dat"
ONE_FILES = (TOTAL, PROJECTED)
HEADER = "{}: frequencies [THz], states of the cell [1/THz]"
ALLOY_TABLE = "alloy.csv"
ALLOY_FILES = (ALLOY_TABLE, "alloy.png", "alloy.pdf")


def write_files(study: DensityStudy, folder: Path) -> None:
    """Write all of them into an existing folder."""
    _write_table(
        folder / TABLE,
        [
            {
                "structure": row.name,
                "formula": row.formula,
                "n_atoms": len(row.sites),
                "isotopes": row.isotopes,
                "stand_ins": " ".join(f"{other} for {symbol}" for symbol, other in row.density.stand_ins.items()),
                **row.facts,
            }
            for row in study.rows
        ],
    )
    if study.failures:
        _write_table(folder / FAILURES, [{"structure": name, "reason": reason} for name, reason in study.failures])
    write_whole(folder / HDF5, _arrays(study))
    rows = study.rows
    if len(rows) == 1:
        write_phonopy(rows[0], folder)
        figure = draw_one(rows[0].density, rows[0].sites, rows[0].formula, rows[0].exact)
    else:
        figure = draw_many(
            [row.density for row in rows],
            [row.formula for row in rows],
            [row.exact for row in rows],
            [row.sites for row in rows],
        )
    save_figure(figure, folder / "dos")
    if study.series is not None:
        _write_table(folder / ALLOY_TABLE, study.series_facts)
        save_figure(draw_alloy(study.series, study.settings.temperature), folder / "alloy")
    write_summary(study.to_dict(), folder)


def _write_table(path: Path, rows: list[dict]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{x:.6g}" if isinstance(x, float) else x for key, x in row.items()})


def _arrays(study: DensityStudy) -> bytes:
    """HDF5 of all densities: of structures, and of their atoms one after the other."""
    rows = study.rows
    m = len(rows[0].density.frequencies_thz)
    none = np.full(m, np.nan)
    arrays = {
        "frequencies": rows[0].density.frequencies_thz,
        "total": np.array([row.density.total for row in rows]),
        "spread": np.array([none if row.density.spread is None else row.density.spread for row in rows]),
        "by_atom": np.concatenate([row.density.by_atom for row in rows]).astype(np.float32),
        "first_atom": np.cumsum([0, *(len(row.sites) for row in rows)]),
        "numbers": np.concatenate([row.numbers for row in rows]),
        "sites": np.array([site for row in rows for site in row.sites], dtype="S"),
        "structures": np.array([row.name.encode("utf-8", "backslashreplace") for row in rows], dtype="S"),
    }
    if any(row.exact is not None for row in rows):
        arrays["exact"] = np.array([none if row.exact is None else row.exact.total for row in rows])
    if study.series is not None:
        arrays["series_fractions"] = study.series.fractions
        arrays["series_total"] = np.array([own.total for own in study.series.densities])
    units = {name: "1/THz per atom" for name in ("total", "spread", "by_atom", "exact", "series_total")}
    attributes = {name: {"unit": unit} for name, unit in ({"frequencies": "THz"} | units).items() if name in arrays}
    words = "rows first_atom[k] to first_atom[k + 1] of by_atom, numbers and sites are the atoms of structure k"
    return pack(arrays, attributes | {"": {"atoms": words, "model": rows[0].density.model}})


def write_phonopy(row: DensityRow, folder: Path) -> None:
    """total_dos.dat and projected_dos.dat as phonopy writes them: of all atoms of the cell [1/THz]."""
    frequencies, by_atom = row.density.frequencies_thz, row.density.by_atom
    for name, columns in ((TOTAL, by_atom.sum(axis=0)[None]), (PROJECTED, by_atom)):
        table = np.vstack([frequencies, columns]).T
        np.savetxt(folder / name, table, fmt="%20.10f", delimiter="", header=HEADER.format(row.density.model))
