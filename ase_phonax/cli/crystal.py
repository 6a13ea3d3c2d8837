"""What the commands on crystals share: the structure, its relaxation, its supercell."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import loading, options
from .progress import progress_bar

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

    from ..phonons.supercell.choice import SupercellChoice
    from ..structures.layers import Layer
    from ..structures.relaxation import RelaxationReport
    from ..structures.space_groups import SpaceGroup

SYMPREC = 1e-3  # [Å] files round coordinates to about this; the relaxation then makes the symmetry exact
TOLERANCE_THZ = 0.05  # as `supercell.choice`, which a parser cannot import cheaply; a test compares them
MAX_ATOMS = 1000
MAX_SUPERCELL_ATOMS = 10_000  # phonopy itself takes hours to set up larger ones


@dataclass(frozen=True)
class Crystal:
    """The structure as it enters: `atoms` to compute, reduced from `n_atoms_given` of the file.

    Attributes:
        layer: how it lies in its vacuum; None for a crystal in three dimensions.
    """

    atoms: Atoms
    n_atoms_given: int
    space_group: SpaceGroup
    had_constraints: bool
    layer: Layer | None = None

    @property
    def repeated(self) -> tuple[bool, bool, bool]:
        """Directions that supercells, paths and meshes extend in; not the vacuum of a layer."""
        return (True, True, True) if self.layer is None else tuple(i != self.layer.axis for i in range(3))  # type: ignore[return-value]


def add_structure_options(parser: argparse.ArgumentParser) -> Any:
    """The structure file, the cell, the tolerance of its symmetry; the group of options is returned."""
    options.add_structure(parser, "STRUCTURE", "file of any format ASE reads (POSCAR, CIF, extxyz, ...)")
    options.add_model(parser)
    group = parser.add_argument_group("structure")
    group.add_argument(
        "--keep-cell", action="store_true", help="keep the cell as it is (default: reduce it to a primitive cell)"
    )
    group.add_argument(
        "--symprec",
        metavar="Å",
        type=options.positive,
        default=SYMPREC,
        help="positions nearer than this count as equal when the symmetry is found (default: %(default)g)",
    )
    group.add_argument(
        "--site-tolerance",
        metavar="Å",
        type=options.positive,
        help="of CIF files: images of a site nearer than this are one atom, in the middle of them; for special"
        " positions written with few digits, such as 0.333 (default: 0.001, and such files are refused)",
    )
    options.add_masses(group)
    return group


def add_supercell_options(parser: argparse.ArgumentParser) -> None:
    """How the supercell is found."""
    group = parser.add_argument_group("supercell")
    cells = group.add_mutually_exclusive_group()
    cells.add_argument(
        "--supercell",
        metavar="N",
        nargs="+",
        type=options.integer,
        help="repeats along the three vectors of the primitive cell, or the nine integers of a matrix, row by row,"
        " in phonopy's sense (columns count cell vectors)",
    )
    cells.add_argument(
        "--min-length",
        metavar="Å",
        type=options.positive,
        help="fewest repeats that bring opposite faces this far apart",
    )
    cells.add_argument(
        "--tolerance",
        metavar="THz",
        type=options.positive,
        default=TOLERANCE_THZ,
        help="otherwise: the smallest supercell whose frequencies differ by no more than this (RMS) from the exact ones"
        " at wave vectors in between (default: %(default)g)",
    )
    group.add_argument(
        "--max-atoms",
        metavar="N",
        type=options.positive_integer,
        default=MAX_ATOMS,
        help="... of at most this many atoms; if none meets the tolerance, the largest (default: %(default)d)",
    )


def read_crystal(arguments: argparse.Namespace, cutoff: Callable[[], float]) -> Crystal:
    """The structure, primitive unless told otherwise; models and supercells that cannot be are refused here.

    Args:
        cutoff: of the potential [Å], asked for a layer only: its images must not feel each other.

    Raises:
        StructureError, SupercellError: what cannot be computed.
        InputError: an isotope of an element or atom that is not there.
        ModelError: a model that is not there or of a kind that is not read.
    """
    from ..structures.checks import require_crystal
    from ..structures.layers import as_layer, reduce_layer, require_single_layer, vacuum_axis
    from ..structures.space_groups import get_space_group, reduce_to_primitive
    from ..structures.species import set_isotopes
    from ..structures.supercells import as_supercell_matrix

    loading.check_model(arguments.model)
    given = loading.read_structure(arguments.structure, arguments.site_tolerance)
    if not arguments.keep_cell:
        given = _unskewed(given, arguments.structure)
    set_isotopes(given, arguments.mass)
    if vacuum_axis(given) is None:
        require_crystal(given)
        layer = None
        atoms = given.copy() if arguments.keep_cell else reduce_to_primitive(given, arguments.symprec)
        group = get_space_group(given, arguments.symprec)
    else:
        layer = as_layer(given, cutoff())
        group = get_space_group(layer.atoms, arguments.symprec)
        layer = layer if arguments.keep_cell else reduce_layer(layer, arguments.symprec)
        atoms = layer.atoms.copy()
    had_constraints = bool(given.constraints)
    atoms.set_constraint()
    if arguments.supercell is not None:
        matrix = as_supercell_matrix(arguments.supercell)
        refuse_enormous(len(atoms), matrix)
        if layer is not None:
            require_single_layer(matrix, layer.axis)
    return Crystal(atoms, len(given), group, had_constraints, layer)


def _unskewed(atoms: Atoms, name: str) -> Atoms:
    """The same crystal in short vectors, where those of the file are too skewed for supercells and paths."""
    import warnings

    from ..base.errors import UnstableWarning
    from ..structures.checks import SMALLEST_HEIGHT
    from ..structures.lattices import cell_heights, with_short_vectors

    if not all(atoms.pbc) or not 0 < cell_heights(atoms.cell[:]).min() <= SMALLEST_HEIGHT:
        return atoms
    warnings.warn(
        f"the cell of {name} is skewed: opposite faces are {cell_heights(atoms.cell[:]).min():.3g} Å apart. Taken were"
        " short vectors of the same lattice; no atom was moved.",
        UnstableWarning,
        stacklevel=2,
    )
    return with_short_vectors(atoms)


def relaxed(crystal: Crystal, calc: Any, arguments: argparse.Namespace) -> tuple[Atoms, RelaxationReport]:
    """The relaxed structure with its report; or the structure as it is, and the forces on it."""
    from ..structures.relaxation import relax, report_unrelaxed

    with progress_bar("forces" if arguments.no_relax else "relaxation") as progress:
        if arguments.no_relax:
            return report_unrelaxed(crystal.atoms, calc, arguments.symprec)
        return relax(
            crystal.atoms,
            calc,
            fix_cell=arguments.fix_cell,
            vacuum_axis=None if crystal.layer is None else crystal.layer.axis,
            symprec=arguments.symprec,
            callback=lambda step, force, stress: progress(step, 0),
        )


def find_supercell(
    crystal: Crystal, atoms: Atoms, calc: Any, arguments: argparse.Namespace
) -> tuple[np.ndarray, SupercellChoice | None]:
    """The supercell asked for, or the one chosen and how."""
    import numpy as np

    from ..phonons.supercell.choice import choose_supercell
    from ..structures.supercells import as_supercell_matrix, supercell_for_height

    if arguments.supercell is not None:
        return as_supercell_matrix(arguments.supercell), None
    if arguments.min_length is not None:
        matrix = supercell_for_height(atoms.cell[:], arguments.min_length)
        matrix[np.diag(~np.array(crystal.repeated))] = 1
        refuse_enormous(len(atoms), matrix)
        return matrix, None
    with progress_bar("choosing the supercell") as progress:
        choice = choose_supercell(
            atoms, calc, arguments.tolerance, arguments.max_atoms, repeated=crystal.repeated, progress=progress
        )
    return choice.matrix, choice


def refuse_enormous(n_atoms: int, matrix: np.ndarray) -> None:
    """Refuse what phonopy would take hours to set up.

    Raises:
        SupercellError: more than MAX_SUPERCELL_ATOMS.
    """
    import numpy as np

    from ..base.errors import SupercellError

    total = n_atoms * round(float(np.linalg.det(matrix)))
    if total > MAX_SUPERCELL_ATOMS:
        raise SupercellError(
            f"the supercell {matrix.tolist()} has {total} atoms",
            f"above {MAX_SUPERCELL_ATOMS} setting it up takes phonopy hours, and constants fade long before its edge",
            "take a smaller one, or leave it to --tolerance to find one",
        )
