"""All force constants of nine crystals by SevenNet-l3i5: exactly here, and by displacements with its own calculator.

    python benchmarks/sevennet.py [--only Si NaCl]       in an environment with torch and sevenn

Both sides warm and in one process, supercells of benchmarks/force_constants.py; constructing the `Phonopy` object is on
neither clock. Theirs is in single precision, the only one it has; ours in both.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import sevenn
from force_constants import crystals, phonopy_of
from sevenn.calculator import SevenNetCalculator

from ase_phonax import PhonaxCalculator
from ase_phonax.models.files.sevennet import read_sevennet
from ase_phonax.phonons.supercell.constants import crystal_atoms

CHECKPOINT = Path(sevenn.__file__).parent / "pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth"


def displaced(calc, phonopy) -> tuple[float, np.ndarray]:
    """Seconds for forces and constants, and the constants."""
    phonopy.generate_displacements(distance=0.01)
    cells = [crystal_atoms(cell) for cell in phonopy.supercells_with_displacements]
    for _ in range(2):  # TorchScript makes its program anew for other numbers of edges: the first pass is to warm
        start, forces = time.perf_counter(), []
        for cell in cells:
            calc.reset()
            forces.append(calc.get_property("forces", cell))
    phonopy.forces = forces
    phonopy.produce_force_constants(calculate_full_force_constants=False)
    return time.perf_counter() - start, phonopy.force_constants


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    potential = read_sevennet(CHECKPOINT)
    own = {dtype: PhonaxCalculator(potential, dtype=dtype) for dtype in ("float64", "float32")}
    peer = SevenNetCalculator(str(CHECKPOINT), device="cpu")
    ratios: dict[str, list[float]] = {dtype: [] for dtype in own}
    print("| crystal | atoms | displacements | peer s | ours s | ratio | ratio, float64 | largest difference |")
    print("|---|---|---|---|---|---|---|---|")
    for name, atoms in crystals().items():
        if options.only and name not in options.only:
            continue
        phonopy = phonopy_of(atoms)
        row = {}
        for dtype, calc in own.items():
            for _ in range(2):  # the first is to warm
                calc._forget()
                start = time.perf_counter()
                exact = calc.get_force_constants(phonopy)
                row[dtype] = time.perf_counter() - start
            if dtype == "float64":
                reference = exact.copy()
        theirs, constants = displaced(peer, phonopy)
        off = np.abs(reference - constants).max()
        for dtype in own:
            ratios[dtype].append(theirs / row[dtype])
        print(
            f"| {name} | {len(phonopy.supercell)} | {len(phonopy.supercells_with_displacements)} | {theirs:.1f} |"
            f" {row['float32']:.2f} | {theirs / row['float32']:.0f} | {theirs / row['float64']:.0f} |"
            f" {off:.0e} of {np.abs(reference).max():.0f} eV/Å² |",
            flush=True,
        )
    for dtype, values in ratios.items():
        print(f"{dtype}: geometric mean {np.exp(np.mean(np.log(values))):.0f}, least {min(values):.1f}")


if __name__ == "__main__":
    main()
