"""What the studies of crystals share: the structure as it enters, its relaxation, its supercell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.errors import InputError, MissingPropertyError, StructureError

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

    from ..phonons.supercell.choice import SupercellChoice
    from ..structures.layers import Layer
    from ..structures.relaxation import RelaxationReport
    from ..structures.space_groups import SpaceGroup
    from .conductivity_settings import ConductivitySettings
    from .settings import PhononSettings, SupercellSettings, VolumeSettings
    from .study import Run

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
        axis = None if self.layer is None else self.layer.axis
        return axis != 0, axis != 1, axis != 2


def find_crystal(
    given: Atoms,
    settings: PhononSettings | VolumeSettings | ConductivitySettings,
    cutoff: Callable[[], float],
    name: str = "the structure",
    why_filled: str = "",
) -> Crystal:
    """The crystal in given atoms, primitive unless told otherwise; supercells that cannot be are refused here.

    Args:
        given: not changed.
        cutoff: of the potential [Å], asked for a layer only: its images must not feel each other.
        name: of the structure, for messages.
        why_filled: why it has to fill space; where it is said, layers, chains and molecules in boxes are refused.

    Raises:
        StructureError, SupercellError: what cannot be computed.
    """
    from ..structures.checks import check_atoms_given, require_crystal
    from ..structures.layers import as_layer, reduce_layer, require_single_layer, vacuum_axis
    from ..structures.space_groups import get_space_group, reduce_to_primitive

    check_atoms_given(given)
    if not settings.keep_cell:
        given = _unskewed(given, name)
    if vacuum_axis(given) is None:
        require_crystal(given)
        layer = None
        atoms = given.copy() if settings.keep_cell else reduce_to_primitive(given, settings.symprec)
        group = get_space_group(given, settings.symprec)
    else:
        layer = as_layer(given, cutoff())
        group = get_space_group(layer.atoms, settings.symprec)
        layer = layer if settings.keep_cell else reduce_layer(layer, settings.symprec)
        atoms = layer.atoms.copy()
    had_constraints = bool(given.constraints)
    atoms.set_constraint()
    crystal = Crystal(atoms, len(given), group, had_constraints, layer)
    if why_filled:
        _refuse_vacuum(crystal, why_filled)
    matrix = stated_supercell(crystal, atoms, settings)
    if matrix is not None and layer is not None:
        require_single_layer(matrix, layer.axis)
    return crystal


def stated_supercell(crystal: Crystal, atoms: Atoms, settings: SupercellSettings) -> np.ndarray | None:
    """(3, 3) the supercell that settings state by its repeats or by its length; None where it is to be chosen.

    Args:
        atoms: the crystal before or after its relaxation, which may change how many repeats a length takes.

    Raises:
        SupercellError: it cannot be, or is enormous.
    """
    import numpy as np

    from ..base.errors import SupercellError
    from ..structures.supercells import as_supercell_matrix, supercell_for_height

    if settings.supercell is not None:
        matrix = as_supercell_matrix(list(settings.supercell))
    elif settings.min_length is not None:
        matrix = supercell_for_height(atoms.cell[:], settings.min_length)
        matrix[np.diag(~np.array(crystal.repeated))] = 1
    else:
        return None
    refuse_enormous(len(atoms), matrix)
    alone = len(atoms) * round(abs(float(np.linalg.det(matrix)))) == 1
    if alone and not getattr(settings, "exact", False):
        raise SupercellError(
            "the supercell has one atom",
            "it moves with all its images, which costs nothing: every frequency would be zero",
            "take a larger one, leave it to `tolerance`, or take exact D(q) (`exact`)",
        )
    return matrix


def _refuse_vacuum(crystal: Crystal, why: str) -> None:
    """Refuse layers, chains and molecules in boxes.

    Args:
        why: it matters.

    Raises:
        StructureError: saying which.
    """
    from ..structures.layers import kind_in_vacuum

    kind = "a layer" if crystal.layer is not None else kind_in_vacuum(crystal.atoms)
    if kind is not None:
        raise StructureError(
            f"the structure is {kind} with vacuum",
            why,
            "give a crystal that fills space; of molecules `ase-phonax molecule` gives modes and heat",
        )


def refuse_large_mesh(crystal: Crystal, length: float | None, numbers: Sequence[int] | None = None) -> None:
    """Refuse a mesh that fits no memory, before anything long is computed.

    Args:
        length: q-points along each reciprocal vector b are length * |b| / 2 pi [Å]; None where nothing is asked for.
        numbers: (3,) of q-points instead.

    Raises:
        InputError: with the number of q-points.
    """
    from ..phonons.sampling.meshes import check_mesh, numbers_of_length

    if numbers is not None:
        check_mesh(numbers)
    elif length is not None:
        check_mesh(numbers_of_length(crystal.atoms.cell[:], length))


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


def relaxed(crystal: Crystal, run: Run[PhononSettings] | Run[ConductivitySettings]) -> tuple[Atoms, RelaxationReport]:
    """The relaxed structure with its report; or the structure as it is, and the forces on it."""
    from ..structures.relaxation import relax, report_unrelaxed

    settings = run.settings
    with run.watch.progress("forces" if settings.no_relax else "relaxation") as progress:
        if settings.no_relax:
            return report_unrelaxed(crystal.atoms, run.calc, settings.symprec)
        return relax(
            crystal.atoms,
            run.calc,
            fix_cell=settings.fix_cell,
            vacuum_axis=None if crystal.layer is None else crystal.layer.axis,
            symprec=settings.symprec,
            callback=lambda step, force, stress: progress(step, 0),
        )


def find_supercell(
    crystal: Crystal, atoms: Atoms, run: Run[SupercellSettings]
) -> tuple[np.ndarray, SupercellChoice | None]:
    """(3, 3) the supercell asked for; or the one chosen for the relaxed `atoms`, and how."""
    from ..phonons.calculators import knows_matrices
    from ..phonons.supercell.choice import choose_supercell
    from ..phonons.supercell.comparison import choose_by_comparison

    settings = run.settings
    if not knows_matrices(run.calc):
        refuse_what_displaced_cells_lack(atoms)
    choose = choose_supercell if knows_matrices(run.calc) else choose_by_comparison
    stated = stated_supercell(crystal, atoms, settings)
    if stated is not None:
        return stated, None
    with run.watch.progress("choosing the supercell") as progress:
        choice = choose(
            atoms, run.calc, settings.tolerance, settings.max_atoms, repeated=crystal.repeated, progress=progress
        )
    if choice.n_atoms == 1:
        raise InputError(
            f"the supercell that was found has one atom: {choice.matrix.tolist()}",
            "all atoms would move together, and every frequency be zero",
            "allow more atoms (`max_atoms`)",
        )
    return choice.matrix, choice


def refuse_what_displaced_cells_lack(atoms: Atoms) -> None:
    """Refuse magnetic moments and charges of atoms, which the displaced supercells of phonopy do not have.

    Raises:
        StructureError: the relaxed crystal and the displaced ones would be in different states.
    """
    stated = {"magnetic moments": atoms.get_initial_magnetic_moments(), "charges": atoms.get_initial_charges()}
    for name, values in stated.items():
        if values.any():
            raise StructureError(
                f"the structure states initial {name} of its atoms",
                "displaced supercells are made without them, and forces there would be those of another state",
                f"take them off, and let the calculator set {name} by itself",
            )


def refuse_enormous(n_atoms: int, matrix: np.ndarray, tolerance: str = "tolerance") -> None:
    """Refuse what phonopy would take hours to set up.

    Args:
        tolerance: name of the setting that finds one.

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
            f"take a smaller one, or leave it to `{tolerance}` to find one",
        )


def with_plain_results(atoms: Atoms, names: Sequence[str] = ("energy", "forces", "stress")) -> Atoms:
    """A copy with results attached, and neither a calculator nor what a writer might stumble over."""
    from ase.calculators.singlepoint import SinglePointCalculator

    copy, results = atoms.copy(), {}
    for name in names:
        with suppress(MissingPropertyError):  # no stress, of a cell that was held
            results[name] = atoms.calc.get_property(name, atoms)
    copy.calc = SinglePointCalculator(copy, **results)
    return copy
