"""Dipoles, polarizabilities and their derivatives of molecules by PBE/def2-SVP, near their minima.

    python examples/molecular_model/fields.py [--part 0/1]
    python examples/molecular_model/fields.py --pack

Needs `pip install pyscf ase rdkit`. One frame for each molecule of data/pbe.npz, those of the test left out, at the
geometry there; and one for the molecules of larger.smi, displaced as much from MMFF's minimum. Each takes nineteen
self-consistent fields with forces, half a minute to five of one core. Each is kept in runs/molecules_in_fields_19/; a
second start goes on from there, and from data/fields.npz, where `--pack` writes all that are there.
"""

import argparse
import os
import random
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import _molecular_dft as molecular_dft
import numpy as np
from _in_field import InField, axes_and_diagonals, responses
from ase import Atoms
from molecules import LARGER, canonical, geometry, split_of
from pyscf import lib

KEPT = HERE.parents[1] / "runs/molecules_in_fields_19"
PACKED = HERE / "data/fields.npz"
SPREAD = 0.04  # Å, of each component, as in pbe.py
MOST_ATOMS = 11
FIRST = ("c1ccccc1", "Cc1ccccc1", "Oc1ccccc1")  # which the shipped model is asked for most
GRID_LEVEL = 1
STEP = 0.004  # atomic units; 0.206 V/Å: forces are known to 1e-7, second differences then to 0.1 % of what they are


def label(atoms: Atoms) -> dict[str, np.ndarray]:
    """energy, forces, dipole [eÅ], polarizability [e²Å²/eV] and its gradient, born_charges (n, 3, 3) [e]."""
    compute = InField(atoms, GRID_LEVEL)
    return responses([compute(field) for field in axes_and_diagonals(STEP)], STEP)


def level_of_theory() -> str:
    return molecular_dft.level_of_theory(GRID_LEVEL, quick=True) + f" fields {STEP}"


def molecules() -> dict[str, tuple[str, Atoms]]:
    """By number, the SMILES and geometry of each molecule, in an order that may be stopped anywhere."""
    with np.load(HERE / "data/pbe.npz") as stored:
        numbers = sorted({name.split("/")[0] for name in stored})
        every = {k: str(stored[f"{k}/smiles"]) for k in numbers if f"{k}/numbers" in stored}
        chosen = {
            k: (smiles, Atoms(stored[f"{k}/numbers"][0], stored[f"{k}/positions"][0]))
            for k, smiles in every.items()
            if split_of(smiles) != "tested"
        }
    there = {canonical(smiles) for smiles, _ in chosen.values()}
    for k, written in enumerate(LARGER.read_text().split()):
        smiles = canonical(written)
        atoms = None if smiles in there or split_of(smiles) == "tested" else geometry(written)
        if atoms is not None and (len(atoms) <= MOST_ATOMS or smiles in FIRST):
            atoms.positions += np.random.default_rng(k).normal(scale=SPREAD, size=(len(atoms), 3))
            chosen[f"larger-{k:02d}"] = smiles, atoms
    names = sorted(chosen)
    random.Random(0).shuffle(names)
    names.sort(key=lambda name: chosen[name][0] not in FIRST)
    return {name: chosen[name] for name in names}


def unpack() -> None:
    """A file for each molecule of data/fields.npz, where there is none yet."""
    with np.load(PACKED) as stored:
        for k in {name.split("/")[0] for name in stored}:
            if not (KEPT / f"{k}.npz").exists():
                own = {name.split("/")[1]: stored[name] for name in stored if name.startswith(f"{k}/")}
                molecular_dft.write(KEPT / f"{k}.npz", own)


def pack() -> None:
    """All results in one file; arrays under NUMBER/NAME."""
    arrays = {}
    for k, (smiles, atoms) in molecules().items():
        path = KEPT / f"{k}.npz"
        if path.exists():
            own = molecular_dft.kept(path, atoms, level_of_theory(), partial(label, atoms))
            own |= {"numbers": atoms.numbers, "smiles": np.array(smiles), "split": np.array(split_of(smiles))}
            arrays |= {f"{k}/{name}": values for name, values in own.items() if name != "seconds"}
    molecular_dft.write(PACKED, arrays)
    print(f"{PACKED}: {PACKED.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="0/1", help="K/N: every N-th molecule from the K-th; for N processes at once")
    parser.add_argument("--pack", action="store_true")
    options = parser.parse_args()
    unpack()
    if options.pack:
        return pack()
    first, every = map(int, options.part.split("/"))
    lib.num_threads(1)
    for k, (_, atoms) in list(molecules().items())[first::every]:
        molecular_dft.kept(KEPT / f"{k}.npz", atoms, level_of_theory(), partial(label, atoms))


if __name__ == "__main__":
    main()
