"""A relaxation and molecular dynamics with ASE; the calculator is one like any other.

    python relax_and_md.py [--quick] [--model MODEL]

Atoms and cell of rock salt are relaxed together, then a supercell runs at constant energy. The drift of
the total energy tests forces against energies: it must be small beside the kinetic energy.
"""

import argparse

import numpy as np
from ase import units
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.io.trajectory import Trajectory
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from ase_phonax import PhonaxCalculator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 atoms and 100 steps instead of 64 and 1000")
    parser.add_argument("--model", default="phonax-small", help="a name of `ase-phonax models`, or a model file")
    options = parser.parse_args()
    calc = PhonaxCalculator(options.model)

    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.calc = calc
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=200)
    print(f"relaxed: a = {atoms.cell.lengths()[0]:.4f} Å, largest stress {np.abs(atoms.get_stress()).max():.1e} eV/Å³")

    moving = atoms if options.quick else atoms.repeat(2)
    moving.calc = calc
    # From the minimum, half of the kinetic energy turns into potential energy: twice 300 K at the start.
    momenta = np.random.default_rng(1).standard_normal((len(moving), 3)) * np.sqrt(moving.get_masses())[:, None]
    moving.set_momenta(momenta - momenta.mean(axis=0))
    moving.set_momenta(moving.get_momenta() * np.sqrt(600 / moving.get_temperature()))
    dynamics = VelocityVerlet(moving, timestep=2 * units.fs)
    trajectory = Trajectory("nacl_md.traj", "w", moving)
    dynamics.attach(trajectory.write, interval=10)
    history = []
    dynamics.attach(lambda: history.append((moving.get_total_energy(), moving.get_temperature())))
    dynamics.run(100 if options.quick else 1000)
    trajectory.close()

    energies, temperatures = np.array(history).T
    print(f"{len(history) - 1} steps of 2 fs with {len(moving)} atoms, mean temperature {temperatures.mean():.0f} K")
    print(f"total energy: largest change {1e3 * np.ptp(energies) / len(moving):.3f} meV per atom,")
    print(f"  kinetic energy {1e3 * 1.5 * units.kB * temperatures.mean():.1f} meV per atom")
    print("wrote nacl_md.traj")


if __name__ == "__main__":
    main()
