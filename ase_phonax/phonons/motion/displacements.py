"""How far atoms move, in which direction, and how many of them take part in a mode.

All of it is read off eigenvectors on meshes of q-points. phonopy's own classes do the work on a shallow copy
of the `Phonopy` object: the meshes and densities that the object holds stay as they are.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.phonon.dos import ProjectedDos
from phonopy.phonon.mesh import Mesh
from phonopy.phonon.thermal_displacement import ThermalDisplacementMatrices

from ...base.errors import InputError, UnstableWarning
from ...base.files import write_whole
from ..sampling.meshes import IMAGINARY_THRESHOLD_THZ, ZERO_THZ, check_mesh, gamma_acoustics, numbers_of_length
from ..supercell.door import checked, dynamical_matrix

DISPLACEMENT_MESH_LENGTH = 60.0  # [Å] q-points along b: length * |b| / 2 pi
MESH_LENGTH = 40.0  # [Å] for participation ratios and directions
_DEGENERATE_THZ = 1e-4
HIGHEST_TEMPERATURE = 1e5  # [K]


class DenseMeshDisplacements(ThermalDisplacementMatrices):
    """phonopy's displacement matrices, extrapolated to an infinitely dense mesh.

    A mesh centred on Γ lacks the acoustic modes of the cell of q-space around Γ, where <u²> grows as 1/q²: at
    temperatures above the lowest the sum is too small by an amount that falls as 1/length only (4 % for Si at
    60 Å and 300 K). Two meshes, one with half the divisions of the other, tell how much: U = 2 U_fine - U_coarse.

    Args:
        fine, coarse: unreduced meshes with eigenvectors, of 2m and of m divisions.
        cell: (3, 3) of the primitive cell, rows [Å].
        cutoff_thz: modes at or below are left out.
    """

    def __init__(self, fine: Mesh, coarse: Mesh, cell: NDArray[np.float64], cutoff_thz: float) -> None:
        super().__init__(fine, freq_min=cutoff_thz, lattice=cell.T)
        self.on_coarse_mesh = ThermalDisplacementMatrices(coarse, freq_min=cutoff_thz, lattice=cell.T)

    def run(self) -> None:
        """Sum over both meshes, and take the limit."""
        super().run()
        coarse = self.on_coarse_mesh
        assert self.temperatures is not None, "they are set before"
        coarse.temperatures = self.temperatures
        coarse.run()
        fine, cif = np.array(self._disp_matrices), np.array(self._disp_matrices_cif)
        self.on_fine_mesh = fine
        self._disp_matrices = 2 * fine - np.array(coarse.thermal_displacement_matrices)
        self._disp_matrices_cif = 2 * cif - np.array(coarse.thermal_displacement_matrices_cif)


@dataclass(frozen=True)
class ThermalMotion:
    """Mean square displacements of the atoms.

    Attributes:
        temperatures: (n_temperatures,) [K].
        matrices: (n_temperatures, n_atoms, 3, 3) Cartesian <u u^T> [Å²].
        mesh_numbers: of the finer of the two meshes.
        extrapolated: largest share of a U_iso that the limit of a dense mesh added to the finer one.
        fraction_left_out: share of the mesh's modes that are imaginary or zero, the acoustic ones at Γ aside.
        phonopy_matrices: phonopy's object, for its writers.
        phonopy: the crystal they belong to.
    """

    temperatures: NDArray[np.float64]
    matrices: NDArray[np.float64]
    mesh_numbers: tuple[int, int, int]
    extrapolated: float
    fraction_left_out: float
    phonopy_matrices: DenseMeshDisplacements
    phonopy: Phonopy

    @property
    def isotropic(self) -> NDArray[np.float64]:
        """(n_temperatures, n_atoms) U_iso = trace / 3, for B factors times 8π² [Å²]."""
        return np.trace(self.matrices, axis1=2, axis2=3) / 3

    def write_yaml(self, path: Path) -> None:
        """Write the matrices at all temperatures in phonopy's format, in Cartesian and in CIF's axes [Å²]."""
        self.phonopy_matrices.write_yaml(filename=path)

    def write_cif(self, path: Path, temperature_index: int) -> None:
        """Write phonopy's CIF (P1): the primitive cell with anisotropic displacement parameters at one temperature."""
        self.phonopy_matrices.write_cif(self.phonopy.primitive, temperature_index, filename=path)


def get_thermal_motion(
    phonopy: Phonopy, temperatures: Sequence[float], *, length: float = DISPLACEMENT_MESH_LENGTH
) -> ThermalMotion:
    """Thermal displacement matrices, through phonopy, in the limit of a dense mesh.

    <u_a u_b> = (1/N) Σ_qν (ħ / 2 m ω) coth(ħω / 2kT) Re(e_a e_b*). Imaginary modes have no amplitude in the harmonic
    approximation and are left out, with a warning.

    Args:
        phonopy: with force constants; not changed.
        temperatures: [K].
        length: of the finer mesh, about length * |b| / 2 pi divisions along each reciprocal vector b [Å].

    Raises:
        InputError: no force constants; temperatures that are none.
    """
    wanted = checked_temperatures(temperatures)
    half = _divisions(checked(phonopy), length / 2)
    (_, coarse), (_, fine) = _with_full_mesh(phonopy, half), _with_full_mesh(phonopy, [2 * n for n in half])
    frequencies, acoustic = fine.frequencies, gamma_acoustics(fine.qpoints, fine.frequencies)
    noise = float(np.abs(frequencies[acoustic]).max())
    # Far from zero they are no translations: constants that break the sum rule, atoms tied to their places.
    cutoff = max(ZERO_THZ, 1.01 * noise) if noise < IMAGINARY_THRESHOLD_THZ else ZERO_THZ
    left_out = float(np.mean((frequencies <= cutoff) & ~acoustic))
    if left_out > 0:
        warnings.warn(
            f"{100 * left_out:.2g} % of the modes are imaginary or zero and have no amplitude: thermal displacements"
            " leave them out and are too small.",
            UnstableWarning,
            stacklevel=2,
        )
    displacements = DenseMeshDisplacements(fine, coarse, phonopy.primitive.cell, cutoff)
    displacements.temperatures = wanted
    displacements.run()
    matrices = displacements.thermal_displacement_matrices
    assert matrices is not None, "they have been run"
    traces = np.trace(matrices, axis1=2, axis2=3)
    added = traces - np.trace(displacements.on_fine_mesh, axis1=2, axis2=3)
    numbers = [int(2 * n) for n in half]
    return ThermalMotion(
        temperatures=wanted,
        matrices=matrices,
        mesh_numbers=(numbers[0], numbers[1], numbers[2]),
        extrapolated=float(np.abs(added / traces).max()),
        fraction_left_out=left_out,
        phonopy_matrices=displacements,
        phonopy=phonopy,
    )


def checked_temperatures(temperatures: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) temperatures as an array [K].

    Raises:
        InputError: none, negative, not finite or absurd ones.
    """
    wanted = np.asarray(temperatures, dtype=float).ravel()
    if wanted.size == 0 or not np.all((wanted >= 0) & (wanted <= HIGHEST_TEMPERATURE)):
        raise InputError(
            f"the temperatures {wanted.tolist()} are not all between 0 and {HIGHEST_TEMPERATURE:g} K",
            "phonopy would drop some of them in silence",
            "give temperatures in kelvin, such as 300",
        )
    return wanted


def participation_ratios(
    frequencies_thz: NDArray[np.float64], eigenvectors: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """Which share of the atoms takes part in each mode.

    p = (Σ_i w_i)² / (N Σ_i w_i²), w_i = |e_i|², N atoms in the primitive cell (R. J. Bell and P. Dean, Discuss.
    Faraday Soc. 50, 55 (1970)): 1 where all move with equal |e|, 1/N where one moves alone. |e|² is mass-weighted: an
    acoustic mode at Γ has (Σ m)² / (N Σ m²). Degenerate modes share their mean w_i, for each basis of them
    would give another p.

    Args:
        frequencies_thz: (n_q, 3 n_atoms), ascending.
        eigenvectors: (n_q, 3 n_atoms, 3 n_atoms), modes in columns.

    Returns:
        (n_q, 3 n_atoms).
    """
    n_q, n_modes = frequencies_thz.shape
    weights = np.sum(np.abs(eigenvectors.reshape(n_q, n_modes // 3, 3, n_modes)) ** 2, axis=2)
    ratios = np.empty((n_q, n_modes))
    for q in range(n_q):
        ends = np.flatnonzero(np.diff(frequencies_thz[q], append=np.inf) > _DEGENERATE_THZ) + 1
        for modes in np.split(np.arange(n_modes), ends[:-1]):
            shared = weights[q][:, modes].mean(axis=1)
            ratios[q, modes] = shared.sum() ** 2 / (len(shared) * np.sum(shared**2))
    return ratios


@dataclass(frozen=True)
class Participation:
    """Participation ratios on a mesh, reduced to irreducible q-points.

    Attributes:
        qpoints, weights: (n_q, 3) reduced coordinates, and (n_q,) how often each counts.
        frequencies_thz, ratios: (n_q, 3 n_atoms).
    """

    qpoints: NDArray[np.float64]
    weights: NDArray[np.int64]
    frequencies_thz: NDArray[np.float64]
    ratios: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over all modes of the mesh."""
        return float(self.weights @ self.ratios.mean(axis=1) / self.weights.sum())

    @property
    def lowest(self) -> tuple[int, int]:
        """Indices of q-point and mode of the most localised mode."""
        q, mode = np.unravel_index(int(np.argmin(self.ratios)), self.ratios.shape)
        return int(q), int(mode)

    def write(self, path: Path) -> None:
        """Write a table of q-point, weight, mode (from 1), frequency [THz] and ratio."""
        lines = ["#      qa        qb        qc   weight  mode  frequency (THz)  participation ratio"]
        for q, weight, frequencies, ratios in zip(
            self.qpoints, self.weights, self.frequencies_thz, self.ratios, strict=True
        ):
            place = f"{q[0]:9.6f} {q[1]:9.6f} {q[2]:9.6f} {weight:8d}"
            pairs = enumerate(zip(frequencies, ratios, strict=True), start=1)
            lines += [f"{place} {mode:5d} {frequency:16.8f} {ratio:20.8f}" for mode, (frequency, ratio) in pairs]
        write_whole(path, "\n".join(lines) + "\n")


def get_participation(phonopy: Phonopy, *, length: float = MESH_LENGTH) -> Participation:
    """Participation ratios of the modes on a mesh centred on Γ.

    Args:
        phonopy: with force constants; not changed.
        length: as in `get_thermal_motion` [Å].

    Raises:
        InputError: no force constants.
    """
    dynamical_matrix(checked(phonopy))
    aside = copy.copy(phonopy)
    mesh = aside.run_mesh(_divisions(phonopy, length), is_gamma_center=True, with_eigenvectors=True)
    assert mesh.eigenvectors is not None, "they were asked for"
    return Participation(
        mesh.qpoints, mesh.weights, mesh.frequencies, participation_ratios(mesh.frequencies, mesh.eigenvectors)
    )


def get_directional_densities(
    phonopy: Phonopy, direction: ArrayLike | None = None, *, length: float = MESH_LENGTH
) -> ProjectedDos:
    """Densities of states projected on atoms and directions, through phonopy.

    Args:
        phonopy: with force constants; not changed. The frequency grid is that of its total density, if it has one.
        direction: (3,) along the primitive cell's vectors; without one, the three Cartesian axes of each atom.
        length: as in `get_thermal_motion` [Å].

    Returns:
        phonopy's object; `projected_dos` (3 n_atoms, n_frequencies) with x, y, z of each atom together, or
        (n_atoms, n_frequencies) along the direction [states/THz/primitive cell].

    Raises:
        InputError: no force constants; a direction of no length.
    """
    along = None if direction is None else checked_direction(direction)
    aside, _ = _with_full_mesh(checked(phonopy), _divisions(phonopy, length))
    lowest = highest = pitch = None
    if phonopy.total_dos is not None:
        points = phonopy.total_dos.frequency_points
        lowest, highest, pitch = points[0], points[-1], points[1] - points[0]
    return aside.run_projected_dos(
        freq_min=lowest, freq_max=highest, freq_pitch=pitch, direction=along, xyz_projection=along is None
    )


def checked_direction(direction: ArrayLike) -> NDArray[np.float64]:
    """(3,) direction along the vectors of a cell.

    Raises:
        InputError: not three finite numbers, or all zero.
    """
    vector = np.asarray(direction, dtype=float)
    if vector.shape != (3,) or not np.all(np.isfinite(vector)) or not vector.any():
        raise InputError(
            f"the direction {vector.tolist()} is none",
            "modes are projected on it",
            "give three numbers along the vectors of the primitive cell, such as 1 1 0",
        )
    return vector


def _divisions(phonopy: Phonopy, length: float) -> list[int]:
    """Numbers of a mesh, refused where it fits no memory."""
    numbers = numbers_of_length(phonopy.primitive.cell, length)
    check_mesh(numbers)
    return [int(n) for n in numbers]


def _with_full_mesh(phonopy: Phonopy, numbers: list[int]) -> tuple[Phonopy, Mesh]:
    """A shallow copy that holds every q-point of a mesh, with eigenvectors; and that mesh."""
    dynamical_matrix(phonopy)
    aside = copy.copy(phonopy)
    return aside, aside.run_mesh(numbers, is_gamma_center=True, is_mesh_symmetry=False, with_eigenvectors=True)
