"""Elastic constants of crystals against published ones, of PBE and measured [GPa].

    python benchmarks/elastic_constants.py [--models nequix-mp-1-pft phonax-small] [--crystals GaAs CdS]

Crystals are relaxed by the model; constants are relaxed-ion ones at 0 K without vibrations, as PBE's are. Measured ones
belong to room temperature where the source says so. Axes are the usual ones, z along the threefold or sixfold axis; the
sign of C14 depends on where x points in a quartz of this hand, so that sizes are compared.
"""

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from ase_phonax import PhonaxCalculator, elastic_constants, relax
from ase_phonax.base.errors import UnstableWarning

SOURCES = {
    "MP": "PBE, ions relaxed, to 1 GPa: Materials Project; M. de Jong et al., Sci. Data 2, 150009 (2015)",
    "VASP": "PBE by VASP 5.4.4: ABACUS test suite, datasets/alloy-elastic (no internal strain in these crystals)",
    "SW": "G. Simmons, H. Wang, Single Crystal Elastic Constants (1971), in that test suite",
    "CRC": "CRC Handbook of Chemistry and Physics, 82nd ed., p. 12-37, 298 K",
    "G4": "G4CMP, CrystalMaps (its sources are not stated)",
    "Zongo": "measured ones in K. Zongo et al., npj Comput. Mater. 10, 218 (2024), table 2; C13 is left out, since the"
    " 19.1 there is no value that others have",
    "Auld": "B. A. Auld, Acoustic Fields and Waves in Solids (1973), in NumBAT",
    "Bass": "J. D. Bass, Elasticity of minerals, glasses, and melts, AGU (1995)",
    "McNeil": "L. E. McNeil, M. Grimsditch, R. H. French, J. Am. Ceram. Soc. 76, 1132 (1993)",
    "Slutsky": "L. J. Slutsky, C. W. Garland, Phys. Rev. 107, 972 (1957)",
}


class Published(NamedTuple):
    """A cell to begin at, which constants, their values by PBE (or none) and measured, and the sources."""

    atoms: Atoms
    names: str
    pbe: tuple[float, ...] | None
    measured: tuple[float, ...]
    sources: tuple[str, str]


def _fluorite(a: float) -> Atoms:
    places = [(0, 0, 0), (0.25, 0.25, 0.25)]
    return crystal(["Ca", "F"], places, spacegroup=225, cellpar=[a, a, a, 90, 90, 90], primitive_cell=True)


def _quartz() -> Atoms:
    places, cell = [(0.47, 0, 1 / 3), (0.413, 0.267, 0.2145)], [4.91, 4.91, 5.40, 90, 90, 120]
    return crystal(["Si", "O"], places, spacegroup=152, cellpar=cell)


CUBIC = "11 12 44"
CRYSTALS = {
    "LiF": Published(bulk("LiF", "rocksalt", a=4.06), CUBIC, (125, 43, 59), (111.2, 42.0, 62.8), ("MP", "G4")),
    "CaF2": Published(_fluorite(5.5), CUBIC, (151, 39, 30), (174.0, 56.0, 33.93), ("MP", "G4")),
    "GaAs": Published(bulk("GaAs", "zincblende", a=5.75), CUBIC, (99, 41, 51), (118.8, 53.7, 59.4), ("MP", "CRC")),
    "Al": Published(bulk("Al", "fcc", a=4.04), CUBIC, (104, 73, 32), (116, 65, 31), ("MP", "SW")),
    "Cu": Published(bulk("Cu", "fcc", a=3.63), CUBIC, (180, 127, 78), (176, 125, 82), ("MP", "SW")),
    "W": Published(bulk("W", "bcc", a=3.18), CUBIC, (519, 225, 140), (522, 203, 160), ("VASP", "SW")),
    "Pd": Published(bulk("Pd", "fcc", a=3.94), CUBIC, (220, 168, 64), (234, 176, 71), ("VASP", "SW")),
    "Ir": Published(bulk("Ir", "fcc", a=3.87), CUBIC, (633, 249, 273), (599, 256, 269), ("VASP", "SW")),
    "MgO": Published(bulk("MgO", "rocksalt", a=4.25), CUBIC, None, (294, 93, 155), ("", "Bass")),
    "SiO2": Published(
        _quartz(), "11 12 13 14 33 44", (82, -7, 6, 15, 86, 52), (86.8, 7, np.nan, 18, 105.8, 58.2), ("MP", "Zongo")
    ),
    "CdS": Published(
        bulk("CdS", "wurtzite", a=4.2, c=6.8, u=0.377),
        "11 12 13 33 44",
        (80, 45, 37, 85, 15),
        (90.7, 58.1, 51.0, 93.8, 15.0),
        ("MP", "Auld"),
    ),
    "AlN": Published(
        bulk("AlN", "wurtzite", a=3.13, c=5.02, u=0.382),
        "11 12 13 33 44",
        None,
        (410, 148.5, 98.9, 388.5, 124.6),
        ("", "McNeil"),
    ),
    "Mg": Published(
        bulk("Mg", "hcp", a=3.19, c=5.18), "11 12 13 33 44", None, (59.4, 25.6, 21.4, 61.6, 16.4), ("", "Slutsky")
    ),
}


def constants(own: Published, calc: PhonaxCalculator) -> np.ndarray:
    """Those that are named [GPa]; NaN of crystals whose elements the model has not seen."""
    if not set(own.atoms.numbers) <= set(calc.potential.numbers):
        return np.full(len(own.names.split()), np.nan)
    found = elastic_constants(relax(own.atoms, calc, fmax=1e-5, smax=1e-6)[0], calc).relaxed_ion
    values = np.array([found[int(name[0]) - 1, int(name[1]) - 1] for name in own.names.split()])
    return np.where([name == "14" for name in own.names.split()], np.abs(values), values)


def _words(values) -> str:
    return ", ".join("-" if np.isnan(x) else f"{x:.0f}" for x in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["nequix-mp-1-pft", "nequix-mp-1", "phonax-small"])
    parser.add_argument("--crystals", nargs="+", default=list(CRYSTALS), choices=list(CRYSTALS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)
    calcs = [PhonaxCalculator(model) for model in options.models]
    differences: list[list[float]] = [[] for _ in (*calcs, None)]  # to PBE, relative to the largest constant
    names = [Path(model).stem for model in options.models]
    print(f"| crystal | constants | {' | '.join(names)} | PBE | measured |\n|{'---|' * (len(calcs) + 4)}")
    for name in options.crystals:
        own = CRYSTALS[name]
        found = [constants(own, calc) for calc in calcs]
        told = [_words(values) for values in found]
        if own.pbe is not None:
            for k, values in enumerate((*found, np.array(own.measured))):
                differences[k] += list((values - own.pbe)[np.isfinite(values)] / max(own.pbe))
        pbe = "" if own.pbe is None else f"{_words(own.pbe)} ({own.sources[0]})"
        told += [pbe, f"{_words(own.measured)} ({own.sources[1]})"]
        print(f"| {name} | C{own.names} | {' | '.join(told)} |", flush=True)
    for label, values in zip((*names, "measured"), differences, strict=True):
        if values:
            rms = 100 * np.sqrt(np.mean(np.square(values)))
            print(f"{label}: {rms:.1f} % of the largest constant from PBE (RMS of {len(values)})")
    for label, text in SOURCES.items():
        print(f"{label}: {text}")


if __name__ == "__main__":
    main()
