"""Structures labelled by a potential: relaxed, perturbed, and all derivatives taken. What a student learns from.

The perturbations are those of Fang, Geiger, Checkelsky, Smidt, arXiv:2403.11347: the equilibrium, and Gaussian noise on
positions and cells of the cell and of its 2x2x2 repeat.
"""

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from ...base.errors import InputError
from ...base.settings import check_fields
from ...calculator import PhonaxCalculator
from ...derivatives.evaluator import Evaluator
from ...derivatives.fields import refuse_no_neutral_molecule
from ...phonons.calculators import knows_matrices
from ...phonons.finite_differences import Differences, DisplacementCalculator
from ...structures.checks import check_structure
from ...structures.relaxation import relax
from ..values import SecondOrder
from .frames import Frame

LARGEST, MOST_FRAMES = 100, 100_000  # repeats and Å; frames and wave vectors of one row


@dataclass(frozen=True)
class Perturbation:
    """One row of the table: `count` frames made in the same way.

    Attributes:
        repeat: of the cell along each vector.
        positions: standard deviation of each Cartesian component of each atom [Å].
        cell: of each component of the repeat's own vectors, the atoms following [Å].
        count: frames.
        waves: random wave vectors whose matrices are labels; on a repeat, or a molecule, any number means q = 0.
    """

    repeat: int = 1
    positions: float = 0.0
    cell: float = 0.0
    count: int = 1
    waves: int = 1

    def __post_init__(self):
        check_fields(self, "the perturbation")
        if min(self.repeat, self.count) < 1 or min(self.positions, self.cell, self.waves) < 0:
            raise InputError(
                f"the perturbation {self}",
                "it describes no frames",
                "repeat and count are 1 or more, nothing is negative",
            )
        if max(self.repeat, self.positions, self.cell) > LARGEST or max(self.count, self.waves) > MOST_FRAMES:
            raise InputError(
                f"the perturbation {self}",
                "it would not end, or leave no structure",
                f"repeat is {LARGEST} or less, noise as many Å, count and waves {MOST_FRAMES:,} or less",
            )


@dataclass(frozen=True)
class LabelRecipe:
    """How structures become frames.

    Attributes:
        relax: positions and cell first, keeping the space group.
        fmax: largest force at the end of that [eV/Å].
        smax: largest volume x stress / n_atoms at its end [eV].
        max_steps: of that.
        max_atoms: repeats with more are left out.
        perturbations: the table; its rows may be given as mappings, such as {"positions": 0.1, "count": 2}.
        seed: of the noise and the wave vectors; those of a structure depend on its number alone.
    """

    relax: bool = True
    fmax: float = 1e-3
    smax: float = 1e-4
    max_steps: int = 500
    max_atoms: int = 100
    perturbations: tuple[Perturbation, ...] = (
        Perturbation(waves=4),
        Perturbation(positions=0.1, count=2),
        Perturbation(positions=0.1, cell=0.05, count=2),
        Perturbation(repeat=2, positions=0.1),
        Perturbation(repeat=2, positions=0.1, cell=0.05),
    )
    seed: int = 0

    def __post_init__(self):
        check_fields(self, "the recipe")
        if min(self.fmax, self.smax) <= 0 or min(self.max_steps, self.max_atoms) < 1 or self.seed < 0:
            raise InputError(
                f"the recipe with fmax {self.fmax:g}, smax {self.smax:g}, max_steps {self.max_steps}, max_atoms"
                f" {self.max_atoms}, seed {self.seed}",
                "no structure could be relaxed or perturbed so",
                "fmax and smax are positive, max_steps and max_atoms 1 or more, seed 0 or more",
            )


def label(
    atoms: Atoms,
    calc: "PhonaxCalculator | DisplacementCalculator",
    recipe: LabelRecipe,
    number: int = 0,
    origin: str = "",
) -> list[Frame]:
    """The frames that a recipe makes of one structure.

    Args:
        atoms: crystal, or molecule without periodicity (then cells and repeats do not apply).
        calc: of the teacher; one by displacements knows second derivatives at q = 0 alone.
        number: of the structure, part of the seed.
        origin: what the frames say of where they come from.

    Returns:
        Frames with energy, forces, stress (crystals) and second derivatives, in the order of the table.

    Raises:
        StructureError: the structure cannot be computed; a crystal or an ion by a calculator in a field.
        RelaxationError: it does not relax.
    """
    check_structure(atoms)
    if calc.field is not None:
        refuse_no_neutral_molecule(atoms)
    rng = np.random.default_rng((recipe.seed, number))
    start = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if recipe.relax:
        relaxed, _ = relax(start, calc, fmax=recipe.fmax, smax=recipe.smax, max_steps=recipe.max_steps)
        start = Atoms(relaxed.numbers, positions=relaxed.positions, cell=relaxed.cell, pbc=relaxed.pbc)
    frames = []
    for row in recipe.perturbations:
        if row.repeat > 1 and (not start.pbc.any() or len(start) * row.repeat ** start.pbc.sum() > recipe.max_atoms):
            continue
        for _ in range(row.count):
            moved = perturbed(start, row, rng)
            qpoints = waves(row, moved, rng)
            if not knows_matrices(calc):
                qpoints = np.zeros_like(qpoints[: min(1, len(moved) - 1)])  # one atom has translations alone
            frames.append(replace(labelled(moved, calc.evaluator, qpoints, origin), field=calc.field))
    return frames


def perturbed(atoms: Atoms, row: Perturbation, rng: np.random.Generator) -> Atoms:
    """A repeat with noise on the periodic vectors, the atoms following, then on the positions."""
    moved = atoms.repeat(np.where(atoms.pbc, row.repeat, 1))
    if row.cell and atoms.pbc.any():
        noise = row.cell * rng.standard_normal((3, 3)) * atoms.pbc[:, None]
        moved.set_cell(moved.cell.array + noise, scale_atoms=True)
    moved.positions += row.positions * rng.standard_normal((len(moved), 3))
    return moved


def waves(row: Perturbation, atoms: Atoms, rng: np.random.Generator) -> np.ndarray:
    """(n_q, 3) random wave vectors of a cell that is periodic in three directions; else Γ."""
    if not row.waves:
        return np.zeros((0, 3))
    if row.repeat > 1 or not atoms.pbc.all():
        return np.zeros((1, 3))
    return rng.random((row.waves, 3)) - 0.5


def labelled(atoms: Atoms, evaluator: Evaluator | Differences, qpoints: np.ndarray, origin: str = "") -> Frame:
    """A structure with what the potential says of it.

    Args:
        qpoints: (n_q, 3) where second derivatives are taken; none at all if empty.
    """
    energies, forces, virial = evaluator.energy_forces_stress(atoms)
    return Frame(
        atoms,
        energy=float(energies.sum(dtype=np.float64)),
        forces=np.asarray(forces, float),
        stress=np.asarray(virial, float) / atoms.get_volume() if atoms.pbc.all() else None,
        second=SecondOrder(qpoints, np.array(evaluator.lattice_matrices(atoms, qpoints))) if len(qpoints) else None,
        origin=origin,
    )
