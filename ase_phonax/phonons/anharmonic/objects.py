"""Crystals handed to phono3py: filling it with exact force constants of second and third order.

phono3py is an extra and is imported when one of its objects is made. Matrices are those of `supercell.objects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ...base.errors import InputError, check_calculator
from ...base.progress import Progress
from ...structures.space_groups import SYMPREC
from ...structures.species import SAME_MASS
from ...structures.supercells import as_supercell_matrix
from ..calculators import ThirdOrderCalculator
from ..supercell.objects import build_phonopy

if TYPE_CHECKING:
    from phono3py import Phono3py


def build_phono3py(
    atoms: Atoms,
    fc3_supercell: int | ArrayLike,
    fc2_supercell: int | ArrayLike | None = None,
    *,
    primitive_matrix: str | ArrayLike = "P",
    symprec: float = SYMPREC,
    masses: ArrayLike | None = None,
    **phono3py_kwargs: Any,
) -> Phono3py:
    """A phono3py object of a crystal, without force constants yet.

    Args:
        atoms: crystal, periodic in three directions, any cell and orientation.
        fc3_supercell: of constants of third order: one integer, three, or (3, 3), in the basis of the cell given.
        fc2_supercell: of those of second order; None for the same one.
        primitive_matrix, symprec, masses: those of `build_phonopy`.
        **phono3py_kwargs: further arguments of `phono3py.Phono3py`.

    Raises:
        StructureError, SupercellError: as `build_phonopy`.
        InputError: phono3py is not installed; or atoms of one element differ in mass, which it does not tell apart.
    """
    make = phono3py_class()
    # It refuses what is no crystal or no supercell, warns where symmetry is lost, and knows the primitive cell.
    phonopy = build_phonopy(atoms, fc3_supercell, primitive_matrix=primitive_matrix, symprec=symprec, masses=masses)
    cell = phonopy.unitcell
    refuse_mixed_masses(cell.symbols, cell.masses)
    second = None if fc2_supercell is None else as_supercell_matrix(fc2_supercell)
    return make(
        cell,
        supercell_matrix=phonopy.supercell_matrix,
        primitive_matrix=phonopy.primitive_matrix,
        phonon_supercell_matrix=second,
        symprec=symprec,
        **phono3py_kwargs,
    )


def refuse_mixed_masses(symbols: Sequence[str], masses: NDArray[np.float64]) -> None:
    """Refuse atoms of one element that differ in mass, which phono3py does not tell apart.

    Raises:
        InputError: naming the element.
    """
    for symbol in dict.fromkeys(symbols):
        own = masses[[other == symbol for other in symbols]]
        if np.ptp(own) > SAME_MASS:
            raise InputError(
                f"{symbol} has masses from {own.min():g} to {own.max():g} amu",
                "phono3py takes atoms of one element for the same, and would reduce by a symmetry that is not there",
                "give all of them one mass; scattering by natural isotopes is an option of its solution",
            )


def get_phono3py(
    atoms: Atoms,
    calc: ThirdOrderCalculator,
    fc3_supercell: int | ArrayLike,
    fc2_supercell: int | ArrayLike | None = None,
    *,
    primitive_matrix: str | ArrayLike = "P",
    symprec: float = SYMPREC,
    masses: ArrayLike | None = None,
    progress: Progress | None = None,
    **phono3py_kwargs: Any,
) -> Phono3py:
    """A live phono3py object with the calculator's exact constants of second and third order.

    The structure is taken as it is: relax it first. Nothing is displaced; constants are those that displacements give
    in the limit of zero step. Arguments not named here are those of `build_phono3py`.

    Args:
        calc: a `PhonaxCalculator`.
        progress: called as progress(done, total) while constants of third order are computed.

    Returns:
        Phono3py with compact `fc2` (n_primitive, n_supercell, 3, 3) [eV/Å²] and
        `fc3` (n_primitive, n_supercell, n_supercell, 3, 3, 3) [eV/Å³].
    """
    check_calculator(calc, "get_third_order")
    options: dict[str, Any] = {
        "primitive_matrix": primitive_matrix,
        "symprec": symprec,
        "masses": masses,
        "progress": progress,
    }
    return phono3py_with(None, atoms, calc, fc3_supercell, fc2_supercell, **options, **phono3py_kwargs)


def phono3py_with(
    constants: NDArray[np.float64] | None,
    atoms: Atoms,
    calc: ThirdOrderCalculator,
    fc3_supercell: int | ArrayLike,
    fc2_supercell: int | ArrayLike | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Phono3py:
    """What `get_phono3py` returns, with third-order constants that are known; None for those of the calculator."""
    phono3py = build_phono3py(atoms, fc3_supercell, fc2_supercell, **options)
    matrix = phono3py.supercell_matrix if fc2_supercell is None else phono3py.phonon_supercell_matrix
    same = {name: options[name] for name in ("symprec", "masses") if name in options}
    phonopy = build_phonopy(atoms, matrix, primitive_matrix=phono3py.primitive_matrix, **same)
    phono3py.fc2 = calc.get_force_constants(phonopy)
    if phonopy.nac_params is not None:  # of a calculator with charges
        phono3py.nac_params = phonopy.nac_params
    if constants is None:
        calc.get_third_order(phono3py, progress=progress)
    else:
        phono3py.fc3 = constants
    return phono3py


def phono3py_class() -> type[Phono3py]:
    """phono3py's class.

    Raises:
        InputError: phono3py is not installed.
    """
    try:
        from phono3py import Phono3py
    except ImportError as error:
        raise InputError(
            "phono3py is not installed",
            "it solves for what anharmonic force constants mean",
            'install it: pip install "ase-phonax[conductivity]", or pip install "phono3py>=4.10,<4.11"',
        ) from error
    return Phono3py
