"""Methane from its geometry to what a spectrometer sees, beside PBE and experiment; and with deuterium.

    python methane.py [--quick] [--model MODEL]

The molecule that Fang, Geiger, Checkelsky, Smidt (arXiv:2403.11347) label by symmetry. Writes methane.png and .pdf.
"""

import argparse

import numpy as np
from ase.build import molecule

from ase_phonax import PhonaxCalculator, draw_sticks, gas_properties, normal_modes, save_figure, stationary_modes

# Fundamentals [1/cm]: T. Shimanouchi, NSRDS-NBS 39 (1972).
EXPERIMENT = {"T2": (1306, 3019), "E": (1534,), "A1": (2917,)}
# Harmonic, PBE/def2-SVP at its own minimum: examples/molecular_model/pbe.py with PySCF 2.14.
PBE = {"T2": (1261.4, 3112.3), "E": (1484.0,), "A1": (2967.6,)}
DEUTERIUM = 2.014101778  # amu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phonax-molecules", help="a name of `ase-phonax models`, or a model file")
    parser.add_argument("--quick", action="store_true", help="the same: it takes a second")
    options = parser.parse_args()
    calc = PhonaxCalculator(options.model)

    modes, report = stationary_modes(molecule("CH4"), calc)
    print(f"{modes.point_group.symbol}: {modes.representation}   ({calc.potential.name})")
    print("      activity        model     PBE   experiment (cm⁻¹; measured ones are anharmonic)")
    for label in PBE:
        own = [s for s in modes.sets if s.label == label]
        for found, dft, measured in zip(own, PBE[label], EXPERIMENT[label], strict=True):
            print(f"{label:4}  {found.activity:12} {found.wavenumber:8.1f} {dft:8.1f} {measured:8d}")

    heavy = modes.atoms.copy()
    heavy.set_masses(np.where(heavy.numbers == 1, DEUTERIUM, heavy.get_masses()))
    isotope = normal_modes(heavy, calc)
    print("CD4:  " + "  ".join(f"{s.label} {s.wavenumber:.1f}" for s in isotope.sets))
    print(f"product rule of Teller and Redlich: off by {product_rule(modes, isotope):.0e}")

    gas = gas_properties(modes, report.energy)
    print(f"298.15 K, 1 atm: entropy {1000 * gas.entropy:.3f} meV/K; zero-point energy {gas.zero_point_energy:.3f} eV")

    figure = draw_sticks(modes)
    infrared, raman, _ = figure.axes
    for axes, labels in ((infrared, ("T2",)), (raman, ("T2", "E", "A1"))):
        for label in labels:
            axes.plot(EXPERIMENT[label], [0.06] * len(EXPERIMENT[label]), "^", color="#333333", markersize=4)
    infrared.set_title("▲ experiment", fontsize=8, loc="right")
    print("wrote " + ", ".join(save_figure(figure, "methane")))


def product_rule(light, heavy) -> float:
    """prod(ω'/ω) over prod (m/m')^3/2 (M'/M)^3/2 (I'/I)^1/2, less one: zero for harmonic frequencies."""
    total = np.sum(np.log(heavy.wavenumbers / light.wavenumbers))
    for atoms, sign in ((light.atoms, 1), (heavy.atoms, -1)):
        masses, inertia = atoms.get_masses(), atoms.get_moments_of_inertia()
        total += sign * (1.5 * np.log(masses.sum()) + 0.5 * np.log(inertia).sum() - 1.5 * np.log(masses).sum())
    return float(np.exp(total) - 1)


if __name__ == "__main__":
    main()
