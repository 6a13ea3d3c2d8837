"""Thermal expansion of hexagonal crystals: exact slopes by strain here against a grid of volumes and shapes.

    python benchmarks/anisotropic_expansion.py [--model nequix-mp-1-pft] [--crystals Mg ZnO] [--temperature 300]

The grid has seven volumes and five ratios c/a around the crystal at rest; at each point atoms are relaxed, force
constants are phonopy's from displacements by 0.01 Å with the same model, and the free energy is fitted by a polynomial
of the third order in both logarithms of lengths (of the fourth in none: with 35 points it would follow noise), whose
minimum moves with temperature. Ours is `get_anisotropic_expansion`. The same supercell and mesh on both sides.
"""

import argparse
import time
import warnings

import numpy as np
from ase import Atoms
from ase.build import bulk

from ase_phonax import PhonaxCalculator, get_anisotropic_expansion, relax
from ase_phonax.base.errors import UnstableWarning
from ase_phonax.phonons.anharmonic.expansion import StrainedModes
from ase_phonax.phonons.sampling.meshes import get_mesh
from ase_phonax.phonons.supercell.objects import build_phonopy, get_phonopy

CRYSTALS = {
    "Mg": (bulk("Mg", "hcp", a=3.2, c=5.2), [4, 4, 3]),
    "ZnO": (bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38), [3, 3, 2]),
}
GROWTH, SHAPES = np.linspace(-0.01, 0.05, 7), np.linspace(-0.012, 0.012, 5)  # of the volume; of the logarithm of c/a
STEP = 10.0  # [K] of the difference of cells that is their expansion


def by_displacements(atoms: Atoms, calc: PhonaxCalculator, matrix, mesh) -> StrainedModes:
    """Modes of a strained crystal from displaced supercells."""
    phonopy = build_phonopy(atoms, matrix)
    phonopy.generate_displacements(distance=0.01)
    forces = []
    for cell in phonopy.supercells_with_displacements:
        forces.append(calc.get_forces(Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)))
    phonopy.forces = forces
    phonopy.produce_force_constants(calculate_full_force_constants=False)
    found = phonopy.run_mesh(mesh, is_gamma_center=True)
    empty = np.zeros((0, 1, 1))
    return StrainedModes(np.zeros((0, 3, 3)), found.frequencies, empty, found.weights, phonopy.primitive.volume)


def on_a_grid(atoms: Atoms, calc: PhonaxCalculator, matrix, mesh, temperature: float) -> tuple[np.ndarray, int]:
    """Expansion along a and c [1/K], and how many free energies it took."""
    places, energies = [], []
    for growth in GROWTH:
        for shape in SHAPES:
            a, c = growth / 3 - shape / 3, growth / 3 + 2 * shape / 3
            strained = atoms.copy()
            strained.set_cell(atoms.cell[:] @ np.diag(np.exp([a, a, c])), scale_atoms=True)
            strained = relax(strained, calc, fix_cell=True, fmax=1e-5)[0]
            modes, static = by_displacements(strained, calc, matrix, mesh), strained.get_potential_energy()
            energies.append([static + modes.free_energy(t) for t in (temperature - STEP, temperature + STEP)])
            places.append([a, c])
    x, y = np.array(places).T * 100
    powers = [(i, j) for i in range(4) for j in range(4 - i)]
    terms = np.stack([x**i * y**j for i, j in powers], 1)
    minima = []
    for own in np.array(energies).T:
        polynomial = np.linalg.lstsq(terms, own, rcond=None)[0]
        minima.append(_minimum(polynomial, powers))
    return (minima[1] - minima[0]) / 100 / (2 * STEP), len(places)


def _minimum(polynomial: np.ndarray, powers: list[tuple[int, int]]) -> np.ndarray:
    from scipy.optimize import minimize

    def value(z: np.ndarray) -> float:
        return float(sum(w * z[0] ** i * z[1] ** j for w, (i, j) in zip(polynomial, powers, strict=True)))

    return minimize(value, [0.5, 0.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nequix-mp-1-pft")
    parser.add_argument("--crystals", nargs="+", default=list(CRYSTALS))
    parser.add_argument("--temperature", type=float, default=300.0, help="[K]")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnstableWarning)
    calc = PhonaxCalculator(options.model)
    for name in options.crystals:
        start, matrix = CRYSTALS[name]
        atoms = relax(start, calc, fmax=1e-6, smax=1e-8)[0]
        mesh = [int(n) for n in get_mesh(get_phonopy(atoms, calc, matrix), 30.0).mesh_numbers]
        begin = time.perf_counter()
        found = get_anisotropic_expansion(atoms, calc, matrix, options.temperature + 100, mesh_length=30.0)
        seconds = time.perf_counter() - begin
        ours = [np.interp(options.temperature, found.temperatures, found.expansion[:, k, k]) for k in (0, 2)]
        begin = time.perf_counter()
        theirs, number = on_a_grid(atoms, calc, matrix, mesh, options.temperature)
        print(
            f"{name} at {options.temperature:g} K along a and c (1e-6/K): {1e6 * ours[0]:.2f} {1e6 * ours[1]:.2f} here,"
            f" {found.n_evaluations} strains, {seconds:.0f} s; {1e6 * theirs[0]:.2f} {1e6 * theirs[1]:.2f} on the grid,"
            f" {number} points, {time.perf_counter() - begin:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
