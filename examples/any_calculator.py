"""Phonons with calculators of other packages: displacements, through the same studies.

    python any_calculator.py --quick                copper by EMT, which comes with ASE
    python any_calculator.py [--model NAME]         urea by a network of this package and the dispersion of D3

The second needs `pip install dftd3` and a model of H, C, N and O (nequix-mp-1-pft: `ase-phonax models get` it, or give
a file). Prints how the cell and the modes of the crystal change with dispersion, and what of the sum is exact.
"""

import argparse

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.mixing import SumCalculator
from ase.spacegroup import crystal

from ase_phonax import DisplacementCalculator, PhonaxCalculator, PhononSettings, get_phonopy, phonon_study


def urea() -> Atoms:
    """At 12 K: Swaminathan, Craven, McMullan, Acta Cryst. B 40, 300 (1984)."""
    places = [
        (0.0, 0.5, 0.3260),
        (0.0, 0.5, 0.5953),
        (0.1459, 0.6459, 0.1766),
        (0.2575, 0.7575, 0.2827),
        (0.1441, 0.6441, -0.0380),
    ]
    return crystal("CONHH", places, spacegroup=113, cellpar=[5.565, 5.565, 4.684, 90, 90, 90])


def copper() -> None:
    study = phonon_study(bulk("Cu"), EMT(), PhononSettings(mesh_length=30.0))
    print(study.report())


def with_dispersion(model: str) -> None:
    from dftd3.ase import DFTD3

    settings = PhononSettings(supercell=(2, 2, 2), mesh_length=15.0)
    network, dispersion = PhonaxCalculator(model), DFTD3(method="pbe", damping="d3bj")
    measured, found = urea(), {}
    for name, calc in ((model, network), (f"{model} + D3", SumCalculator([network, dispersion]))):
        study = found[name] = phonon_study(measured, calc, settings)
        a, c = study.atoms.cell.lengths()[[0, 2]]
        gamma = np.sort(study.sampling.frequencies.gamma_thz)
        # Two molecules have twelve rigid motions, three of which move the crystal.
        print(f"{name:24} a {a:.3f}, c {c:.3f} Å   modes of the lattice {gamma[3]:.2f} to {gamma[11]:.2f} THz")
        print(f"{'':24} lowest {study.sampling.frequencies.minimum_thz:.2f} THz; {study.model['second_derivatives']}")
    print(f"{'measured, 12 K':24} a {measured.cell[0, 0]:.3f}, c {measured.cell[2, 2]:.3f} Å")
    atoms = found[f"{model} + D3"].atoms
    parts = [get_phonopy(atoms, calc, 2).force_constants for calc in (network, DisplacementCalculator(dispersion))]
    whole = found[f"{model} + D3"].phonopy.force_constants
    off = np.abs(whole - sum(parts)).max() / np.abs(whole).max()
    print(f"constants of the sum, against exact ones of the network and displacements of D3: {off:.1e} of the largest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nequix-mp-1-pft")
    parser.add_argument("--quick", action="store_true", help="copper by EMT")
    options = parser.parse_args()
    if options.quick:
        copper()
    else:
        with_dispersion(options.model)


if __name__ == "__main__":
    main()
