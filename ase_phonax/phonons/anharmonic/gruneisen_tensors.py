"""Mode Grüneisen tensors: how frequencies change with each strain, without a second volume.

gamma_xy = - d ln omega / d eps_xy of every mode, atoms following the strain as they do in the crystal: first-order
perturbation theory with the exact derivative of D(q) by strain (`arrays.strain_slopes`). Within modes of one
frequency each strain has combinations of its own, as it has where frequencies of two strained crystals are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ...derivatives.conventions import mass_weighted, signed_roots_thz, wave_vectors
from ..calculators import EvaluatedCalculator, refuse_charges
from ..elastic.constants import elastic_constants
from ..elastic.moduli import VOIGT
from ..sampling.meshes import ZERO_THZ, gamma_acoustics

DEGENERATE_THZ = 1e-4  # frequencies nearer than this are one level


@dataclass(frozen=True)
class GruneisenTensors:
    """Of every mode at some wave vectors.

    Attributes:
        qpoints: (n_q, 3) reduced.
        frequencies_thz: (n_q, 3n) ascending, imaginary ones negative [THz].
        elements: (n_q, 6, 3n, 3n) of -(dD/d eps) / 2 omega² between modes of one level, zero between others, for
            engineers' strains in Voigt's order xx yy zz yz xz xy; NaN of modes at zero.
    """

    qpoints: NDArray[np.float64]
    frequencies_thz: NDArray[np.float64]
    elements: NDArray[np.complex128]

    @property
    def tensors(self) -> NDArray[np.float64]:
        """(n_q, 3n, 3, 3) symmetric; of each level the mean of its modes, which no choice of these changes."""
        tensors = np.zeros((*self.frequencies_thz.shape, 3, 3))
        for k, frequencies in enumerate(self.frequencies_thz):
            for level in _levels(frequencies):
                means = np.einsum("cmm->c", self.elements[k][:, level, level].real) / (level.stop - level.start)
                for (x, y), mean in zip(VOIGT, means, strict=True):
                    tensors[k, level, x, y] = tensors[k, level, y, x] = mean
        return tensors

    @property
    def volumetric(self) -> NDArray[np.float64]:
        """(n_q, 3n) gamma = - d ln omega / d ln V of an isotropic strain: that of pressure in cubic crystals alone."""
        return self.along(np.eye(3) / 3)

    def along(self, strain: ArrayLike) -> NDArray[np.float64]:
        """(n_q, 3n) - d ln omega / d s of each mode where the strain is s times a symmetric (3, 3); levels split."""
        eps = np.asarray(strain, float)
        factors = np.array([eps[x, y] + (eps[y, x] if x != y else 0.0) for x, y in VOIGT])
        result = np.full(self.frequencies_thz.shape, np.nan)
        for k, frequencies in enumerate(self.frequencies_thz):
            for level in _levels(frequencies):
                own = np.einsum("c,cmn->mn", factors, self.elements[k][:, level, level])
                if np.isfinite(own).all():
                    result[k, level] = np.linalg.eigvalsh(own)
        return result


def gruneisen_tensors(
    atoms: Atoms, calc: EvaluatedCalculator, qpoints: ArrayLike, *, clamped: bool = False
) -> GruneisenTensors:
    """Exact mode Grüneisen tensors of a crystal at rest.

    Args:
        atoms: relaxed: cell and positions; not changed.
        calc: a `PhonaxCalculator`, without charges.
        qpoints: (n_q, 3) or (3,) reduced.
        clamped: keep atoms at their reduced positions; they follow the strain unless told.

    Raises:
        InputError: a calculator with charges.
        StructureError: as of `elastic_constants`: what is no crystal, or not at rest.
    """
    refuse_charges(calc)
    vectors = wave_vectors(qpoints)
    n = len(atoms)
    strains = np.zeros((6, 3, 3))
    for k, (x, y) in enumerate(VOIGT):
        strains[k, x, y] += 0.5
        strains[k, y, x] += 0.5
    internal = elastic_constants(atoms, calc).internal_strain.transpose(2, 0, 1)
    evaluator = calc.evaluator
    slopes = evaluator.strain_slopes(atoms, vectors, strains, np.zeros((6, n, 3)) if clamped else internal)
    frequencies = np.zeros((len(vectors), 3 * n))
    elements = np.zeros((len(vectors), 6, 3 * n, 3 * n), complex)
    for k, (matrix, own) in enumerate(zip(evaluator.lattice_matrices(atoms, vectors), slopes, strict=True)):
        squares, modes = np.linalg.eigh(mass_weighted(matrix, atoms.get_masses()))
        frequencies[k] = signed_roots_thz(squares)
        still = (np.abs(frequencies[k]) < ZERO_THZ) | gamma_acoustics(vectors[k : k + 1], frequencies[k : k + 1])[0]
        for level in _levels(frequencies[k]):
            if still[level].any():
                elements[k][:, level, level] = np.nan
                continue
            inside = modes[:, level].conj().T @ mass_weighted(own, atoms.get_masses()) @ modes[:, level]
            elements[k][:, level, level] = -inside / 2 / squares[level].mean()
    return GruneisenTensors(vectors, frequencies, elements)


def _levels(frequencies: NDArray[np.float64]) -> list[slice]:
    """Modes of one frequency, one level after the other."""
    edges = np.flatnonzero(np.diff(frequencies) > DEGENERATE_THZ) + 1
    return [slice(a, b) for a, b in pairwise([0, *edges.tolist(), len(frequencies)])]
