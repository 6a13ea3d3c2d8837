"""Exact phonons of a potential you write yourself: a Lennard-Jones pair potential for solid argon.

    python own_potential.py [--quick]

Any JAX function of edge vectors that gives one energy per atom becomes a `Potential`, and with it a
calculator, force constants and phonons. All it must do is vanish smoothly at its cutoff and let atoms
see each other through `exchange` alone: the bands below are D(q) itself at every point of the path, no
supercell and no displacement. A calculator refuses a function that breaks these rules; tests of your
potential can ask for all that is known to go wrong by `ase_phonax.testing.check_potential`, as here.
"""

import argparse

import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from ase.spectrum.band_structure import BandStructure

from ase_phonax import PhonaxCalculator, Potential, frequencies_thz, relax
from ase_phonax.testing import check_potential

SWITCH, CUTOFF = 7.0, 9.0  # Å: the pair energy fades to zero in between


def node_energies(parameters, edge_vectors, species, exchange):
    """Half of every bond's energy goes to the atom that receives the edge: (n_nodes,) [eV]."""
    r = jnp.sqrt(jnp.sum(edge_vectors**2, axis=-1))
    x = jnp.clip((r - SWITCH) / (CUTOFF - SWITCH), 0.0, 1.0)
    fade = 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)  # three derivatives vanish at both ends
    ratio = (parameters["sigma"] / r) ** 6
    return exchange.aggregate(2 * parameters["epsilon"] * (ratio**2 - ratio) * fade)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer points on the path")
    options = parser.parse_args()

    parameters = {"epsilon": np.array(0.01032), "sigma": np.array(3.405)}  # 119.8 K, the textbook values
    argon = Potential.from_function(
        node_energies, cutoff=CUTOFF, n_layers=1, numbers=[18], parameters=parameters, name="argon"
    )
    check_potential(argon)  # raises a ContractError that says what is wrong
    calc = PhonaxCalculator(argon)
    atoms, report = relax(bulk("Ar", "fcc", 5.3), calc)
    print(f"fcc argon: a = {atoms.cell.lengths()[0] * 2**0.5:.4f} Å, {report.energy:.4f} eV per atom")

    path = atoms.cell.bandpath("GXWKGL", npoints=60 if options.quick else 300)
    frequencies = frequencies_thz(calc.get_dynamical_matrix(atoms, path.kpts))
    for name in "XL":
        point = np.argmin(np.linalg.norm(path.kpts - path.special_points[name], axis=1))
        print(f"{name}: " + "  ".join(f"{f:.3f}" for f in frequencies[point]) + " THz")
    BandStructure(path, frequencies[None]).plot(
        filename="argon_bands.png", emin=0, emax=1.05 * frequencies.max(), ylabel="Frequency (THz)"
    )
    print("wrote argon_bands.png")


if __name__ == "__main__":
    main()
