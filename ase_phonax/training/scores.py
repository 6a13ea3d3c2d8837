"""How well a model reproduces labels: the same numbers for any model that can be loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator

from ..base.errors import InputError
from ..base.progress import Progress
from ..derivatives.evaluator import Evaluator, checked_route
from ..models.potential import Potential
from ..structures.formulas import formula
from .answers import Answers, OtherRespondent, Respondent, check_fields, relative_error
from .labels.frames import Frame
from .labels.reading import read_frames
from .targets import QUANTITIES, TARGETS

UNITS = {quantity.name: quantity.unit for quantity in QUANTITIES}


@dataclass(frozen=True)
class Scores:
    """Errors of a model on labelled frames.

    Attributes:
        mae, rmse: label -> mean absolute and root mean square error, in `UNITS`. Energies are per atom. Curvature is
            over the elements of the matrices, frequency over sorted frequencies at the q of the labels.
        counts: label -> how many numbers were compared.
        relative_curvature: mean over frames of norm(difference)/norm(label) of all matrices of a frame, Frobenius; NaN
            without such labels.
        per_frame: a row of mean absolute errors for each frame.
    """

    mae: Mapping[str, float]
    rmse: Mapping[str, float]
    counts: Mapping[str, int]
    relative_curvature: float
    per_frame: tuple[Mapping[str, Any], ...]


def evaluate(
    model: str | PathLike | Potential | BaseCalculator,
    data: str | PathLike | Sequence[str | PathLike | Frame],
    *,
    keys: Mapping[str, str] | None = None,
    dtype: str = "float64",
    progress: Progress | None = None,
    route: str | None = None,
    device: Any = None,
) -> Scores:
    """Compare a model with labels.

    Energies and derivatives come from the evaluator of `PhonaxCalculator`, not from the code that trains. Frames in
    electric fields are compared with the model in these fields.

    Args:
        model: a `Potential`, a registered name, or a model file; or any ASE calculator, whose second derivatives are
            found by displacements, those of whole cells at q = 0.
        data: files of `labels.read_frames`, or frames.
        keys: names of labels in ASE's files.
        progress: called with (done, total) frames.
        dtype, route, device: as those of `PhonaxCalculator`; not for other calculators.

    Raises:
        InputError, ModelError: what cannot be read; frames in electric fields, of which the model says nothing; second
            derivatives at wave vectors that the calculator does not know.
        StructureError: an element the model does not know.
    """
    respondent = _respondent(model, dtype, route, device)
    frames = _as_frames(data, keys)
    check_fields(respondent, frames)
    rows, errors, relative = [], dict[str, list[np.ndarray]](), list[float]()
    for done, frame in enumerate(frames, 1):
        answers = Answers(respondent, frame)
        own: dict[str, np.ndarray] = {}
        for target in TARGETS:
            if target.of(frame) is not None and answers.knows(target):
                own |= target.score(answers, target)
        if (part := relative_error(answers)) is not None:
            relative.append(part)
        for label, error in own.items():
            errors.setdefault(label, []).append(error)
        row = {label: float(np.abs(error).mean()) for label, error in own.items()}
        rows.append({"frame": frame.origin or str(done - 1), "formula": formula(frame.atoms), **row})
        if progress:
            progress(done, len(frames))
    flat = {label: np.concatenate([e.ravel() for e in values]) for label, values in errors.items()}
    return Scores(
        {label: float(np.abs(e).mean()) for label, e in flat.items()},
        {label: float(np.sqrt(np.mean(np.abs(e) ** 2))) for label, e in flat.items()},
        {label: e.size for label, e in flat.items()},
        float(np.mean(relative)) if relative else float("nan"),
        tuple(rows),
    )


def _respondent(
    model: str | PathLike | Potential | BaseCalculator, dtype: str, route: str | None, device: Any
) -> Respondent | OtherRespondent:
    """Whom frames are compared with."""
    from ..models.loading import load_model
    from ..phonons.finite_differences import DisplacementCalculator, crystal_calculator

    if not isinstance(model, BaseCalculator):
        return Respondent(Evaluator(load_model(model), np.dtype(dtype), *checked_route(route, False, device)))
    calc = crystal_calculator(model)
    return OtherRespondent(calc) if isinstance(calc, DisplacementCalculator) else Respondent(calc.evaluator)


def _as_frames(data: str | PathLike | Sequence[Any], keys: Mapping[str, str] | None) -> list[Frame]:
    if isinstance(data, (str, PathLike)):
        return read_frames(data, keys)
    data = list(data)
    frames = data if all(isinstance(x, Frame) for x in data) else read_frames(data, keys)
    if not frames:
        raise InputError("there are no frames", "there is nothing to compare with", "check the data")
    return frames
