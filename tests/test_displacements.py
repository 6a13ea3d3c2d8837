"""Frequencies against phonopy's own displacement route with the same weights, on ten DFT crystals."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import PhonaxCalculator

# Name and atoms in the file's cell: rock salt and zincblende (8), wurtzite (4); soft and hard, light and heavy.
CHOSEN = [
    *[("MgO", 8), ("NaCl", 8), ("KF", 8), ("PbSe", 8)],
    *[("BAs", 8), ("CuBr", 8), ("GaSb", 8)],
    *[("ZnO", 4), ("BP", 4), ("CdS", 4)],
]
DISTANCE = 0.003  # Å


def displaced(phonopy: Phonopy, calc, distance: float) -> np.ndarray:
    """Frequencies (n_q, 3n) [THz] by central displacements of the given length."""
    copy = Phonopy(phonopy.unitcell, phonopy.supercell_matrix, primitive_matrix=phonopy.primitive_matrix)
    copy.generate_displacements(distance=distance, is_plusminus=True, is_diagonal=False)
    forces = []
    for cell in copy.supercells_with_displacements:
        atoms = Atoms(numbers=cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)
        atoms.calc = calc
        forces.append(atoms.get_forces())
    copy.forces = forces
    copy.produce_force_constants()
    return frequencies(copy)


def frequencies(phonopy: Phonopy) -> np.ndarray:
    qpoints = [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0.13, 0.27, 0.41]]
    return phonopy.run_qpoints(qpoints).frequencies


@pytest.mark.data
def test_frequencies_equal_the_displacement_route_to_its_own_error(data):
    calc = PhonaxCalculator(data / "weights" / "nequix-mp-1-pft.nqx")
    listed = read(data / "data" / "phonondb_pbe_structures.extxyz", ":")
    structures = {(a.info["name"], len(a)): a for a in listed}
    # Densest first: later crystals fit what was compiled for it.
    for atoms in sorted((structures[key] for key in CHOSEN), key=lambda a: -len(a) / a.get_volume()):
        unitcell = PhonopyAtoms(
            numbers=atoms.numbers,
            cell=atoms.cell.array,
            scaled_positions=atoms.get_scaled_positions(),
            masses=atoms.get_masses(),
        )
        primitive = np.array(atoms.info.get("primitive_matrix", np.eye(3)), float)
        # Sixteen atoms: what is compared is exact on any supercell, so a small one does.
        supercell = np.rint(2 * primitive).astype(int) if len(atoms) == 8 else np.diag([2, 2, 1])
        phonopy = Phonopy(unitcell, supercell, primitive_matrix=primitive)
        calc.get_force_constants(phonopy)
        exact = frequencies(phonopy)
        # The error of central differences is quadratic in the step: three times the step shows nine
        # times the error, which is how the displacement route's own error is known.
        near, far = displaced(phonopy, calc, DISTANCE), displaced(phonopy, calc, 3 * DISTANCE)
        own_error = np.abs(far - near).max() / 8
        difference = np.abs(exact - near).max()
        print(f"{atoms.info['name']:6s} {difference:.1e} THz, displacements' own error {own_error:.1e} THz")
        assert difference < 2 * own_error + 1e-6
        assert np.abs(exact).max() > 3
