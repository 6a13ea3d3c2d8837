"""The lowest frequency of a crystal, and whether it is really imaginary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy

from ...derivatives.conventions import frequencies_thz
from ..calculators import MatrixCalculator
from ..supercell.constants import commensurate_qpoints, crystal_atoms
from ..supercell.door import checked, dynamical_matrix
from .heat import thermal_cutoff
from .meshes import IMAGINARY_THRESHOLD_THZ, gamma_acoustics, sampled_mesh

DOUBTFUL_QPOINTS, DOUBTFUL_DISTANCE = 16, 0.1  # asked for their exact frequency; reduced coordinates apart


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
    left_out = (mesh.frequencies <= thermal_cutoff(mesh)) & ~gamma_acoustics(mesh.qpoints, mesh.frequencies)
    return FrequencyRange(
        gamma_thz=np.sort(gamma),
        minimum_thz=float(f[lowest].min()),
        minimum_qpoint=q[lowest],
        maximum_thz=float(f.max()),
        imaginary=bool(np.any((f < -IMAGINARY_THRESHOLD_THZ) & ~gamma_acoustics(q, f))),
        fraction_left_out=float(mesh.weights @ left_out.sum(axis=1) / (mesh.weights.sum() * f.shape[1])),
    )


def exact_minimum(
    phonopy: Phonopy, calc: MatrixCalculator, bands_exact: bool = False
) -> tuple[float, NDArray[np.float64]]:
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
    lowest = np.where(gamma_acoustics(q, f), np.inf, f).min(axis=1)
    return float(lowest.min()), q[int(lowest.argmin())]


def _doubtful_qpoints(q: NDArray[np.float64], f: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wave vectors (m, 3), of q (n, 3), at which frequencies (n, n_bands) are imaginary: the lowest, spread out."""
    lowest = np.where(gamma_acoustics(q, f), np.inf, f).min(axis=1)
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
    dynamical_matrix(checked(phonopy))
    gamma = phonopy.run_qpoints([[0.0, 0.0, 0.0]]).frequencies
    return float(np.abs(gamma[gamma_acoustics(np.zeros((1, 3)), gamma)]).max())
