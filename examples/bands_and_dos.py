"""Bands beside densities of states: from a structure to the figure.

    python bands_and_dos.py [--quick] [--model MODEL]

Writes nacl_bands.png and nacl_bands.pdf. The path is seekpath's, in the basis of the crystal's own cell. Born charges
are predicted from the structure, so that LO and TO modes split at Γ.
"""

import argparse

from ase.build import bulk

from ase_phonax import (
    PhonaxCalculator,
    PolarCalculator,
    bands_and_dos,
    get_band_structure,
    get_densities,
    get_mesh,
    get_phonopy,
    predict_charges,
    relax,
    save_figure,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller supercell and coarser sampling")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    n, spacing, mesh_length, projected_length = (2, 0.1, 30, 15) if options.quick else (6, 0.02, 100, 60)

    calc = PhonaxCalculator(options.model)
    atoms, report = relax(bulk("NaCl", "rocksalt", a=5.6), calc)
    print(f"relaxed {report.space_group_after} in {report.n_steps} steps, forces ≤ {report.max_force:.0e} eV/Å")

    charges = predict_charges(atoms)
    polar = PolarCalculator(calc, atoms, charges)
    phonopy = get_phonopy(atoms, polar, n)
    bands = get_band_structure(phonopy, spacing=spacing)
    get_mesh(phonopy, length=mesh_length)
    get_densities(phonopy, length=projected_length)

    gamma = bands.frequencies[0][0]  # approached along the path
    print(
        f"{sum(len(q) for q in bands.qpoints)} q-points on the path; at Γ: "
        + "  ".join(f"{f:.3f}" for f in gamma)
        + " THz"
    )
    figure = bands_and_dos(phonopy, title=f"NaCl, {calc.potential.name}, charges of {charges.model}", bands_exact=False)
    for name in save_figure(figure, "nacl_bands"):
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
