"""Forces of ethanol around one configuration, by the level of theory of the training set.

    PHONAX_DATA=... python examples/ethanol/reference.py

Needs `pip install pyscf ase`. Each calculation is kept in runs/ethanol/; a second start goes on from there. The result
is data/displaced.npz beside this file, described in data/README.md.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _molecular_dft as molecular_dft
import numpy as np
from ase import Atoms

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / "runs/ethanol"
FRAME = 364  # of the 750: its energy is the closest to their median
SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.07)  # Å, root mean square per Cartesian component
DIRECTIONS, SEED = 6, 0
GRID_LEVEL = 5


def training_set() -> dict[str, np.ndarray]:
    """The chosen frame of the training set, in eV and Å, hessian (n, 3, n, 3)."""
    if "PHONAX_DATA" not in os.environ:
        sys.exit("PHONAX_DATA is not set, so the configuration is unknown: set it to the folder that has data/")
    with np.load(Path(os.environ["PHONAX_DATA"]) / "data/ethanol_pbe_def2svp_efh_train.npz") as frames:
        return {
            "numbers": frames["Z"],
            "positions": frames["R"][FRAME],
            "energy": frames["E"][FRAME] * molecular_dft.EV_PER_HARTREE,
            "forces": -frames["G"][FRAME] * molecular_dft.FORCE_UNIT,
            "hessian": frames["H"][FRAME].transpose(0, 2, 1, 3) * molecular_dft.HESSIAN_UNIT,
            "id": frames["ids"][FRAME],
        }


def directions(n_atoms: int) -> np.ndarray:
    """(DIRECTIONS, n_atoms, 3) Gaussian, each scaled to a root mean square of one per component."""
    draws = np.random.default_rng(SEED).normal(size=(DIRECTIONS, n_atoms, 3))
    return draws / np.sqrt((draws**2).mean(axis=(1, 2), keepdims=True))


def report(base: dict, dataset: dict, along: np.ndarray, forces: np.ndarray) -> None:
    """Prints how the labels agree with the training set and with themselves."""

    def rms(x):
        return np.sqrt((x**2).mean())

    print(f"energy minus the training set's: {(base['energy'] - dataset['energy']) * 1e3:.3f} meV")
    for name, unit in (("forces", "eV/Å"), ("hessian", "eV/Å²")):
        difference = base[name] - dataset[name]
        print(f"{name}: rms {rms(base[name]):.4f}, difference rms {rms(difference):.5f}", end=" ")
        print(f"largest {np.abs(difference).max():.5f} {unit}")
    for name, hessian in (("here", base["hessian"]), ("training set", dataset["hessian"])):
        print(f"Hessian of {name}: largest |sum over atoms| {np.abs(hessian.sum(axis=2)).max():.5f} eV/Å²")
        print("  size/Å  rms force change  rms of what H u leaves, eV/Å  (each direction: ratio in %)")
        for size, moved in zip(SIZES, forces, strict=True):
            change = moved - base["forces"]
            left = change + np.einsum("iajb,djb->dia", hessian, along) * size
            each = " ".join(f"{100 * rms(l) / rms(c):.2f}" for l, c in zip(left, change, strict=True))
            print(f"  {size:.3f}  {rms(change):.6f}  {rms(left):.7f}  ({each})")


def main() -> None:
    dataset = training_set()
    level = molecular_dft.level_of_theory(GRID_LEVEL)
    start = Atoms(dataset["numbers"], dataset["positions"])
    along = directions(len(start))

    def labels(name: str, atoms: Atoms, hessian: bool = False) -> dict[str, np.ndarray]:
        return molecular_dft.kept(
            KEPT / f"{name}.npz", atoms, level, lambda: molecular_dft.label(atoms, GRID_LEVEL, hessian)
        )

    base = labels("base", start, hessian=True)
    results = []
    for size in SIZES:
        for k, direction in enumerate(along):
            atoms = Atoms(start.numbers, start.positions + size * direction)
            results.append(labels(f"size-{size:.3f}-direction-{k}", atoms))
    shape = (len(SIZES), DIRECTIONS)
    forces = np.array([result["forces"] for result in results]).reshape(*shape, -1, 3)
    arrays = {
        "numbers": start.numbers,
        **{key: base[key] for key in ("positions", "energy", "forces", "hessian")},
        **{f"{key}_training_set": dataset[key] for key in ("energy", "forces", "hessian")},
        "index_training_set": np.array(FRAME),
        "id_training_set": dataset["id"],
        "sizes": np.array(SIZES),
        "directions": along,
        "displaced_positions": np.array([result["positions"] for result in results]).reshape(forces.shape),
        "displaced_energies": np.array([result["energy"] for result in results]).reshape(shape),
        "displaced_forces": forces,
        "level": np.array(level),
    }
    molecular_dft.write(HERE / "data/displaced.npz", arrays)
    report(base, dataset, along, forces)
    seconds = sum(float(result["seconds"]) for result in results)
    print(f"base {float(base['seconds']):.0f} s, {len(results)} displaced {seconds:.0f} s, one thread")


if __name__ == "__main__":
    main()
