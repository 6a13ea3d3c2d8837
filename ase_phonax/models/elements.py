"""Potentials of fewer elements: the same numbers for those that are kept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..base.errors import InputError
from .architectures import ARCHITECTURES, element_parameters, make_potential
from .potential import Potential

# Fields of configurations with an entry for each element.
OF_ELEMENTS = ("numbers", "radii", "repulsion_numbers")


def restricted(potential: Potential, numbers: Sequence[int]) -> Potential:
    """The potential for some of its elements alone, whose energies stay what they are.

    Args:
        potential: a network.
        numbers: atomic numbers that are kept, in any order; the result has them ascending.

    Raises:
        InputError: elements that it does not know, none at all, or a plain function.
    """
    kept = tuple(sorted(set(numbers)))
    unknown = sorted(set(kept) - set(potential.numbers))
    if potential.architecture is None or unknown or not kept:
        raise InputError(
            f"{potential.name!r} cannot be restricted to the atomic numbers {list(kept)}",
            f"it does not know {unknown}" if unknown else "there are no elements left, or it is a plain function",
            "name elements that it knows; `potential.numbers` lists them",
        )
    if kept == potential.numbers:
        return potential
    rows = np.array([potential.numbers.index(z) for z in kept])
    config: Any = potential.config
    changed = {
        name: tuple(np.asarray(getattr(config, name))[rows].tolist())
        for name in OF_ELEMENTS
        if getattr(config, name, ())
    }
    parameters = {module: dict(arrays) for module, arrays in potential.parameters.items()}
    module, references = ARCHITECTURES[potential.architecture].references
    names = element_parameters(potential.architecture, config, parameters) | {f"{module}/{references}"}
    for name in names:
        place, array = name.split("/", 1)
        parameters[place][array] = parameters[place][array][rows]
    if getattr(config, "embedding", None) == 0:
        # First features are the element itself, one channel for each: those of elements left out are never lit.
        parameters["~"]["embedding"] = np.eye(config.n_species, dtype=parameters[module][references].dtype)[rows]
        changed["embedding"] = config.n_species
    return make_potential(
        potential.architecture,
        replace(config, n_species=len(kept), **changed),
        parameters,
        kept,
        potential.name,
        potential.provenance,
    )
