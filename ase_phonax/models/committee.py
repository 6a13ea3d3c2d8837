"""Networks that learned the same from other beginnings: their mean is better than each, their spread says how sure."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.files import write_whole
from .files.native import save_model
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


def save_committee(members: Sequence[Potential], card: Mapping[str, Any], folder: Path) -> int:
    """Write networks without energies and their card under the name that it states, as `load_committee` finds them.

    Level of theory, training set, licence and citation of the card go into the files. What stands where energies are
    read is set to zero: nothing was learned there, and it would be noise.

    Returns:
        Size of the files of the networks [bytes].
    """
    name = card["name"]
    known = {key: card[key] for key in ("level_of_theory", "training_set", "licence", "citation")}
    files = [folder / (f"{name}.h5" if k == 1 else f"{name}-{k}.h5") for k in range(1, len(members) + 1)]
    for member, file in zip(members, files, strict=True):
        parameters = {module: dict(own) for module, own in member.parameters.items()}
        for read in ("readout", "atom_energies"):
            parameters["~"][read] = np.zeros_like(parameters["~"][read])
        provenance = replace(member.provenance, **known)
        save_model(replace(member, name=name, parameters=parameters, provenance=provenance), file, overwrite=True)
    write_whole(folder / f"{name}.json", json.dumps(dict(card), indent=1, ensure_ascii=False) + "\n")
    return sum(file.stat().st_size for file in files)


def mean_and_spread(answers: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """The mean, and the standard deviation of a single member's answer; None where there is but one."""
    stacked = np.stack(answers)
    spread = np.std(stacked, axis=0, ddof=1) if len(answers) > 1 else None
    return np.asarray(np.mean(stacked, axis=0)), spread
