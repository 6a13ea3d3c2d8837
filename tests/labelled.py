"""Labelled frames whose labels are known to fit each other: a pair potential with written-down derivatives."""

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_phonax.training.labels import Frame, frame_of_hessian

from .pair_potential import PairCalculator


def cluster() -> Atoms:
    """Five silicon atoms about the distance at which the pair potential is lowest, without symmetry."""
    positions = [[0, 0, 0], [2.75, 0.1, 0], [1.3, 2.45, -0.1], [1.45, 0.8, 2.2], [1.35, 0.9, -2.3]]
    return Atoms("Si5", positions=positions)


def labelled_cluster(atoms: Atoms, origin: str = "") -> Frame:
    """Energy, forces and Hessian of atoms by the pair potential."""
    calc = PairCalculator()
    hessian = calc.get_vibrations(atoms).get_hessian()
    energy, forces = calc.get_potential_energy(atoms), calc.get_forces(atoms)
    return frame_of_hessian(atoms, hessian, energy=energy, forces=forces, origin=origin)


def moved_clusters(count: int = 8, size: float = 0.05, seed: int = 0) -> list[Frame]:
    """Clusters with atoms displaced at random by `size` [Å] (standard deviation of a component)."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(count):
        atoms = cluster()
        atoms.positions += rng.normal(0, size, (len(atoms), 3))
        frames.append(labelled_cluster(atoms, f"cluster {k}"))
    return frames


def strained_crystals(count: int = 12, seed: int = 0) -> list[Atoms]:
    """Silicon crystals (bcc, two atoms) of different volumes with energies, forces and stresses attached."""
    rng = np.random.default_rng(seed)
    found = []
    for factor in np.linspace(0.96, 1.04, count):
        atoms = bulk("Si", "bcc", a=3.2, cubic=True)
        atoms.set_cell(atoms.cell.array @ (factor * np.eye(3) + rng.normal(0, 0.005, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.03, (len(atoms), 3))
        atoms.calc = PairCalculator()
        atoms.get_stress()
        found.append(atoms)
    return found
