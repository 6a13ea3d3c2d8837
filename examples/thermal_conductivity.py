"""How MgO conducts heat: exact third-order constants in phono3py, without a displaced supercell.

    python thermal_conductivity.py [--quick] [--model MODEL]

Needs phono3py (`pip install "ase-phonax[conductivity]"`). Writes mgo_conductivity.png and .pdf.
"""

import argparse

from ase.build import bulk

from ase_phonax import (
    PhonaxCalculator,
    choose_third_order_supercell,
    draw_conductivity,
    get_phono3py,
    get_thermal_conductivity,
    relax,
    save_figure,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller supercell, a coarse mesh")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    tolerance, mesh = (0.1, [5, 5, 5]) if options.quick else (0.01, None)

    calc = PhonaxCalculator(options.model)
    atoms, _ = relax(bulk("MgO", "rocksalt", a=4.2), calc)
    choice = choose_third_order_supercell(atoms, calc, tolerance)
    for matrix, n_atoms, error in choice.tried:
        print(f"{n_atoms} atoms, {matrix.tolist()}: third-order constants interpolated to {100 * error:.1f} %")

    phono3py = get_phono3py(atoms, calc, choice.matrix, 4)
    found = get_thermal_conductivity(phono3py, mesh, [200, 300, 500, 800])
    for temperature, kappa in zip(found.temperatures, found.kappa, strict=True):
        print(f"{temperature:.0f} K: {kappa[0, 0]:.1f} W/m/K on a mesh of {found.mesh}")
    for name in save_figure(draw_conductivity(found, f"MgO, {calc.potential.name}"), "mgo_conductivity"):
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
