"""What this room asks of a calculator. `PhonaxCalculator` offers all of it; others may offer a part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ..base.errors import InputError

if TYPE_CHECKING:
    from phono3py import Phono3py
    from phonopy import Phonopy
    from phonopy.harmonic.dynamical_matrix import NacParams
    from phonopy.structure.atoms import PhonopyAtoms

    from ..base.progress import Progress
    from ..derivatives.evaluator import Evaluator
    from ..models.potential import Potential


class ForcesCalculator(Protocol):
    """It gives forces, as every ASE calculator does."""

    def get_property(self, name: str, atoms: Atoms) -> Any:
        """One property of a structure (ASE's interface)."""
        ...


class ForceConstantsCalculator(Protocol):
    """It fills phonopy's supercells."""

    def get_force_constants(self, phonopy: Phonopy, *, progress: Progress | None = None) -> NDArray[np.float64]:
        """(n_primitive, n_supercell, 3, 3) compact constants in phonopy's order [eV/Å²]."""
        ...


class ThirdOrderCalculator(ForceConstantsCalculator, Protocol):
    """It fills phono3py's supercells as well."""

    def get_third_order(self, phono3py: Phono3py, *, progress: Progress | None = None) -> NDArray[np.float64]:
        """(n_primitive, n_supercell, n_supercell, 3, 3, 3) compact constants in phono3py's order [eV/Å³]."""
        ...


class DisplacingCalculator(ForceConstantsCalculator, Protocol):
    """It fills both by displacements: `DisplacementCalculator`."""

    step: float

    def get_third_order(
        self,
        cells: Phonopy | Phono3py,
        *,
        progress: Progress | None = None,
        step: float | None = None,
        keep: Path | None = None,
    ) -> NDArray[np.float64]:
        """As `ThirdOrderCalculator`; `step` is that of displacements [Å], `keep` a folder for forces that are known."""
        ...


class MatrixCalculator(Protocol):
    """It knows exact dynamical matrices."""

    def get_dynamical_matrix(
        self,
        atoms: Atoms | PhonopyAtoms,
        qpoints: ArrayLike,
        *,
        symmetry: bool = True,
        progress: Progress | None = None,
    ) -> NDArray[np.complex128]:
        """(n_q, 3n, 3n) D(q) at reduced wave vectors, in phonopy's convention [eV/Å²/amu]."""
        ...


class SlopeCalculator(MatrixCalculator, Protocol):
    """It knows their derivatives by the wave vector as well."""

    def get_dynamical_matrix_gradient(
        self, atoms: Atoms | PhonopyAtoms, qpoints: ArrayLike, *, progress: Progress | None = None
    ) -> NDArray[np.complex128]:
        """(n_q, 3, 3n, 3n) dD/dk along x, y, z [eV/Å/amu]."""
        ...


class CrystalCalculator(MatrixCalculator, ForceConstantsCalculator, Protocol):
    """It knows both, so that a supercell can be compared with what is exact."""


@runtime_checkable
class DirectedCalculator(Protocol):
    """Its D(q) contains the interaction of dipoles, and at Gamma depends on the direction (`PolarCalculator`)."""

    @property
    def nac_params(self) -> NacParams:
        """phonopy's."""

    def get_dynamical_matrix(
        self,
        atoms: Atoms | PhonopyAtoms,
        qpoints: ArrayLike,
        *,
        symmetry: bool = True,
        progress: Progress | None = None,
        direction: ArrayLike | None = None,
    ) -> NDArray[np.complex128]:
        """As `MatrixCalculator`; `direction` (3,) reduced is the one in which Gamma is approached."""
        ...


class ModelCalculator(SlopeCalculator, ForceConstantsCalculator, Protocol):
    """All of it, and the model behind it."""

    potential: Potential


class EvaluatedCalculator(Protocol):
    """What gives every second derivative of a model, by strain as well: `PhonaxCalculator`."""

    evaluator: Evaluator


class EvaluatedCrystalCalculator(EvaluatedCalculator, ForceConstantsCalculator, Protocol):
    """It fills phonopy's supercells, and gives derivatives by strain."""


class EvaluatedThirdOrderCalculator(EvaluatedCalculator, ThirdOrderCalculator, Protocol):
    """It knows derivatives at any triplet of wave vectors, and fills supercells with them."""


def knows_matrices(calc: object) -> bool:
    """Whether a calculator knows D(q) at any wave vector."""
    return hasattr(calc, "get_dynamical_matrix")


def refuse_charges(calc: object) -> None:
    """Refuse a calculator with charges where derivatives by strain are asked for.

    Raises:
        InputError: it adds the interaction of dipoles, whose derivatives by strain are not known here.
    """
    if isinstance(calc, DirectedCalculator):
        raise InputError(
            f"the calculator is {calc!r}, with charges",
            "the interaction of dipoles has no derivatives by strain here, and without it LO branches would be others",
            "give the PhonaxCalculator itself",
        )


def charges_on_one_side(of_calculator: bool) -> InputError:
    """The error where of a Phonopy object and a calculator one alone has charges.

    Args:
        of_calculator: it is the calculator.
    """
    has, lacks = ("calculator", "Phonopy object") if of_calculator else ("Phonopy object", "calculator")
    return InputError(
        f"the {has} has Born charges, and the {lacks} has none",
        "exact and interpolated D(q) would differ by the interaction of dipoles",
        "use both with charges: polar = PolarCalculator(calc, primitive, born) and get_phonopy(primitive, polar, ...)",
    )
