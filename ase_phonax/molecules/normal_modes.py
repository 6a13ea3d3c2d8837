"""Normal modes of a molecule: frequencies, displacements, symmetry, and what a spectrometer will see of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..base.errors import InputError, StructureError
from ..base.units import CM1_PER_THZ, THZ_PER_SQRT_EV_A2_AMU
from ..structures.checks import refuse_charge
from .calculators import HessianCalculator, reach_of
from .defaults import TOLERANCE
from .point_groups import PointGroup, find_point_group
from .representations import Representation, displacement_matrices, representations

if TYPE_CHECKING:
    from ase.vibrations import VibrationsData

    from ..base.progress import Progress

NOISE_CM1 = 1.0  # of an imaginary mode that is none: a molecule held at two atoms turns about them freely
NEAR_CM1 = 5.0  # sets closer than this, which no symmetry makes equal, are reported
_PRESENT = 0.5  # of a projector's singular values, which are 1 or 0 but for noise
_LOST = 1e-6  # of the largest singular value of whole-body motions: one that moves nothing


@dataclass(frozen=True)
class ModeSet:
    """Modes that the point group keeps degenerate.

    Attributes:
        modes: counted from 1 in ascending frequency.
        wavenumbers: of each of them, as computed [1/cm]; imaginary as negative.
        label: Mulliken symbol.
        infrared: transforms like a vector.
        raman: transforms like a symmetric tensor.
        purity: smallest part of a mode that transforms as the label says; 1 in a molecule that is exactly symmetric.
    """

    modes: tuple[int, ...]
    wavenumbers: tuple[float, ...]
    label: str
    infrared: bool
    raman: bool
    purity: float

    @property
    def wavenumber(self) -> float:
        """Mean wavenumber of the set [1/cm]."""
        return float(np.mean(self.wavenumbers))

    @property
    def activity(self) -> str:
        """In words: "IR + Raman", "IR", "Raman", "silent"."""
        return " + ".join(["IR"] * self.infrared + ["Raman"] * self.raman) or "silent"


@dataclass(frozen=True)
class NormalModes:
    """Vibrations of a molecule.

    Attributes:
        vibrations: ASE's container: atoms, and the Hessian as it was computed [eV/Å²].
        wavenumbers: (n_modes,) ascending [1/cm], imaginary as negative; whole-body motions are not among them.
        displacements: (n_modes, n_atoms, 3) Cartesian, sum of m |u|² = 1 [1/sqrt(amu)].
        whole_body_cm1: (0, 3, 5 or 6) what is left of translations and rotations, which is 0 at a stationary point:
            wavenumbers of the Hessian in their space [1/cm]; empty where only some atoms move.
        point_group: of atoms and masses; None where only some atoms move.
        sets: ascending; empty where there is no point group.
    """

    vibrations: VibrationsData
    wavenumbers: NDArray[np.float64]
    displacements: NDArray[np.float64]
    whole_body_cm1: NDArray[np.float64]
    point_group: PointGroup | None
    sets: tuple[ModeSet, ...]

    @property
    def atoms(self) -> Atoms:
        """The molecule they belong to."""
        return self.vibrations.get_atoms()

    @cached_property
    def reduced_masses(self) -> NDArray[np.float64]:
        """(n_modes,) reduced masses, of displacements normalised to one [amu]."""
        return 1 / np.sum(self.displacements**2, axis=(1, 2))

    @property
    def representation(self) -> str:
        """The representation of all vibrations: "A1 + E + 2 T2"; "" where there is no point group."""
        counts: dict[str, int] = {}
        for label in sorted((s.label for s in self.sets), key=_label_order):
            counts[label] = counts.get(label, 0) + 1
        return " + ".join(label if n == 1 else f"{n} {label}" for label, n in counts.items())

    @property
    def imaginary(self) -> tuple[int, ...]:
        """Modes of negative curvature beyond noise, counted from 1."""
        return tuple(int(k) + 1 for k in np.flatnonzero(self.wavenumbers < -NOISE_CM1))


def normal_modes(
    atoms: Atoms,
    calc: HessianCalculator | None = None,
    *,
    indices: Sequence[int] | None = None,
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> NormalModes:
    """Normal modes of a molecule from its exact Hessian.

    Translations and rotations span a known space of mass-weighted displacements; the Hessian is diagonalised in its
    complement. So a soft vibration is never taken for a rotation, nor a rotation of a badly relaxed molecule for a
    vibration. Degenerate sets come from the point group, not from how near two frequencies are: the Hessian, made
    symmetric, falls into one block for each irreducible representation, and the modes of the Hessian as it is are
    named after the blocks they lie in.

    >>> from ase.build import molecule
    >>> from ase_phonax import PhonaxCalculator, normal_modes
    >>> water = molecule("H2O")
    >>> modes = normal_modes(water, PhonaxCalculator("phonax-molecules"))
    >>> modes.point_group.symbol, modes.representation
    ('C2v', '2 A1 + B2')

    Args:
        atoms: one molecule at a stationary point (`relax_molecule`), not periodic. Its masses are used: isotopes are
            `atoms.set_masses`. Atoms held by FixAtoms do not move.
        calc: `PhonaxCalculator`, or any with `get_vibrations`; that of the atoms unless given.
        indices: atoms that move; with these, or with constraints, nothing is projected out and no symmetry used.
        tolerance: of the point group: largest distance between an atom and the image of another [Å].
        progress: called with (done, total) columns of the Hessian.

    Raises:
        StructureError: periodic, charged, or in several pieces that the model does not connect.
        InputError: a tolerance that is none; a calculator in an electric field.
    """
    calc = atoms.calc if calc is None else calc
    if calc is None or not hasattr(calc, "get_vibrations"):
        raise InputError(
            "no calculator with second derivatives was given" if calc is None else f"{calc!r} has no get_vibrations",
            "normal modes are those of its Hessian",
            "give a PhonaxCalculator; for any VibrationsData use modes_of_vibrations",
        )
    refuse_field(calc)
    check_molecule(atoms, reach_of(calc))
    held = held_but(atoms, indices)
    return modes_of_vibrations(calc.get_vibrations(held, progress=progress), tolerance)


def held_but(atoms: Atoms, indices: Sequence[int] | None) -> Atoms:
    """A copy in which all atoms but some are held where they are; those held already stay so.

    Args:
        atoms: with no constraints but FixAtoms.
        indices: atoms that may move, counted from 0, each once; None changes nothing.

    Raises:
        InputError: other constraints, or an atom that is not there.
    """
    unknown = sorted({type(c).__name__ for c in atoms.constraints if not isinstance(c, FixAtoms)})
    if unknown:
        raise InputError(
            f"the molecule has constraints of the kind {', '.join(unknown)}",
            "normal modes are those of atoms that move freely, or not at all",
            "remove them (atoms.set_constraint()), or hold whole atoms with FixAtoms",
            on_command_line="remove them from the file, or hold whole atoms there",
        )
    copy = atoms.copy()
    if indices is None:
        return copy
    chosen = np.asarray(indices)
    if chosen.size == 0 or chosen.dtype.kind not in "iu" or not np.all((chosen >= 0) & (chosen < len(atoms))):
        raise InputError(
            f"the atoms that move are {list(indices)}",
            f"there are atoms 0 to {len(atoms) - 1}",
            "give their numbers, counted from 0",
        )
    others = np.setdiff1d(np.arange(len(atoms)), chosen)
    copy.set_constraint([*atoms.constraints, FixAtoms(others)] if len(others) else atoms.constraints)
    return copy


def modes_of_vibrations(vibrations: VibrationsData, tolerance: float = TOLERANCE) -> NormalModes:
    """Normal modes from a Hessian of any origin, for example `VibrationsData.read("vibrations.json")`.

    Args:
        vibrations: Hessian of all atoms, or of some; then nothing is projected out and no symmetry used.
        tolerance: of the point group [Å].
    """
    atoms, moving = vibrations.get_atoms(), np.asarray(vibrations.get_indices())
    hessian = vibrations.get_hessian_2d()
    roots = np.repeat(np.sqrt(atoms.get_masses()[moving]), 3)
    weighted = (hessian + hessian.T) / (2 * np.outer(roots, roots))
    whole = len(moving) == len(atoms)
    group = find_point_group(atoms, tolerance) if whole else None
    rigid, free = (
        _split(atoms, atoms.positions, roots, group) if whole else (np.zeros((len(roots), 0)), np.eye(len(roots)))
    )
    eigenvalues, inside = np.linalg.eigh(free.T @ weighted @ free)
    vectors = free @ inside
    wavenumbers = _wavenumbers(eigenvalues)
    displacements = np.zeros((len(eigenvalues), len(atoms), 3))
    displacements[:, moving] = (vectors / roots[:, None]).T.reshape(len(eigenvalues), len(moving), 3)
    return NormalModes(
        vibrations,
        wavenumbers,
        displacements,
        _wavenumbers(np.linalg.eigvalsh(rigid.T @ weighted @ rigid)),
        group,
        () if group is None else _mode_sets(atoms, weighted, roots, group, vectors, wavenumbers),
    )


def check_molecule(atoms: Atoms, cutoff: float | None = None) -> None:
    """Refuse what has no normal modes of one neutral molecule.

    Args:
        atoms: any structure.
        cutoff: of the model [Å]: atoms further apart than this, with none between, do not know of each other.

    Raises:
        StructureError: periodic, charged, or in several pieces.
    """
    if any(atoms.pbc):
        raise StructureError(
            f"the structure has pbc {atoms.pbc.tolist()}",
            "a molecule stands alone: in a cell it meets its images, and rotations are no symmetry",
            "set atoms.pbc = False if it is a molecule in a box, with its atoms not cut by a face of the box; for a"
            " crystal use phonon_study",
            on_command_line="--no-cell forgets the box of a molecule, with its atoms not cut by a face of it; for a"
            " crystal use `ase-phonax phonons`",
        )
    refuse_charge(atoms)
    pieces = _pieces(atoms, cutoff) if cutoff is not None else np.zeros(len(atoms), int)
    if pieces.max(initial=0) > 0:
        sizes = np.bincount(pieces)
        raise StructureError(
            f"there are {len(sizes)} pieces, of {', '.join(map(str, sizes))} atoms, more than {cutoff:g} Å apart",
            "the model sees no force between them, so each has translations and rotations of its own",
            "compute them one by one, or bring them together",
        )


def refuse_field(calc: object) -> None:
    """Refuse a calculator in a uniform electric field, where a molecule does not turn freely.

    Raises:
        InputError: its field is not zero.
    """
    field = getattr(calc, "field", None)
    if field is not None and np.any(field):
        raise InputError(
            f"the calculator is in an electric field, {np.asarray(field).tolist()} V/Å",
            "there turning the molecule costs energy: rotations are librations, which this would project out as free, "
            "and neither the point group of the molecule nor the entropy of a free rotor holds",
            "take normal modes, intensities and gas without field; forces, relaxation and all 3N motions in the field "
            "are `relax(atoms, calc, fix_cell=True)` and `calc.get_vibrations(atoms)`",
        )


def _pieces(atoms: Atoms, cutoff: float) -> NDArray:
    """(n_atoms,) number of the piece each atom belongs to."""
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import pdist, squareform

    return connected_components(squareform(pdist(atoms.positions)) < cutoff, directed=False)[1]


def _split(atoms: Atoms, positions: NDArray, roots: NDArray, group: PointGroup | None) -> tuple[NDArray, NDArray]:
    """Orthonormal mass-weighted bases of whole-body motions and of all others, in columns.

    Translations, and rotations about the centre of mass: two of a linear molecule, none of an atom.
    """
    masses = atoms.get_masses()
    arms = positions - masses @ positions / masses.sum()
    turns = np.eye(3)
    if group is not None and group.axis is not None:
        turns = np.linalg.svd(group.axis[None])[2][1:]
    motions = [np.tile(x, (len(arms), 1)) for x in np.eye(3)] + [np.cross(x, arms) for x in turns]
    weighted = np.array(motions).reshape(len(motions), -1).T * roots[:, None]
    bases, sizes, _ = np.linalg.svd(weighted)
    n_rigid = int(np.sum(sizes > _LOST * sizes[0]))
    return bases[:, :n_rigid], bases[:, n_rigid:]


def _wavenumbers(eigenvalues: NDArray) -> NDArray:
    """Wavenumbers [1/cm] of eigenvalues [eV/Å²/amu], imaginary as negative."""
    return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_PER_SQRT_EV_A2_AMU * CM1_PER_THZ


def _mode_sets(
    atoms: Atoms, weighted: NDArray, roots: NDArray, group: PointGroup, vectors: NDArray, wavenumbers: NDArray
) -> tuple[ModeSet, ...]:
    """The modes, gathered and named: each belongs to the set of the symmetric Hessian that it overlaps most."""
    symmetric = _symmetric_sets(atoms, weighted, roots, group)
    if not symmetric:
        return ()
    places = np.repeat(np.arange(len(symmetric)), [len(basis.T) for _, basis in symmetric])
    overlaps = np.array([np.sum((basis.T @ vectors) ** 2, axis=0) for _, basis in symmetric])
    chosen = places[linear_sum_assignment(-overlaps[places].T)[1]]
    sets = []
    for k, (kind, _) in enumerate(symmetric):
        members = np.flatnonzero(chosen == k)
        purity = np.sum((kind.projector @ vectors[:, members]) ** 2, axis=0).min()
        numbers, values = (members + 1).tolist(), wavenumbers[members].tolist()
        sets.append(ModeSet(tuple(numbers), tuple(values), kind.label, kind.infrared, kind.raman, float(purity)))
    return tuple(sorted(sets, key=lambda s: s.modes))


def _symmetric_sets(
    atoms: Atoms, weighted: NDArray, roots: NDArray, group: PointGroup
) -> list[tuple[Representation, NDArray]]:
    """Degenerate sets of the Hessian made symmetric: representation and (3 n_atoms, dimension) orthonormal vectors."""
    moves = displacement_matrices(group)
    symmetric = np.mean(moves @ weighted @ moves.transpose(0, 2, 1), axis=0)
    free = _split(atoms, group.positions, roots, group)[1]
    sets: list[tuple[Representation, NDArray]] = []
    for kind in representations(group):
        basis, sizes, _ = np.linalg.svd(kind.projector @ free, full_matrices=False)
        basis = basis[:, sizes > _PRESENT]
        vectors = basis @ np.linalg.eigh(basis.T @ symmetric @ basis)[1]
        sets += [(kind, vectors[:, k : k + kind.dimension]) for k in range(0, vectors.shape[1], kind.dimension)]
    return sets


def _label_order(label: str) -> tuple[bool, int, int, str]:
    """Key by which labels are sorted: even before odd, ' before '', then by dimension."""
    return label.rstrip("+").endswith("u"), label.count("'"), "ΣABΠETGH".index(label[0]), label
