"""Bands of NaCl, anatase and AlN with DFT's charges, beside DFT: the highest branch is where dipoles are felt.

    PHONAX_DATA=... python examples/polar/bands.py [--model MODEL] [--predict]

Reference: force sets and charges of phonopy's examples (NaCl and anatase, PBE) and of phono3py's (AlN, PBEsol;
constants by symfc from 200 supercells of random displacements), by Gonze and Lee's method on their supercells, in
PHONAX_DATA/data. All at DFT's lattice. Prints the mean error of the highest branch and of all others on two lines from
Gamma to the zone boundary, with and without dipoles, and draws polar_bands.png and .pdf.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import phonopy
from ase import Atoms
from matplotlib.figure import Figure

from ase_phonax import PhonaxCalculator, PolarCalculator, predict_charges, save_figure
from ase_phonax.base.errors import UnstableWarning
from ase_phonax.derivatives.conventions import frequencies_thz

STEPS = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0])  # of the way to the zone boundary
DRAWN = np.linspace(0.005, 1.0, 80)
STYLES = (
    {"color": "0.6", "lw": 3},
    {"color": "tab:red", "lw": 0.8, "ls": "--"},
    {"color": "tab:blue", "lw": 1.2},
)
CENTRING = {
    "NaCl": [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    "TiO2-anatase": [[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]],
}
LINES = {  # name -> ends of two lines
    "NaCl": {"X": (0.5, 0, 0.5), "L": (0.5, 0.5, 0.5)},
    "TiO2-anatase": {"Z": (0.5, 0.5, -0.5), "X": (0, 0, 0.5)},
    "AlN": {"M": (0.5, 0, 0), "A": (0, 0, 0.5)},
}


def reference(name: str) -> phonopy.Phonopy:
    """DFT's constants and charges."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/phonopy and data/phono3py")
    data = Path(os.environ["PHONAX_DATA"]) / "data"
    if name == "AlN":
        return phonopy.load(data / "phono3py/AlN-rd/phonopy_params_mp-661.yaml.xz", fc_calculator="symfc", log_level=0)
    folder = data / "phonopy" / name
    return phonopy.load(
        folder / "phonopy_disp.yaml",
        primitive_matrix=CENTRING[name],
        force_sets_filename=folder / "FORCE_SETS",
        born_filename=folder / "BORN",
        log_level=0,
    )


def along(ends: dict[str, tuple], steps: np.ndarray) -> np.ndarray:
    """Wave vectors of all lines."""
    return np.concatenate([np.outer(steps, end) for end in ends.values()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phonax-small", help="default: %(default)s")
    parser.add_argument("--width", type=float, help="L in 1/Å; default: the model's")
    parser.add_argument("--predict", action="store_true", help="charges by phonax-polar in the place of DFT's")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)
    calc = PhonaxCalculator(options.model)
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, (name, ends) in zip(figure.subplots(1, 3), LINES.items(), strict=True):
        dft = reference(name)
        cell, nac = dft.primitive, dft.nac_params
        atoms = Atoms(cell.symbols, cell.positions, cell=cell.cell, masses=cell.masses, pbc=True)
        if not set(atoms.numbers) <= set(calc.potential.numbers):
            print(f"{name}: {calc.potential.name} does not know all of its elements")
            continue
        born = {key: np.array(nac[key]) for key in ("born", "dielectric")}
        if options.predict:
            born = predict_charges(atoms)
        polar = PolarCalculator(calc, atoms, born, options.width)
        qpoints = along(ends, STEPS)
        theirs = dft.run_qpoints(qpoints).frequencies
        for words, own in (("without dipoles", calc), (f"with, L = {polar.width:g} 1/Å", polar)):
            off = np.abs(frequencies_thz(own.get_dynamical_matrix(atoms, qpoints)) - theirs)
            print(f"{name:13s} {words:22s} highest {off[:, -1].mean():.3f} THz, others {off[:, :-1].mean():.3f} THz")
        drawn = along(ends, DRAWN)
        for frequencies, style in zip(
            (
                dft.run_qpoints(drawn).frequencies,
                frequencies_thz(calc.get_dynamical_matrix(atoms, drawn)),
                frequencies_thz(polar.get_dynamical_matrix(atoms, drawn)),
            ),
            STYLES,
            strict=True,
        ):
            for side, half in zip((-1, 1), np.split(frequencies, 2), strict=True):
                axes.plot(side * DRAWN, half, **style)
        first, second = ends
        axes.set(title=name, xlim=(-1, 1), xticks=[-1, 0, 1], xticklabels=[first, "Γ", second], ylim=(0, None))
        axes.axvline(0, color="0.5", lw=0.6)
    figure.axes[0].set_ylabel("frequency (THz)")
    named = ("DFT, its charges", calc.potential.name, "the same with dipoles")
    shown = [figure.axes[0].plot([], [], label=words, **style)[0] for words, style in zip(named, STYLES, strict=True)]
    figure.legend(handles=shown, loc="outside lower center", ncols=3, frameon=False)
    print("wrote " + ", ".join(save_figure(figure, "polar_bands")))


if __name__ == "__main__":
    main()
