"""Elastic constants: how a crystal's energy bends with strain, its atoms held or let go.

Clamped-ion constants are the second derivatives of the energy by strain at fixed reduced positions, over the volume.
Where atoms follow, the strain's pull on them is answered by their own constants at q = 0 without translations,
C = C_clamped - L^T K^+ L / V (M. Born and K. Huang, Dynamical Theory of Crystal Lattices (1954), section 12). All of it
is exact: no strain is applied, and no atom moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from ...base.errors import InputError, StructureError
from ...structures.checks import check_atoms_given, require_crystal
from ...structures.layers import kind_in_vacuum
from .moduli import (
    VOIGT,
    Moduli,
    as_voigt,
    hill_moduli,
    mean_velocity,
    reuss_moduli,
    sound_waves,
    universal_anisotropy,
    voigt_moduli,
    young_moduli,
)

if TYPE_CHECKING:
    from ...derivatives.route import StrainDerivatives
    from ..calculators import EvaluatedCalculator

MAX_STRESS = 0.1  # GPa, beyond which derivatives by strain are no elastic constants; forces pull a thousandth of it
MAX_FORCE = 0.01  # eV/Å
SOFTEST = 1e-3  # eV/Å²: constants of atoms below are those of an instability, or of an atom that nothing holds
_KG_PER_M3 = 1.66053906660e-27 / 1e-30  # of amu/Å³


@dataclass(frozen=True)
class ElasticConstants:
    """Elastic constants of a crystal in the axes of its atoms, in Voigt's order xx yy zz yz xz xy.

    Attributes:
        relaxed_ion: (6, 6) of atoms that follow, which is what one measures [GPa].
        clamped_ion: (6, 6) of atoms at fixed reduced positions [GPa].
        internal_strain: (n, 3, 6) how far atoms go from there per unit of (engineers') strain [Å].
        stress: (3, 3) of the structure, small [GPa].
        density: [kg/m³].
        volume_per_atom: [Å³].
    """

    relaxed_ion: NDArray[np.float64]
    clamped_ion: NDArray[np.float64]
    internal_strain: NDArray[np.float64]
    stress: NDArray[np.float64]
    density: float
    volume_per_atom: float

    @cached_property
    def eigenvalues(self) -> NDArray[np.float64]:
        """(6,) stiffness of the six ways to strain the crystal, ascending, of unit tensors of strain [GPa]."""
        scale = np.sqrt([1, 1, 1, 2, 2, 2])  # Mandel's form has the eigenvalues of the tensor
        return np.linalg.eigvalsh(self.relaxed_ion * np.outer(scale, scale))

    @property
    def is_stable(self) -> bool:
        """Born's criterion: every strain costs energy (F. Mouhat, F.-X. Coudert, Phys. Rev. B 90, 224104 (2014))."""
        return bool(self.eigenvalues[0] > 0)

    @property
    def voigt(self) -> Moduli:
        """Upper bounds of an aggregate's moduli."""
        return voigt_moduli(self.relaxed_ion)

    @property
    def reuss(self) -> Moduli:
        """Lower bounds."""
        return reuss_moduli(self._stable())

    @property
    def hill(self) -> Moduli:
        """Means of both bounds: what a polycrystal has."""
        return hill_moduli(self._stable())

    @property
    def universal_anisotropy(self) -> float:
        """0 where all directions are alike."""
        return universal_anisotropy(self._stable())

    def young(self, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k,) Young's modulus along directions (k, 3) [GPa]."""
        return young_moduli(self._stable(), directions)

    def sound_waves(self, directions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(k, 3) velocities, the slowest first [m/s], and (k, 3, 3) polarizations in columns, of directions (k, 3)."""
        return sound_waves(self.relaxed_ion, self.density, directions)

    @property
    def mean_velocity(self) -> float:
        """Of all sound waves, as Debye's law takes it [m/s]."""
        return mean_velocity(self._stable(), self.density)

    @property
    def debye_temperature(self) -> float:
        """Of sound, at low temperatures: (hbar / k_B) v (6 pi² / V)^(1/3), V of an atom [K]."""
        wave_number = (6 * np.pi**2 / (self.volume_per_atom * 1e-30)) ** (1 / 3)
        return float(units._hbar / units._k * self.mean_velocity * wave_number)

    def _stable(self) -> NDArray[np.float64]:
        if not self.is_stable:
            raise StructureError(
                f"the crystal gives way: its softest strain has the stiffness {self.eigenvalues[0]:.3g} GPa",
                "it is no state of rest, and what follows from its compliance is not defined",
                "follow the instability first; relaxed_ion and clamped_ion are there all the same",
            )
        return self.relaxed_ion


def elastic_constants(atoms: Atoms, calc: EvaluatedCalculator) -> ElasticConstants:
    """Exact elastic constants of a crystal at rest, (6, 6) in GPa (`ElasticConstants`); equation and source above.

    Args:
        atoms: a crystal, relaxed: cell and positions; not changed.
        calc: a `PhonaxCalculator`. Of polar crystals these are constants without a macroscopic field.

    Raises:
        StructureError: no crystal in three dimensions; forces or stress; a crystal that is unstable at Gamma, whose
            atoms do not follow a strain but leave.
        InputError: a calculator without a network.
    """
    check_atoms_given(atoms)
    require_crystal(atoms)
    _refuse_vacuum(atoms)
    if getattr(calc, "evaluator", None) is None:
        raise InputError(
            f"the calculator is a {type(calc).__name__}",
            "second derivatives by strain come from a network",
            "give a PhonaxCalculator",
        )
    stress = _stress_at_rest(atoms, calc)
    n, volume = len(atoms), float(atoms.get_volume())
    derivatives, coupling, answers = _followed(atoms, calc)
    clamped = as_voigt(derivatives.of_strains.astype(float)) / volume / units.GPa
    softening = coupling @ answers.T / volume / units.GPa
    return ElasticConstants(
        relaxed_ion=clamped + (softening + softening.T) / 2,
        clamped_ion=clamped,
        internal_strain=answers.T.reshape(n, 3, 6),
        stress=stress,
        density=float(atoms.get_masses().sum() / volume * _KG_PER_M3),
        volume_per_atom=volume / n,
    )


def internal_strain(atoms: Atoms, calc: EvaluatedCalculator) -> NDArray[np.float64]:
    """How far atoms go per unit of (engineers') strain: (n, 3, 6) [Å]; there may be stress, but no forces on them.

    Raises:
        StructureError: atoms that would not follow, but leave.
    """
    return _followed(atoms, calc)[2].T.reshape(len(atoms), 3, 6)


def _followed(
    atoms: Atoms, calc: EvaluatedCalculator
) -> tuple[StrainDerivatives, NDArray[np.float64], NDArray[np.float64]]:
    """Derivatives by strain, the pull of engineers' strains on atoms (6, 3n), and what these answer (6, 3n)."""
    n = len(atoms)
    derivatives = calc.evaluator.strain_derivatives(atoms)
    # Of shear, both components of the tensor change by a half.
    coupling = np.array([derivatives.of_positions_and_strains[:, :, x, y] for x, y in VOIGT])
    coupling = (coupling + [derivatives.of_positions_and_strains[:, :, y, x] for x, y in VOIGT]) / 2
    coupling = coupling.reshape(6, 3 * n).astype(float)
    hessian = calc.evaluator.hessian(atoms, np.arange(n)).reshape(3 * n, 3 * n).astype(float)
    return derivatives, coupling, _answers(hessian, coupling)


def _answers(hessian: NDArray[np.float64], coupling: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6, 3n) displacements by which atoms follow strains, without any of the whole crystal."""
    n = len(hessian) // 3
    if n == 1:
        return np.zeros_like(coupling)
    translations = np.tile(np.eye(3), (n, 1)) / np.sqrt(n)
    apart = np.linalg.svd(np.eye(3 * n) - translations @ translations.T)[0][:, : 3 * n - 3]
    inner = apart.T @ (hessian + hessian.T) @ apart / 2
    softest = float(np.linalg.eigvalsh(inner)[0])
    if softest < SOFTEST:
        raise StructureError(
            f"the softest mode at Γ has a force constant of {softest:.3g} eV/Å²",
            "the crystal is unstable, or an atom is held by nothing: in a strain it would not follow, but leave",
            "follow the instability first: `ase-phonax phonons --follow`",
        )
    return np.asarray(-(apart @ np.linalg.solve(inner, apart.T @ coupling.T)).T)


def _stress_at_rest(atoms: Atoms, calc: EvaluatedCalculator) -> NDArray[np.float64]:
    """(3, 3) [GPa]; forces and stresses beyond rest are refused."""
    still = atoms.copy()
    still.calc = calc
    stress = voigt_6_to_full_3x3_stress(still.get_stress()) / units.GPa
    force = float(np.linalg.norm(still.get_forces(apply_constraint=False), axis=1).max())
    if np.abs(stress).max() > MAX_STRESS or force > MAX_FORCE:
        raise StructureError(
            f"the stress is up to {np.abs(stress).max():.3g} GPa, and forces up to {force:.2g} eV/Å",
            "away from rest second derivatives by strain depend on how strain is defined, and are no elastic constants",
            "relax cell and positions first, with the same model: ase_phonax.relax(atoms, calc)",
        )
    return stress


def _refuse_vacuum(atoms: Atoms) -> None:
    if (kind := kind_in_vacuum(atoms)) is not None:
        raise StructureError(
            f"the structure is {kind} with vacuum around it",
            "elastic constants are energies per volume, and that of its cell is mostly vacuum",
            "give a crystal that fills space",
        )
