"""What happens to phonons when a crystal swells: Grüneisen parameters and thermal expansion of MgO.

    python gruneisen_and_qha.py [--quick] [--model MODEL]

At each volume the crystal is relaxed and its exact force constants are computed; phonopy's own classes do
the rest. Writes mgo_gruneisen.png and .pdf, and mgo_qha.png and .pdf.
"""

import argparse

import numpy as np
from ase.build import bulk

from ase_phonax import (
    PhonaxCalculator,
    draw_gruneisen,
    draw_quasi_harmonic,
    get_gruneisen,
    get_quasi_harmonic,
    phonons_at_volumes,
    relax,
    save_figure,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller supercell, fewer volumes, a coarser mesh")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    n, n_volumes, mesh_length = (3, 5, 20) if options.quick else (5, 9, 60)

    calc = PhonaxCalculator(options.model)
    atoms, _ = relax(bulk("MgO", "rocksalt", a=4.2), calc)
    title = f"MgO, {calc.potential.name}"

    # Exact constants have no noise that a derivative would enlarge: half a percent to both sides is enough.
    gruneisen = get_gruneisen(phonons_at_volumes(atoms, calc, n, [0.995, 1.0, 1.005]), mesh_length=mesh_length)
    low, high = gruneisen.range
    print(
        f"γ from {low:.2f} to {high:.2f}, {gruneisen.average(300):.3f} on average at 300 K, weighted by heat capacity"
    )
    for name in save_figure(draw_gruneisen(gruneisen, 300, title=title), "mgo_gruneisen"):
        print(f"wrote {name}")

    points = phonons_at_volumes(atoms, calc, n, np.linspace(0.96, 1.08, n_volumes))
    found = get_quasi_harmonic(points, mesh_length=mesh_length)
    for temperature in (300, 600, 900):
        at = found.at(temperature)
        print(
            f"{temperature} K: {at['volume']:.3f} Å³, expansion {1e6 * at['thermal_expansion_per_k']:.1f}e-6 /K,"
            f" {at['bulk_modulus_gpa']:.1f} GPa, γ = {at['gruneisen']:.3f}"
        )
    # The same γ by two routes: modes, and the macroscopic β V B / C_v. They differ as the volumes do.
    for name in save_figure(draw_quasi_harmonic(found, title=title), "mgo_qha"):
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
