"""Mode Grüneisen parameters, through phonopy's own classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.dft.kpoints import BandPath
from numpy.typing import NDArray
from phonopy.gruneisen.band_structure import GruneisenBandStructure
from phonopy.gruneisen.mesh import GruneisenMesh

from ...base.errors import InputError, UnstableWarning
from ..anharmonic.expansion import StrainedModes
from ..bands.structure import get_band_structure
from ..defaults import STRAIN as STRAIN
from ..defaults import VOLUME_MESH_LENGTH as MESH_LENGTH
from ..sampling import meshes
from ..sampling.heat import mode_heat_capacities
from ..sampling.meshes import ZERO_THZ
from ..supercell.door import dynamical_matrix
from .points import VolumePoint

LARGEST_STRAIN = 0.1
_UNEQUAL = 0.02  # of the strain: the difference is central to that
_SCALE = 1e8  # phonopy's tolerance for degeneracy then is 1e-12 eV/Å²/amu, see `_Scaled`


@dataclass(frozen=True)
class Gruneisen:
    """Mode Grüneisen parameters γ = -(V / 2 ω²) <e| dD/dV |e> of a crystal.

    Attributes:
        points: the crystal at V - dV, V and V + dV; or at V alone, where dD/dV is exact.
        strain: dV / V, mean of both sides; 0 where dD/dV is exact.
        mesh: phonopy's γ on the mesh.
        bands: phonopy's γ along the path, bands connected by their eigenvectors.
        labels, path_connections: of that path, as in phonopy's band structure.
        mesh_numbers: of the mesh.
        weights: (n_qpoints,) of its irreducible q-points.
        frequencies_thz: (n_qpoints, 3 n_atoms), imaginary as negative.
        gamma: (n_qpoints, 3 n_atoms); NaN for the three acoustic modes at Γ and for others at zero, where γ is
            0/0: a limit along a direction, not a number.
        strained: how the mesh's modes change with each strain that symmetry allows, where dD/dV is exact.
    """

    points: tuple[VolumePoint, ...]
    strain: float
    mesh: GruneisenMesh
    bands: GruneisenBandStructure
    labels: tuple[str, ...]
    path_connections: tuple[bool, ...]
    mesh_numbers: tuple[int, int, int]
    weights: NDArray[np.int64]
    frequencies_thz: NDArray[np.float64]
    gamma: NDArray[np.float64]
    strained: StrainedModes | None = None

    @property
    def exact(self) -> bool:
        """Whether dD/dV is a derivative and no difference of two volumes."""
        return self.strained is not None

    @property
    def centre(self) -> VolumePoint:
        """The crystal at V."""
        return self.points[len(self.points) // 2]

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest γ on the mesh."""
        return float(np.nanmin(self.gamma)), float(np.nanmax(self.gamma))

    def average(self, temperature: float) -> float:
        """γ of the mesh weighted by heat capacity: Σ C γ / Σ C, the γ of thermal expansion.

        Real modes alone: an imaginary one has no heat capacity.

        Args:
            temperature: [K], above 0.
        """
        counted = np.isfinite(self.gamma) & (self.frequencies_thz > ZERO_THZ)
        heat = mode_heat_capacities(self.frequencies_thz, temperature) * self.weights[:, None]
        return float(np.sum(heat[counted] * self.gamma[counted]) / np.sum(heat[counted]))


def get_gruneisen(
    points: Sequence[VolumePoint], path: str | BandPath | None = None, *, mesh_length: float = MESH_LENGTH
) -> Gruneisen:
    """Mode Grüneisen parameters along a path and on a mesh, from a central difference over the volume.

    Args:
        points: three of `phonons_at_volumes`, the outer ones equally far from the middle.
        path: as in `bands.structure.get_band_structure`.
        mesh_length: q-points along each reciprocal vector b are length * |b| / 2 pi [Å].

    Raises:
        InputError: not three volumes, or not equally spaced; or an unknown path.
    """
    minus, centre, plus = _checked_points(points)
    for point in (minus, centre, plus):
        if point.imaginary:
            warnings.warn(
                f"At volume {point.name} there are imaginary modes ({point.instability}): averages leave them"
                " out, and a γ near a vanishing frequency is large for no other reason.",
                UnstableWarning,
                stacklevel=2,
            )
    matrices = [dynamical_matrix(point.phonopy) for point in (centre, plus, minus)]
    strain = (plus.volume - minus.volume) / (2 * centre.volume)
    return by_matrices((minus, centre, plus), matrices, None, strain, path, mesh_length)


def by_matrices(
    points: tuple[VolumePoint, ...],
    matrices: Sequence[Any],
    delta: float | None,
    strain: float,
    path: str | BandPath | None,
    mesh_length: float,
) -> Gruneisen:
    """Mode Grüneisen parameters from what gives D(q) at V, above it and below it.

    Args:
        delta: difference of the outer volumes over V; None for that of their primitive cells.
        strain: as `Gruneisen` has it.
    """
    centre = points[len(points) // 2]
    band_path = get_band_structure(centre.phonopy, path)
    numbers = meshes.get_mesh(centre.phonopy, mesh_length).mesh_numbers
    scaled: list[Any] = [_Scaled(matrix) for matrix in matrices]
    factor = centre.phonopy.unit_conversion_factor / np.sqrt(_SCALE)
    with np.errstate(divide="ignore", invalid="ignore"):  # acoustic modes at Γ; NaN below
        mesh = GruneisenMesh(
            scaled[0],
            scaled[1],
            scaled[2],
            [int(n) for n in numbers],
            delta_strain=delta,
            is_gamma_center=True,
            primitive_symmetry=centre.phonopy.primitive_symmetry,
            factor=factor,
        )
        bands = _GruneisenBands(
            band_path.distances,
            band_path.qpoints,
            scaled[0],
            scaled[1],
            scaled[2],
            delta_strain=delta,
            path_connections=list(band_path.path_connections),
            labels=list(band_path.labels or []),
            factor=factor,
        )
    frequencies = mesh.get_frequencies()
    return Gruneisen(
        points=points,
        strain=strain,
        mesh=mesh,
        bands=bands,
        labels=tuple(band_path.labels or ()),
        path_connections=tuple(band_path.path_connections),
        mesh_numbers=(int(numbers[0]), int(numbers[1]), int(numbers[2])),
        weights=mesh.get_weights(),
        frequencies_thz=frequencies,
        gamma=np.where(_undefined(mesh.get_qpoints(), frequencies), np.nan, mesh.get_gruneisen()),
    )


class _GruneisenBands(GruneisenBandStructure):
    """phonopy's, with the distances of the band structure in place of its own.

    phonopy 4.10 measures along the path with the transposed cell, which is another length wherever the matrix of
    the cell is not symmetric (docs/upstream.md): files and pictures then have special points where the bands
    have none. To be removed when phonopy takes its reciprocal vectors from columns.
    """

    def __init__(self, distances: Sequence[NDArray[np.float64]], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._paths = [
            (path[0], along - along[0], *path[2:6], along) for path, along in zip(self._paths, distances, strict=True)
        ]


class _Scaled:
    """A dynamical matrix in smaller units, for phonopy's Grüneisen classes.

    They treat modes whose eigenvalues differ by less than 1e-4 eV/Å²/amu as degenerate, which near Γ are all
    acoustic ones below 0.16 THz: γ is then exchanged between branches, tenfold errors included
    (`test_every_mode_of_an_inverse_power_crystal_has_the_same_gruneisen_parameter`). γ does not depend on the
    unit, and modes degenerate by symmetry share one γ anyway. To be removed when phonopy compares frequencies.
    """

    def __init__(self, matrix: Any) -> None:
        self._matrix, self.primitive = matrix, matrix.primitive
        self.lang = getattr(self._matrix, "lang", None)

    def run(self, q: NDArray[np.float64]) -> None:
        self._matrix.run(q)

    @property
    def dynamical_matrix(self) -> NDArray[np.complex128]:
        matrix = self._matrix.dynamical_matrix
        assert matrix is not None, "run(q) comes first"
        return matrix * _SCALE


def _checked_points(points: Sequence[VolumePoint]) -> tuple[VolumePoint, VolumePoint, VolumePoint]:
    """The smallest, the middle and the largest volume, refused where they give no central difference."""
    ordered = sorted(points, key=lambda point: point.volume)
    if len(ordered) != 3:
        raise InputError(
            f"{len(ordered)} volumes are given",
            "a Grüneisen parameter is a central difference: one volume, one below and one above",
            "give three of phonons_at_volumes",
        )
    minus, centre, plus = ordered
    lower, upper = centre.volume - minus.volume, plus.volume - centre.volume
    if abs(upper - lower) > _UNEQUAL * (upper + lower):
        raise InputError(
            f"the volumes lie {lower:.4g} and {upper:.4g} Å³ from the middle one",
            "a central difference over unequal steps is a derivative at another volume",
            "give ratios such as 0.995, 1, 1.005",
        )
    return minus, centre, plus


def _undefined(qpoints: NDArray[np.float64], frequencies_thz: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n_qpoints, 3 n_atoms) where γ is 0/0: for modes at zero, and for the acoustic ones at Γ."""
    return (np.abs(frequencies_thz) <= ZERO_THZ) | meshes.gamma_acoustics(qpoints, frequencies_thz)
