"""Whether the reference data of silicon agree with themselves: one Hamiltonian, perturbations and displacements.

    PHONAX_DATA=... python examples/silicon/checks.py [--abinit PROGRAM] [--runs FOLDER]

Three more calculations of 16 atoms and some of two, kept like those of generate.py, whose data it reads; some minutes.
"""

import argparse
from pathlib import Path

import numpy as np
import phonopy
from _abinit import FILLED, SMEARED, Abinit, cell_input, ground_state
from _dfpt import phonopy_of
from ase import Atoms
from ase.build import bulk
from ase.io import read
from ase.stress import voigt_6_to_full_3x3_stress
from generate import (
    EMPTY_BANDS,
    FRAME,
    FRAMES,
    HERE,
    SYMMETRIC,
    TRIED,
    name_of,
    perturbed_cell,
    shared_pseudopotential,
)

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
    pressures(abinit)
    gradients(abinit, atoms)
    sums_of_constants(dfpt)
    displacements(abinit, atoms, dfpt)
    fillings(abinit, atoms)
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


def pressures(abinit: Abinit) -> None:
    """Pressures against the differences of energies of the equation of state: sign, unit and Pulay's stress."""
    found = []
    for a in TRIED:
        found.append(ground_state(abinit.run(f"lattice/{a:.2f}", cell_input(bulk("Si", a=a), 1) + SYMMETRIC), 2))
    volumes = np.array(TRIED) ** 3 / 4
    slope = np.polyfit(volumes - volumes[2], [energy for energy, _, _ in found], 4)[-2]
    stress = found[2][2][:3].mean()
    print(f"at a = {TRIED[2]} Å: dE/dV = {slope * 160.21766:.3f} GPa, stress {stress * 160.21766:.3f} GPa")


def gradients(abinit: Abinit, atoms: Atoms, number: int = 33) -> None:
    """Central differences of the energy of a frame whose bands overlap, along a random displacement and strain."""
    rng = np.random.default_rng(0)
    frame = perturbed_cell(atoms, 1, number)
    move, strain = rng.standard_normal((2, 3)), rng.standard_normal((3, 3))
    move -= move.mean(axis=0)
    strain = strain + strain.T
    move, strain = move / np.linalg.norm(move), strain / np.linalg.norm(strain)

    def computed(name: str, displaced: float, strained: float) -> tuple[float, np.ndarray, np.ndarray]:
        moved = frame.copy()
        moved.positions += displaced * move
        moved.set_cell(moved.cell.array @ (np.eye(3) + strained * strain), scale_atoms=True)
        text = cell_input(moved, 1, EMPTY_BANDS[1]) + FRAME + TIGHT
        return ground_state(abinit.run(f"checks/gradient_{name}", text), 2)

    _, forces, stress = computed("middle", 0, 0)
    for what, name, step, analytic in (
        ("forces", "moved", (0.005, 0), -np.sum(forces * move)),
        ("stress", "strained", (0, 0.002), np.sum(voigt_6_to_full_3x3_stress(stress) * strain) * frame.get_volume()),
    ):
        ends = [computed(f"{name}{sign:+d}", *(sign * x for x in step))[0] for sign in (1, -1)]
        found = (ends[0] - ends[1]) / (2 * sum(step))
        print(f"1x1x1 frame {number}, slope of the energy by differences {found:.4f}, by {what} {analytic:.4f}")


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


def fillings(abinit: Abinit, atoms: Atoms) -> None:
    """The equilibrium with filled bands, as for its response, and with smeared fillings, as for the frames."""
    found = []
    for name, text in (("filled", SYMMETRIC), ("smeared", SYMMETRIC.replace(FILLED, SMEARED))):
        found.append(ground_state(abinit.run(f"checks/{name}", cell_input(atoms, 1, EMPTY_BANDS[1]) + text), 2))
    print(
        f"equilibrium, smeared against filled: {(found[1][0] - found[0][0]) / 2 * 1e3:.1e} meV/atom, "
        f"{np.abs(found[1][2] - found[0][2]).max() * 1e3:.1e} meV/Å³"
    )


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
