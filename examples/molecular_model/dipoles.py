"""Dipoles alone by PBE/def2-SVP, of many molecules: a twentieth of the time of all that fields.py computes.

    python examples/molecular_model/dipoles.py [--part 0/1]
    python examples/molecular_model/dipoles.py --pack

Needs `pip install pyscf rdkit`. One frame of each molecule of `molecules.py` but those tested, in random order,
displaced at random from MMFF's minimum: about 5 s of one core each, kept in runs/molecules_dipoles/. A second start
goes on from there, and `--pack` writes all that are there into data/dipoles.npz.
"""

import argparse
import os
import random
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent

import numpy as np
from ase import Atoms
from fields import GRID_LEVEL
from molecules import geometry, molecules, split_of

KEPT = HERE.parents[1] / "runs/molecules_dipoles"
PACKED = HERE / "data/dipoles.npz"
SPREAD = 0.05  # Å, of each component
MOST_ATOMS = 12


def label(atoms: Atoms) -> dict[str, np.ndarray]:
    """numbers and dipole [eÅ]; NaN of a molecule that has no self-consistency."""
    from _in_field import InField

    try:
        dipole = InField(atoms, GRID_LEVEL).dipole()
    except RuntimeError:
        dipole = np.full(3, np.nan)
    return {"numbers": atoms.numbers, "positions": atoms.positions, "dipole": dipole}


def chosen() -> list[tuple[int, str]]:
    """Places in the list of molecules, and SMILES, in an order that may be stopped anywhere."""
    names = [(k, smiles) for k, smiles in enumerate(molecules()) if split_of(smiles) != "tested"]
    random.Random(0).shuffle(names)
    return names


def main() -> None:
    import _molecular_dft as molecular_dft
    from pyscf import lib

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="0/1", help="K/N: every N-th molecule from the K-th; for N processes at once")
    parser.add_argument("--pack", action="store_true")
    options = parser.parse_args()
    if options.pack:
        arrays = {"level": np.array(molecular_dft.level_of_theory(GRID_LEVEL, quick=True))}
        for k, smiles in chosen():
            path = KEPT / f"{k:04d}.npz"
            if path.exists():
                with np.load(path) as stored:
                    own = dict(stored) | {"smiles": np.array(smiles), "split": np.array(split_of(smiles))}
                if np.isfinite(own["dipole"]).all():
                    arrays |= {f"{k:04d}/{name}": values for name, values in own.items()}
        return molecular_dft.write(PACKED, arrays)
    lib.num_threads(1)
    first, every = map(int, options.part.split("/"))
    for k, smiles in chosen()[first::every]:
        path, atoms = KEPT / f"{k:04d}.npz", geometry(smiles)
        if path.exists() or atoms is None or len(atoms) > MOST_ATOMS:
            continue
        atoms.positions += np.random.default_rng(k).normal(scale=SPREAD, size=(len(atoms), 3))
        own = label(atoms)
        molecular_dft.write(path, own)
        print(f"{k:04d} {smiles}: {np.linalg.norm(own['dipole']):.3f} eÅ", flush=True)
    return None


if __name__ == "__main__":
    main()
