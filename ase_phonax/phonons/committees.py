"""Networks that are asked for their outputs, by name: loaded once, all members of a committee."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..derivatives.evaluator import Evaluator
from ..models.committee import Model, load_committee
from ..models.fields import require_output
from ..models.outputs import Output
from ..models.potential import Potential


def evaluators_of(model: Model, *outputs: Output) -> tuple[Evaluator, ...]:
    """The members of a model in double precision, remembered as long as its file stays the same.

    Raises:
        ModelError: no such model.
        InputError: one that does not give these outputs.
    """
    if isinstance(model, Potential):
        return _evaluators(model, 0, outputs)
    path = Path(model)
    return _evaluators(os.fspath(model), path.stat().st_mtime_ns if path.is_file() else 0, outputs)


@lru_cache(maxsize=4)
def _evaluators(model: str | Potential, changed: int, outputs: tuple[Output, ...]) -> tuple[Evaluator, ...]:
    """Of a model whose file was written at `changed`, so that another one under the same name is read."""
    members = load_committee(model)
    for potential in members:
        for output in outputs:
            require_output(potential, output)
    first = Evaluator(members[0], np.dtype("float64"))
    return first, *(beside(first, potential) for potential in members[1:])


def beside(first: Evaluator, potential: Potential) -> Evaluator:
    """Another member, evaluated alike; both find the neighbours of a structure once where they have the same."""
    same = (potential.cutoff, potential.numbers) == (first.potential.cutoff, first.potential.numbers)
    return first.of(potential) if same else Evaluator(potential, first.dtype)
