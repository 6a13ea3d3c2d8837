"""Dipoles and Born charges by GFN2-xTB, for breadth: what the outputs of the shipped model learn first.

    python examples/molecular_model/xtb_fields.py

Needs `pip install rdkit tblite`. Three frames of each molecule of `molecules.py` but those tested, displaced at random
from MMFF's minimum; ten minutes of one core. GFN2-xTB's polarizability, of a minimal basis, is of no use and left out.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase.units import Bohr
from molecules import geometry, molecules, split_of
from tblite.interface import Calculator
from tblite.library import ffi

KEPT = Path(__file__).resolve().parents[2] / "runs/molecules_in_fields_xtb.npz"
SPREADS = (0.02, 0.05, 0.08)  # Å, of each component
STEP = 1e-3  # atomic units of field
LARGEST_FORCE = 0.6  # atomic units; a molecule that is displaced further is none


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


def label(numbers: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray] | None:
    """numbers, positions [Å], dipole [eÅ], born_charges (n, 3, 3) [e], field first; None of what falls apart."""
    dipole, gradient = singlepoint(numbers, positions, np.zeros(3))
    if np.abs(gradient).max() > LARGEST_FORCE:
        return None
    charges = []
    for field in STEP * np.eye(3):
        plus, minus = (singlepoint(numbers, positions, sign * field)[1] for sign in (1.0, -1.0))
        charges.append((minus - plus) / (2 * STEP))
    return {
        "numbers": numbers,
        "positions": positions,
        "dipole": Bohr * dipole,
        "born_charges": np.stack(charges, axis=1),
    }


def main() -> None:
    arrays, names = {}, [smiles for smiles in molecules() if split_of(smiles) != "tested"]
    for k, smiles in enumerate(names):
        atoms, rng = geometry(smiles), np.random.default_rng(k)
        if atoms is None:
            continue
        for frame, spread in enumerate(SPREADS):
            try:
                found = label(atoms.numbers, atoms.positions + rng.normal(scale=spread, size=(len(atoms), 3)))
            except RuntimeError:  # no self-consistency
                continue
            if found is not None:
                own = found | {"smiles": np.array(smiles), "split": np.array(split_of(smiles))}
                arrays |= {f"{k:04d}-{frame}/{name}": values for name, values in own.items()}
        if k % 100 == 0:
            print(f"{k}/{len(names)} {smiles}", flush=True)
    KEPT.parent.mkdir(exist_ok=True)
    part = KEPT.with_name(KEPT.name + ".part")
    with open(part, "wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(KEPT)
    print(f"{KEPT}: {len(arrays) // 6} frames")


if __name__ == "__main__":
    main()
