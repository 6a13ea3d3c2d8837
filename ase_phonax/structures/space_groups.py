"""The space group of a crystal as spglib finds it, and its primitive and conventional cells.

No function here moves an atom or turns a cell. Whether a structure can be computed at all
is asked in `checks`.

A run asks about the same few crystals many times. What spglib answered is remembered by what it was asked: vectors,
positions, species (elements and masses), tolerance. Arrays that come from its answers are read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.cell import Cell
from numpy.typing import NDArray

from ..base.errors import StructureError
from ..base.sharing import Remembered, ignored_warnings
from .formulas import crystal_formula
from .lattices import is_skewed, short_vectors
from .species import species_of

SYMPREC = 1e-5  # [Å] distance below which positions count as equal; phonopy's default
SPGLIB_ERROR = getattr(spglib, "SpglibError", RuntimeError)  # new in spglib 2.7
# A run has the crystal as given and at rest, its primitive cell, and each of them at several volumes.
ANSWERS_KEPT = 32
MOST_KEPT_ATOMS = 2000  # an answer is up to 192 operations of 96 bytes for each primitive cell


@dataclass(frozen=True)
class SpaceGroup:
    """The space group of a crystal as spglib finds it.

    Attributes:
        international: short Hermann-Mauguin symbol, such as "Fm-3m".
        number: of the International Tables, 1 to 230.
        n_primitive: atoms in a primitive cell; fewer than the atoms given where the cell is not primitive.
    """

    international: str
    number: int
    n_primitive: int

    def __str__(self) -> str:
        return f"{self.international} ({self.number})"


def get_space_group(atoms: Atoms, symprec: float = SYMPREC) -> SpaceGroup:
    """Space group of a crystal.

    Args:
        atoms: three-dimensional crystal. Isotopes (different masses) count as different species.
        symprec: distance below which positions count as equal [Å].

    Raises:
        StructureError: spglib finds no symmetry at this tolerance.
    """
    dataset = _symmetry_dataset(atoms, symprec)
    return SpaceGroup(dataset.international, int(dataset.number), len(set(dataset.mapping_to_primitive)))


def get_operations(atoms: Atoms, symprec: float = SYMPREC) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Operations f -> W f + t of the space group, in reduced coordinates of the cell given.

    Returns:
        rotations W (n, 3, 3) and translations t (n, 3).

    Raises:
        StructureError: spglib finds no symmetry at this tolerance.
    """
    dataset = _symmetry_dataset(atoms, symprec)
    rotations, translations = np.asarray(dataset.rotations), np.asarray(dataset.translations)
    vectors, matrix = _short_vectors(atoms)
    if np.array_equal(matrix, np.eye(3)):
        return rotations, translations
    # Reduced coordinates f of the cell given and f' of its short vectors: f = M^T f'. The inverse of M comes from the
    # vectors, because M itself is too long to be inverted without rounding.
    inverse = np.rint(atoms.cell.array @ np.linalg.inv(vectors)).astype(np.int64)
    return matrix.T @ rotations @ inverse.T, np.mod(translations @ matrix, 1.0, dtype=float)


def get_primitive_matrix(atoms: Atoms, symprec: float = SYMPREC) -> NDArray[np.float64]:
    """Matrix to a primitive cell, in phonopy's sense: primitive vectors = matrix.T @ cell.

    The identity where the cell is primitive already, whatever its shape: a user's own choice of
    primitive vectors is kept. Otherwise the primitive cell of the standard setting, not turned, and of
    the handedness of the cell given.

    Returns:
        (3, 3), the inverse of an integer matrix.
    """
    if get_space_group(atoms, symprec).n_primitive == len(atoms):
        return np.eye(3)
    lattice, _, _ = _standard_primitive(atoms, symprec)
    inverse = np.rint((atoms.cell[:] @ np.linalg.inv(lattice)).T)
    if np.linalg.det(inverse) < 0:
        inverse = -inverse
    return np.linalg.inv(inverse)


def get_conventional_matrix(atoms: Atoms, symprec: float = SYMPREC) -> NDArray[np.int64]:
    """Matrix to the conventional cell of the space group: conventional vectors = matrix.T @ cell.

    Args:
        atoms: crystal in a primitive cell.

    Returns:
        (3, 3) with positive determinant: 1, 2, 3 or 4.
    """
    lattice, _, _ = _ask_spglib(spglib.standardize_cell, atoms, symprec, to_primitive=False, no_idealize=True)
    vectors, short = _short_vectors(atoms)
    matrix = (np.rint(lattice @ np.linalg.inv(vectors)).astype(np.int64) @ short).T
    return matrix if np.linalg.det(matrix) > 0 else -matrix


def reduce_to_primitive(atoms: Atoms, symprec: float = SYMPREC) -> Atoms:
    """A primitive cell in the orientation given; the structure itself where it is primitive already.

    Positions stay where they are in space (one representative of each set of equivalent atoms) and
    masses are kept; the order of the atoms need not survive, and other per-atom arrays do not.

    Args:
        atoms: three-dimensional crystal; not changed.
        symprec: distance below which positions count as equal [Å].

    Returns:
        new Atoms without calculator and constraints.

    Raises:
        StructureError: spglib finds no symmetry at this tolerance.
    """
    if get_space_group(atoms, symprec).n_primitive == len(atoms):
        primitive = atoms.copy()
        primitive.set_constraint()
        return primitive
    lattice, positions, types = _standard_primitive(atoms, symprec)
    species = species_of(atoms)
    representatives = [int(np.argmax(species == kind)) for kind in types]
    return Atoms(
        numbers=atoms.numbers[representatives],
        masses=atoms.get_masses()[representatives] if atoms.has("masses") else None,
        scaled_positions=positions,
        cell=lattice,
        pbc=True,
    )


def _short_vectors(atoms: Atoms) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`lattices.short_vectors` of a crystal, whatever its flags of periodicity: spglib has none."""
    return short_vectors(atoms.cell.array, np.ones(3, bool))


def _spglib_cell(atoms: Atoms) -> tuple[Any, Any, Any]:
    # In vectors some hundred times as long as the lattice needs, spglib finds no group.
    vectors = _short_vectors(atoms)[0]
    return vectors, Cell(vectors).scaled_positions(atoms.positions), species_of(atoms)


def _symmetry_dataset(atoms: Atoms, symprec: float) -> Any:
    return _ask_spglib(spglib.get_symmetry_dataset, atoms, symprec)


def _standard_primitive(atoms: Atoms, symprec: float) -> tuple[Any, Any, Any]:
    # no_idealize keeps orientation and positions; find_primitive turns the crystal.
    return _ask_spglib(spglib.standardize_cell, atoms, symprec, to_primitive=True, no_idealize=True)


def _ask_spglib(function: Any, atoms: Atoms, symprec: float, **options: Any) -> Any:
    cell = _spglib_cell(atoms)
    asked = (function.__name__, *(np.asarray(part).tobytes() for part in cell), symprec, *sorted(options.items()))

    def ask() -> Any:
        # spglib < 2.7 returns None on failure; later ones warn at every call that they will raise one day.
        with ignored_warnings("Set OLD_ERROR_HANDLING", DeprecationWarning):
            try:
                answer, reason = function(cell, symprec=symprec, **options), "no symmetry found"
            except SPGLIB_ERROR as error:
                answer, reason = None, str(error)
        if answer is None:
            raise no_space_group(atoms, symprec, reason)
        for part in answer if isinstance(answer, tuple) else vars(answer).values():
            if isinstance(part, np.ndarray):
                part.flags.writeable = False  # one answer serves many who ask
        return answer

    return _ANSWERS.of(asked, ask) if len(atoms) <= MOST_KEPT_ATOMS else ask()


_ANSWERS: Remembered[Any] = Remembered(most=ANSWERS_KEPT)


def no_space_group(atoms: Atoms, symprec: float, reason: object) -> StructureError:
    """The error where spglib fails, in phonopy, seekpath and ASE as well: they hand it the vectors as they are."""
    return StructureError(
        f"spglib finds no space group for {crystal_formula(atoms)} at symprec = {symprec} Å: {reason}",
        "band labels, the primitive cell and symmetric relaxation rest on the space group",
        "take short vectors of the same lattice, no atom moves: atoms.set_cell(minkowski_reduce(atoms.cell)[0]), from"
        " ase.geometry"
        if is_skewed(atoms.cell.array)
        else "look for atoms that nearly coincide, or try another symprec",
        on_command_line="leave out --keep-cell, and short vectors of the same lattice are taken"
        if is_skewed(atoms.cell.array)
        else "look for atoms that nearly coincide, or try another --symprec",
    )
