"""How strong the lines of a molecule are: infrared intensities, Raman activities and depolarization ratios.

Degenerate modes are any basis of their space, and what one of them has for itself means nothing; the sum over the level
does. Modes of one level share its sum equally, so that the value of each mode does not depend on the basis either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import units
from numpy.typing import NDArray

from ..models.fields import CUBIC_ANGSTROM, DIPOLE, POLARIZABILITY, has_output, require_output
from ..models.potential import Potential
from .calculators import FieldCalculator
from .normal_modes import NormalModes, refuse_field

# N_A / (12 epsilon_0 c²): 974.88 km/mol for (e²/amu) and one mode (Porezag and Pederson, PRB 54, 7830 (1996)).
KM_MOL = units._Nav * units._e**2 / (12 * units._eps0 * units._c**2 * units._amu) / 1000
DEGENERATE_CM1 = 0.05  # modes of one set that are closer than this are one level: all that keeps them apart is rounding
SILENT = 1e-8  # of the largest Raman activity: what is weaker is rounding, which has no depolarization ratio


@dataclass(frozen=True)
class Intensities:
    """What light does with the normal modes of a molecule, in the double harmonic approximation.

    The modes of a degenerate level share its sum equally. What a model does not give is None.

    Attributes:
        modes: the normal modes.
        dipole: (3,) of the molecule at rest, along the axes of `modes.atoms` [eÅ].
        polarizability: (3, 3) static, of the molecule at rest [Å³].
        infrared: (n_modes,) integrated absorption of each mode [km/mol].
        isotropic: (n_modes,) squared derivative of the mean polarizability, a'² [Å⁴/amu].
        anisotropic: (n_modes,) squared anisotropy of the derivative, gamma'² [Å⁴/amu].
    """

    modes: NormalModes
    dipole: NDArray[np.float64] | None
    polarizability: NDArray[np.float64] | None
    infrared: NDArray[np.float64] | None
    isotropic: NDArray[np.float64] | None
    anisotropic: NDArray[np.float64] | None

    @property
    def raman(self) -> NDArray[np.float64] | None:
        """(n_modes,) Raman activities 45 a'² + 7 gamma'² [Å⁴/amu]."""
        if self.isotropic is None or self.anisotropic is None:
            return None
        return 45 * self.isotropic + 7 * self.anisotropic

    @property
    def depolarization(self) -> NDArray[np.float64] | None:
        """(n_modes,) of linearly polarized light, scattered at 90° to its polarization; NaN where there is none."""
        return self._ratios([(k + 1,) for k in range(len(self.modes.wavenumbers))])

    def of_sets(self, sets: Sequence[Sequence[int]]) -> dict[str, NDArray[np.float64]]:
        """Sums over sets of modes, which do not depend on how degenerate modes are chosen.

        Args:
            sets: numbers of modes, counted from 1.

        Returns:
            infrared [km/mol], raman [Å⁴/amu] and depolarization (of the sums), (n_sets,) each; what there is of them.
        """
        sums: dict[str, NDArray[np.float64] | None] = {
            "infrared": _sums(self.infrared, sets),
            "raman": _sums(self.raman, sets),
            "depolarization": self._ratios(sets),
        }
        return {name: values for name, values in sums.items() if values is not None}

    def _ratios(self, sets: Sequence[Sequence[int]]) -> NDArray[np.float64] | None:
        """(n_sets,) 3 gamma'² / (45 a'² + 4 gamma'²) (D. A. Long, The Raman Effect (2002), chapter 5)."""
        squares, activities = _sums(self.isotropic, sets), self.raman
        anisotropies = _sums(self.anisotropic, sets)
        if squares is None or anisotropies is None or activities is None:
            return None
        scattering = 45 * squares + 7 * anisotropies > SILENT * activities.max(initial=0.0)
        return np.where(
            scattering, 3 * anisotropies / np.where(scattering, 45 * squares + 4 * anisotropies, 1.0), np.nan
        )


def vibrational_intensities(modes: NormalModes, calc: FieldCalculator) -> Intensities:
    """Infrared intensities and Raman activities of normal modes, from exact derivatives of dipole and polarizability.

    Intensities of `modes_of_vibrations` are those of a Hessian from anywhere, with the charges of this calculator.

    Args:
        modes: of a neutral molecule.
        calc: `PhonaxCalculator` of a model with the outputs "dipole", "polarizability" or both.

    Raises:
        InputError: the model gives neither; the calculator is in a field.
        StructureError: a charged or periodic structure.
    """
    refuse_field(calc)
    atoms, u = modes.atoms, modes.displacements
    polar, polarizable = (has_output(calc.potential, output) for output in (DIPOLE, POLARIZABILITY))
    if not (polar or polarizable):
        require_output(calc.potential, DIPOLE)
    levels = levels_of(modes)
    dipole = polarizability = infrared = isotropic = anisotropic = None
    if polar:
        dipole = calc.get_dipole_moment(atoms)
        infrared = _shared(infrared_intensities(u, calc.get_born_charges(atoms)), levels)
    if polarizable:
        polarizability = CUBIC_ANGSTROM * calc.get_polarizability(atoms)
        squares = raman_invariants(u, CUBIC_ANGSTROM * calc.get_polarizability_gradient(atoms))
        isotropic, anisotropic = (_shared(square, levels) for square in squares)
    return Intensities(modes, dipole, polarizability, infrared, isotropic, anisotropic)


def gives_intensities(calc: object) -> bool:
    """Whether a calculator's model knows a dipole or a polarizability."""
    potential = getattr(calc, "potential", None)
    return isinstance(potential, Potential) and any(has_output(potential, o) for o in (DIPOLE, POLARIZABILITY))


def infrared_intensities(displacements: NDArray[np.float64], born_charges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integrated infrared absorption of modes: N_A / (12 epsilon_0 c²) |dmu/dQ|², dmu/dQ = sum of Z* u.

    Porezag and Pederson, Phys. Rev. B 54, 7830 (1996).

    Args:
        displacements: (n_modes, n_atoms, 3), sum of m |u|² = 1 [1/sqrt(amu)].
        born_charges: (n_atoms, 3, 3) dmu_a/dx_b, field first, displacement second [e].

    Returns:
        (n_modes,) of each mode as it is, degenerate or not [km/mol].
    """
    slopes = np.einsum("iab,kib->ka", born_charges, displacements)
    return KM_MOL * np.sum(slopes**2, axis=1)


def raman_invariants(
    displacements: NDArray[np.float64], gradient: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotational invariants of the derivatives of the polarizability by modes.

    a' = tr(alpha')/3, gamma'² = 3/2 (alpha' : alpha' - 3 a'²) (D. A. Long, The Raman Effect (2002), chapter 5).

    Args:
        displacements: (n_modes, n_atoms, 3), sum of m |u|² = 1 [1/sqrt(amu)].
        gradient: (n_atoms, 3, 3, 3) d alpha_ab/dx_c, displacement last [Å²].

    Returns:
        a'² and gamma'², (n_modes,) each, of each mode as it is, degenerate or not [Å⁴/amu].
    """
    slopes = np.einsum("iabc,kic->kab", gradient, displacements)
    mean = np.trace(slopes, axis1=1, axis2=2) / 3
    deviator = slopes - mean[:, None, None] * np.eye(3)
    return mean**2, 1.5 * np.sum(deviator**2, axis=(1, 2))


def levels_of(modes: NormalModes) -> list[tuple[int, ...]]:
    """Modes of one frequency, counted from 1: those that the point group keeps degenerate, as far as they are equal.

    Where there is no point group, since only some atoms move, equal frequencies alone make a level.
    """
    sets = [s.modes for s in modes.sets] or [tuple(range(1, len(modes.wavenumbers) + 1))]
    levels = []
    for members in sets:
        level: list[int] = []
        for mode in members:
            if level and modes.wavenumbers[mode - 1] - modes.wavenumbers[level[-1] - 1] > DEGENERATE_CM1:
                levels.append(tuple(level))
                level = []
            level.append(mode)
        levels += [tuple(level)] if level else []
    return sorted(levels)


def _shared(values: NDArray[np.float64], levels: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Values of modes, with those of a level replaced by their mean."""
    shared = values.copy()
    for level in levels:
        places = np.array(level) - 1
        shared[places] = values[places].mean()
    return shared


def _sums(values: NDArray[np.float64] | None, sets: Sequence[Sequence[int]]) -> NDArray[np.float64] | None:
    """Sums over sets of modes, counted from 1."""
    if values is None:
        return None
    return np.array([values[np.array(modes, int) - 1].sum() for modes in sets], float)
