"""Relaxed structures and exact force constants of one crystal at given volumes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy

from ...base.errors import InputError, UnstableWarning
from ...base.progress import Progress
from ...structures.checks import require_crystal
from ...structures.relaxation import RelaxationReport, relax
from ...structures.space_groups import SYMPREC
from ...structures.supercells import as_supercell_matrix
from ..bands.structure import get_band_structure
from ..calculators import ForceConstantsCalculator, MatrixCalculator
from ..sampling import meshes, stability
from ..supercell.objects import get_phonopy

# Differences between volumes are what counts here: tighter than one relaxation alone needs.
FMAX = 1e-5  # [eV/Å]
SMAX = 1e-5  # [eV] volume x stress per atom, the pressure left aside
SMALLEST_RATIO, LARGEST_RATIO = 0.5, 2.0  # beyond these it is another material, or a slip of the keyboard
STABILITY_MESH_LENGTH = 40.0  # [Å] beside the band path, where soft modes usually sit


@dataclass(frozen=True)
class VolumePoint:
    """A crystal at one volume.

    Attributes:
        ratio: its volume over that of the reference crystal.
        atoms: relaxed at this volume, calculator attached.
        relaxation: what the relaxation did; `energy` [eV] of the cell, `max_stress` mostly pressure [eV/Å³].
        phonopy: with exact force constants; a band structure has been run.
        frequencies: extremes and imaginary modes over band path and a coarse mesh, interpolated from the supercell.
        exact_minimum_thz: lowest exact frequency at the q-points where interpolated ones are imaginary [THz]; None
            where there are none, or the calculator has no `get_dynamical_matrix`.
    """

    ratio: float
    atoms: Atoms
    relaxation: RelaxationReport
    phonopy: Phonopy
    frequencies: stability.FrequencyRange
    exact_minimum_thz: float | None = None

    @property
    def imaginary(self) -> bool:
        """Whether the crystal is unstable at this volume, artefacts of the supercell set aside."""
        return self.frequencies.imaginary and not self.artefact

    @property
    def artefact(self) -> bool:
        """Whether imaginary modes come from interpolation alone: the exact ones at those q-points are real."""
        exact = self.exact_minimum_thz
        return self.frequencies.imaginary and exact is not None and exact > -meshes.IMAGINARY_THRESHOLD_THZ

    @property
    def volume(self) -> float:
        """Volume of the primitive cell [Å³]."""
        return float(self.phonopy.primitive.volume)

    @property
    def energy(self) -> float:
        """Energy of the static lattice, per primitive cell [eV]."""
        return self.relaxation.energy * len(self.phonopy.primitive) / len(self.atoms)

    @property
    def name(self) -> str:
        """How messages call it: "+2.0 % (40.10 Å³)"."""
        return f"{100 * (self.ratio - 1):+.1f} % ({self.volume:.2f} Å³)"

    @property
    def instability(self) -> str:
        """The lowest mode in words."""
        q = ", ".join(f"{round(float(x), 4) + 0.0:g}" for x in self.frequencies.minimum_qpoint)
        return f"{self.frequencies.minimum_thz:.2f} THz at q = ({q})"


def at_volume(atoms: Atoms, ratio: float) -> Atoms:
    """The crystal swollen or pressed alike in all directions, reduced positions kept.

    Args:
        atoms: crystal; not changed.
        ratio: new volume over the old one.
    """
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell[:] * ratio ** (1 / 3), scale_atoms=True)
    return scaled


def phonons_at_volumes(
    atoms: Atoms,
    calc: ForceConstantsCalculator,
    supercell_matrix: int | ArrayLike,
    ratios: Sequence[float] | NDArray[np.float64],
    *,
    symprec: float = SYMPREC,
    fmax: float = FMAX,
    smax: float = SMAX,
    progress: Progress | None = None,
) -> tuple[VolumePoint, ...]:
    """Relaxed structure, energy and exact force constants at each volume.

    Atoms and shape of the cell relax at fixed volume, symmetry kept; all volumes share one supercell matrix,
    so that what differs between them is the volume alone. Where interpolation gives imaginary modes, exact D(q)
    say whether the crystal has them; a supercell that invents them is warned of.

    Args:
        atoms: primitive crystal that the ratios refer to, usually relaxed; not changed.
        calc: ASE calculator with `get_force_constants`, such as a `PhonaxCalculator`.
        supercell_matrix: one integer, three, or (3, 3), in the basis of the cell.
        ratios: volumes over that of `atoms`.
        symprec: distance below which positions count as equal [Å].
        fmax: largest force on an atom at the end [eV/Å].
        smax: largest volume x stress / n_atoms at the end, the pressure left aside [eV].
        progress: called as progress(done, total) in volumes.

    Returns:
        one point for each ratio, by ascending volume.

    Raises:
        InputError: ratios that are no volumes, or twice the same.
        StructureError: not a crystal.
        SupercellError: a matrix that describes no supercell.
        RelaxationError: a volume at which the structure does not relax.
    """
    require_crystal(atoms)
    matrix = as_supercell_matrix(supercell_matrix)
    wanted = _checked_ratios(ratios)
    points: list[VolumePoint] = []
    for ratio in wanted:
        if progress is not None:
            progress(len(points), len(wanted))
        start = at_volume(atoms, ratio)
        start.set_constraint()
        relaxed, report = relax(start, calc, fix_volume=True, fmax=fmax, smax=smax, symprec=symprec)
        phonopy = get_phonopy(relaxed, calc, matrix, symprec=symprec)
        get_band_structure(phonopy)
        meshes.get_mesh(phonopy, STABILITY_MESH_LENGTH)
        frequencies = stability.get_frequency_range(phonopy)
        exact = _exact_minimum(phonopy, calc) if frequencies.imaginary else None
        points.append(VolumePoint(ratio, relaxed, report, phonopy, frequencies, exact))
    if progress is not None:
        progress(len(points), len(wanted))
    _warn_of_artefacts(points)
    return tuple(points)


def odd_mesh_numbers(phonopy: Phonopy, length: float) -> tuple[int, int, int]:
    """Numbers of a mesh that is centred on Γ whatever phonopy's own idea of centring.

    Odd ones, because `phonopy.run_qha` shifts even meshes by half a division, and numbers rather than a
    length, because a length would be divided differently at each volume and put steps into F(V).

    Args:
        phonopy: at any of the volumes.
        length: q-points along each reciprocal vector b are about length * |b| / 2 pi [Å].
    """
    numbers = meshes.numbers_of_length(phonopy.primitive.cell, length)
    meshes.check_mesh(numbers)
    a, b, c = (int(n) | 1 for n in numbers)
    return a, b, c


def _exact_minimum(phonopy: Phonopy, calc: ForceConstantsCalculator) -> float | None:
    """Lowest exact frequency [THz] where the interpolated ones are imaginary; None without exact D(q)."""
    if not hasattr(calc, "get_dynamical_matrix"):
        return None
    return stability.exact_minimum(phonopy, cast("MatrixCalculator", calc))[0]


def _warn_of_artefacts(points: Sequence[VolumePoint]) -> None:
    """Warn of imaginary modes that only the supercell has."""
    wrong = [point for point in points if point.artefact]
    if wrong:
        point = min(wrong, key=lambda point: point.frequencies.minimum_thz)
        warnings.warn(
            f"At {len(wrong)} of {len(points)} volumes the supercell gives imaginary modes that the crystal does not"
            f" have ({point.instability} at {point.name}; the exact D(q) are stable there). They are left out of sums."
            " Take a larger supercell.",
            UnstableWarning,
            stacklevel=3,
        )


def _checked_ratios(ratios: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """Ratios in ascending order, refused where they are no volumes of this crystal."""
    wanted = np.sort(np.asarray(ratios, dtype=float).ravel())
    if wanted.size == 0 or not np.all((wanted > SMALLEST_RATIO) & (wanted < LARGEST_RATIO)):
        raise InputError(
            f"the volumes {wanted.tolist()} (over that of the crystal) are not all between"
            f" {SMALLEST_RATIO:g} and {LARGEST_RATIO:g}",
            "a crystal so far from its volume is another material, and no model is meant for it",
            "give ratios near 1, such as 0.98, 1, 1.02",
        )
    if np.any(np.diff(wanted) < 1e-6):
        raise InputError(
            f"the volumes {wanted.tolist()} hold one twice",
            "the same point twice adds no information to a difference or a fit",
            "give each volume once",
        )
    return wanted.tolist()
