"""What a model says of a frame, by the evaluator of the calculator, and how far that is from the frame's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from ..base.errors import InputError
from ..derivatives.conventions import frequencies_thz, mass_weighted, signed_roots_thz
from ..derivatives.evaluator import Evaluator
from ..derivatives.fields import FieldResponse
from ..models.fields import DIPOLE, POLARIZABILITY, has_output, in_field
from ..models.outputs import Output
from ..models.potential import Potential

if TYPE_CHECKING:
    from ..phonons.differences import Differences
    from ..phonons.finite_differences import DisplacementCalculator
    from .labels.frames import Frame
    from .target import Target


FIELDS_KEPT = 16  # of a model: calculations are made in a few fields, or each in its own


class Respondent:
    """A model that is asked about frames, each in its own electric field.

    What it needs in a field is made once for the frames that share it, and of the last FIELDS_KEPT fields.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._without = FieldResponse(evaluator)
        self._in_fields: dict[bytes, Evaluator] = {}

    @property
    def potential(self) -> Potential:
        """The model."""
        return self._without.potential

    @property
    def name(self) -> str:
        """That of the model."""
        return self.potential.name

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What its network gives."""
        return tuple(self.potential.outputs)

    def response(self, field: np.ndarray | None) -> FieldResponse:
        """What has the outputs and Born charges of molecules in a field."""
        return self._without if field is None else self._without.at(field)

    def evaluator(self, field: np.ndarray | None) -> Evaluator:
        """What has the energies, and their derivatives, of molecules in a field."""
        itself = self._without.evaluator
        if field is None:
            return itself
        key = field.tobytes()
        evaluator = self._in_fields.pop(key, None) or itself.of(in_field(self.potential, field))
        self._in_fields[key] = evaluator  # the last one asked is the last to go
        if len(self._in_fields) > FIELDS_KEPT:
            del self._in_fields[next(iter(self._in_fields))]
        return evaluator


class OtherRespondent:
    """A calculator of another package, asked in the same words: it has no outputs beside the energy, and no fields.

    Args:
        calc: whose second derivatives are those of whole cells at q = 0.
    """

    def __init__(self, calc: DisplacementCalculator) -> None:
        self._differences, self.name = calc.evaluator, calc.title
        self.outputs: tuple[Output, ...] = ()

    def response(self, field: np.ndarray | None) -> NoReturn:
        """It gives none; `outputs` says so, and nobody asks."""
        raise AssertionError("labels of outputs are left out, and frames in fields are refused")

    def evaluator(self, field: np.ndarray | None) -> Differences:
        """What has the energies, and their derivatives."""
        return self._differences


class Answers:
    """What a model says of one frame, in its field; each answer is computed when it is first asked for."""

    def __init__(self, model: Respondent | OtherRespondent, frame: Frame) -> None:
        self._model, self.frame = model, frame
        self._matrices: dict[bytes, np.ndarray] = {}

    @cached_property
    def _first(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._model.evaluator(self.frame.field).energy_forces_stress(self.frame.atoms)

    @property
    def energy(self) -> float:
        """Energy of the whole structure [eV]."""
        return float(self._first[0].sum(dtype=float))

    @property
    def forces(self) -> np.ndarray:
        """Forces (n, 3) [eV/Å]."""
        return self._first[1]

    @property
    def stress(self) -> np.ndarray:
        """Stress (3, 3) [eV/Å³]."""
        return self._first[2] / self.frame.atoms.get_volume()

    @cached_property
    def outputs(self) -> Mapping[str, np.ndarray]:
        """The network's outputs beside the energy: (n, components), or (components,); dipoles as in the field."""
        return self._model.response(self.frame.field).outputs(self.frame.atoms)

    def knows(self, target: Target) -> bool:
        """Whether the model says anything of a label: its network may lack the output."""
        output = target.output or target.needs
        return output is None or any(own.name == output.name for own in self._model.outputs)

    @property
    def born_charges(self) -> np.ndarray:
        """(n, 3, 3) dmu_a/dx_b [e], of the dipole in the field."""
        return self._model.response(self.frame.field).born_charges(self.frame.atoms)

    @property
    def polarizability_gradient(self) -> np.ndarray:
        """(n, 3, 3, 3) dalpha_ab/dx_c [e²Å/eV]."""
        return self._model.response(self.frame.field).polarizability_gradient(self.frame.atoms)

    def matrices(self, qpoints: np.ndarray) -> np.ndarray:
        """Second derivatives (n_q, 3n, 3n) [eV/Å²]."""
        key = np.asarray(qpoints, float).tobytes()
        if key not in self._matrices:
            evaluator = self._model.evaluator(self.frame.field)
            self._matrices[key] = np.array(evaluator.lattice_matrices(self.frame.atoms, qpoints))
        return self._matrices[key]

    def frequencies(self, matrices: np.ndarray) -> np.ndarray:
        """Frequencies (n_q, 3n) [THz] of such matrices, ascending."""
        return frequencies_thz(mass_weighted(matrices, self.frame.atoms.get_masses()))


def check_fields(model: Potential | Respondent | OtherRespondent, frames: Sequence[Frame]) -> None:
    """Refuse frames in electric fields where a model says nothing of fields.

    Raises:
        InputError: naming the first of them.
    """
    names = [output.name for output in model.outputs]
    wanted = (DIPOLE, POLARIZABILITY) if POLARIZABILITY.name in names else (DIPOLE,)
    in_fields = [frame for frame in frames if frame.field is not None]
    if in_fields and not all(has_output(model, output) for output in wanted):
        first, gives = in_fields[0], ", ".join(str(output) for output in model.outputs) or "none"
        raise InputError(
            f"{first.origin or 'a frame'} ({first.atoms.get_chemical_formula()}), one of {len(in_fields)}, is in an "
            f"electric field, and the model {model.name!r} gives {gives}",
            "in a field energies and forces need a dipole (1o, eÅ); without they would be those of another situation",
            "take a model that gives one, or leave out frames in fields; training on frames in fields makes one",
        )


# Quantity shown -> errors, where the frame has the label.


def value_errors(answers: Answers, target: Target) -> dict[str, np.ndarray]:
    """Errors of every number; per atom where the label grows with the atoms."""
    label = np.asarray(target.of(answers.frame))
    if target.output is None:
        value = getattr(answers, target.predicted)
    else:
        value = target.of_components(answers.outputs[target.output.name])
    error = np.asarray(value).reshape(label.shape) - label
    return {target.quantity.name: np.atleast_1d(error / len(answers.frame.atoms) if target.extensive else error)}


def density_errors(answers: Answers, target: Target) -> dict[str, np.ndarray]:
    """Errors of a density of states where it is known, both with the maximum 1 there."""
    label = np.asarray(target.of(answers.frame))
    assert target.output is not None
    known = label >= 0
    value = target.of_components(answers.outputs[target.output.name]).mean(axis=0)[known]
    return {target.quantity.name: value / value.max() - label[known] / label[known].max()}


def matrix_errors(answers: Answers, target: Target) -> dict[str, np.ndarray]:
    """Errors of the elements of matrices, and of their frequencies."""
    labels = target.of(answers.frame)
    matrices = answers.matrices(labels.qpoints)
    change = answers.frequencies(matrices) - answers.frequencies(labels.matrices)
    return {target.quantity.name: np.abs(matrices - labels.matrices), "frequency": change}


def frequency_errors(answers: Answers, target: Target) -> dict[str, np.ndarray]:
    """Errors of the frequencies that are known, sorted within each species."""
    labels = target.of(answers.frame)
    squares = labels.sorted_alike(mass_weighted(answers.matrices(labels.qpoints), answers.frame.atoms.get_masses()))
    return {target.quantity.name: (signed_roots_thz(squares) - labels.in_order)[labels.is_known]}


def relative_error(answers: Answers) -> float | None:
    """norm(difference)/norm(label) of all matrices of a frame, Frobenius; None without such labels."""
    second = answers.frame.second
    if second is None:
        return None
    # Over all wave vectors at once: at q = 0 the matrix of a single atom vanishes.
    return float(np.linalg.norm(answers.matrices(second.qpoints) - second.matrices) / np.linalg.norm(second.matrices))
