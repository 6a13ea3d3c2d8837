"""Energies, forces, Hessians, dipoles and Born charges by GFN2-xTB (Bannwarth et al., JCTC 15, 1652 (2019)): breadth.

Needs `pip install tblite`. Hessians are central differences of forces; the step is where rounding of the
self-consistency and the third derivatives are both below 1e-3 of the constants.
"""

from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.optimize import BFGS
from ase.units import Bohr
from molecules import geometry, molecules, still_bonded
from tblite.ase import TBLite
from tblite.interface import Calculator
from tblite.library import ffi

LEVEL = "GFN2-xTB (tblite)"
STEP = 0.005  # Å
FIELD = 1e-3  # atomic units
ACCURACY = 0.01  # of the self-consistency, in tblite's units
FRAMES = ((300.0, 2), (1000.0, 2))  # temperature [K] and how many, besides the minimum
LARGEST = 0.4  # Å, that an atom is moved at most: beyond, soft modes are no longer straight lines
LARGEST_FORCE = 30.0  # eV/Å


def label_all(folder: Path, quick: bool = False, part: tuple[int, int] = (0, 1)) -> None:
    """A file of frames for each molecule; those that fall apart are recorded and left out.

    Args:
        folder: for results.
        quick: a few molecules.
        part: (k, n): only every n-th, from the k-th, so that n processes share the work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = molecules(quick)
    for k, smiles in list(enumerate(names))[part[0] :: part[1]]:
        path = folder / f"{k:04d}.npz"
        if path.exists():
            continue
        found, why = _label(smiles, np.random.default_rng(k))
        save(path, found, smiles=smiles, why=why)
        print(f"{k + 1}/{len(names)} {smiles}: {why or f'{len(found)} frames'}", flush=True)


def save(path: Path, frames: list[dict[str, np.ndarray]], **texts: str) -> None:
    """Frames of one molecule, complete or not there."""
    arrays = {key: np.array([f[key] for f in frames]) for key in (frames[0] if frames else ())}
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **arrays, **{key: np.array(text) for key, text in texts.items()})
    part.replace(path)


def _label(smiles: str, rng: np.random.Generator) -> tuple[list[dict[str, np.ndarray]], str]:
    atoms = geometry(smiles)
    if atoms is None:
        return [], "no geometry"
    atoms.calc = calculator()
    try:
        if not BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500):
            return [], "not relaxed"
        if not still_bonded(atoms):
            return [], "other bonds after relaxation"
        minimum = frame(atoms)
        frames = [minimum]
        for temperature, count in FRAMES:
            for _ in range(count):
                moved = displaced(atoms, minimum["hessian"], temperature, rng)
                found = frame(moved)
                if np.abs(found["forces"]).max() < LARGEST_FORCE:
                    frames.append(found)
    except Exception as error:  # tblite raises RuntimeError and worse where its self-consistency fails
        return [], f"{type(error).__name__}: {error}"
    return frames, ""


def calculator() -> TBLite:
    return TBLite(method="GFN2-xTB", accuracy=ACCURACY, verbosity=0)


def frame(atoms: Atoms) -> dict[str, np.ndarray]:
    """numbers, positions, energy [eV], forces [eV/Å], hessian (n, 3, n, 3) [eV/Å²], dipole [eÅ], born_charges [e]."""
    here = atoms.copy()
    here.calc = calculator()
    n = len(atoms)
    result = {"numbers": atoms.numbers, "positions": atoms.positions.copy()}
    result |= {"energy": np.array(here.get_potential_energy()), "forces": here.get_forces().copy()}
    hessian = np.zeros((n, 3, n, 3))
    for i in range(n):
        for x in range(3):
            for sign in (1, -1):
                here.positions[i, x] = atoms.positions[i, x] + sign * STEP
                hessian[i, x] -= sign * here.get_forces() / (2 * STEP)
            here.positions[i, x] = atoms.positions[i, x]
    return result | {"hessian": (hessian + hessian.transpose(2, 3, 0, 1)) / 2} | in_fields(atoms)


def in_fields(atoms: Atoms) -> dict[str, np.ndarray]:
    """dipole [eÅ] and born_charges (n, 3, 3) [e], field first; the polarizability of a minimal basis is of no use."""
    dipole, _ = singlepoint(atoms.numbers, atoms.positions, np.zeros(3))
    charges = []
    for field in FIELD * np.eye(3):
        plus, minus = (singlepoint(atoms.numbers, atoms.positions, sign * field)[1] for sign in (1.0, -1.0))
        charges.append((minus - plus) / (2 * FIELD))
    return {"dipole": Bohr * dipole, "born_charges": np.stack(charges, axis=1)}


def singlepoint(numbers: np.ndarray, positions: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dipole (3,) and gradient (n, 3) in a field, all in atomic units but the positions [Å]."""
    calculator = Calculator("GFN2-xTB", numbers, positions / Bohr)
    calculator.set("verbosity", 0)
    calculator.set("accuracy", 0.01)
    if field.any():
        # tblite 0.4 hands the field to C as it is, which takes no array.
        calculator.add("electric-field", ffi.from_buffer("double[3]", field))
    result = calculator.singlepoint()
    return result.get("dipole"), result.get("gradient")


def displaced(atoms: Atoms, hessian: np.ndarray, temperature: float, rng: np.random.Generator) -> Atoms:
    """A draw from the harmonic quantum distribution of the vibrations at a temperature [K]."""
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    values, vectors = np.linalg.eigh(hessian.reshape(len(roots), -1) / np.outer(roots, roots))
    energies = units._hbar * 1e10 / np.sqrt(units._e * units._amu) * np.sqrt(np.abs(values))  # eV
    real = energies > 0.005
    # Of an imaginary mode as far as a real one of that size: the minimum of a symmetric start may be a saddle point.
    spread = energies[real] / (2 * np.abs(values[real]) * np.tanh(energies[real] / (2 * units.kB * temperature)))
    amplitudes = rng.normal(size=real.sum()) * np.sqrt(spread)
    shift = (vectors[:, real] @ amplitudes / roots).reshape(-1, 3)
    largest = np.linalg.norm(shift, axis=1).max()
    moved = atoms.copy()
    moved.positions += shift * min(1.0, LARGEST / largest)
    return moved
