"""Phonons sampled over the Brillouin zone: meshes, densities of states, heat, stability.

Every function takes a `Phonopy` object with force constants and returns phonopy's own results. Meshes
are centred on Gamma: an even mesh beside it loses symmetry in centred lattices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.dos import ProjectedDos, TotalDos
from phonopy.phonon.mesh import Mesh
from phonopy.phonon.thermal_properties import ThermalProperties

from .errors import InputError
from .force_constants import commensurate_qpoints, crystal_atoms, frequencies_thz
from .phonopy_objects import checked
from .sharing import ignored_warnings

MESH_LENGTH = 100.0  # [Å] q-points along b: MESH_LENGTH * |b| / 2 pi, for total DOS and heat
PROJECTED_MESH_LENGTH = 40.0  # [Å] the projected DOS needs every q-point, unreduced by symmetry
FIRST_MESH_LENGTH = 20.0  # [Å] where a series of exact meshes begins
CONVERGED = 1e-3  # relative, of heat at 300 K: a tenth of what potentials are good for
EVERYWHERE = (True, True, True)
LARGEST_MESH = 300**3  # q-points
DOS_POINTS = 301
DOUBTFUL_QPOINTS, DOUBTFUL_DISTANCE = 16, 0.1  # asked for their exact frequency; reduced coordinates apart
IMAGINARY_THRESHOLD_THZ = 0.05  # below minus this a mode counts as imaginary: interpolation noise is smaller


@dataclass(frozen=True)
class MeshStep:
    """A mesh and its heat at 300 K, per mole of primitive cells [kJ/mol, J/K/mol, J/K/mol]."""

    numbers: tuple[int, ...]
    n_irreducible: int
    free_energy: float
    entropy: float
    heat_capacity: float
    n_modes: int

    def change(self, other: MeshStep) -> float:
        """Largest relative difference; that of free energies in units of RT per mode."""
        return max(
            abs(self.entropy - other.entropy) / abs(self.entropy or 1.0),
            abs(self.heat_capacity - other.heat_capacity) / abs(self.heat_capacity or 1.0),
            abs(self.free_energy - other.free_energy) / (2.494 * self.n_modes),
        )


@dataclass(frozen=True)
class FrequencyRange:
    """What the frequencies of a mesh, a band path and Gamma say about stability.

    Attributes:
        gamma_thz: (3 n_atoms,) at Gamma, ascending, imaginary as negative [THz].
        minimum_thz: lowest frequency met, imaginary as negative [THz].
        minimum_qpoint: (3,) where it was met, reduced coordinates of the primitive cell.
        maximum_thz: highest frequency met [THz].
        imaginary: whether a mode lies below -IMAGINARY_THRESHOLD_THZ, the three acoustic ones at Gamma
            left aside.
        fraction_left_out: share of the mesh's modes that thermal properties cannot include.
    """

    gamma_thz: NDArray[np.float64]
    minimum_thz: float
    minimum_qpoint: NDArray[np.float64]
    maximum_thz: float
    imaginary: bool
    fraction_left_out: float


def get_mesh(
    phonopy: Phonopy,
    length: float = MESH_LENGTH,
    *,
    numbers: Sequence[int] | None = None,
    repeated: tuple[bool, bool, bool] = EVERYWHERE,
) -> Mesh:
    """Frequencies on a mesh that holds Gamma and the full symmetry, reduced to irreducible q-points.

    Args:
        phonopy: with force constants.
        length: q-points along each reciprocal vector b are length * |b| / 2 pi, at least 1 [Å].
        numbers: (3,) of q-points along each reciprocal vector, instead of `length`.
        repeated: directions that are sampled; the others, the vacuum of a layer, get one q-point.

    Raises:
        InputError: numbers that are no mesh, or more q-points than LARGEST_MESH.
    """
    checked(phonopy)
    check_mesh(_numbers(phonopy, length) if numbers is None else numbers)
    if numbers is None and all(repeated):
        # phonopy picks symmetric numbers of its own for skewed cells, and says so; nothing is lost.
        with ignored_warnings(".*from length input.*incompatible"):
            return phonopy.run_mesh(float(length), is_gamma_center=True)
    if numbers is None:
        numbers = np.where(repeated, _numbers(phonopy, length), 1).tolist()
    return phonopy.run_mesh(list(numbers), is_gamma_center=True)


def check_mesh(numbers: Sequence[float] | NDArray[Any]) -> None:
    """Refuse what is no mesh, or fits no memory: phonopy would panic, or not come back.

    Args:
        numbers: (3,) of q-points along each reciprocal vector.

    Raises:
        InputError: with the number of q-points.
    """
    counts = np.asarray(numbers, float).ravel()
    if (
        counts.shape != (3,)
        or not np.all(np.isfinite(counts))
        or np.any(counts < 1)
        or np.any(counts != np.rint(counts))
    ):
        raise InputError(
            f"the mesh {np.asarray(numbers).tolist()} is not made of three whole numbers above zero",
            "it counts q-points along three reciprocal vectors",
            "give three such as 20 20 20, or a length",
        )
    if np.prod(counts) > LARGEST_MESH:
        raise InputError(
            f"the mesh {' x '.join(f'{n:.0f}' for n in counts)} has {np.prod(counts):.3g} q-points",
            f"beyond {LARGEST_MESH:.3g} they fit no memory, and heat has converged long before",
            "take a coarser one; 100 Å is the length by default",
        )


def converge_mesh(
    phonopy: Phonopy, *, repeated: tuple[bool, bool, bool] = EVERYWHERE, tolerance: float = CONVERGED
) -> tuple[Mesh, list[MeshStep]]:
    """The coarsest of a series of meshes whose heat at 300 K has stopped changing.

    For exact D(q), where a q-point costs something: lengths grow by half from 20 Å to MESH_LENGTH.

    Args:
        phonopy: with force constants; inside `exact_matrices` for exact meshes.
        repeated: as in `get_mesh`.
        tolerance: relative change of entropy and heat capacity, and of the free energy over k_B T per mode.

    Returns:
        the last mesh, and every one tried.
    """
    steps: list[MeshStep] = []
    length = FIRST_MESH_LENGTH
    while True:
        mesh = get_mesh(phonopy, length, repeated=repeated)
        steps.append(_heat_step(phonopy, mesh))
        if (len(steps) > 1 and steps[-1].change(steps[-2]) < tolerance) or length >= MESH_LENGTH:
            return mesh, steps
        length = min(1.5 * length, MESH_LENGTH)


def _heat_step(phonopy: Phonopy, mesh: Mesh) -> MeshStep:
    found = get_thermal_properties(phonopy, [300.0]).thermal_properties
    assert found is not None, "thermal properties have been run"
    _, free_energy, entropy, heat_capacity = (float(np.ravel(x)[0]) for x in found)
    n_modes = mesh.frequencies.shape[1]
    numbers = tuple(int(n) for n in mesh.mesh_numbers)
    return MeshStep(numbers, len(mesh.qpoints), free_energy, entropy, heat_capacity, n_modes)


def _numbers(phonopy: Phonopy, length: float) -> NDArray[np.int64]:
    reciprocal_lengths = np.linalg.norm(np.linalg.inv(phonopy.primitive.cell), axis=0)
    return np.maximum(1, np.rint(np.minimum(length * reciprocal_lengths, 1e15))).astype(np.int64)


def sampled_mesh(phonopy: Phonopy) -> Mesh:
    """The mesh that the object holds.

    Raises:
        InputError: none has been run.
    """
    checked(phonopy)
    if not isinstance(phonopy.mesh, Mesh):
        raise InputError(
            "the Phonopy object has no mesh of frequencies",
            "densities of states and thermal properties are sums over one",
            "run ase_phonax.densities.get_mesh(phonopy) first",
        )
    return phonopy.mesh


def get_densities(
    phonopy: Phonopy, length: float = PROJECTED_MESH_LENGTH, *, repeated: tuple[bool, bool, bool] = EVERYWHERE
) -> tuple[TotalDos, ProjectedDos]:
    """Total density of states from the mesh at hand, and its projections on atoms.

    Run `get_mesh` first. The projected one needs eigenvectors at all q-points and therefore a coarser
    mesh of its own, which is the one that phonopy keeps afterwards. Both are on one frequency grid.

    Args:
        phonopy: after `get_mesh`.
        length: of the projected mesh, as in `get_mesh` [Å].
        repeated: as in `get_mesh`.

    Raises:
        InputError: as `get_mesh`.

    Returns:
        total (n_frequencies,) and projected (n_atoms, n_frequencies) densities [states/THz/primitive cell].
    """
    frequencies = sampled_mesh(phonopy).frequencies
    lowest, highest = float(frequencies.min()), float(frequencies.max())
    margin = 0.02 * max(highest - lowest, 1e-3)
    # A stable crystal starts at zero: its acoustic noise would put the first point at -1e-7.
    start = 0.0 if lowest > -IMAGINARY_THRESHOLD_THZ else lowest - margin
    end = highest + margin
    pitch = (end - start) / (DOS_POINTS - 1)
    total = phonopy.run_total_dos(freq_min=start, freq_max=end, freq_pitch=pitch)
    numbers = np.where(repeated, _numbers(phonopy, length), 1)
    check_mesh(numbers)
    phonopy.run_mesh(numbers, is_gamma_center=True, is_mesh_symmetry=False, with_eigenvectors=True)
    return total, phonopy.run_projected_dos(freq_min=start, freq_max=end, freq_pitch=pitch)


def get_thermal_properties(
    phonopy: Phonopy, temperatures: Sequence[float] | NDArray[np.float64] | None = None
) -> ThermalProperties:
    """Free energy, entropy and heat capacity at constant volume from the mesh at hand.

    Modes at or below 0.001 THz, or below the noise of the acoustic modes at Gamma where that is larger,
    are left out: imaginary ones, and the three translations.

    Args:
        phonopy: after `get_mesh`.
        temperatures: [K]; 0 to 1000 in steps of 10 unless given.

    Returns:
        phonopy's thermal properties, per mole of primitive cells [kJ/mol, J/K/mol].
    """
    if temperatures is None:
        temperatures = np.arange(0.0, 1001.0, 10.0)
    cutoff = _thermal_cutoff(sampled_mesh(phonopy))
    return phonopy.run_thermal_properties(temperatures=temperatures, cutoff_frequency=cutoff)


def get_frequency_range(phonopy: Phonopy) -> FrequencyRange:
    """Extremes, imaginary modes and what thermal properties leave out, over mesh, band path and Gamma.

    Run `get_mesh` first, and `get_band_structure` if its q-points shall count.
    """
    mesh = sampled_mesh(phonopy)
    gamma = phonopy.run_qpoints([[0.0, 0.0, 0.0]]).frequencies[0]
    qpoints, frequencies = [np.zeros((1, 3)), mesh.qpoints], [gamma[None], mesh.frequencies]
    if phonopy.band_structure is not None:
        qpoints += phonopy.band_structure.qpoints
        frequencies += phonopy.band_structure.frequencies
    q, f = np.concatenate(qpoints), np.concatenate(frequencies)
    lowest = int(np.argmin(f.min(axis=1)))
    left_out = (mesh.frequencies <= _thermal_cutoff(mesh)) & ~_gamma_acoustics(mesh.qpoints, mesh.frequencies)
    return FrequencyRange(
        gamma_thz=np.sort(gamma),
        minimum_thz=float(f[lowest].min()),
        minimum_qpoint=q[lowest],
        maximum_thz=float(f.max()),
        imaginary=bool(np.any((f < -IMAGINARY_THRESHOLD_THZ) & ~_gamma_acoustics(q, f))),
        fraction_left_out=float(mesh.weights @ left_out.sum(axis=1) / (mesh.weights.sum() * f.shape[1])),
    )


def exact_minimum(phonopy: Phonopy, calc: Any, bands_exact: bool = False) -> tuple[float, NDArray[np.float64]]:
    """Lowest exact frequency met, to judge imaginary ones of an interpolated mesh.

    Between its own wave vectors a supercell can show instabilities that the crystal does not have, most
    often close to Gamma. Counted are the supercell's own wave vectors, where it is exact, a band structure
    where that is, and exact matrices at the lowest q-points of mesh and bands, no two of them close together.

    Args:
        phonopy: after `get_mesh`; the q-points of a band structure count too.
        calc: a `PhonaxCalculator`.
        bands_exact: the band structure has been computed from exact matrices.

    Returns:
        frequency [THz], imaginary as negative, the acoustic modes at Gamma left aside, and its q-point (3,).
    """
    # Of its own wave vectors the calculator has the matrices already.
    own, _ = commensurate_qpoints(phonopy.primitive.cell, phonopy.supercell.cell)
    mesh, bands = sampled_mesh(phonopy), phonopy.band_structure
    doubted: list[tuple[NDArray, NDArray]] = [(mesh.qpoints, mesh.frequencies)]
    known: list[tuple[NDArray, NDArray]] = []
    if bands is not None:
        (known if bands_exact else doubted).extend(zip(bands.qpoints, bands.frequencies, strict=True))
    asked = np.concatenate([own, _doubtful_qpoints(*map(np.concatenate, zip(*doubted, strict=True)))])
    known.append((asked, frequencies_thz(calc.get_dynamical_matrix(crystal_atoms(phonopy.primitive), asked))))
    q, f = map(np.concatenate, zip(*known, strict=True))
    lowest = np.where(_gamma_acoustics(q, f), np.inf, f).min(axis=1)
    return float(lowest.min()), q[int(lowest.argmin())]


def _doubtful_qpoints(q: NDArray[np.float64], f: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where frequencies (n, n_bands) at q (n, 3) are imaginary: the lowest, spread out."""
    lowest = np.where(_gamma_acoustics(q, f), np.inf, f).min(axis=1)
    chosen: list[NDArray[np.float64]] = []
    for index in np.argsort(lowest):
        if lowest[index] >= -IMAGINARY_THRESHOLD_THZ or len(chosen) == DOUBTFUL_QPOINTS:
            break
        apart = q[index] - np.reshape(chosen, (-1, 3))
        if not chosen or np.abs(apart - np.rint(apart)).max(axis=1).min() > DOUBTFUL_DISTANCE:
            chosen.append(q[index])
    return np.reshape(chosen, (-1, 3))


def acoustic_noise(phonopy: Phonopy) -> float:
    """Largest frequency of the three acoustic modes at Gamma, which are zero but for noise [THz]."""
    gamma = checked(phonopy).run_qpoints([[0.0, 0.0, 0.0]]).frequencies
    return float(np.abs(gamma[_gamma_acoustics(np.zeros((1, 3)), gamma)]).max())


def _gamma_acoustics(qpoints: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n_qpoints, n_bands) true for the three modes nearest zero at q-points equivalent to Gamma."""
    acoustic = np.zeros(frequencies.shape, dtype=bool)
    for i in np.flatnonzero(np.abs(qpoints - np.rint(qpoints)).max(axis=1) < 1e-8):
        acoustic[i, np.argsort(np.abs(frequencies[i]))[:3]] = True
    return acoustic


def _thermal_cutoff(mesh: Mesh) -> float:
    noise = np.abs(mesh.frequencies[_gamma_acoustics(mesh.qpoints, mesh.frequencies)]).max(initial=0.0)
    return max(1e-3, 1.01 * float(noise))
