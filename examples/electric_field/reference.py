"""Ethanol in electric fields by PBE/def2-SVP: energies, forces, dipoles; from them polarizabilities and Born charges.

    PHONAX_DATA=... python examples/electric_field/reference.py [--frames 300] [--part 0/1]
    python examples/electric_field/reference.py --pack

Needs `pip install pyscf ase`. Frames are drawn from the 750 of the ethanol set (positions only, in a random order
that the seed fixes). Each is computed without a field, in six fields of ±0.002 atomic units along x, y and z, and in
one of random direction and size: eight self-consistent fields with forces, 50 s of one core. Each frame is kept in
runs/electric_field/; a second start goes on from there. `--pack` writes all that are there into
data/ethanol_fields.npz beside this file.

What differences in opposite fields leave is of second order in the field (3e-4 e of Born charges, against displaced
dipoles).
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _molecular_dft as molecular_dft
import numpy as np
from _in_field import InField, axes, born_charges, polarizability
from ase import Atoms
from pyscf import lib

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / "runs/electric_field"
PACKED = HERE / "data/ethanol_fields.npz"
NUMBERS = (6, 6, 8, 1, 1, 1, 1, 1, 1)  # atoms of the ethanol set, in its order
GRID_LEVEL = 3
STEP = 0.002  # atomic units; 0.103 V/Å
LARGEST = 0.02  # atomic units, of the random field; 1.03 V/Å


def fields_of(seed: int) -> np.ndarray:
    """(8, 3) none, ±STEP along each axis, one of random direction and size [atomic units]."""
    random = np.random.default_rng(seed)
    direction = random.normal(size=3)
    last = direction / np.linalg.norm(direction) * LARGEST * random.uniform(0.25, 1.0)
    return np.concatenate([axes(STEP), last[None]])


def label(atoms: Atoms, seed: int) -> dict[str, np.ndarray]:
    """Everything of one frame.

    Returns:
        positions; energy, forces, dipole (without a field); fields (8, 3), energies (8,), forces_in_fields (8, n, 3),
        dipoles (8, 3); polarizability (3, 3) [e²Å²/eV]; born_charges (n, 3, 3), field first, displacement second [e].
    """
    compute = InField(atoms, GRID_LEVEL)
    points = [compute(field) for field in fields_of(seed)]
    fields, energies, forces, dipoles = (
        np.array([p[name] for p in points]) for name in ("field", "energy", "forces", "dipole")
    )
    return {
        "energy": energies[0],
        "forces": forces[0],
        "dipole": dipoles[0],
        "fields": fields,
        "energies": energies,
        "forces_in_fields": forces,
        "dipoles": dipoles,
        "polarizability": polarizability(dipoles, STEP),
        "born_charges": born_charges(forces, STEP),
    }


def level_of_theory() -> str:
    return molecular_dft.level_of_theory(GRID_LEVEL, quick=True) + f" fields {STEP} {LARGEST}"


def pack() -> None:
    """All frames that are there in one file."""
    results = {}
    for path in sorted(KEPT.glob("*.npz")):
        with np.load(path) as stored:
            results[int(path.stem)] = {name: stored[name] for name in stored if name not in ("seconds", "level")}
            level = stored["level"]
    names = next(iter(results.values()))
    arrays = {name: np.array([result[name] for result in results.values()]) for name in names}
    molecular_dft.write(
        PACKED, arrays | {"numbers": np.array(NUMBERS), "frame": np.array(list(results)), "level": level}
    )
    print(f"{len(results)} frames in {PACKED}: {PACKED.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--part", default="0/1", help="K/N: every N-th frame from the K-th; for N processes at once")
    parser.add_argument("--pack", action="store_true")
    options = parser.parse_args()
    if options.pack:
        return pack()
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set: it is the folder that has data/ethanol_pbe_def2svp_efh_train.npz")
    with np.load(Path(os.environ["PHONAX_DATA"]) / "data/ethanol_pbe_def2svp_efh_train.npz") as frames:
        if tuple(frames["Z"]) != NUMBERS:
            sys.exit(f"the set has the atoms {frames['Z'].tolist()}: labels would be of other atoms than {NUMBERS}")
        positions = frames["R"]
    order = np.random.default_rng(0).permutation(len(positions))[: options.frames]
    first, every = map(int, options.part.split("/"))
    lib.num_threads(1)
    for k in order[first::every]:
        atoms = Atoms(NUMBERS, positions[k])
        molecular_dft.kept(KEPT / f"{k:04d}.npz", atoms, level_of_theory(), partial(label, atoms, int(k)))


if __name__ == "__main__":
    main()
