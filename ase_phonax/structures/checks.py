"""Is this a structure that can be computed: the door for atoms.

What passes `require_crystal` is finite, has no two atoms on one place and repeats in three directions.
"""

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import complete_cell
from ase.neighborlist import neighbor_list

from ..base.errors import InputError, StructureError
from .lattices import cell_heights, is_flat, short_vectors, with_short_vectors
from .occupancies import amount, mixed_sites
from .species import warn_of_moments

CLOSEST_DISTANCE = 0.4  # [Å] H2 is 0.74: anything nearer is a damaged file, not chemistry
SMALLEST_HEIGHT = 0.5  # [Å] of the shortest vectors of a lattice: below it they are taken as lying in a plane
SMALLEST_VOLUME = 1e-9  # [Å³]
# Doubles of this size are 1e-10 Å apart: positions, and vectors between them, are rounded to no more than that.
FARTHEST = 1e6  # [Å]


def check_structure(atoms: Atoms) -> None:
    """Refuse a structure no potential can say anything about.

    Raises:
        StructureError: no atoms, unknown species, positions or cell that are not finite, a cell without volume, sites
            that are occupied in part, or two atoms closer than CLOSEST_DISTANCE (periodic images counted).
    """
    check_finite(atoms)
    check_elements(atoms)
    check_cell(atoms)
    check_repeats(atoms)
    _check_occupancies(atoms)
    _check_distances(atoms)
    warn_of_moments(atoms)


def check_atoms_given(given: object) -> None:
    """Refuse a name of a file, a phonopy cell or anything else where ASE's Atoms are wanted.

    Raises:
        StructureError: with its kind.
    """
    if not isinstance(given, Atoms):
        raise StructureError(
            f"the structure is a {type(given).__name__}: {reprlib.repr(given)}",
            "structures are ASE's Atoms",
            "read a file with ase.io.read",
        )


def check_elements(atoms: Atoms) -> None:
    """Refuse atomic numbers that no element has.

    Raises:
        StructureError: naming the first such atom.
    """
    unknown = (atoms.numbers < 1) | (atoms.numbers >= len(chemical_symbols))
    if np.any(unknown):
        index = int(np.argmax(unknown))
        raise StructureError(
            f"atom {index}, counted from 0, has no known element (atomic number {atoms.numbers[index]})",
            "the potential needs the element of every atom",
            "name the elements in the file; POSCAR needs them on the line above the counts",
        )


def check_cell(atoms: Atoms) -> None:
    """Refuse a periodic direction without a cell vector, and vectors in one plane.

    Raises:
        StructureError: with the cell.
    """
    cell = atoms.cell.array
    # complete_cell fills missing vectors only for directions that are not periodic.
    missing = atoms.pbc & ~cell.any(axis=1)
    complete = complete_cell(cell)
    if missing.any() or is_flat(complete) or abs(np.linalg.det(complete)) < SMALLEST_VOLUME:
        raise StructureError(
            f"the cell {cell.tolist()} has no volume but pbc is {atoms.pbc.tolist()}",
            "periodic images would coincide",
            "give three independent cell vectors, or set pbc to False in the directions without one",
        )


def check_repeats(atoms: Atoms) -> None:
    """Refuse a cell whose images of one atom lie on top of each other: a search for neighbours would take hours.

    Raises:
        StructureError: with the cell.
    """
    shortest = np.linalg.norm(short_vectors(atoms.cell.array, atoms.pbc)[0], axis=1)[atoms.pbc].min(initial=np.inf)
    if shortest < CLOSEST_DISTANCE:
        raise StructureError(
            f"the cell {atoms.cell.array.tolist()} repeats every atom after {shortest:.3g} Å",
            f"atoms nearer than {CLOSEST_DISTANCE} Å lie on top of each other: no potential is meant for that",
            "check the lengths and angles of the cell, and their units",
        )


def require_crystal(atoms: Atoms) -> None:
    """Refuse a structure that has no phonons in three dimensions.

    Raises:
        StructureError: as `check_structure`; or not periodic in all three directions; or cell vectors
            that lie in one plane.
    """
    check_finite(atoms)
    if not all(atoms.pbc):
        flags = " ".join("T" if periodic else "F" for periodic in atoms.pbc)
        raise StructureError(
            f"the structure is not periodic in three directions (pbc = {flags})",
            "force constants, q-points and supercells are defined for a three-dimensional crystal only",
            "set atoms.pbc = True if it is a crystal; for a molecule use molecule_study or calc.get_vibrations",
            on_command_line="if it is a crystal, say so in the file (a format with a cell that repeats, such as CIF,"
            ' POSCAR, or extxyz with pbc="T T T"); for a molecule use `ase-phonax molecule`',
        )
    heights = cell_heights(short_vectors(atoms.cell.array, atoms.pbc)[0])
    if not heights.min() > SMALLEST_HEIGHT:
        raise StructureError(
            f"the cell is flat or empty: of its shortest vectors, opposite faces are {heights.min():.3g} Å apart",
            "its three vectors do not span space, so the crystal cannot be repeated",
            "check the cell in the file (lattice vectors, units of length)",
        )
    check_structure(atoms)


def check_finite(atoms: Atoms) -> None:
    """Refuse a structure without atoms, and positions and cells that are not numbers or too large to be exact.

    Raises:
        StructureError: naming the first bad one.
    """
    if len(atoms) == 0:
        raise StructureError(
            "the structure has no atoms", "there is nothing to compute", "check that the file is complete"
        )
    for name, values in (("position", atoms.positions), ("cell vector", atoms.cell.array)):
        if np.abs(values).max(initial=0.0) <= FARTHEST:  # false for NaN, too
            continue
        index = int(np.argmin((np.abs(values) <= FARTHEST).all(axis=1)))
        if np.isfinite(values[index]).all():
            raise StructureError(
                f"the {name} {index} is {values[index]} Å",
                f"beyond {FARTHEST:g} Å numbers are rounded to more than 1e-10 Å, and energies and forces with them",
                "wrap the atoms into the cell (atoms.wrap()), or check the units of length",
                on_command_line="write the atoms inside the cell, or check the units of length",
            )
        raise StructureError(
            f"the {name} {index} is not a finite number: {values[index]}",
            "every energy and force computed from it would be NaN",
            "repair the structure; a job that failed often leaves such a file",
        )


def _check_occupancies(atoms: Atoms) -> None:
    partial = []
    for name, members, elements in mixed_sites(atoms):
        where = f"site {name}"
        if members is not None:
            where = f"atoms {', '.join(map(str, members[:4]))}" + (" ..." if len(members) > 4 else "")
        partial.append(f"{where}: " + " + ".join(f"{amount(x)} {symbol}" for symbol, x in elements.items()))
    if partial:
        raise StructureError(
            f"sites are occupied in part (atoms counted from 0): {'; '.join(partial)}",
            "a potential takes whole atoms: it would be computed as if one element filled each of these sites",
            "give an ordered structure, such as a supercell with the atoms distributed; where that is done already,"
            ' delete atoms.info["occupancy"]',
            on_command_line="give an ordered structure, such as a supercell with the atoms distributed, in a file that"
            " states no occupancies",
        )


def _check_distances(atoms: Atoms) -> None:
    # The search would take hours in a skewed cell. It says nothing of a flat one, which others refuse.
    first, second, distances = neighbor_list("ijd", with_short_vectors(atoms), CLOSEST_DISTANCE)
    if len(distances) == 0:
        return
    nearest = int(np.argmin(distances))
    i, j = sorted((int(first[nearest]), int(second[nearest])))
    symbols = atoms.get_chemical_symbols()
    raise StructureError(
        f"atoms {i} ({symbols[i]}) and {j} ({symbols[j]}), counted from 0, are {distances[nearest]:.3g} Å apart",
        f"atoms nearer than {CLOSEST_DISTANCE} Å lie on top of each other: no potential is meant for that",
        "check for duplicated atoms, partially occupied sites, fractional coordinates read as Å, or a wrong cell",
    )


def vibrating(atoms: Atoms, indices: Sequence[int] | None) -> np.ndarray:
    """Atoms that vibrate, counted from the front: those named, or all that no constraint holds.

    Raises:
        InputError: there is none, or constraints hold parts of an atom's motion.
    """
    from ase.vibrations import VibrationsData  # brings matplotlib

    if indices is None:
        refuse_partial_constraints(atoms)
        indices = VibrationsData.indices_from_constraints(atoms)
    if len(indices) == 0 < len(atoms):  # an empty structure gets an error of its own
        raise InputError(
            f"none of the {len(atoms)} atoms may vibrate",
            "there are no modes without a moving atom",
            "loosen the constraints, or name atoms in `indices`",
        )
    return np.arange(len(atoms))[np.asarray(indices, int)]


def refuse_partial_constraints(atoms: Atoms) -> None:
    """Refuse constraints that hold parts of an atom's motion, before vibrations go into ASE's container.

    It takes atoms whole: FixCartesian would drop all of an atom, other kinds would be overlooked.

    Raises:
        InputError: naming the kinds.
    """
    from ase.constraints import FixAtoms, FixCartesian, FixSymmetry

    def whole(constraint: Any) -> bool:
        fixed = isinstance(constraint, FixCartesian) and bool(np.all(constraint.mask))
        return fixed or isinstance(constraint, FixAtoms | FixSymmetry)

    partial = sorted({type(constraint).__name__ for constraint in atoms.constraints if not whole(constraint)})
    if partial:
        raise InputError(
            f"the structure has constraints of the kind {', '.join(partial)}",
            "vibrations are those of atoms that move freely, or not at all",
            "remove them (atoms.set_constraint()), hold whole atoms with FixAtoms, or name those that move: `indices`",
        )


def refuse_charge(atoms: Atoms) -> None:
    """Refuse a molecule with a charge, stated in `info` or by initial charges.

    Raises:
        StructureError: it has one.
    """
    stated = [atoms.info[key] for key in ("charge", "total_charge") if key in atoms.info]
    charges: list[object] = [*stated, float(np.sum(atoms.get_initial_charges()))]
    for charge in charges:
        if isinstance(charge, (int, float)) and abs(charge) < 1e-3:
            continue
        raise StructureError(
            f"the molecule has charge {charge}",
            "the model knows neutral molecules only, and would give the forces of another substance",
            "remove the charge (atoms.info, initial charges) if it is none",
            on_command_line="remove the charge from the file (its comment line, initial charges) if it is none",
        )
