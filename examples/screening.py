"""Screening: phonons of many crystals on all cores, and what one selects from them.

    python screening.py crystals.extxyz [--output FOLDER]    any file of crystals
    python screening.py [--quick]                            four of them, coarsely

Writes a database of ASE, a table and arrays into the folder; prints the stable crystals by their Debye temperature and
those with the flattest optical bands. Stopped and started again, it goes on where it was. Needs Dask
(`pip install ".[screen]"` in the checkout).
"""

import argparse

import ase.db
from ase.build import bulk
from ase.io import read

from ase_phonax import PhonaxCalculator, PhononSettings, screen

N_SHOWN = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="?")
    parser.add_argument("--output", default="screening")
    parser.add_argument("--quick", action="store_true", help="as without structures")
    options = parser.parse_args()
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
    with ase.db.connect(found.database) as database:
        stiffest = sorted(database.select("stable=1,debye_temperature_K>0"), key=lambda row: -row.debye_temperature_K)
        for row in stiffest[:N_SHOWN]:
            print(f"{row.formula:8} Debye temperature {row.debye_temperature_K:5.0f} K")
        flattest = sorted(database.select("stable=1,flattest_width>0"), key=lambda row: row.flattest_width)
        for row in flattest[:N_SHOWN]:
            where = f"band {row.flattest_band + 1} at {row.flattest_mean_thz:.2f} THz"
            print(f"{row.formula:8} {where}, {100 * row.flattest_width:.0f} % wide")


if __name__ == "__main__":  # workers import this file
    main()
