"""A crystal displaced along one mode: its energy on the way, and what it relaxes to.

Any wave with a period is followed, in the smallest supercell that it fits, along a direction that symmetry
singles out among degenerate ones. Amplitudes are the largest displacement of an atom in Å.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.phonon.symmetry_adapted_modes import SymmetryAdaptedModes

from ...base.errors import InputError, UnstableWarning
from ...base.units import THZ_PER_SQRT_EV_A2_AMU
from ...structures.commensurate_cells import as_fractions, commensurate_cell
from ...structures.relaxation import RelaxationReport, relax
from ..calculators import DirectedCalculator
from ..supercell.constants import crystal_atoms
from ..supercell.door import checked, dynamical_matrix
from ..supercell.patches import exact_matrices
from .directions import real_patterns, representation, special_directions

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

AMPLITUDES = tuple(np.linspace(0.0, 0.6, 13).tolist())  # [Å]
LARGEST_AMPLITUDE = 5.0  # [Å] beyond, atoms have left their places
MAX_ATOMS = 1000


@dataclass(frozen=True)
class ModePattern:
    """A real displacement along one mode, in the smallest supercell that its wave fits.

    Attributes:
        qpoint: (3,) wave vector, reduced coordinates of the primitive cell.
        mode: counted from 1 in ascending frequency.
        frequency_thz: imaginary as negative [THz].
        degeneracy: of the modes; `mode` picks among the directions of their space, the most symmetric first.
        supercell_matrix: (3, 3) integer rows, supercell = matrix @ primitive cell (ASE's order).
        undistorted: the supercell, masses kept.
        displacements: (n_atoms, 3) [Å], the largest of length 1 Å.
        curvature: d²E/dA² of the supercell at A = 0, omega² Q²/A² with A the largest displacement [eV/Å²].
        reversible: the energy is even in A by symmetry.
    """

    qpoint: NDArray[np.float64]
    mode: int
    frequency_thz: float
    degeneracy: int
    supercell_matrix: NDArray[np.int64]
    undistorted: Atoms
    displacements: NDArray[np.float64]
    curvature: float
    reversible: bool

    @property
    def n_cells(self) -> int:
        """Primitive cells in the supercell."""
        return abs(round(float(np.linalg.det(self.supercell_matrix))))

    def displaced(self, amplitude: float) -> Atoms:
        """The supercell with its largest displacement equal to `amplitude` [Å]."""
        atoms = self.undistorted.copy()
        atoms.positions += amplitude * self.displacements
        return atoms


@dataclass(frozen=True)
class ModeScan:
    """Energies along a mode.

    Attributes:
        pattern: what was followed.
        amplitudes: (n,) ascending, 0 among them [Å].
        energies: (n,) of the supercell, that of the undistorted one subtracted [eV].
        structures: displaced supercells with energy and forces attached.
    """

    pattern: ModePattern
    amplitudes: NDArray[np.float64]
    energies: NDArray[np.float64]
    structures: tuple[Atoms, ...]

    @property
    def lowest(self) -> int:
        """Index of the lowest energy among the displaced structures."""
        return int(np.argmin(np.where(self.amplitudes == 0, np.inf, self.energies)))


@dataclass(frozen=True)
class FollowedMode:
    """A scan and what its lowest structure relaxes to.

    Attributes:
        scan: energies along the mode.
        relaxed: stationary, with the symmetry of the displaced structure (or more); calculator attached.
        report: what the relaxation did.
        energy_gain: relaxed minus undistorted, for each primitive cell [eV]; negative where the crystal gains.
    """

    scan: ModeScan
    relaxed: Atoms
    report: RelaxationReport
    energy_gain: float


def mode_pattern(phonopy: Phonopy, calc: Calculator, qpoint: ArrayLike, mode: int) -> ModePattern:
    """The displacement of one mode, from the exact D(q) where the calculator has it.

    Args:
        phonopy: with force constants; where it has nac_params and the calculator no charges, D(q) is the interpolated
            one.
        calc: the calculator they belong to.
        qpoint: (3,) reduced coordinates of the primitive cell, fractions of small denominators.
        mode: counted from 1 in ascending frequency.

    Raises:
        InputError: no such mode; a wave that fits no supercell of a reasonable size; no force constants.
    """
    check_mode(mode, 3 * len(checked(phonopy).primitive))
    matrix = dynamical_matrix(phonopy)
    primitive = crystal_atoms(phonopy.primitive)
    q = np.array([float(x) for x in as_fractions(qpoint)])
    cells = check_size(qpoint, primitive.cell[:], len(primitive))
    matrices: AbstractContextManager[None] = nullcontext()
    has_charges = phonopy.nac_params is not None
    if hasattr(calc, "get_dynamical_matrix") and has_charges == isinstance(calc, DirectedCalculator):
        matrices = exact_matrices(phonopy, calc, [q])
    with matrices:
        modes = SymmetryAdaptedModes(matrix, q, phonopy.primitive_symmetry)
    bands = next(bands for bands in modes.degenerate_sets if mode - 1 in bands)
    frequency = float(modes.frequencies[bands[0]])

    indexed = primitive.copy()
    indexed.new_array("home", np.arange(len(primitive)))
    supercell = make_supercell(indexed, cells, wrap=False)
    home = supercell.arrays.pop("home")
    # q.(R + f) of every atom: its position in reduced coordinates of the primitive cell.
    phases = np.exp(2j * np.pi * supercell.positions @ np.linalg.inv(primitive.cell[:]) @ q)
    vectors = modes.eigenvectors[:, bands].T.reshape(len(bands), len(primitive), 3)
    patterns = real_patterns(vectors[:, home] * phases[None, :, None])
    symprec = phonopy.primitive_symmetry.tolerance
    direction = special_directions(representation(supercell, patterns, symprec))[bands.index(mode - 1)]
    displacements = np.tensordot(direction.vector, patterns, axes=1) / np.sqrt(supercell.get_masses())[:, None]
    largest = np.linalg.norm(displacements, axis=1).max()
    omega_squared = np.sign(frequency) * (frequency / THZ_PER_SQRT_EV_A2_AMU) ** 2
    return ModePattern(
        qpoint=q,
        mode=mode,
        frequency_thz=frequency,
        degeneracy=len(bands),
        supercell_matrix=cells,
        undistorted=supercell,
        displacements=displacements / largest,
        curvature=float(omega_squared / largest**2),
        reversible=direction.reversible,
    )


def scan_mode(
    phonopy: Phonopy, calc: Calculator, qpoint: ArrayLike, mode: int, amplitudes: ArrayLike | None = None
) -> ModeScan:
    """Energies along one mode.

    Args:
        phonopy, calc, qpoint, mode: as in `mode_pattern`.
        amplitudes: largest displacements of an atom [Å]; 0 is added. Unless given: AMPLITUDES, and their
            negatives where no symmetry makes those the same.

    Raises:
        InputError: as `mode_pattern`; amplitudes that are no numbers, or all zero.
    """
    given = None if amplitudes is None else checked_amplitudes(amplitudes)
    pattern = mode_pattern(phonopy, calc, qpoint, mode)
    if given is None:
        given = np.array(AMPLITUDES) if pattern.reversible else np.concatenate([-np.array(AMPLITUDES), AMPLITUDES])
    values = np.unique(np.append(given, 0.0))
    structures = tuple(_evaluated(pattern.displaced(amplitude), calc) for amplitude in values)
    energies = np.array([atoms.get_potential_energy() for atoms in structures])
    if not np.isfinite(energies).all():
        raise InputError(
            f"the energy is not finite at the amplitude {values[~np.isfinite(energies)][0]:g} Å",
            "atoms have come so near to each other that the potential means nothing",
            "give smaller amplitudes",
        )
    scan = ModeScan(pattern, values, energies - energies[values == 0][0], structures)
    if scan.lowest in (0, len(values) - 1) and scan.energies[scan.lowest] < 0 and len(values) > 2:
        warnings.warn(
            f"The energy along mode {mode} still falls at the largest amplitude, {values[scan.lowest]:g} Å: the minimum"
            " lies beyond. The relaxation starts from there.",
            UnstableWarning,
            stacklevel=2,
        )
    return scan


def follow_mode(
    phonopy: Phonopy,
    calc: Calculator,
    qpoint: ArrayLike,
    mode: int,
    amplitudes: ArrayLike | None = None,
    **relax_options: Any,
) -> FollowedMode:
    """Displace a crystal along a mode, then relax the lowest structure met with its symmetry kept.

    Args:
        phonopy, calc, qpoint, mode, amplitudes: as in `scan_mode`.
        **relax_options: of `relaxation.relax`, such as fix_cell.

    Raises:
        InputError: as `scan_mode`.
        RelaxationError: not stationary; the scan alone is `scan_mode`.
    """
    return relax_lowest(scan_mode(phonopy, calc, qpoint, mode, amplitudes), calc, **relax_options)


def relax_lowest(scan: ModeScan, calc: Calculator, **relax_options: Any) -> FollowedMode:
    """Relax the structure of lowest energy in a scan (`follow_mode`)."""
    start = scan.pattern.displaced(scan.amplitudes[scan.lowest])
    # A tenth of the displacement at most, or the displaced structure would count as the undistorted one.
    symprec = min(relax_options.pop("symprec", 1e-3), abs(scan.amplitudes[scan.lowest]) / 10)
    relaxed, report = relax(start, calc, symprec=symprec, **relax_options)
    reference = scan.structures[int(np.argmin(np.abs(scan.amplitudes)))].get_potential_energy()
    return FollowedMode(scan, relaxed, report, float(report.energy - reference) / scan.pattern.n_cells)


def check_mode(mode: int, n_modes: int) -> None:
    """Refuse the number of a mode that does not exist.

    Raises:
        InputError: naming how many there are.
    """
    if not 1 <= mode <= n_modes or mode != int(mode):
        raise InputError(
            f"there is no mode {mode:g}: at each wave vector there are {n_modes}",
            "modes are counted from 1 in ascending frequency, imaginary ones first, as in phonopy's files",
            f"give a whole number from 1 to {n_modes}",
        )


def check_size(qpoint: ArrayLike, cell: NDArray[np.float64], n_atoms: int) -> NDArray[np.int64]:
    """The supercell that a wave fits (`commensurate_cell`), refused where it is enormous.

    Raises:
        InputError: more than MAX_ATOMS, with `n_atoms` in the primitive cell; or a wave that fits none.
    """
    cells = commensurate_cell(qpoint, cell)
    total = n_atoms * round(abs(float(np.linalg.det(cells))))
    if total > MAX_ATOMS:
        raise InputError(
            f"the smallest supercell that the wave fits has {total} atoms",
            f"more than {MAX_ATOMS} take very long to scan and to relax",
            "take a wave vector nearby with smaller denominators",
        )
    return cells


def checked_amplitudes(amplitudes: ArrayLike) -> NDArray[np.float64]:
    """Amplitudes as an array [Å].

    Raises:
        InputError: not finite, beyond LARGEST_AMPLITUDE, or none but zero.
    """
    values = np.asarray(amplitudes, dtype=float).ravel()
    if not np.isfinite(values).all() or not 0 < np.abs(values).max(initial=0.0) <= LARGEST_AMPLITUDE:
        raise InputError(
            f"the amplitudes {values.tolist()} are not displacements up to {LARGEST_AMPLITUDE:g} Å, or all are zero",
            "each is the largest displacement of an atom; farther away the atoms have left their places",
            "give values such as 0.1 0.2 0.3",
        )
    return values


def _evaluated(atoms: Atoms, calc: Calculator) -> Atoms:
    """The structure with energy and forces attached, free of the calculator."""
    atoms.calc = calc
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms
