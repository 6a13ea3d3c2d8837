"""What a model says of structures before it is tuned: learned beside, so that it stays; those held out tell whether."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.collections import g2

from ..base.errors import InputError, PhonaxError, UnstableWarning
from ..calculator import PhonaxCalculator
from ..derivatives.evaluator import Evaluator
from ..models.potential import Potential
from .answers import Answers, Respondent
from .labels.frames import Frame
from .labels.teacher import LabelRecipe, Perturbation, label

# Of each structure: its minimum with its Hessian, and draws about it.
RECIPE = LabelRecipe(perturbations=(Perturbation(), Perturbation(positions=0.06, count=3, waves=0)))
HELD_OUT = 5  # every so many structures judge the drift; of two to four the last
LARGEST = 10  # atoms of those that are replayed by default


def default_replay(potential: Potential, targets: Sequence[Atoms]) -> list[Atoms]:
    """Molecules of the G2 set of the potential's elements, those of the spectra left out; none for crystals alone.

    Closed shells of three to LARGEST atoms (Curtiss et al., J. Chem. Phys. 106, 1063 (1997)), as ASE has them.
    """
    if all(atoms.pbc.any() for atoms in targets):
        return []
    formulas = {atoms.get_chemical_formula() for atoms in targets}
    return [
        atoms
        for atoms in (g2[name] for name in g2.names)
        if set(atoms.numbers) <= set(potential.numbers)
        and 3 <= len(atoms) <= LARGEST
        and atoms.numbers.sum() % 2 == 0
        and not atoms.get_initial_magnetic_moments().any()
        and atoms.get_chemical_formula() not in formulas
    ]


def replayed(
    structures: Sequence[Atoms], calc: PhonaxCalculator, *, given: bool = True
) -> tuple[list[Frame], list[Frame]]:
    """Frames of the model's own, to learn and to judge by.

    Args:
        given: by the user, who is told of those that the model does not hold together; else they are left out.

    Raises:
        InputError: it holds none of them.
    """
    by_structure = []
    for number, atoms in enumerate(structures):
        formula = atoms.get_chemical_formula()
        try:
            frames = label(atoms, calc, RECIPE, number, f"replay {number} {formula}")
        except PhonaxError as error:
            if given:
                warnings.warn(f"{formula} is left out of the replay: {error.what}", UnstableWarning, stacklevel=3)
            continue
        # Products with the Hessian will do: whole ones would take most of the time.
        by_structure.append([replace(frame, weights=(("spectrum", 0.0),)) for frame in frames])
    if structures and given and not by_structure:
        raise InputError(
            "the model holds none of the structures to replay together",
            "there is nothing that it knows of them and could keep",
            "give others, or none",
        )
    judging = by_structure[HELD_OUT - 1 :: HELD_OUT] or by_structure[1:][-1:]
    learned = [frames for frames in by_structure if not any(frames is other for other in judging)]
    return [frame for own in learned for frame in own], [frame for own in judging for frame in own]


def drift(potential: Potential, held: Sequence[Frame]) -> dict[str, float]:
    """How far energies [eV/atom] and forces [eV/Å] are from what they were, and the size of forces; {} of no frames."""
    if not held:
        return {}
    respondent = Respondent(Evaluator(potential, np.dtype(np.float64)))
    energies, forces = [], []
    for frame in held:
        answers = Answers(respondent, frame)
        energies.append(abs(answers.energy - float(frame.energy or 0.0)) / len(frame.atoms))
        forces.append(answers.forces - frame.forces)
    return {
        "energy_mae": float(np.mean(energies)),
        "forces_mae": float(np.mean(np.abs(np.concatenate(forces)))),
        "forces_rms": float(np.sqrt(np.mean(np.concatenate([frame.forces for frame in held]) ** 2))),
    }
