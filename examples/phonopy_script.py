"""A phonopy user's script with one line changed: where the force constants come from.

    python phonopy_script.py [--quick] [--model MODEL]

The object is built, and used afterwards, as phonopy's documentation has it. It is filled once with exact
force constants and once by phonopy's own displacements with the same calculator; on one supercell
the two differ by the error of finite steps alone.
"""

import argparse

import numpy as np
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import PhonaxCalculator, relax


def new_phonopy(atoms: Atoms, n: int) -> Phonopy:
    cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions, masses=atoms.get_masses())
    return Phonopy(cell, supercell_matrix=[n, n, n], primitive_matrix="P")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a 2x2x2 supercell instead of 4x4x4")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    calc = PhonaxCalculator(options.model)
    atoms, _ = relax(bulk("SiC", "zincblende", a=4.36), calc)
    n = 2 if options.quick else 4

    exact = new_phonopy(atoms, n)
    calc.get_force_constants(exact)  # this line

    displaced = new_phonopy(atoms, n)  # or these
    displaced.generate_displacements(distance=0.01, is_plusminus=True)
    forces = []
    for cell in displaced.supercells_with_displacements:
        supercell = Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True, calculator=calc)
        forces.append(supercell.get_forces())
    displaced.forces = forces
    displaced.produce_force_constants()

    frequencies = [p.run_mesh([10, 10, 10], is_gamma_center=True).frequencies for p in (exact, displaced)]
    difference = np.abs(frequencies[0] - frequencies[1]).max()
    print(f"SiC, {n}x{n}x{n}: {len(forces)} displaced supercells of {len(exact.supercell)} atoms were not needed")
    print(f"highest frequency {frequencies[0].max():.4f} THz; largest difference {difference:.1e} THz")
    thermal = exact.run_thermal_properties(temperatures=[300], cutoff_frequency=1e-3)  # THz: no translations
    print(f"at 300 K: F = {thermal.free_energy[0]:.3f} kJ/mol, S = {thermal.entropy[0]:.3f} J/K/mol")
    exact.save("sic_phonopy.yaml", settings={"force_constants": True})
    print("wrote sic_phonopy.yaml")


if __name__ == "__main__":
    main()
