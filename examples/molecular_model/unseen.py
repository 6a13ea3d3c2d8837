"""Twenty molecules that no training has seen, in fields by PBE/def2-SVP: what the shipped model's spectra are held to.

    python examples/molecular_model/unseen.py --geometries   minima of the ten of six atoms besides hydrogen
    python examples/molecular_model/unseen.py [--part 0/1]   nineteen fields for each: 1 to 4 minutes of one core
    python examples/molecular_model/unseen.py --pack

Needs `pip install pyscf rdkit`. Ten are those that `molecules.TESTED` names, at their minima by PBE; ten are drawn from
the molecules of six atoms besides hydrogen that `molecules.py` grows and did not choose, at the shipped model's minima.
Second differences of forces in fields along an axis, and along two at once, give derivatives of the polarizability.
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

import numpy as np
from ase import Atoms

KEPT = HERE.parents[1] / "runs/unseen_molecules"
PACKED = HERE / "data/unseen.npz"
GEOMETRIES = HERE / "data/unseen_geometries.npz"
GRID_LEVEL = 1
STEP = 0.004  # atomic units; forces are known to 1e-7, second differences then to 0.1 % of what they are
MOST_ATOMS = 10
N_DRAWN = 10
WITHOUT_GAP = ("O=NC1=CC=C1",)  # PBE has no self-consistency of it: the next one is drawn in its place


def drawn() -> list[str]:
    """SMILES of ten molecules that are in none of the sets."""
    import molecules
    from rdkit import Chem

    def size(smiles: str) -> int:
        return Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()

    chosen = set(molecules.molecules())
    others = [smiles for smiles in molecules._enumerated(molecules.LARGEST)[-1] if smiles not in chosen]
    random.Random(7).shuffle(others)
    return [smiles for smiles in others if size(smiles) <= MOST_ATOMS and smiles not in WITHOUT_GAP][:N_DRAWN]


def relax_all() -> None:
    """Minima by the shipped model, written to `GEOMETRIES`."""
    from ase.optimize import BFGS
    from molecules import geometry

    from ase_phonax import PhonaxCalculator

    calculator, arrays = PhonaxCalculator("phonax-molecules"), {}
    for smiles in drawn():
        atoms = geometry(smiles)
        if atoms is None:
            raise RuntimeError(f"no geometry of {smiles}: draw another")
        atoms.calc = calculator
        if not BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500):
            raise RuntimeError(f"{smiles} is not relaxed: draw another")
        arrays |= {f"{smiles}|numbers": atoms.numbers, f"{smiles}|positions": atoms.positions}
        print(smiles, len(atoms), flush=True)
    np.savez_compressed(GEOMETRIES, **arrays)


def every_molecule() -> dict[str, Atoms]:
    """Twenty geometries by SMILES."""
    from tested import TESTED

    with np.load(HERE / "data/pbe.npz") as stored:
        numbers = {str(stored[name]): name.split("/")[0] for name in stored if name.endswith("/smiles")}
        result = {
            s: Atoms(stored[f"{numbers[s]}/numbers"][0], stored[f"{numbers[s]}/positions"][0]) for s in TESTED.values()
        }
    with np.load(GEOMETRIES) as stored:
        for name in stored:
            smiles, what = name.split("|")
            if what == "numbers":
                result[smiles] = Atoms(stored[name], stored[f"{smiles}|positions"])
    return result


def label(atoms: Atoms) -> dict[str, np.ndarray]:
    """dipole, polarizability, born_charges, and polarizability_gradient (n, 3, 3, 3), displacement last."""
    from _in_field import InField, axes_and_diagonals, responses

    compute = InField(atoms, GRID_LEVEL)
    return responses([compute(field) for field in axes_and_diagonals(STEP)], STEP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geometries", action="store_true")
    parser.add_argument("--part", default="0/1", help="K/N: every N-th molecule from the K-th; for N processes at once")
    parser.add_argument("--pack", action="store_true")
    options = parser.parse_args()
    if options.geometries:
        return relax_all()
    import _molecular_dft as molecular_dft
    from pyscf import lib

    lib.num_threads(1)
    level = molecular_dft.level_of_theory(GRID_LEVEL, quick=True) + f" fields {STEP}"
    chosen = dict(enumerate(every_molecule().items()))
    if options.pack:
        arrays = {}
        for k, (smiles, atoms) in chosen.items():
            with np.load(KEPT / f"{k:02d}.npz") as stored:
                arrays |= {f"{k:02d}/{name}": stored[name] for name in stored if name not in ("seconds", "level")}
            arrays |= {f"{k:02d}/numbers": atoms.numbers, f"{k:02d}/smiles": np.array(smiles)}
        molecular_dft.write(PACKED, arrays | {"level": np.array(level)})
        return None
    first, every = map(int, options.part.split("/"))
    for k, (_, atoms) in list(chosen.items())[first::every]:
        molecular_dft.kept(KEPT / f"{k:02d}.npz", atoms, level, partial(label, atoms))
    return None


if __name__ == "__main__":
    main()
