"""Infrared spectra of benzene, toluene and phenol by the shipped model, above those of PBE-D3.

    PHONAX_DATA=... python examples/molecular_model/spectra.py

The second are peak tables of Phonopy-Spectroscopy (J. M. Skelton et al., PCCP 19, 12452 (2017)), by VASP with plane
waves, in PHONAX_DATA/data/spectroscopy. Writes aromatics.png and .pdf, and prints both sides' strong lines.
"""

import os
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read
from matplotlib.figure import Figure

from ase_phonax import PhonaxCalculator, infrared_spectrum, save_figure, stationary_modes, vibrational_intensities
from ase_phonax.molecules.intensities import KM_MOL
from ase_phonax.molecules.spectra import line_profile

NAMES = ("Benzene", "Toluene", "Phenol")
WIDTH = 12.0  # cm⁻¹
STRONG = 0.15  # of the strongest line
GRID = np.arange(200.0, 3900.0)
COLOURS = {"model": "tab:blue", "PBE-D3": "tab:red"}


def peaks(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Wavenumbers [1/cm] and intensities [km/mol] of a table in e²/amu, without translations and rotations."""
    table = np.loadtxt(folder() / name / "Step-0.005/IR-PeakTable.dat", skiprows=1)
    wavenumbers, values = table[6:].T
    return wavenumbers, KM_MOL * values


def folder() -> Path:
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/spectroscopy")
    return Path(os.environ["PHONAX_DATA"]) / "data/spectroscopy"


def start(name: str) -> Atoms:
    """The geometry of the peak table, without its box; ASE's of benzene, which is exactly symmetric."""
    if name == "Benzene":
        return molecule("C6H6")
    boxed = read(folder() / name / "POSCAR")
    boxed.positions = boxed.get_positions(wrap=True, center=boxed.get_scaled_positions().mean(axis=0))
    return Atoms(boxed.numbers, boxed.positions)


def main() -> None:
    calc = PhonaxCalculator("phonax-molecules")
    figure = Figure(figsize=(8, 7.5), layout="constrained")
    for axes, name in zip(figure.subplots(3, 1, sharex=True), NAMES, strict=True):
        modes, _ = stationary_modes(start(name), calc)
        spectrum = infrared_spectrum(vibrational_intensities(modes, calc), GRID, line_width=WIDTH)
        lines = {"model": (spectrum.lines.wavenumbers, spectrum.lines.areas), "PBE-D3": peaks(name)}
        for sign, (side, (wavenumbers, areas)) in zip((1, -1), lines.items(), strict=True):
            profiles = areas[:, None] * line_profile(GRID - wavenumbers[:, None], "lorentzian", WIDTH)
            axes.plot(GRID, sign * profiles.sum(axis=0), color=COLOURS[side], lw=1, label=side)
            strong = areas > STRONG * areas.max()
            told = (f"{w:.0f} ({a:.0f})" for w, a in zip(wavenumbers[strong], areas[strong], strict=True))
            print(f"{name:8s} {side:7s} {areas.sum():6.0f} km/mol in all; cm⁻¹ (km/mol): {', '.join(told)}")
        axes.axhline(0, color="0.3", lw=0.6)
        axes.set(ylabel="km/mol per cm$^{-1}$")
        axes.set_title(f"{name}, {modes.point_group.symbol}", loc="left", fontsize=10)
    axes.set(xlabel="wavenumber (cm$^{-1}$)", xlim=(GRID[-1], GRID[0]))
    figure.axes[0].legend(frameon=False)
    print("wrote " + ", ".join(save_figure(figure, "aromatics")))


if __name__ == "__main__":
    main()
