"""The reference data of silicon: perturbed frames of three cells and the Hessian, one Hamiltonian for all.

    PHONAX_DATA=... python examples/silicon/generate.py [--only SET] [--frames N] [--abinit PROGRAM] [--runs FOLDER]

Needs abinit (tried: 9.6) and `pip install ase phonopy`. Every calculation is kept below the folder of the runs, and
a second start goes on from there: stop it at any moment. Several sets may run at once, in processes of their own,
once the equilibrium is there. data/README.md says what is computed, and how long it takes.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from _abinit import FILLED, SMEARED, Abinit, cell_input, ground_state
from _dfpt import irreducible_waves, perturbed, phonopy_of, whole_grid
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

HERE = Path(__file__).resolve().parent
FRAMES = {1: 60, 3: 10, 2: 30}  # by repeat, in the order of running
ON_POSITIONS, ON_VECTORS = 0.1, 0.05  # Å, standard deviation of each Cartesian component
TRIED = (5.37, 5.40, 5.43, 5.46, 5.49)  # Å, lattice constants
SYMMETRIC = FILLED + "kptopt 1\nnstep 60\ntolvrs 1e-14\nprtwf 0\nprtden 0\n"
# Without symmetry but time reversal, converged in the residual of the potential: forces are computed once, at the end.
FRAME = SMEARED + "kptopt 2\nnsym 1\nnstep 100\nprtwf 0\nprtden 0\n"
EMPTY_BANDS = {1: 4, 2: 6, 3: 10}
CONVERGED = {1: "tolvrs 1e-12\n", 2: "tolvrs 1e-7\n", 3: "tolvrs 3e-7\n"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sets = ["dfpt", *(name_of(n) for n in FRAMES)]
    parser.add_argument("--only", choices=sets, help="one set (default: all, one after another)")
    parser.add_argument("--frames", type=int, help="the first so many frames of a set (default: all of them)")
    parser.add_argument("--abinit", default="abinit", help="the program (default: abinit)")
    parser.add_argument("--runs", type=Path, default=HERE.parents[1] / "runs/silicon", help="where runs are kept")
    parser.add_argument("--output", type=Path, default=HERE / "data", help="where finished sets go")
    parser.add_argument("--pseudopotential", type=Path, help="Si.psp8.xz (default: that below PHONAX_DATA)")
    options = parser.parse_args()
    abinit = Abinit(options.abinit, options.runs, options.pseudopotential or shared_pseudopotential())
    options.output.mkdir(parents=True, exist_ok=True)

    atoms = equilibrium(abinit)
    if options.only in (None, "dfpt"):
        write_hessian(abinit, atoms, options.output)
    for repeat, n_frames in FRAMES.items():
        if options.only in (None, name_of(repeat)):
            write_frames(abinit, atoms, repeat, options.frames or n_frames, options.output)


def name_of(repeat: int) -> str:
    return f"{repeat}x{repeat}x{repeat}"


def shared_pseudopotential() -> Path:
    if "PHONAX_DATA" not in os.environ:
        sys.exit(
            "The pseudopotential is unknown: give --pseudopotential Si.psp8.xz (PseudoDojo v0.4, PBEsol, standard), "
            "or set PHONAX_DATA to the folder that has data/pseudo/"
        )
    return Path(os.environ["PHONAX_DATA"]) / "data/pseudo/Si.psp8.xz"


def equilibrium(abinit: Abinit) -> Atoms:
    """The two atoms at the lattice constant where the stress vanishes, to 0.0001 Å.

    The stress is interpolated by a cubic polynomial of the lattice constant; it is the derivative of the energy at this
    cutoff, because the kinetic energy is smeared.
    """
    pressures = []
    for a in TRIED:
        output = abinit.run(f"lattice/{a:.2f}", cell_input(bulk("Si", a=a), 1) + SYMMETRIC)
        energy, _, stress = ground_state(output, 2)
        pressures.append(-stress[:3].mean())
        print(f"a = {a:.2f} Å: {energy:.6f} eV, pressure {pressures[-1] * 160.21766:7.3f} GPa", flush=True)
    roots = np.roots(np.polyfit(np.array(TRIED) - TRIED[2], pressures, 3)).astype(complex)
    inside = roots[np.abs(roots.imag) < 1e-9].real
    (a,) = [round(TRIED[2] + x, 4) for x in inside if TRIED[0] < TRIED[2] + x < TRIED[-1]]
    print(f"equilibrium: a = {a:.4f} Å", flush=True)
    return bulk("Si", a=a)


def perturbed_cell(atoms: Atoms, repeat: int, number: int) -> Atoms:
    """A repeat with Gaussian noise on its own three cell vectors, the atoms following, then on the positions.

    The noise on the vectors is as large in Å for all repeats: strains are smaller in the larger ones.
    """
    rng = np.random.default_rng([repeat, number])
    frame = atoms.repeat(repeat)
    frame.set_cell(frame.cell.array + ON_VECTORS * rng.standard_normal((3, 3)), scale_atoms=True)
    frame.positions += ON_POSITIONS * rng.standard_normal((len(frame), 3))
    return frame


def computed_frame(abinit: Abinit, atoms: Atoms, repeat: int, number: int) -> Atoms:
    """One frame with energy, forces and stress."""
    frame = perturbed_cell(atoms, repeat, number)
    text = cell_input(frame, repeat, EMPTY_BANDS[repeat]) + FRAME + CONVERGED[repeat]
    energy, forces, stress = ground_state(abinit.run(f"{name_of(repeat)}/{number:03d}", text), len(frame))
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, stress=stress)
    return frame


def write_frames(abinit: Abinit, atoms: Atoms, repeat: int, n_frames: int, folder: Path) -> None:
    frames = []
    for number in range(n_frames):
        start = time.perf_counter()
        frame = computed_frame(abinit, atoms, repeat, number)
        frames.append(frame)
        spent = time.perf_counter() - start
        largest = np.linalg.norm(frame.get_forces(), axis=1).max()
        said = f"{frame.get_potential_energy() / len(frame):.5f} eV/atom, forces ≤ {largest:.2f} eV/Å"
        print(f"{name_of(repeat)} frame {number}: {said}, {spent:.0f} s", flush=True)
    path = folder / f"frames_{name_of(repeat)}.extxyz"
    write(path.with_suffix(".tmp"), frames, format="extxyz")
    path.with_suffix(".tmp").replace(path)
    print(f"{path.name}: {n_frames} frames", flush=True)


def write_hessian(abinit: Abinit, atoms: Atoms, folder: Path) -> None:
    """Matrices at the irreducible wave vectors, and what phonopy needs to interpolate them."""
    phonopy = phonopy_of(atoms)
    waves = irreducible_waves(phonopy)
    matrices = []
    for wave in waves:
        start = time.perf_counter()
        matrices.append(perturbed(abinit, atoms, wave))
        squares = np.linalg.eigvalsh(matrices[-1])
        thz = np.sign(squares) * np.sqrt(np.abs(squares)) * 15.63330230
        print(f"q = {wave}: {np.round(thz, 3)} THz, {time.perf_counter() - start:.0f} s", flush=True)
    phonopy.force_constants = whole_grid(phonopy, waves, np.array(matrices))
    phonopy.save(folder / "phonopy_params.tmp", settings={"force_constants": True})
    (folder / "phonopy_params.tmp").replace(folder / "phonopy_params.yaml")
    content = {
        "what": "dynamical matrices by perturbation theory at the irreducible wave vectors of a 4x4x4 grid",
        "convention": "phonopy's: D_ij(q) = sum_R Phi_ij(R) exp[2 pi i q.(R + f_j - f_i)] / sqrt(m_i m_j)",
        "unit": "eV/angstrom^2/amu",
        "cell_angstrom": atoms.cell.array.tolist(),
        "scaled_positions": atoms.get_scaled_positions().tolist(),
        "masses_amu": atoms.get_masses().tolist(),
        "q": waves.tolist(),
        "real": np.real(matrices).tolist(),
        "imaginary": np.imag(matrices).tolist(),
    }
    (folder / "dynamical_matrices.tmp").write_text(json.dumps(content, indent=1) + "\n")
    (folder / "dynamical_matrices.tmp").replace(folder / "dynamical_matrices.json")
    print("phonopy_params.yaml, dynamical_matrices.json", flush=True)


if __name__ == "__main__":
    main()
