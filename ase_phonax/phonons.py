"""Crystals handed to phonopy: filling it with exact force constants, band structure, DOS, heat.

Everything returned is phonopy's own object, live and complete. Matrices follow phonopy: columns count
cell vectors, so the supercell's vectors are `supercell_matrix.T @ cell`, and the primitive cell's
`primitive_matrix.T @ cell`, both in the basis of the cell given.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.dft.kpoints import BandPath
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.phonon.band_structure import BandStructure
from phonopy.phonon.dos import ProjectedDos, TotalDos
from phonopy.phonon.mesh import Mesh
from phonopy.phonon.thermal_properties import ThermalProperties
from phonopy.structure.atoms import PhonopyAtoms

from ase_phonax import band_paths, crystals
from ase_phonax.band_paths import SPACING
from ase_phonax.crystals import SYMPREC
from ase_phonax.errors import InputError, PhonaxError, SupercellError, UnstableWarning

MESH_LENGTH = 100.0  # [Å] q-points along b: MESH_LENGTH * |b| / 2 pi, for total DOS and heat
PROJECTED_MESH_LENGTH = 50.0  # [Å] the projected DOS needs every q-point, unreduced by symmetry
DOS_POINTS = 401
IMAGINARY_THRESHOLD_THZ = 0.05  # below minus this a mode counts as imaginary: interpolation noise is smaller
_CENTRINGS = ("P", "F", "I", "A", "C", "R")

Progress = Callable[[int, int], None]


class ForceConstantsCalculator(Protocol):
    """What is asked of a calculator here: compact force constants of a phonopy supercell."""

    def get_force_constants(self, phonopy: Phonopy, *, progress: Progress | None = None) -> NDArray[np.float64]:
        """(n_primitive, n_supercell, 3, 3) in phonopy's order [eV/Å²]."""
        ...


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


def get_phonopy(
    atoms: Atoms,
    calc: ForceConstantsCalculator,
    supercell_matrix: int | ArrayLike,
    *,
    primitive_matrix: str | ArrayLike = "P",
    symprec: float = SYMPREC,
    masses: ArrayLike | None = None,
    progress: Progress | None = None,
    **phonopy_kwargs: Any,
) -> Phonopy:
    """A live phonopy object with the calculator's force constants of a crystal.

    The structure is taken as it is: relax it first (`ase_phonax.relaxation.relax`).

    Args:
        atoms: crystal, periodic in three directions, any cell and orientation.
        calc: a `PhonaxCalculator`, or anything with its `get_force_constants`.
        supercell_matrix: one integer, three, or (3, 3), in the basis of the cell given.
        primitive_matrix: "P" keeps the cell given as the primitive one, with a warning where it is not;
            "auto" reduces it to a primitive cell of the same orientation; or phonopy's letters and matrices.
        symprec: distance below which positions count as equal [Å].
        masses: (n_atoms,) [amu]; those of `atoms` unless given, never phonopy's own table.
        progress: called as progress(done, total) while force constants are computed.
        **phonopy_kwargs: further arguments of `phonopy.Phonopy`.

    Returns:
        Phonopy with compact constants (n_primitive, n_supercell, 3, 3) [eV/Å²], not symmetrised.

    Raises:
        StructureError: not a crystal, or one that cannot be computed.
        SupercellError: a matrix that describes no supercell or no primitive cell.
        PhonaxError: the calculator returned constants of a wrong shape, or not finite.
    """
    crystals.require_crystal(atoms)
    matrix = as_supercell_matrix(supercell_matrix)
    unitcell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(wrap=False),
        masses=_checked_masses(atoms, masses),
    )
    primitive = _resolve_primitive_matrix(primitive_matrix, atoms, symprec)
    try:
        phonopy = Phonopy(unitcell, matrix, primitive_matrix=primitive, symprec=symprec, **phonopy_kwargs)
    except (RuntimeError, ValueError) as error:
        raise SupercellError(
            f"phonopy cannot build supercell {matrix.tolist()} with primitive matrix {np.asarray(primitive).tolist()}:"
            f" {str(error).splitlines()[0]}",
            "The primitive cell must repeat the cell given and the supercell exactly.",
            'Use primitive_matrix="P" or "auto", and a supercell matrix that is a multiple of the primitive cell.',
        ) from error
    _warn_unless_primitive(phonopy, symprec)
    force_constants = np.asarray(calc.get_force_constants(phonopy, progress=progress))
    _check_force_constants(force_constants, phonopy)
    # The setter copies and rebuilds the dynamical matrix: not again where the calculator has filled it.
    if phonopy.force_constants is None or not np.array_equal(phonopy.force_constants, force_constants):
        phonopy.force_constants = force_constants
    return phonopy


def as_supercell_matrix(value: int | ArrayLike) -> NDArray[np.int64]:
    """A supercell matrix from one integer, three, or nine.

    Args:
        value: n (n x n x n), (3,) repeats along the cell vectors, (9,) row by row, or (3, 3).

    Returns:
        (3, 3) with positive determinant.

    Raises:
        SupercellError: another shape, not integers, singular, or of negative determinant.
    """
    what_to_do = "Give three positive integers, such as 3 3 3, or the nine of an integer matrix with determinant > 0."
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise SupercellError(f"The supercell {value!r} is not made of numbers.", "", what_to_do) from None
    if numbers.size not in (1, 3, 9):
        raise SupercellError(
            f"The supercell {value!r} has {numbers.size} entries.", "Three cell vectors take 1, 3 or 9.", what_to_do
        )
    if not np.all(np.isfinite(numbers)) or np.any(numbers != np.rint(numbers)):
        raise SupercellError(
            f"The supercell {numbers.tolist()} is not made of integers.",
            "A supercell holds whole cells only.",
            what_to_do,
        )
    matrix = np.diag(np.broadcast_to(numbers.ravel(), 3)) if numbers.size < 9 else numbers.reshape(3, 3)
    matrix = np.rint(matrix).astype(np.int64)
    volume = round(float(np.linalg.det(matrix)))
    if volume == 0:
        raise SupercellError(
            f"The supercell matrix {matrix.tolist()} is singular.",
            "Its vectors do not span space: the supercell would have no volume.",
            what_to_do,
        )
    if volume < 0:
        raise SupercellError(
            f"The supercell matrix {matrix.tolist()} has the negative determinant {volume}.",
            "It turns the cell's handedness around, which phonopy does not support.",
            f"Use {(-matrix).tolist()}, the same supercell with its vectors reversed.",
        )
    return matrix


def get_primitive_atoms(phonopy: Phonopy) -> Atoms:
    """The primitive cell of a phonopy object as ASE atoms, in its order and with its masses [amu]."""
    cell = phonopy.primitive
    return Atoms(
        symbols=cell.symbols,
        cell=cell.cell,
        scaled_positions=cell.scaled_positions,
        masses=cell.masses,
        pbc=True,
    )


def get_band_structure(
    phonopy: Phonopy,
    path: str | BandPath | None = None,
    *,
    spacing: float = SPACING,
    with_eigenvectors: bool = False,
) -> BandStructure:
    """Frequencies along a path through the Brillouin zone of the phonopy object's own primitive cell.

    Args:
        phonopy: with force constants.
        path: None for the standard path of the crystal (seekpath), a string of ASE's special points such
            as "GXWLG" or "GX,KG", or an ASE BandPath of the primitive or of the unit cell.
        spacing: largest distance between q-points [1/Å, 2 pi included]; a BandPath brings its own points.
        with_eigenvectors: keep them, columns of (3 n_atoms, 3 n_atoms) for each q-point.

    Returns:
        phonopy's band structure, also in `phonopy.band_structure`; frequencies [THz], imaginary negative.

    Raises:
        InputError: a path that names unknown points, or a BandPath of another cell.
    """
    primitive = get_primitive_atoms(phonopy)
    if path is None:
        segments = band_paths.crystal_path(primitive, spacing, symprec=phonopy.symmetry.tolerance)
    elif isinstance(path, str):
        segments = band_paths.named_path(path, primitive.cell[:], spacing)
    else:
        segments = band_paths.ase_path(path, primitive.cell[:], phonopy.unitcell.cell)
    connections, labels = band_paths.connections_and_labels(segments)
    return phonopy.run_band_structure(
        [segment.qpoints for segment in segments],
        with_eigenvectors=with_eigenvectors,
        path_connections=connections,
        labels=labels,
    )


def get_mesh(phonopy: Phonopy, length: float = MESH_LENGTH) -> Mesh:
    """Frequencies on a mesh that holds Gamma and the full symmetry, reduced to irreducible q-points.

    Args:
        phonopy: with force constants.
        length: q-points along each reciprocal vector b are length * |b| / 2 pi, at least 1 [Å].
    """
    with warnings.catch_warnings():
        # phonopy picks symmetric numbers of its own for skewed cells, and says so; nothing is lost.
        warnings.filterwarnings("ignore", message=".*from length input.*incompatible")
        return phonopy.run_mesh(float(length), is_gamma_center=True)


def get_densities(phonopy: Phonopy, length: float = PROJECTED_MESH_LENGTH) -> tuple[TotalDos, ProjectedDos]:
    """Total density of states from the mesh at hand, and its projections on atoms.

    Run `get_mesh` first. The projected one needs eigenvectors at all q-points and therefore a coarser
    mesh of its own, which is the one that phonopy keeps afterwards. Both are on one frequency grid.

    Args:
        phonopy: after `get_mesh`.
        length: of the projected mesh, as in `get_mesh` [Å].

    Returns:
        total (n_frequencies,) and projected (n_atoms, n_frequencies) densities [states/THz/primitive cell].
    """
    lowest, highest = float(phonopy.mesh.frequencies.min()), float(phonopy.mesh.frequencies.max())
    margin = 0.02 * max(highest - lowest, 1e-3)
    # A stable crystal starts at zero: its acoustic noise would put the first point at -1e-7.
    grid = {
        "freq_min": 0.0 if lowest > -IMAGINARY_THRESHOLD_THZ else lowest - margin,
        "freq_max": highest + margin,
    }
    grid["freq_pitch"] = (grid["freq_max"] - grid["freq_min"]) / (DOS_POINTS - 1)
    total = phonopy.run_total_dos(**grid)
    reciprocal_lengths = np.linalg.norm(np.linalg.inv(phonopy.primitive.cell), axis=0)
    numbers = np.maximum(1, np.rint(length * reciprocal_lengths)).astype(int)
    phonopy.run_mesh(numbers, is_gamma_center=True, is_mesh_symmetry=False, with_eigenvectors=True)
    return total, phonopy.run_projected_dos(**grid)


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
    return phonopy.run_thermal_properties(temperatures=temperatures, cutoff_frequency=_thermal_cutoff(phonopy.mesh))


def get_frequency_range(phonopy: Phonopy) -> FrequencyRange:
    """Extremes, imaginary modes and what thermal properties leave out, over mesh, band path and Gamma.

    Run `get_mesh` first, and `get_band_structure` if its q-points shall count.
    """
    mesh = phonopy.mesh
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


def _gamma_acoustics(qpoints: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n_qpoints, n_bands) true for the three modes nearest zero at q-points equivalent to Gamma."""
    acoustic = np.zeros(frequencies.shape, dtype=bool)
    for i in np.flatnonzero(np.abs(qpoints - np.rint(qpoints)).max(axis=1) < 1e-8):
        acoustic[i, np.argsort(np.abs(frequencies[i]))[:3]] = True
    return acoustic


def _thermal_cutoff(mesh: Mesh) -> float:
    noise = np.abs(mesh.frequencies[_gamma_acoustics(mesh.qpoints, mesh.frequencies)]).max(initial=0.0)
    return max(1e-3, 1.01 * float(noise))


def _checked_masses(atoms: Atoms, masses: ArrayLike | None) -> NDArray[np.float64]:
    values = atoms.get_masses() if masses is None else np.asarray(masses, dtype=float)
    if values.shape != (len(atoms),) or not np.all(np.isfinite(values) & (values > 0)):
        raise InputError(
            f"The masses {values.tolist()} are not one positive number for each of {len(atoms)} atoms.",
            "Frequencies are square roots of force constants over masses.",
            "Give masses in amu, one per atom of the cell, or leave them out to use those of the atoms.",
        )
    return values


def _resolve_primitive_matrix(
    primitive_matrix: str | ArrayLike, atoms: Atoms, symprec: float
) -> str | NDArray[np.float64]:
    if isinstance(primitive_matrix, str):
        if primitive_matrix == "auto":  # not phonopy's: that changes a primitive cell's own vectors, and warns
            return crystals.get_primitive_matrix(atoms, symprec)
        if primitive_matrix in _CENTRINGS:
            return primitive_matrix
    else:
        matrix = np.asarray(primitive_matrix, dtype=float)
        if matrix.shape == (3, 3) and np.all(np.isfinite(matrix)) and np.linalg.det(matrix) > 1e-8:
            return matrix
    raise SupercellError(
        f"The primitive matrix {primitive_matrix!r} is unknown.",
        "It says which primitive cell the force constants belong to.",
        'Give "P", "auto", a centring letter (F, I, A, C, R) or a (3, 3) matrix with positive determinant.',
    )


def _warn_unless_primitive(phonopy: Phonopy, symprec: float) -> None:
    group = crystals.get_space_group(get_primitive_atoms(phonopy), symprec)
    if group.n_primitive < len(phonopy.primitive):
        warnings.warn(
            f"The cell is kept with {len(phonopy.primitive)} atoms, but its primitive cell has {group.n_primitive}"
            f" ({group}): bands are folded and thermal properties count the larger cell."
            ' primitive_matrix="auto" reduces it.',
            UnstableWarning,
            stacklevel=3,
        )


def _check_force_constants(force_constants: NDArray[np.float64], phonopy: Phonopy) -> None:
    expected = (len(phonopy.primitive), len(phonopy.supercell), 3, 3)
    if force_constants.shape == expected and np.all(np.isfinite(force_constants)):
        return
    found = f"shape {force_constants.shape}" if force_constants.shape != expected else "entries that are not finite"
    raise PhonaxError(
        f"The calculator returned force constants with {found}; {expected} finite numbers were expected.",
        "phonopy takes whatever it is given and fails, or misleads, much later.",
        "Return compact constants (n_primitive, n_supercell, 3, 3) in the order of phonopy.supercell.",
    )
