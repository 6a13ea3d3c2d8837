"""Networks that learned the same from other beginnings: their mean is better than each, their spread says how sure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .loading import load_model
from .potential import Potential
from .registry import find_card

Model = str | os.PathLike | Potential


def load_committee(model: Model) -> tuple[Potential, ...]:
    """The networks that answer together under one name, in a fixed order; one where a model is no committee.

    A named model whose card states `n_members` has the others beside its file: NAME-2.h5, NAME-3.h5, ...

    Raises:
        ModelError, InputError: as `load_model`.
    """
    first = load_model(model)
    card = find_card(model) if isinstance(model, str) else None
    if card is None:
        return (first,)
    path = Path(card.location)
    others = (path.with_stem(f"{path.stem}-{k}") for k in range(2, card.n_members + 1))
    return (first, *map(load_model, others))


def mean_and_spread(answers: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """The mean, and the standard deviation of a single member's answer; None where there is but one."""
    stacked = np.stack(answers)
    spread = np.std(stacked, axis=0, ddof=1) if len(answers) > 1 else None
    return np.asarray(np.mean(stacked, axis=0)), spread
