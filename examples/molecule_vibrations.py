"""Vibrations of a molecule and its ideal-gas thermochemistry, through ASE's own containers.

    python molecule_vibrations.py [--quick] [--model MODEL]

One exact Hessian replaces the 6n displaced calculations of `ase.vibrations.Vibrations`.
"""

import argparse

from ase.build import molecule
from ase.optimize import BFGS
from ase.thermochemistry import IdealGasThermo

from ase_phonax import PhonaxCalculator

# Shape and symmetry number decide which modes are rotations and how they count.
MOLECULES = {"H2O": ("nonlinear", 2), "CO2": ("linear", 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="water only")
    parser.add_argument("--model", default="interim", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    calc = PhonaxCalculator(options.model)

    for name in ["H2O"] if options.quick else MOLECULES:
        geometry, symmetry_number = MOLECULES[name]
        atoms = molecule(name)
        atoms.calc = calc
        # Residual forces turn rotations into small real or imaginary frequencies.
        BFGS(atoms, logfile=None).run(fmax=1e-6, steps=300)

        vibrations = calc.get_vibrations(atoms)
        wavenumbers = vibrations.get_frequencies()  # complex: an imaginary mode lies on the imaginary axis
        print(f"{name}: " + "  ".join(f"{w.real:.1f}" if w.real else f"{w.imag:.1f}i" for w in wavenumbers) + " cm⁻¹")

        thermo = IdealGasThermo(
            vib_energies=vibrations.get_energies(),
            geometry=geometry,
            potentialenergy=atoms.get_potential_energy(),
            atoms=atoms,
            symmetrynumber=symmetry_number,
            spin=0,
        )
        zero_point = thermo.get_ZPE_correction()
        entropy = thermo.get_entropy(temperature=298.15, pressure=101325, verbose=False)
        gibbs = thermo.get_gibbs_energy(temperature=298.15, pressure=101325, verbose=False)
        print(f"  zero point {zero_point:.4f} eV; 298.15 K, 1 atm: S = {1e3 * entropy:.3f} meV/K, G = {gibbs:.4f} eV")
        vibrations.write(f"{name}_vibrations.json")
        print(f"  wrote {name}_vibrations.json")


if __name__ == "__main__":
    main()
