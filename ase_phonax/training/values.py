"""What a label is: second derivatives and spectra as values, and the numbers of a file made into a label."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import ArrayLike

from ..base.errors import InputError
from ..models.polarity import log_susceptibility

# What squared frequencies of one species are moved by from those of the one before, so that eigenvalues sorted by size
# are sorted by species first [eV/Å²/amu]: (221 THz)².
APART = 200.0
REAL = 1e-9  # an imaginary part of projectors that is rounding


@dataclass(frozen=True, eq=False)
class SecondOrder:
    """Second derivatives of the energy of a structure, at some wave vectors.

    A molecule, or a cell whose images all move together, has its Hessian at q = 0.

    Attributes:
        qpoints: (n_q, 3) reduced, of the cell of the frame.
        matrices: (n_q, 3n, 3n) complex, sum_R Phi(R) exp(2 pi i q.R), lattice phase, no masses [eV/Å²].
    """

    qpoints: np.ndarray
    matrices: np.ndarray

    @property
    def is_real(self) -> bool:
        """Whether q = 0 is all there is: then real arithmetic on the ordinary graph will do."""
        return not np.any(self.qpoints)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Frequencies alone, where the matrices behind them are not known.

    Attributes:
        qpoints: (n_q, 3) reduced.
        frequencies: (n_q, 3n) [THz], imaginary ones negative; ascending within each species, and these one after the
            other. Any number where the weight is zero.
        weights: (n_q, 3n) how much each counts, zero where it is not known; None where all are known and count one.
        species: (n_q, 3n, 3n) sum_s s P_s, Hermitian: P_s projects displacements times square roots of masses onto
            species s = 0, 1, 2 ..., which the dynamical matrix does not mix; None where there is one.
        intensities: (n_q, 3n) infrared absorption of each mode of a molecule [km/mol], of a degenerate set the mean;
            None where none is known.
        intensity_weights: (n_q, 3n) how much each of these counts, zero where it is not known.
    """

    qpoints: np.ndarray
    frequencies: np.ndarray
    weights: np.ndarray | None = None
    species: np.ndarray | None = None
    intensities: np.ndarray | None = None
    intensity_weights: np.ndarray | None = None

    @property
    def is_real(self) -> bool:
        """Whether q = 0 is all there is, and species are of real displacements."""
        return not np.any(self.qpoints) and (self.species is None or bool(np.abs(np.imag(self.species)).max() < REAL))

    @property
    def is_known(self) -> np.ndarray:
        """(n_q, 3n) which frequencies count."""
        return np.ones(self.frequencies.shape, bool) if self.weights is None else np.asarray(self.weights) > 0

    @cached_property
    def in_order(self) -> np.ndarray:
        """(n_q, 3n) frequencies, sorted where they are all known and of one species: those may come in any order."""
        return np.sort(self.frequencies, axis=1) if self.weights is None and self.species is None else self.frequencies

    @cached_property
    def order(self) -> np.ndarray:
        """(n_q, 3n) species of each frequency."""
        if self.species is None:
            return np.zeros(self.frequencies.shape)
        return np.rint(np.linalg.eigvalsh(self.species))

    def sorted_alike(self, dynamical: np.ndarray) -> np.ndarray:
        """Eigenvalues of D(q) of each wave vector, (n_q, 3n, 3n) [eV/Å²/amu], in the order of the frequencies."""
        if self.species is None:
            return np.linalg.eigvalsh(dynamical)
        return np.linalg.eigvalsh(dynamical + APART * self.species) - APART * self.order


# Numbers of a file, of n atoms -> a field of a frame, whose shape is checked there.


def as_scalar(numbers: np.ndarray, n: int, origin: str) -> Any:
    """One number of the whole structure."""
    return numbers if numbers.ndim else float(numbers)


def as_array(numbers: np.ndarray, n: int, origin: str) -> np.ndarray:
    """Numbers in the shape that they have in the file."""
    return numbers


def as_symmetric_tensor(numbers: np.ndarray, n: int, origin: str) -> np.ndarray:
    """(3, 3) from six numbers in the order of Voigt, or nine."""
    full = voigt_6_to_full_3x3_stress(numbers) if numbers.shape == (6,) else numbers
    return full.reshape(3, 3) if full.size == 9 else full


def as_atomic_tensors(numbers: np.ndarray, n: int, origin: str) -> np.ndarray:
    """(n, 3, 3) of nine numbers for each atom, in any shape."""
    return numbers.reshape(n, 3, 3) if numbers.size == 9 * n else numbers


def as_log_susceptibility(numbers: np.ndarray, n: int, origin: str) -> np.ndarray:
    """(3, 3) ln(eps - 1) of a dielectric tensor eps: six numbers in the order of Voigt, or nine.

    Raises:
        InputError: it is not above 1.
    """
    tensor = as_symmetric_tensor(numbers, n, origin)
    if tensor.shape != (3, 3):
        return tensor  # its shape is refused with all others
    try:
        return log_susceptibility(tensor)
    except ValueError as error:
        raise InputError(
            f"{origin or 'a frame'}: {error}",
            "of an insulator eps is above 1 along every axis; ln(eps - 1) is what is learned",
            "give the electronic dielectric tensor relative to vacuum, and leave metals out",
        ) from error


def as_second_order(numbers: np.ndarray, n: int, origin: str) -> SecondOrder:
    """A Hessian of 9 n² numbers, in any shape."""
    return second_order_of_hessian(numbers.reshape(3 * n, 3 * n) if numbers.size == 9 * n**2 else numbers, n, origin)


def second_order_of_hessian(hessian: ArrayLike, n: int, origin: str) -> SecondOrder:
    """Second derivatives at q = 0.

    Args:
        hessian: (n, 3, n, 3) or (3n, 3n), positive at a minimum [eV/Å²].

    Raises:
        InputError: another shape.
    """
    hessian = np.asarray(hessian, float)
    if hessian.shape not in ((n, 3, n, 3), (3 * n, 3 * n)):
        raise InputError(
            f"{origin or 'a frame'}: the Hessian has shape {hessian.shape}",
            "the order of its indices decides what couples to what",
            f"give ({n}, 3, {n}, 3), atom and axis, atom and axis, or ({3 * n}, {3 * n})",
        )
    return SecondOrder(np.zeros((1, 3)), hessian.reshape(1, 3 * n, 3 * n).astype(complex))
