"""Screening: phonons of many crystals on all cores, and what one selects from them.

    python screening.py crystals.extxyz [--output FOLDER]    any file of crystals
    python screening.py --show FOLDER                        what a screening has found so far
    python screening.py [--quick]                            four of them, coarsely

Writes a database of ASE, a table and arrays into the folder; prints the stable crystals by their Debye temperature and
those with the flattest optical bands, and draws the bands of these (flattest.png). Stopped and started again, it goes
on where it was. Needs Dask (`pip install ".[screen]"` in the checkout).
"""

import argparse
from itertools import pairwise
from pathlib import Path

import ase.db
import h5py
import numpy as np
from ase.build import bulk
from ase.io import read
from matplotlib.figure import Figure

from ase_phonax import PhonaxCalculator, PhononSettings, screen

N_SHOWN = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="?")
    parser.add_argument("--output", default="screening")
    parser.add_argument("--show", metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="as without structures")
    options = parser.parse_args()
    if options.show:
        show(Path(options.show))
        return
    if options.structures:
        crystals, settings = read(options.structures, ":"), PhononSettings()
    else:
        crystals = [
            bulk("Si"),
            bulk("MgO", "rocksalt", a=4.25),
            bulk("SiC", "zincblende", a=4.38),
            bulk("Al", "bcc", a=3.2),
        ]
        settings = PhononSettings(supercell=(2, 2, 2), mesh_length=15.0)
    found = screen(crystals, PhonaxCalculator(), "phonons", settings, folder=options.output)
    print(f"{found.n_computed} computed, {found.n_before} were there, {found.n_failed} could not be computed")
    show(found.folder)


def show(folder: Path) -> None:
    """The stable crystals by Debye temperature and by their flattest optical band; bands of these in a picture."""
    with ase.db.connect(folder / "screening.db") as database:
        print(f"{database.count(stable=1)} of {database.count()} crystals are stable")
        stiffest = sorted(database.select("stable=1,debye_temperature_K>0"), key=lambda row: -row.debye_temperature_K)
        for row in stiffest[:N_SHOWN]:
            print(f"{row.formula:12} {row.space_group:8} Debye temperature {row.debye_temperature_K:5.0f} K")
        flattest = sorted(database.select("stable=1,flattest_width>0"), key=lambda row: row.flattest_width)[:N_SHOWN]
    for row in flattest:
        where = f"band {row.flattest_band + 1} at {row.flattest_mean_thz:.2f} THz"
        print(f"{row.formula:12} {row.space_group:8} {where}, {100 * row.flattest_width:.2g} % wide")
    if flattest:
        draw(folder, flattest)


def apart(places: list[float], labels: list[str], share: float = 0.07) -> dict[float, str]:
    """Labels of special points that do not touch: one nearer than a share of the axis to the last is left out."""
    kept: dict[float, str] = {}
    for place, label in zip(places, labels, strict=True):
        if not kept or place - max(kept) > share * (places[-1] - places[0]):
            kept[place] = label
    return kept


def draw(folder: Path, rows: list) -> None:
    """Bands of some crystals, the flattest optical band of each in another colour."""
    figure = Figure(figsize=(3.2 * len(rows), 3.4), layout="constrained")
    for axes, row in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows, strict=True):
        with h5py.File(folder / f"arrays/{row.screening_key[1:]}.h5") as file:
            bands = {name: file[f"bands/{name}"][()] for name in ("distances", "frequencies_thz", "segments", "labels")}
        distances, ends = bands["distances"], bands["segments"]
        for first, last in pairwise(ends):
            for number, own in enumerate(bands["frequencies_thz"][first:last].T):
                color, width = ("tab:red", 1.8) if number == row.flattest_band else ("tab:blue", 0.8)
                axes.plot(distances[first:last], own, color=color, linewidth=width)
        places = [distances[0], *distances[ends[1:] - 1]]
        named = apart(places, bands["labels"].decode().split("\n"))
        axes.set_xticks(list(named), list(named.values()), fontsize=7)
        for place in places:
            axes.axvline(place, color="0.85", linewidth=0.6, zorder=0)
        axes.set(xlim=(distances[0], distances[-1]), title=f"{row.formula}, {row.space_group}")
    figure.axes[0].set_ylabel("Frequency (THz)")
    figure.savefig(folder / "flattest.png", dpi=150)


if __name__ == "__main__":  # workers import this file
    main()
