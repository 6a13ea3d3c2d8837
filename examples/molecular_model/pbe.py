"""Energies, forces and Hessians by PBE/def2-SVP, on fewer molecules; and the molecules tested, at their minima.

Needs `pip install pyscf tblite rdkit`. One frame for each molecule, from the minimum of GFN2-xTB, displaced a little
at random: its Hessian is worth dozens of forces. Those of soft.smi and kinds.smi come first. Molecules tested are
relaxed at this level first. The first ten of them are computed without density fitting, and so were the first 88
others, drawn from up to twelve atoms; each label says how in `level`.
"""

import random
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from molecules import kinds, molecules, soft, split_of
from tested import TESTED
from xtb import save

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import _molecular_dft as dft

GRID = 3
SPREAD = 0.04  # Å, of each component, in training frames
FMAX, STEPS = 2e-3, 60  # eV/Å, of relaxations
MOST_ATOMS, MOST_OF_KINDS = 9, 12


def label_all(folder: Path, xtb: Path, part: tuple[int, int] = (0, 1)) -> None:
    """A file for each molecule, in random order; those tested before all.

    Args:
        folder: for results.
        xtb: results of `xtb.label_all`: geometries.
        part: (k, n): only every n-th, from the k-th, so that n processes share the work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = molecules()
    sizes = {}
    for k in range(len(names)):
        if not (xtb / f"{k:04d}.npz").exists():
            continue
        with np.load(xtb / f"{k:04d}.npz") as found:
            if "numbers" in found:
                sizes[k] = len(found["numbers"][0])
    tested = [k for k in sizes if split_of(names[k]) == "tested"]
    others = [k for k in sorted(sizes) if k not in tested]
    random.Random(0).shuffle(others)  # whenever it is stopped, molecules of all kinds are there
    of_kinds = {*kinds(), *soft()}
    first = [k for k in others if names[k] in of_kinds and sizes[k] <= MOST_OF_KINDS]
    first.sort(key=lambda k: names[k] not in soft())
    others = [k for k in others if names[k] not in of_kinds and sizes[k] <= MOST_ATOMS]
    without_fitting = set(TESTED.values())
    for k in (tested + first + others)[part[0] :: part[1]]:
        path = folder / f"{k:04d}.npz"
        if path.exists():
            continue
        start, quick = time.perf_counter(), names[k] not in without_fitting
        with np.load(xtb / f"{k:04d}.npz") as found:
            atoms = Atoms(found["numbers"][0], positions=found["positions"][0])
        try:
            if k in tested:
                atoms = _relaxed(atoms, found_hessian(xtb, k), quick)
            else:
                atoms.positions += np.random.default_rng(k).normal(scale=SPREAD, size=(len(atoms), 3))
            labels = dft.label(atoms, GRID, hessian=True, quick=quick)
            frames, why = [{"numbers": atoms.numbers, "positions": atoms.positions, **labels}], ""
        except RuntimeError as error:
            frames, why = [], str(error)
        save(path, frames, smiles=names[k], why=why, level=dft.level_of_theory(GRID, quick))
        print(f"{k} {names[k]} {split_of(names[k])}: {why or 'done'}, {time.perf_counter() - start:.0f} s", flush=True)


def pack(folder: Path, path: Path) -> None:
    """All results in one file; arrays under NUMBER/NAME."""
    arrays = {}
    for part in sorted(folder.glob("*.npz")):
        with np.load(part) as found:
            arrays |= {f"{part.stem}/{name}": found[name] for name in found}
    unfinished = path.with_suffix(".part")
    with open(unfinished, "wb") as file:
        np.savez_compressed(file, **arrays)
    unfinished.replace(path)


def found_hessian(xtb: Path, k: int) -> np.ndarray:
    """That of the minimum by GFN2-xTB: a good start for a relaxation at another level."""
    with np.load(xtb / f"{k:04d}.npz") as found:
        return found["hessian"][0]


def _relaxed(atoms: Atoms, hessian: np.ndarray, quick: bool) -> Atoms:
    """Quasi-Newton steps from a good Hessian (BFGS update)."""
    n = 3 * len(atoms)
    curvature = hessian.reshape(n, n)
    forces = dft.label(atoms, GRID, quick=quick)["forces"].ravel()
    for _ in range(STEPS):
        if np.abs(forces).max() < FMAX:
            return atoms
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        values = np.maximum(np.abs(values), 0.5)  # eV/Å²; whole-body motions have none
        step = vectors @ (vectors.T @ forces / values)
        step *= min(1.0, 0.1 / np.abs(step).max())
        atoms = atoms.copy()
        atoms.positions += step.reshape(-1, 3)
        new = dft.label(atoms, GRID, quick=quick)["forces"].ravel()
        change, product = forces - new, curvature @ step
        if change @ step > 1e-6:
            curvature = curvature + np.outer(change, change) / (change @ step)
            curvature -= np.outer(product, product) / (step @ product)
        forces = new
    raise RuntimeError(f"not relaxed: {np.abs(forces).max():.3g} eV/Å left")
