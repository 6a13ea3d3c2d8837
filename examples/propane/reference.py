"""Propane: four configurations with Hessians, and forces over the turns of its two methyl groups.

    python examples/propane/reference.py

Needs `pip install pyscf ase`. Each calculation is kept in runs/propane/; a second start goes on from there. The results
are data/propane_train.extxyz, data/propane_train.npz and data/propane_map.npz, described in data/README.md.
"""

import os
import sys
from itertools import count, product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _molecular_dft as molecular_dft
import numpy as np
import torsions
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.optimize import BFGS

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / "runs/propane"
GRID_LEVEL = 4
RELAXED = 0.02  # eV/Å, largest force on an atom; the methyls are made threefold afterwards, which matters more
TRAINED = ((0, 0), (60, 0), (60, 60), (30, 30))  # turns of the methyls, degrees
# At (0, 0), (60, 0) and (60, 60) symmetry makes most forces vanish: without some noise, a training without Hessians
# would learn next to nothing from them, and the comparison would be unfair.
NOISE, SEED = 0.02, 0  # Å, standard deviation of each Cartesian component
STEP = 15  # degrees
TESTED = (75, 105)  # computed itself as well as by symmetry


def labels(name: str, atoms: Atoms, hessian: bool = False) -> dict[str, np.ndarray]:
    level = molecular_dft.level_of_theory(GRID_LEVEL)
    return molecular_dft.kept(
        KEPT / f"{name}.npz", atoms, level, lambda: molecular_dft.label(atoms, GRID_LEVEL, hessian)
    )


class Kept(Calculator):
    """Every step of a relaxation kept, so that it can be followed again."""

    implemented_properties = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self._steps = count()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        found = labels(f"relaxation-{next(self._steps)}", Atoms(atoms.numbers, atoms.positions))
        self.results = {"energy": float(found["energy"]), "forces": found["forces"]}


def minimum() -> Atoms:
    """The staggered minimum, exactly C2v."""
    atoms = torsions.symmetrised(molecule("C3H8"))
    atoms.calc = Kept()
    if not BFGS(atoms, logfile=None).run(fmax=RELAXED, steps=40):
        sys.exit("propane did not relax in 40 steps: the minimum is not known; look at runs/propane/relaxation-*.npz")
    return torsions.symmetrised(atoms)


def training(start: Atoms) -> None:
    """Four configurations with energies, forces and Hessians."""
    generator = np.random.default_rng(SEED)
    frames, found = [], []
    for turns in TRAINED:
        atoms = torsions.turned(start, turns)
        atoms.positions += generator.normal(scale=NOISE, size=(len(atoms), 3))
        result = labels(f"train-{turns[0]}-{turns[1]}", atoms, hessian=True)
        # ASE takes the Hessian from here as a matrix: (atom, axis), (atom, axis).
        atoms.info = {"turns": np.array(turns), "hessian": result["hessian"].reshape(33, 33)}
        atoms.calc = SinglePointCalculator(atoms, energy=float(result["energy"]), forces=result["forces"])
        frames.append(atoms)
        found.append(result)
    unfinished = HERE / "data/propane_train.extxyz.unfinished"
    write(unfinished, frames, format="extxyz")
    unfinished.replace(HERE / "data/propane_train.extxyz")
    arrays = {key: np.array([result[key] for result in found]) for key in ("positions", "energy", "forces", "hessian")}
    arrays |= {"numbers": start.numbers, "turns": np.array(TRAINED), "level": found[0]["level"]}
    molecular_dft.write(HERE / "data/propane_train.npz", arrays)
    for turns, result in zip(TRAINED, found, strict=True):
        hessian = result["hessian"].reshape(33, 33)
        total, asymmetry = np.abs(result["hessian"].sum(axis=2)).max(), np.abs(hessian - hessian.T).max()
        print(f"{turns}: |sum of Hessian| {total:.4f}, asymmetry {asymmetry:.1e} eV/Å², {result['seconds']:.0f} s")


def torsion_map(start: Atoms) -> None:
    """Forces at all points of the grid from those at the irreducible ones."""
    points = list(product(range(0, torsions.PERIOD, STEP), repeat=2))
    classes = [torsions.representative(point) for point in points]
    irreducible = sorted({rep for rep, _ in classes})
    found = {rep: labels(f"map-{rep[0]}-{rep[1]}", torsions.turned(start, rep)) for rep in irreducible}
    forces, permutations = [], []
    for point, (rep, operation) in zip(points, classes, strict=True):
        target = torsions.turned(start, point).positions
        order = torsions.permutation(found[rep]["positions"] @ operation.T, target, start.numbers)
        forces.append((found[rep]["forces"] @ operation.T)[order])
        permutations.append(order)
    direct = labels(f"direct-{TESTED[0]}-{TESTED[1]}", torsions.turned(start, TESTED))
    n, tested = len(range(0, torsions.PERIOD, STEP)), points.index(TESTED)
    arrays = {
        "numbers": start.numbers,
        "turns": np.array(points).reshape(n, n, 2),
        "positions": np.array([torsions.turned(start, point).positions for point in points]).reshape(n, n, -1, 3),
        "energies": np.array([found[rep]["energy"] for rep, _ in classes]).reshape(n, n),
        "forces": np.array(forces).reshape(n, n, -1, 3),
        "irreducible_turns": np.array(irreducible),
        "irreducible_positions": np.array([found[rep]["positions"] for rep in irreducible]),
        "irreducible_energies": np.array([found[rep]["energy"] for rep in irreducible]),
        "irreducible_forces": np.array([found[rep]["forces"] for rep in irreducible]),
        "representative": np.array([irreducible.index(rep) for rep, _ in classes]).reshape(n, n),
        "operation": np.array([operation for _, operation in classes]).reshape(n, n, 3, 3),
        "permutation": np.array(permutations).reshape(n, n, -1),
        "direct_turns": np.array(TESTED),
        "direct_energy": direct["energy"],
        "direct_forces": direct["forces"],
        "level": np.array(molecular_dft.level_of_theory(GRID_LEVEL)),
    }
    molecular_dft.write(HERE / "data/propane_map.npz", arrays)
    difference = np.abs(direct["forces"] - forces[tested]).max()
    energy = abs(float(direct["energy"] - found[classes[tested][0]]["energy"]))
    print(f"{len(irreducible)} irreducible of {len(points)} points, {sum(r['seconds'] for r in found.values()):.0f} s")
    print(f"{TESTED} by symmetry from {classes[tested][0]}: {difference:.1e} eV/Å, {energy:.1e} eV from its own")


def main() -> None:
    relaxed = minimum()
    start = torsions.with_threefold_methyls(relaxed)
    change = np.abs(start.positions - relaxed.positions).max()
    print(f"threefold methyls move atoms by at most {change:.4f} Å per component")
    training(start)
    torsion_map(start)


if __name__ == "__main__":
    main()
