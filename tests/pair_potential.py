"""A calculator without a network: a pair potential whose second derivatives are written down.

It answers everything that `PhonaxCalculator` does, exactly and in milliseconds, so that what stands
above the potential (phonopy, relaxation, figures, the command line) is tested without JAX.
"""

from types import SimpleNamespace

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from ase.vibrations import VibrationsData

from ase_phonax.models.potential import Provenance

CUTOFF = 4.5  # [Å]
TURN = 0.4722  # the minimum then lies at 2.8 Å


class PairCalculator(Calculator):
    """phi(r) = strength x⁴ (x - turn), x = 1 - r / cutoff: minimum at x = 0.8 turn, C³ at the cutoff.

    Args:
        turn: of unlike pairs, and of all pairs where `like` is not given.
        like: `turn` of like pairs in a compound; 0 repels at every distance.
        strength: [eV].
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, turn: float = TURN, like: float | None = None, strength: float = 155.0):
        super().__init__()
        self.turn, self.like, self.strength = turn, turn if like is None else like, strength
        self.potential = SimpleNamespace(
            name="pair-potential", cutoff=CUTOFF, provenance=Provenance(level_of_theory="written down")
        )
        self.n_calls = 0

    def _derivatives(self, r, same):
        x, turn = 1 - r / CUTOFF, np.where(same, self.like, self.turn)
        value = x**5 - turn * x**4
        slope = -(5 * x**4 - 4 * turn * x**3) / CUTOFF
        curvature = (20 * x**3 - 12 * turn * x**2) / CUTOFF**2
        return self.strength * value, self.strength * slope, self.strength * curvature

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.n_calls += 1
        i, j, r, vectors = neighbor_list("ijdD", atoms, CUTOFF)
        value, slope, _ = self._derivatives(r, atoms.numbers[i] == atoms.numbers[j])
        pull = (slope / r)[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull)
        energy = 0.5 * value.sum()
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if all(atoms.pbc):
            virial = 0.5 * vectors.T @ pull
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / atoms.cell.volume)

    def _blocks(self, atoms):
        """Pairs i, j, their vectors (n, 3) and second derivatives d²E/dx_i dx_j (n, 3, 3), one for each image."""
        i, j, r, vectors = neighbor_list("ijdD", atoms, CUTOFF)
        _, slope, curvature = self._derivatives(r, atoms.numbers[i] == atoms.numbers[j])
        along = np.einsum("na,nb->nab", vectors, vectors) / (r**2)[:, None, None]
        blocks = -curvature[:, None, None] * along - (slope / r)[:, None, None] * (np.eye(3) - along)
        return i, j, vectors, blocks

    def get_force_constants(self, phonopy, *, progress=None):
        cell = phonopy.supercell
        atoms = Atoms(numbers=cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)
        constants = np.zeros((len(atoms), len(atoms), 3, 3))
        i, j, _, blocks = self._blocks(atoms)
        np.add.at(constants, (i, j), blocks)
        np.add.at(constants, (i, i), -blocks)
        if progress is not None:
            progress(1, 1)
        return constants[phonopy.primitive.p2s_map]

    def get_dynamical_matrix(self, atoms, qpoints, *, symmetry=True, progress=None):
        n, roots = len(atoms), np.sqrt(atoms.get_masses())
        i, j, vectors, blocks = self._blocks(atoms)
        matrices = []
        for q in np.reshape(qpoints, (-1, 3)):
            phases = np.exp(2j * np.pi * vectors @ atoms.cell.reciprocal()[:].T @ q)
            # Reciprocal rows b satisfy a.b = 1: q.f of a vector v is (b v).q summed over rows.
            matrix = np.zeros((n, n, 3, 3), complex)
            np.add.at(matrix, (i, j), phases[:, None, None] * blocks)
            np.add.at(matrix, (i, i), -blocks)
            matrix /= np.outer(roots, roots)[:, :, None, None]
            matrices.append(matrix.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n))
        return np.array(matrices)

    def get_vibrations(self, atoms, indices=None, *, progress=None):
        moving = VibrationsData.indices_from_constraints(atoms) if indices is None else np.asarray(indices)
        hessian = np.zeros((len(atoms), len(atoms), 3, 3))
        i, j, _, blocks = self._blocks(atoms)
        np.add.at(hessian, (i, j), blocks)
        np.add.at(hessian, (i, i), -blocks)
        hessian = hessian.transpose(0, 2, 1, 3)[moving][:, :, moving]
        return VibrationsData(atoms, hessian, indices=moving)
