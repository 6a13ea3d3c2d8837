"""Crystals handed to phonopy: filling it with exact force constants, and band structures from it.

Everything returned is phonopy's own object, live and complete. Matrices follow phonopy: columns count
cell vectors, so the supercell's vectors are `supercell_matrix.T @ cell`, and the primitive cell's
`primitive_matrix.T @ cell`, both in the basis of the cell given.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.structure import cells as phonopy_cells
from phonopy.structure import symmetry as phonopy_symmetry
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import get_primitive_matrix_by_centring

from ...base.errors import ColumnOrderWarning, InputError, SupercellError, UnstableWarning, check_calculator
from ...base.progress import Progress
from ...base.sharing import Replacement, ignored_warnings
from ...structures import space_groups, supercells
from ...structures.checks import require_crystal
from ...structures.permutations import operation_permutations
from ...structures.space_groups import SYMPREC
from ..calculators import ForceConstantsCalculator
from .constants import validate_constants
from .door import checked, checked_for_potential, checked_phono3py, set_primitive_symmetry

Permutations = Callable[..., NDArray[np.int64]]  # of the atoms of a cell, one for each operation
_CENTRINGS = ("P", "F", "I", "A", "C", "R")
# Atoms of a supercell above which phonopy is not asked for its space group: the list of operations and
# permutations alone would take gigabytes, and only displacements and symmetrisation would use it.
SYMMETRY_LIMIT = 2000


def build_phonopy(
    atoms: Atoms,
    supercell_matrix: int | ArrayLike,
    *,
    primitive_matrix: str | ArrayLike = "P",
    symprec: float = SYMPREC,
    masses: ArrayLike | None = None,
    **phonopy_kwargs: Any,
) -> Phonopy:
    """A phonopy object of a crystal, without force constants yet.

    Args:
        atoms: crystal, periodic in three directions, any cell and orientation.
        supercell_matrix: one integer, three, or (3, 3), in the basis of the cell given.
        primitive_matrix: "P" keeps the cell given as the primitive one, with a warning where it is not;
            "auto" reduces it to a primitive cell of the same orientation; or phonopy's letters and matrices.
        symprec: distance below which positions count as equal [Å].
        masses: (n_atoms,) [amu]; those of `atoms` unless given, never phonopy's own table.
        **phonopy_kwargs: further arguments of `phonopy.Phonopy`.

    Raises:
        StructureError: not a crystal, or one that cannot be computed; or vectors so long that spglib fails.
        SupercellError: a matrix that describes no supercell or no primitive cell.
        InputError: masses that are not one positive number for each atom.
    """
    require_crystal(atoms)
    matrix = supercells.as_supercell_matrix(supercell_matrix)
    unitcell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(wrap=False),
        masses=_checked_masses(atoms, masses),
    )
    primitive = _resolve_primitive_matrix(primitive_matrix, atoms, symprec)
    try:
        with ignored_warnings("Warning: Point group symmetries"):  # said below, with its meaning
            phonopy = _set_up(unitcell, matrix, primitive, symprec, phonopy_kwargs)
    except (RuntimeError, ValueError) as error:
        raise SupercellError(
            f"phonopy cannot build supercell {matrix.tolist()} with primitive matrix {np.asarray(primitive).tolist()}:"
            f" {str(error).splitlines()[0]}",
            "the primitive cell must repeat the cell given and the supercell exactly",
            'use primitive_matrix="P" or "auto", and a supercell matrix that is a multiple of the primitive cell',
        ) from error
    except space_groups.SPGLIB_ERROR as error:
        raise space_groups.no_space_group(atoms, symprec, error) from error
    checked(phonopy)
    _warn_unless_primitive(atoms, unitcell.masses, len(phonopy.primitive), symprec)
    _warn_unless_symmetric(phonopy)
    return phonopy


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

    The structure is taken as it is: relax it first (`ase_phonax.structures.relaxation.relax`). Arguments not named
    here are those of `build_phonopy`.

    Args:
        atoms: crystal, periodic in three directions, any cell and orientation.
        calc: a `PhonaxCalculator`, or anything with its `get_force_constants`.
        supercell_matrix: one integer, three, or (3, 3), in the basis of the cell given.
        primitive_matrix: "P", "auto", or phonopy's letters and matrices.
        symprec: distance below which positions count as equal [Å].
        masses: (n_atoms,) [amu]; those of `atoms` unless given.
        progress: called as progress(done, total) while force constants are computed.
        **phonopy_kwargs: further arguments of `phonopy.Phonopy`.

    Returns:
        Phonopy with compact constants (n_primitive, n_supercell, 3, 3) [eV/Å²], not symmetrised.

    Raises:
        StructureError: not a crystal, or one that cannot be computed.
        SupercellError: a matrix that describes no supercell or no primitive cell.
        InputError: masses, or constants returned by the calculator, of a wrong shape or not finite; no calculator.
    """
    check_calculator(calc, "get_force_constants")
    phonopy = build_phonopy(
        atoms,
        supercell_matrix,
        primitive_matrix=primitive_matrix,
        symprec=symprec,
        masses=masses,
        **phonopy_kwargs,
    )
    force_constants = validate_constants(calc.get_force_constants(phonopy, progress=progress), phonopy)
    # The setter copies and rebuilds the dynamical matrix: not again where the calculator has filled it.
    if phonopy.force_constants is None or not np.array_equal(phonopy.force_constants, force_constants):
        phonopy.force_constants = force_constants
    return phonopy


def cells_asked_for(
    given: Any, supercell_matrix: ArrayLike | None, primitive_matrix: str | ArrayLike, third: bool = False
) -> Any:
    """The object whose constants are asked for: the `Phonopy` or `Phono3py` one given, or phonopy's of a crystal.

    Args:
        third: constants of third order are asked for.

    Raises:
        InputError: a supercell matrix beside an object, or none for a crystal; an object of other units.
    """
    if not isinstance(given, Atoms):
        if supercell_matrix is not None:
            raise InputError(
                f"a supercell matrix was given beside a {type(given).__name__} object",
                "the object has its own, and the two could differ",
                "leave supercell_matrix out",
            )
        if isinstance(given, Phonopy):
            return checked_for_potential(given)
        if not third and hasattr(given, "phonon_supercell"):
            raise InputError(
                "second-order constants were asked for a Phono3py object",
                "it has two supercells, and theirs need not be the one that it calls `supercell`",
                "take the object from ase_phonax.get_phono3py, which fills both orders",
            )
        return checked_phono3py(given)
    if supercell_matrix is None:
        raise InputError(
            "no supercell matrix was given",
            "force constants are those of a supercell",
            "give the repeats, for example 3, or a Phonopy object; choose_supercell finds a good one",
        )
    phonopy = build_phonopy(given, supercell_matrix, primitive_matrix=primitive_matrix)
    warn_of_order(given, phonopy)
    return phonopy


def warn_of_order(atoms: Atoms, phonopy: Phonopy) -> None:
    """Say where constants of `atoms` would not fit an object made of the same atoms wrapped into their cell.

    phonopy counts the images of an atom from where it lies, and `atoms.get_scaled_positions()`, from which objects
    are usually made, moves it into the cell first.

    Args:
        atoms: of which `build_phonopy` has made `phonopy`.
    """
    wrapped = atoms.get_scaled_positions()
    outside = np.abs(wrapped - atoms.get_scaled_positions(wrap=False)).max(axis=1) > 0.5
    if not outside.any():
        return
    cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], scaled_positions=wrapped)
    other = phonopy_cells.get_supercell(cell, phonopy.supercell_matrix, symprec=phonopy.symmetry.tolerance)
    apart = (phonopy.supercell.positions - other.positions) @ np.linalg.inv(other.cell)
    if np.abs(apart - np.rint(apart)).max() > 1e-3:
        where = ", ".join(map(str, np.flatnonzero(outside)[:4])) + (" ..." if outside.sum() > 4 else "")
        warnings.warn(
            f"Atoms lie outside the cell ({where}, counted from 0): columns of the force constants follow the supercell"
            " of these positions. A Phonopy object made of atoms.get_scaled_positions(), which moves them into the"
            " cell, has another order, and wrong frequencies with these constants. Give the Phonopy object itself (or"
            " Phono3py's) in place of atoms, or call atoms.wrap() first.",
            ColumnOrderWarning,
            stacklevel=3,
        )


def _checked_masses(atoms: Atoms, masses: ArrayLike | None) -> NDArray[np.float64]:
    """Masses (n_atoms,) [amu], those of the atoms unless given; refused where they are none."""
    values = atoms.get_masses() if masses is None else np.asarray(masses, dtype=float)
    if values.shape != (len(atoms),) or not np.all(np.isfinite(values) & (values > 0)):
        raise InputError(
            f"the masses {values.tolist()} are not one positive number for each of {len(atoms)} atoms",
            "frequencies are square roots of force constants over masses",
            "give masses in amu, one per atom of the cell, or leave them out to use those of the atoms",
        )
    return values


def _resolve_primitive_matrix(primitive_matrix: str | ArrayLike, atoms: Atoms, symprec: float) -> NDArray[np.float64]:
    """The (3, 3) primitive matrix that a word, a letter or a matrix means, or an error."""
    if isinstance(primitive_matrix, str):
        if primitive_matrix == "auto":  # not phonopy's: that changes a primitive cell's own vectors, and warns
            return space_groups.get_primitive_matrix(atoms, symprec)
        if primitive_matrix in _CENTRINGS:
            return np.asarray(get_primitive_matrix_by_centring(primitive_matrix))
    else:
        matrix = np.asarray(primitive_matrix, dtype=float)
        if matrix.shape == (3, 3) and np.all(np.isfinite(matrix)) and np.linalg.det(matrix) > 1e-8:
            return matrix
    raise SupercellError(
        f"the primitive matrix {primitive_matrix!r} is unknown",
        "it says which primitive cell the force constants belong to",
        'give "P", "auto", a centring letter (F, I, A, C, R) or a (3, 3) matrix with positive determinant',
    )


def _warn_unless_primitive(atoms: Atoms, masses: NDArray[np.float64], n_kept: int, symprec: float) -> None:
    """Warn of a cell kept that is not primitive."""
    # Asked of the crystal as given, about which others ask as well: phonopy's primitive cell differs by rounding.
    crystal = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, masses=masses, pbc=True)
    group = space_groups.get_space_group(crystal, symprec)
    if group.n_primitive < n_kept:
        warnings.warn(
            f"The cell is kept with {n_kept} atoms, but its primitive cell has {group.n_primitive}"
            f" ({group}): bands are folded and thermal properties count the larger cell."
            ' primitive_matrix="auto" reduces it.',
            UnstableWarning,
            stacklevel=4,
        )


def _set_up(
    unitcell: PhonopyAtoms,
    matrix: NDArray[np.int64],
    primitive: NDArray[np.float64],
    symprec: float,
    options: dict[str, Any],
) -> Phonopy:
    """phonopy's object, without the symmetry of a supercell that is too large for it."""
    n_atoms = len(unitcell) * round(abs(float(np.linalg.det(matrix))))
    symmetric = options.pop("is_symmetry", True)
    with _PERMUTATIONS.in_place():
        phonopy = Phonopy(
            unitcell,
            matrix,
            primitive_matrix=primitive,
            symprec=symprec,
            is_symmetry=symmetric and n_atoms <= SYMMETRY_LIMIT,
            **options,
        )
        if symmetric and n_atoms > SYMMETRY_LIMIT:
            # Meshes and irreps use the symmetry of the primitive cell, which is as cheap as ever.
            set_primitive_symmetry(phonopy, phonopy_symmetry.Symmetry(phonopy.primitive, symprec))
    return phonopy


def _quick(original: Permutations) -> Permutations:
    """phonopy's search for permutations of atoms, quick for large supercells.

    Its search over pairs of atoms, for each operation of the supercell, is replaced by a composition with
    the same result (docs/upstream.md); where that finds none, phonopy's own search decides. To be removed
    when phonopy composes permutations itself.
    """

    def permutations(*arguments: Any, lang: Any = "Rust") -> NDArray[np.int64]:
        composed = operation_permutations(*arguments)
        return original(*arguments, lang=lang) if composed is None else composed

    return permutations


_PERMUTATIONS = Replacement((phonopy_cells, phonopy_symmetry), "compute_all_sg_permutations", _quick)


def _warn_unless_symmetric(phonopy: Phonopy) -> None:
    """Warn of a supercell that breaks the point group of the crystal."""
    rotations = phonopy.primitive_symmetry.pointgroup_operations
    repeats = np.rint(phonopy.supercell.cell @ np.linalg.inv(phonopy.primitive.cell))
    # The supercell's own vectors, rotated, are whole combinations of themselves.
    rotated = repeats @ np.transpose(rotations, (0, 2, 1)) @ np.linalg.inv(repeats)
    n_crystal, n_supercell = len(rotations), int(np.sum(np.abs(rotated - np.rint(rotated)).max(axis=(1, 2)) < 1e-6))
    if n_supercell < n_crystal:
        warnings.warn(
            f"The supercell keeps {n_supercell} of the crystal's {n_crystal} point-group operations: frequencies"
            " interpolated between its q-points may split where they should be degenerate.",
            UnstableWarning,
            stacklevel=4,
        )
