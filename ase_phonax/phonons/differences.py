"""What an evaluator gives of a model, found of any ASE calculator by differences of forces and stresses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from ..base.errors import InputError
from ..base.files import write_whole
from ..base.hdf5 import pack, read
from ..derivatives.route import StrainDerivatives
from .elastic.moduli import VOIGT
from .supercell.constants import crystal_atoms

if TYPE_CHECKING:
    from phonopy.structure.atoms import PhonopyAtoms

    from ..base.progress import Progress
    from .calculators import ForcesCalculator
    from .finite_differences import DisplacementCalculator

STRESS_STRAIN = 1e-3  # of differences of stress, whose error is its square
_KEPT_EVERY = 20.0  # seconds
_SAME_PLACE = 1e-6  # [Å], of atoms that were relaxed anew


def displaced_forces(
    calc: ForcesCalculator,
    cells: Sequence[PhonopyAtoms | None],
    progress: Progress | None = None,
    keep: Path | None = None,
) -> NDArray[np.float64]:
    """Forces on displaced supercells (m, n, 3) [eV/Å], the net force taken off each of them.

    Nothing pulls a crystal as a whole: what is left there is noise, and would move acoustic modes at Gamma from zero.

    Args:
        progress: called with (done, total) supercells.
        keep: a file for what is known while others are computed; what another run left there of the same supercells
            is taken from it.
    """
    moved = [crystal_atoms(cell) for cell in cells if cell is not None]
    assert len(moved) == len(cells), "no displacement has been left out"
    forces = [] if keep is None else _kept_forces(keep, moved)
    written, last = len(forces), time.monotonic()
    try:
        for number in range(len(forces), len(moved)):
            if progress is not None:
                progress(number, len(moved))
            own = np.asarray(calc.get_property("forces", moved[number]), float)
            forces.append(own - own.mean(axis=0))
            if keep is not None and time.monotonic() - last > _KEPT_EVERY:
                _keep_forces(keep, moved, forces)
                written, last = len(forces), time.monotonic()
    finally:
        if keep is not None and len(forces) > written:
            _keep_forces(keep, moved, forces)
    return np.array(forces)


def _keep_forces(file: Path, moved: Sequence[Atoms], forces: Sequence[NDArray[np.float64]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    positions = np.array([atoms.positions for atoms in moved[: len(forces)]])
    write_whole(file, pack({"positions": positions, "numbers": moved[0].numbers, "forces": np.array(forces)}))


def _kept_forces(file: Path, moved: Sequence[Atoms]) -> list[NDArray[np.float64]]:
    """Forces of the first supercells, where a file has them of the same ones."""
    arrays: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):
        arrays = read(file).arrays
    forces, positions, numbers = (np.asarray(arrays.get(name, ())) for name in ("forces", "positions", "numbers"))
    expected = np.array([atoms.positions for atoms in moved[: len(forces)]])
    same = forces.shape == positions.shape == expected.shape and np.array_equal(numbers, moved[0].numbers)
    return list(forces) if same and np.allclose(positions, expected, rtol=0, atol=_SAME_PLACE) else []


class Differences:
    """Energies and their derivatives of a calculator, as `Evaluator` gives those of a model.

    Args:
        calc: with stress, where strains or stresses are asked for.
    """

    def __init__(self, calc: DisplacementCalculator):
        self.calc = calc

    def energy_forces_stress(
        self, atoms: Atoms
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The energy, as an array of one number [eV], forces (n, 3) [eV/Å] and virial (3, 3) [eV] of crystals."""
        energy, forces = (self.calc.get_property(name, atoms) for name in ("energy", "forces"))
        virial = np.zeros((3, 3))
        if atoms.pbc.all():
            virial = voigt_6_to_full_3x3_stress(self.calc.get_property("stress", atoms)) * atoms.get_volume()
        return np.array([energy], float), np.array(forces, float), virial

    def lattice_matrices(self, atoms: Atoms, qpoints: NDArray[np.float64]) -> NDArray[np.float64]:
        """Second derivatives at q = 0: (n_q, 3n, 3n) [eV/Å²].

        Raises:
            InputError: another wave vector.
        """
        if np.any(qpoints):
            raise InputError(
                f"second derivatives of {self.calc.title} are asked for at wave vectors other than zero",
                "displacements of one cell say nothing of them",
                "take those of a larger cell at zero",
            )
        n = 3 * len(atoms)
        hessian = self.calc.get_hessian(atoms).reshape(n, n)
        return np.repeat((hessian + hessian.T)[None] / 2, len(qpoints), 0)

    def hessian(self, atoms: Atoms, rows: NDArray[np.int64], progress: Progress | None = None) -> NDArray[np.float64]:
        """See `DisplacementCalculator.get_hessian`."""
        return np.asarray(self.calc.get_hessian(atoms, rows, progress))

    def strain_derivatives(self, atoms: Atoms) -> StrainDerivatives:
        """Differences of stress and forces between strains of `STRESS_STRAIN` to both sides, of a crystal at rest."""
        volume, n = atoms.get_volume(), len(atoms)
        of_strains, of_both = np.empty((3, 3, 3, 3)), np.empty((n, 3, 3, 3))
        for x, y in VOIGT:
            stresses, forces = [], []
            for sign in (1, -1):
                strain = np.zeros((3, 3))
                strain[x, y] += sign * STRESS_STRAIN / 2
                strain[y, x] += sign * STRESS_STRAIN / 2
                strained = atoms.copy()
                strained.set_constraint()
                strained.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
                stresses.append(voigt_6_to_full_3x3_stress(self.calc.get_property("stress", strained)))
                forces.append(self.calc.get_property("forces", strained))
            slope = (stresses[0] - stresses[1]) / (2 * STRESS_STRAIN)
            pull = (forces[0] - forces[1]) / (2 * STRESS_STRAIN)
            of_strains[:, :, x, y] = of_strains[:, :, y, x] = volume * slope
            of_both[:, :, x, y] = of_both[:, :, y, x] = -pull  # forces are minus the slope of the energy
        return StrainDerivatives(of_strains, of_both)
