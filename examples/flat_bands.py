"""Screening: which of many crystals has the flattest optical band?

    PHONAX_DATA=... python flat_bands.py [--model MODEL]    crystals the general model was not trained on
    python flat_bands.py crystals.extxyz                    or any file of crystals
    python flat_bands.py --quick                            three crystals, coarser

Each crystal is relaxed; exact D(q) on a mesh gives the width of every optical band, its range over the zone divided by
its mean frequency. Unstable crystals are left out. Writes flat_bands.csv, the three flattest in flat_bands.png.
"""

import argparse
import csv
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import ase.io
import matplotlib
import numpy as np
from ase import Atoms
from ase.build import bulk

matplotlib.use("Agg")
from matplotlib import pyplot

from ase_phonax import PhonaxCalculator, PhonaxError, frequencies_thz, get_band_structure, get_phonopy, relax
from ase_phonax.phonons.sampling.meshes import IMAGINARY_THRESHOLD_THZ
from ase_phonax.structures.formulas import crystal_formula

HERE = Path(__file__).resolve().parent
N_SHOWN = 3


@dataclass(frozen=True)
class Flat:
    """The flattest optical band of a crystal: its width relative to its mean, both [THz], and its number from 0."""

    atoms: Atoms
    name: str
    band: int
    width: float
    mean: float

    @property
    def relative(self) -> float:
        return self.width / self.mean


def mesh(n: int) -> np.ndarray:
    """(n³, 3) wave vectors around Γ."""
    axis = (np.arange(n) - n // 2) / n
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def flattest(atoms: Atoms, calc: PhonaxCalculator, n: int) -> Flat | None:
    """None for an unstable crystal, or one without optical bands."""
    atoms, _ = relax(atoms, calc, fmax=1e-3, smax=1e-4)
    found = frequencies_thz(calc.get_dynamical_matrix(atoms, mesh(n)))
    if found.min() < -IMAGINARY_THRESHOLD_THZ or len(atoms) < 2:
        return None
    optical = found[:, 3:]
    widths, means = np.ptp(optical, axis=0), optical.mean(axis=0)
    band = int((widths / means).argmin())
    name = crystal_formula(atoms)
    return Flat(atoms, name, band + 3, float(widths[band]), float(means[band]))


def crystals(options: argparse.Namespace) -> list[Atoms]:
    """Those of the file given, else those held out of the general model's training."""
    if options.structures:
        return ase.io.read(options.structures, ":")
    if options.quick:
        return [bulk("Si"), bulk("MgO", "rocksalt", a=4.25), bulk("SiC", "zincblende", a=4.38)]
    if "PHONAX_DATA" not in os.environ:
        raise SystemExit("PHONAX_DATA is not set: give a file of crystals")
    sys.path.insert(0, str(HERE / "general_model"))
    from crystals import is_held_out, published

    folder = Path(os.environ["PHONAX_DATA"])
    folder = folder / "data" if (folder / "data").is_dir() else folder
    return [a for a in published(folder / "born_dielectric_pbesol_train.xyz") if is_held_out(a)]


def draw(found: list[Flat], calc: PhonaxCalculator, path: Path) -> None:
    """Exact bands of each, the flat one marked."""
    figure, panels = pyplot.subplots(
        1, len(found), figsize=(3.6 * len(found), 3.4), layout="constrained", squeeze=False
    )
    for panel, flat in zip(panels[0], found, strict=True):
        bands = get_band_structure(get_phonopy(flat.atoms, calc, 1), exact=calc, spacing=0.08)
        for x, y in zip(bands.distances, bands.frequencies, strict=True):
            panel.plot(x, y, color="0.6", lw=0.8)
            panel.plot(x, y[:, flat.band], color="#d55e00", lw=1.6)
        panel.set_title(f"{flat.name}: {flat.mean:.2f} THz, width {flat.width:.3f}", fontsize=9)
        panel.set_xticks([])
        panel.set_xlim(bands.distances[0][0], bands.distances[-1][-1])
    panels[0, 0].set_ylabel("frequency [THz]")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="?", help="a file of crystals that ASE reads")
    parser.add_argument("--quick", action="store_true", help="three crystals and a coarser mesh")
    parser.add_argument("--model", help="a name of `ase-phonax models`, or a model file")
    parser.add_argument("--first", type=int, help="only so many crystals")
    options = parser.parse_args()
    calc = PhonaxCalculator(options.model) if options.model else PhonaxCalculator()
    found = []
    for atoms in crystals(options)[: options.first]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                flat = flattest(atoms, calc, 3 if options.quick else 5)
            except PhonaxError as error:
                print(f"{crystal_formula(atoms, reduced=False):14s} left out: {error.what}")
                continue
        if flat is not None:
            found.append(flat)
            print(f"{flat.name:14s} band {flat.band:3d}: {flat.mean:7.3f} THz, width {flat.width:.4f} THz", flush=True)
    if not found:
        raise SystemExit("no stable crystal with optical bands among them")
    found.sort(key=lambda flat: flat.relative)
    with Path("flat_bands.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["crystal", "band", "mean_THz", "width_THz"])
        writer.writerows([f.name, f.band, f"{f.mean:.4f}", f"{f.width:.4f}"] for f in found)
    draw(found[:N_SHOWN], calc, Path("flat_bands.png"))
    print("flattest: " + ", ".join(f"{f.name} ({100 * f.relative:.2f} %)" for f in found[:N_SHOWN]))


if __name__ == "__main__":
    main()
