"""Frames to time training steps on: silicon and rock salt, labelled by the peer's model. Run by the peer's interpreter.

    PYTHON benchmarks/training_step_frames.py --model nequix-mp-1.nqx frames.extxyz

32 frames of 16 atoms, the two crystals in turn, rattled by 0.05 Å and strained by 1 %.
"""

import argparse
import os

import numpy as np


def main() -> None:
    import ase.io
    from ase.build import bulk
    from ase.calculators.singlepoint import SinglePointCalculator

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="extxyz file to write")
    parser.add_argument("--model", required=True)
    options = parser.parse_args()
    from nequix.calculator import NequixCalculator

    calc, random, frames = NequixCalculator(model_path=options.model, use_kernel=False), np.random.default_rng(0), []
    for i in range(32):
        atoms = (bulk("NaCl", "rocksalt", a=5.64) if i % 2 else bulk("Si", a=5.43)) * (2, 2, 2)
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + random.normal(0, 0.01, (3, 3))), scale_atoms=True)
        atoms.positions += random.normal(0, 0.05, atoms.positions.shape)
        atoms.calc = calc
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, energy=float(energy), forces=forces, stress=stress)
        frames.append(atoms)
    ase.io.write(f"{options.file}.part", frames, format="extxyz")
    os.replace(f"{options.file}.part", options.file)


if __name__ == "__main__":
    main()
