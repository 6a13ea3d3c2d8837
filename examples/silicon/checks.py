"""Whether the reference data of silicon agree with themselves: one Hamiltonian, perturbations and displacements.

    PHONAX_DATA=... python examples/silicon/checks.py [--abinit PROGRAM] [--runs FOLDER]

Three more calculations of 16 atoms, kept like those of generate.py, whose data it reads; some minutes.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import phonopy
from _abinit import Abinit, cell_input, ground_state
from _dfpt import phonopy_of
from ase import Atoms
from ase.io import read
from generate import EMPTY_BANDS, FRAME, FRAMES, HERE, name_of, perturbed_cell, shared_pseudopotential

DISPLACEMENT = 0.01  # Å
TIGHT = "tolvrs 1e-12\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--abinit", default="abinit", help="the program (default: abinit)")
    parser.add_argument("--runs", type=Path, default=HERE.parents[1] / "runs/silicon", help="where runs are kept")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="what is checked")
    parser.add_argument("--pseudopotential", type=Path, help="Si.psp8.xz (default: that below PHONAX_DATA)")
    options = parser.parse_args()
    abinit = Abinit(options.abinit, options.runs, options.pseudopotential or shared_pseudopotential())

    dfpt = phonopy.load(options.data / "phonopy_params.yaml", symmetrize_fc=False, log_level=0)
    cell = dfpt.primitive
    atoms = Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)
    frames_and_their_sums(options.data)
    energies_and_stresses(options.data)
    sums_of_constants(dfpt)
    displacements(abinit, atoms, dfpt)
    one_hamiltonian(abinit, atoms)


def frames_and_their_sums(data: Path) -> None:
    for repeat in FRAMES:
        path = data / f"frames_{name_of(repeat)}.extxyz"
        if not path.exists():
            continue
        frames = read(path, ":")
        sums = max(np.abs(frame.get_forces().sum(axis=0)).max() for frame in frames)
        forces = np.concatenate([frame.get_forces() for frame in frames])
        spread = np.std([frame.get_potential_energy() / len(frame) for frame in frames])
        print(
            f"{path.name}: {len(frames)} frames, forces sum to ≤ {sums:.0e} eV/Å (their mean is taken away by abinit), "
            f"RMS component {np.sqrt(np.mean(forces**2)):.3f} eV/Å, energies spread by {spread * 1e3:.0f} meV/atom"
        )


def energies_and_stresses(data: Path) -> None:
    """Second-order energy of the 1x1x1 frames against the mean of forces and stresses: signs and units.

    From one frame to another, E changes by the mean of the gradients at the two ends, to third order.
    """
    frames = read(data / "frames_1x1x1.extxyz", ":")
    found, expected = [], []
    for a, b in itertools.pairwise(frames):
        found.append(b.get_potential_energy() - a.get_potential_energy())
        strain = np.linalg.solve((a.cell.array + b.cell.array) / 2, b.cell.array - a.cell.array)
        internal = (
            (b.get_scaled_positions(wrap=False) - a.get_scaled_positions(wrap=False))
            @ (a.cell.array + b.cell.array)
            / 2
        )
        # σ V is the derivative along a strain, the atoms following; forces that along what is left
        stretched = sum(f.get_stress(voigt=False) * f.get_volume() for f in (a, b)) / 2
        forces = (a.get_forces() + b.get_forces()) / 2
        expected.append(np.sum(stretched * strain) - np.sum(forces * internal))
    slope = np.dot(expected, found) / np.dot(expected, expected)
    rest = np.std(np.array(found) - expected) / np.std(found)
    print(
        f"energy differences of 1x1x1 frames are {slope:.3f} times those by forces and stresses, {rest:.0%} unexplained"
    )


def sums_of_constants(dfpt: phonopy.Phonopy) -> None:
    constants = dfpt.force_constants
    largest = np.abs(constants.sum(axis=1)).max()
    frequencies = dfpt.run_qpoints([[0, 0, 0]]).frequencies[0]
    print(
        f"force constants: largest {np.abs(constants).max():.3f}, acoustic sum rule broken by {largest:.4f} eV/Å²; "
        f"Γ: {np.round(frequencies, 3)} THz, optical {frequencies[3:].mean():.3f}"
    )


def displacements(abinit: Abinit, atoms: Atoms, dfpt: phonopy.Phonopy) -> None:
    """Frequencies from two displaced cells of 16 atoms against those of perturbation theory."""
    finite = phonopy_of(atoms, 2)
    finite.generate_displacements(distance=DISPLACEMENT, is_plusminus=True)
    forces = []
    for number, moved in enumerate(finite.supercells_with_displacements):
        frame = Atoms(moved.symbols, positions=moved.positions, cell=moved.cell, pbc=True)
        output = abinit.run(f"checks/displaced_{number}", cell_input(frame, 2, EMPTY_BANDS[2]) + FRAME + TIGHT)
        forces.append(ground_state(output, len(frame))[1])
    finite.forces = np.array(forces)
    finite.produce_force_constants()
    for name, q in (("Γ", [0, 0, 0]), ("X", [0.5, 0, 0.5]), ("L", [0.5, 0, 0])):
        a, b = (crystal.run_qpoints([q]).frequencies[0] for crystal in (finite, dfpt))
        print(f"{name}: displaced {np.round(a, 3)}, perturbed {np.round(b, 3)}, apart ≤ {np.abs(a - b).max():.3f} THz")


def one_hamiltonian(abinit: Abinit, atoms: Atoms) -> None:
    """The first 1x1x1 frame, and its eight copies in one cell."""
    frame = perturbed_cell(atoms, 1, 0)
    energy, forces, stress = ground_state(
        abinit.run("checks/single", cell_input(frame, 1, EMPTY_BANDS[1]) + FRAME + TIGHT), 2
    )
    eight = frame.repeat(2)
    found = ground_state(abinit.run("checks/eightfold", cell_input(eight, 2, EMPTY_BANDS[2]) + FRAME + TIGHT), 16)
    print(
        f"eight copies: {abs(found[0] / 8 - energy) / 2 * 1e3:.1e} meV/atom, "
        f"{np.abs(found[1] - np.tile(forces, (8, 1))).max() * 1e3:.1e} meV/Å, "
        f"{np.abs(found[2] - stress).max() * 1e3:.1e} meV/Å³ from one"
    )


if __name__ == "__main__":
    main()
