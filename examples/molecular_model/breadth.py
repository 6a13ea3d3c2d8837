"""Energies, forces and dipoles by PBE/def2-SVP of many molecules: a tenth of the time of a Hessian, or of fields.

    python examples/molecular_model/breadth.py [--part 0/1]
    python examples/molecular_model/breadth.py --pack

Needs `pip install pyscf rdkit`. One frame of each molecule of `molecules.py` but those tested, kinds.smi first and the
others in random order, displaced at random from MMFF's minimum: about 8 s of one core each. Results are kept in
runs/molecules_breadth/, a second start goes on from there, and `--pack` writes all into data/breadth.npz.
"""

import argparse
import os
import random
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent

import numpy as np
from ase import Atoms
from fields import GRID_LEVEL
from molecules import geometry, kinds, molecules, split_of

KEPT = HERE.parents[1] / "runs/molecules_breadth"
PACKED = HERE / "data/breadth.npz"
SPREAD = 0.05  # Å, of each component
MOST_ATOMS = 12  # of those that are not in kinds.smi


def label(atoms: Atoms) -> dict[str, np.ndarray]:
    """numbers, energy [eV], forces [eV/Å] and dipole [eÅ]."""
    from _in_field import InField

    found = InField(atoms, GRID_LEVEL)(np.zeros(3))
    return {"numbers": atoms.numbers} | {name: found[name] for name in ("energy", "forces", "dipole")}


def chosen() -> list[tuple[int, str]]:
    """Places in the list of molecules, and SMILES, in an order that may be stopped anywhere."""
    names = [(k, smiles) for k, smiles in enumerate(molecules()) if split_of(smiles) != "tested"]
    random.Random(0).shuffle(names)
    first = set(kinds())
    return sorted(names, key=lambda name: name[1] not in first)


def displaced(k: int, smiles: str) -> Atoms | None:
    """The geometry that is labelled; None of those that are too large or have none."""
    atoms = geometry(smiles)
    if atoms is None or (len(atoms) > MOST_ATOMS and smiles not in kinds()):
        return None
    atoms.positions += np.random.default_rng(k).normal(scale=SPREAD, size=(len(atoms), 3))
    return atoms


def main() -> None:
    import _molecular_dft as molecular_dft
    from pyscf import lib

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="0/1", help="K/N: every N-th molecule from the K-th; for N processes at once")
    parser.add_argument("--pack", action="store_true")
    options = parser.parse_args()
    level = molecular_dft.level_of_theory(GRID_LEVEL, quick=True)
    if options.pack:
        arrays = {"level": np.array(level)}
        for k, smiles in chosen():
            path = KEPT / f"{k:04d}.npz"
            if path.exists():
                with np.load(path) as stored:
                    own = {name: stored[name] for name in ("numbers", "positions", "energy", "forces", "dipole")}
                own |= {"smiles": np.array(smiles), "split": np.array(split_of(smiles))}
                arrays |= {f"{k:04d}/{name}": values for name, values in own.items()}
        return molecular_dft.write(PACKED, arrays)
    lib.num_threads(1)
    first, every = map(int, options.part.split("/"))
    for k, smiles in chosen()[first::every]:
        atoms = displaced(k, smiles)
        if atoms is not None:
            try:
                molecular_dft.kept(KEPT / f"{k:04d}.npz", atoms, level, partial(label, atoms))
            except RuntimeError as error:
                print(f"{k:04d} {smiles}: {error}", flush=True)
    return None


if __name__ == "__main__":
    main()
