"""The correction in a phonopy object, and frequencies at Gamma along directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.phonon.qpoints import QpointsPhonon

from ...base.errors import InputError
from ...base.units import THZ_PER_SQRT_EV_A2_AMU
from ..bands.paths import crystal_path, mathtext_label, named_path, plain_label
from ..supercell.constants import crystal_atoms
from ..supercell.door import checked, dynamical_matrix
from .charges import Born, NonAnalyticCorrection, read_correction


@dataclass(frozen=True)
class GammaSplitting:
    """Frequencies at Gamma as it is approached from several directions.

    Attributes:
        names: of the directions, such as "Γ–X", or the coordinates.
        directions: (n, 3) reduced coordinates of the reciprocal primitive cell, any length.
        frequencies_thz: (n, 3 n_atoms) ascending, imaginary as negative [THz].
        without_thz: (3 n_atoms,) without the correction: transverse modes only [THz].
    """

    names: tuple[str, ...]
    directions: NDArray[np.float64]
    frequencies_thz: NDArray[np.float64]
    without_thz: NDArray[np.float64]


def set_nac(phonopy: Phonopy, born: Born, method: str | None = None) -> NonAnalyticCorrection:
    """Switch phonopy's own correction on, for an object with constants of any origin.

    Bands, meshes and q-points that phonopy computes afterwards contain it; `phonopy.nac_params = None` ends it. For
    constants of a `PhonaxCalculator`, which lack the tail of dipoles, the result is right at Gamma alone, and depends
    on the supercell in between: make them with a `PolarCalculator`, which exact matrices and checks ask for as well.

    Args:
        phonopy: of a crystal, on the supercell that the result shall belong to.
        born: file in phonopy's BORN format, or `nac_params`.
        method: "wang" (taken unless `born` names one) or "gonze".

    Raises:
        InputError: as `read_correction`.
    """
    correction = read_correction(born, checked(phonopy).primitive, phonopy.symmetry.tolerance, method)
    phonopy.nac_params = correction.params
    return correction


def get_gamma_splitting(
    phonopy: Phonopy, directions: ArrayLike | None = None, path: str | None = None
) -> GammaSplitting:
    """Frequencies at Gamma for each direction in which it can be approached.

    Args:
        phonopy: with force constants and charges (of a `PolarCalculator`, or after `set_nac`).
        directions: (n, 3) reduced coordinates of the reciprocal primitive cell, as of q-points; those in
            which the band path leaves Gamma unless given.
        path: of special points, as `get_band_structure` takes it; the standard path unless given.

    Raises:
        InputError: no correction is set, no force constants, or a direction without length.
    """
    if checked(phonopy).nac_params is None:
        raise InputError(
            "the Phonopy object has no nac_params",
            "without charges frequencies at Γ do not depend on the direction",
            "make it with a PolarCalculator, or run ase_phonax.set_nac(phonopy, born) first",
        )
    matrix = dynamical_matrix(phonopy)
    if directions is None:
        names, vectors = directions_of_path(phonopy, path)
    else:
        vectors = checked_directions(directions)
        names = ["(" + ", ".join(f"{round(x, 4) + 0.0:g}" for x in vector) + ")" for vector in vectors.tolist()]

    def at_gamma(direction: NDArray[np.float64] | None) -> NDArray[np.float64]:
        # Not run_qpoints, which would replace the caller's own q-points in the object.
        found = QpointsPhonon(np.zeros((1, 3)), matrix, nac_q_direction=direction, factor=THZ_PER_SQRT_EV_A2_AMU)
        return np.asarray(found.frequencies[0])

    approached, without = [at_gamma(vector) for vector in vectors], at_gamma(None)
    table = np.reshape(approached, (-1, len(without)))  # a path need not touch Γ
    return GammaSplitting(tuple(names), vectors, np.sort(table, axis=1), np.sort(without))


def directions_of_path(phonopy: Phonopy, path: str | None = None) -> tuple[list[str], NDArray[np.float64]]:
    """Names and reduced coordinates (n, 3) of the directions in which a band path meets Gamma, each once."""
    primitive = crystal_atoms(checked(phonopy).primitive)
    segments = (
        crystal_path(primitive, symprec=phonopy.symmetry.tolerance)
        if path is None
        else named_path(path, primitive.cell[:])
    )
    reciprocal = np.linalg.inv(primitive.cell[:]).T
    names: list[str] = []
    vectors: list[NDArray[np.float64]] = []
    for segment in segments:
        for near, far, name in (
            (segment.qpoints[0], segment.qpoints[-1], segment.end),
            (segment.qpoints[-1], segment.qpoints[0], segment.start),
        ):
            unit = (far - near) @ reciprocal / np.linalg.norm((far - near) @ reciprocal)
            if np.abs(near - np.rint(near)).max() > 1e-8 or any(
                abs(unit @ (old @ reciprocal)) > (1 - 1e-9) * np.linalg.norm(old @ reciprocal) for old in vectors
            ):
                continue
            names.append(f"Γ–{plain_label(mathtext_label(name))}")
            vectors.append(far - near)
    return names, np.array(vectors).reshape(-1, 3)


def checked_directions(directions: ArrayLike) -> NDArray[np.float64]:
    """(n, 3) directions, refused where one is none.

    Raises:
        InputError: not three finite numbers each, or all of them zero.
    """
    try:
        vectors = np.asarray(directions, dtype=float)
    except (TypeError, ValueError):
        vectors = np.array([np.nan])
    if vectors.size == 0 or vectors.shape[-1] != 3 or not np.isfinite(vectors).all() or vectors.ndim > 2:
        raise InputError(
            f"the directions {directions!r} are not vectors of three finite numbers",
            "the limit q -> 0 is taken along a direction",
            "give reduced coordinates of the reciprocal primitive cell, such as 0.5 0 0.5",
        )
    vectors = np.atleast_2d(vectors)
    if np.any(np.linalg.norm(vectors, axis=1) < 1e-8):
        raise InputError(
            "the direction (0, 0, 0) has no length",
            "the limit q -> 0 is taken along a direction",
            "give another; frequencies without the correction are reported anyway",
        )
    return vectors
