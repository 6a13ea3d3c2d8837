"""Dynamical matrices of silicon by perturbation theory, and the force constants they give.

abinit's matrix at a wave vector has the phase of the lattice alone, exp(2πi q·R); phonopy's has the positions in it
as well. Matrices are turned into phonopy's as soon as they are read.
"""

import re

import numpy as np
from _abinit import BOHR, EV, FILLED, Abinit, cell_input
from ase import Atoms
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import DynmatToForceConstants
from phonopy.structure.atoms import PhonopyAtoms
from spglib import get_ir_reciprocal_mesh

WAVES = 4  # along each axis

_GROUND = FILLED + "kptopt 1\nnstep 60\ntolvrs 1e-16\nprtwf 1\nprtden 1\n"
_WAVES_AT_Q = """kptopt 3
iscf -2
getden_filepath "{ground}/runo_DEN"
getwfk_filepath "{ground}/runo_WFK"
nqpt 1
qpt {q}
tolwfr 1e-20
nstep 80
prtwf 1
prtden 0
"""
_RESPONSE = """kptopt {kptopt}
rfphon 1
rfatpol 1 2
rfdir 1 1 1
nqpt 1
qpt {q}
getwfk_filepath "{ground}/runo_WFK"
{more}
tolvrs 1e-10
nstep 80
prtwf 0
prtden 0
"""


def phonopy_of(atoms: Atoms, repeat: int = WAVES) -> Phonopy:
    """A phonopy object of the primitive cell and its repeat, without force constants."""
    cell = PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),  # phonopy's table has others
    )
    return Phonopy(cell, supercell_matrix=np.diag([repeat] * 3), primitive_matrix=np.eye(3))


def irreducible_waves(phonopy: Phonopy) -> np.ndarray:
    """(n, 3) the wave vectors of the grid that symmetry and time reversal leave, in reciprocal lattice vectors."""
    cell = phonopy.primitive
    spglib_cell = (cell.cell, cell.scaled_positions, cell.numbers)
    image, counted = get_ir_reciprocal_mesh([WAVES] * 3, spglib_cell, is_shift=[0, 0, 0])
    waves = counted[np.unique(image)] / WAVES
    return waves - np.rint(waves - 1e-9)  # within -1/2 < q <= 1/2


def perturbed(abinit: Abinit, atoms: Atoms, wave: np.ndarray) -> np.ndarray:
    """D(q) of phonopy's convention by perturbation theory, (6, 6) complex [eV/Å²/amu].

    Args:
        abinit: the program and its folder.
        atoms: the two atoms of the primitive cell.
        wave: (3,) in reciprocal lattice vectors. It need not fit the grid of k: wavefunctions at k + q are computed.
    """
    ground = (abinit.runs / "dfpt/ground").resolve()
    abinit.run("dfpt/ground", cell_input(atoms, 1) + _GROUND)
    name = "dfpt/" + "_".join(f"{round(12 * q)}" for q in wave)
    said = " ".join(f"{q:.15f}" for q in wave)
    more, kptopt = "", 2
    if np.any(wave):
        kptopt = 3
        folder = (abinit.runs / f"{name}/waves").resolve()
        abinit.run(f"{name}/waves", cell_input(atoms, 1) + FILLED + _WAVES_AT_Q.format(ground=ground, q=said))
        more = f'getwfq_filepath "{folder}/runo_WFQ"'
    text = cell_input(atoms, 1) + FILLED + _RESPONSE.format(ground=ground, q=said, more=more, kptopt=kptopt)
    matrix = _read_matrix(abinit.run(f"{name}/response", text)) * EV / BOHR**2
    f = atoms.get_scaled_positions()
    phase = np.exp(2j * np.pi * (f[None, :, :] - f[:, None, :]) @ wave)
    masses = np.repeat(atoms.get_masses(), 3)
    return np.repeat(np.repeat(phase, 3, axis=0), 3, axis=1) * matrix / np.sqrt(np.outer(masses, masses))


def _read_matrix(output: str) -> np.ndarray:
    """(6, 6) complex [hartree/bohr²]: the Cartesian matrix at the end of a response calculation."""
    if "Dynamical matrix, in cartesian coordinates" not in output:
        raise RuntimeError("abinit's output has no Cartesian dynamical matrix: not every perturbation was computed")
    block = output.split("Dynamical matrix, in cartesian coordinates")[1]
    rows = re.findall(r"^\s+([123])\s+([12])\s+([123])\s+([12])\s+(\S+)\s+(\S+)\s*$", block, re.MULTILINE)
    matrix = np.full((6, 6), np.nan, complex)
    for a, i, b, j, real, imaginary in rows[:36]:
        matrix[3 * int(i) + int(a) - 4, 3 * int(j) + int(b) - 4] = float(real) + 1j * float(imaginary)
    if np.isnan(matrix).any():
        raise RuntimeError("abinit's Cartesian dynamical matrix is not complete: look at the end of its output")
    return matrix


def whole_grid(phonopy: Phonopy, waves: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Force constants of the supercell from the matrices at the irreducible wave vectors.

    An operation with rotation W of reduced coordinates and P of Cartesian ones takes atom i to g(i) and D(q) to
    D(W⁻ᵀ q), P D_ij(q) Pᵀ at g(i), g(j); time reversal takes it to its conjugate at -q. Nothing else is imposed.

    Args:
        phonopy: with the supercell.
        waves: (n, 3) irreducible wave vectors.
        matrices: (n, 6, 6) complex, phonopy's convention [eV/Å²/amu].

    Returns:
        (2, 2 * WAVES**3, 3, 3) compact force constants [eV/Å²].

    Raises:
        RuntimeError: a wave vector of the supercell is the image of none that is given.
    """
    cell = phonopy.primitive
    found = DynmatToForceConstants(cell, phonopy.supercell, is_full_fc=False)
    operations = phonopy.primitive_symmetry.symmetry_operations
    unfolded = []
    for wanted in found.commensurate_points:
        image = _image(cell, operations, waves, matrices, wanted)
        if image is None:
            raise RuntimeError(f"no irreducible wave vector has {wanted} among its images: take those of the same cell")
        unfolded.append(image)
    found.dynamical_matrices = np.array(unfolded)
    found.run()
    return found.force_constants


def _image(cell: PhonopyAtoms, operations: dict, waves: np.ndarray, matrices: np.ndarray, wanted: np.ndarray):
    """D at one wave vector, by the first operation found that leads there; None where there is none.

    D(q + G) differs from D(q) by the phases of the positions, so that G matters."""
    f, lattice = cell.scaled_positions, cell.cell.T
    for rotation, translation in zip(operations["rotations"], operations["translations"], strict=True):
        turned_waves = waves @ np.linalg.inv(rotation)  # W⁻ᵀ q
        for sign in (1, -1):
            shift = wanted - sign * turned_waves
            hits = np.flatnonzero(np.abs(shift - np.rint(shift)).max(axis=1) < 1e-6)
            if not len(hits):
                continue
            moved = f @ rotation.T + translation
            apart = f[None, :, :] - moved[:, None, :]
            goes_to = np.argmin(np.linalg.norm(apart - np.rint(apart), axis=2), axis=1)
            turn = np.zeros((6, 6))
            for i, g in enumerate(goes_to):
                turn[3 * g : 3 * g + 3, 3 * i : 3 * i + 3] = lattice @ rotation @ np.linalg.inv(lattice)
            matrix = turn @ matrices[hits[0]] @ turn.T
            matrix = matrix if sign == 1 else matrix.conj()
            phase = np.exp(2j * np.pi * (f[None, :, :] - f[:, None, :]) @ np.rint(shift[hits[0]]))
            return matrix * np.repeat(np.repeat(phase, 3, axis=0), 3, axis=1)
    return None
