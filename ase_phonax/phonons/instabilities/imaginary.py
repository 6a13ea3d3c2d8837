"""Unstable crystals: which modes are imaginary, and where in the Brillouin zone.

They are looked for at Gamma, at the wave vectors of the supercell (where its force constants are exact)
and at the special points of the band path, one of each star.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.phonon.symmetry_adapted_modes import SymmetryAdaptedModes

from ...derivatives.conventions import frequencies_thz
from ..bands.paths import crystal_path
from ..sampling.meshes import IMAGINARY_THRESHOLD_THZ
from ..supercell.constants import commensurate_qpoints, crystal_atoms, interpolated_dynamical_matrices
from ..supercell.door import checked, dynamical_matrix
from ..symmetry.translations import translation_weights

Labels = Callable[[NDArray[np.float64]], Mapping[int, str | None]]


@dataclass(frozen=True)
class ImaginaryMode:
    """Degenerate modes with a negative squared frequency.

    Attributes:
        qpoint: (3,) reduced coordinates of the primitive cell.
        where: name of the special point; "" at others.
        modes: counted from 1 in ascending frequency, as in phonopy's files.
        frequency_thz: negative [THz].
        label: irreducible representation, where one was given.
        eigenvectors: (degeneracy, n_atoms, 3) complex; atom j of cell R moves along
            e_j exp[2 pi i q.(R + f_j)] / sqrt(m_j) (docs/conventions.md).
        commensurate: whether q fits the supercell, where its force constants give the exact frequency.
    """

    qpoint: NDArray[np.float64]
    where: str
    modes: tuple[int, ...]
    frequency_thz: float
    label: str | None
    eigenvectors: NDArray[np.complex128]
    commensurate: bool

    @property
    def degeneracy(self) -> int:
        """How many modes."""
        return len(self.modes)


def find_imaginary_modes(
    phonopy: Phonopy,
    points: Sequence[tuple[str, ArrayLike]] | None = None,
    *,
    labels: Labels | None = None,
    threshold_thz: float = IMAGINARY_THRESHOLD_THZ,
) -> list[ImaginaryMode]:
    """Imaginary modes at Gamma, at special points and at the wave vectors of the supercell, lowest first.

    Of wave vectors that the point group or time reversal connect only the first is kept. Translations at
    Gamma are left aside.

    Args:
        phonopy: with force constants.
        points: names and reduced coordinates of special points; `special_points` unless given.
        labels: q -> label of each mode, counted from 1; called at q with imaginary modes only.
        threshold_thz: a mode counts below minus this [THz].

    Raises:
        InputError: no force constants.
    """
    checked(phonopy)
    matrix = dynamical_matrix(phonopy)
    imaginary = []
    for where, q, commensurate in _one_of_each_star(phonopy, special_points(phonopy) if points is None else points):
        if frequencies_thz(interpolated_dynamical_matrices(phonopy, q[None])).min() > -threshold_thz:
            continue
        modes = SymmetryAdaptedModes(matrix, q, phonopy.primitive_symmetry)
        names = labels(q) if labels is not None else {}
        for bands in modes.degenerate_sets:
            frequency, vectors = float(modes.frequencies[bands[0]]), modes.eigenvectors[:, bands]
            translation = not q.any() and translation_weights(phonopy.primitive.masses, vectors).mean() > 0.5
            if frequency < -threshold_thz and not translation:
                numbers = tuple(band + 1 for band in bands)
                vectors = vectors.T.reshape(len(bands), -1, 3)
                label = names.get(numbers[0])
                imaginary.append(ImaginaryMode(q, where, numbers, frequency, label, vectors, commensurate))
    return sorted(imaginary, key=lambda mode: mode.frequency_thz)


def special_points(phonopy: Phonopy) -> list[tuple[str, NDArray[np.float64]]]:
    """Ends of the segments of the standard band path: names and reduced coordinates of the primitive cell."""
    path = crystal_path(crystal_atoms(checked(phonopy).primitive), spacing=10.0, symprec=phonopy.symmetry.tolerance)
    ends = [(segment.start, segment.qpoints[0]) for segment in path]
    return ends + [(segment.end, segment.qpoints[-1]) for segment in path]


def _one_of_each_star(
    phonopy: Phonopy, points: Sequence[tuple[str, ArrayLike]]
) -> Iterator[tuple[str, NDArray[np.float64], bool]]:
    """Name, q, and whether it fits the supercell: Gamma, then special points, then the supercell's own."""
    own, _ = commensurate_qpoints(phonopy.primitive.cell, phonopy.supercell.cell)
    repeats = phonopy.supercell.cell @ np.linalg.inv(phonopy.primitive.cell)
    candidates = [("Γ", np.zeros(3)), *((name, np.asarray(q, dtype=float)) for name, q in points)]
    candidates += [("", q - np.rint(q)) for q in own]
    rotations = np.asarray(phonopy.primitive_symmetry.symmetry_operations["rotations"])
    seen: set[tuple[int, ...]] = set()
    for name, unrounded in candidates:
        q = np.round(unrounded, 12) + 0.0  # paths come with 1e-17 for 0
        star = np.concatenate([q @ rotations, -q @ rotations])
        # In steps of 1e-5, modulo one: 0.99999 and 0 are one.
        keys = {tuple(key) for key in (np.rint(star * 100_000).astype(int) % 100_000).tolist()}
        if not keys & seen:
            seen |= keys
            phases = repeats @ q
            yield name, q, bool(np.abs(phases - np.rint(phases)).max() < 1e-6)
