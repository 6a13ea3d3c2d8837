"""Sites that several elements share, for networks that are asked for an average over them: alloys.

What a network knows of an element are rows of its parameters, which enter each layer linearly. A site that is three
quarters magnesium and one quarter aluminium has three quarters of one row and one quarter of the other: the N-hot
inputs of Z. Chen et al., Adv. Sci. 8, 2004214 (2021). For energies this would mean nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...base.errors import InputError
from ..architectures import element_parameters, make_potential
from ..potential import HEAVIEST, Potential

Mixture = Mapping[int, float]  # atomic number -> share of a site
_WHOLE = 1e-3  # that shares may differ from 1


def with_mixtures(potential: Potential, mixtures: Sequence[Mixture]) -> tuple[Potential, list[int]]:
    """A network that knows mixtures of its elements, each under an atomic number that it has no other use for.

    Returns:
        the potential, and the number of each mixture.

    Raises:
        InputError: shares that are none, elements that the network does not know, or more mixtures than numbers.
    """
    if potential.architecture is None or hasattr(potential.config, "numbers"):
        raise InputError(
            f"{potential.name!r} is a function, or a network whose settings name its elements",
            "what it knows of an element is not in rows that could be mixed",
            "take a NequIP network",
        )
    rows = np.array([_row(potential, mixture) for mixture in mixtures]).reshape(-1, len(potential.numbers))
    free = [z for z in range(1, HEAVIEST + 1) if z not in potential.numbers]
    if len(rows) > len(free):
        raise InputError(
            f"there are {len(rows)} different mixtures",
            f"the network knows {len(potential.numbers)} elements, and has numbers for {len(free)} more",
            "compute them in several parts",
        )
    numbers = free[: len(rows)]
    order = np.argsort([*potential.numbers, *numbers])
    mixing = np.concatenate([np.eye(len(potential.numbers)), rows])[order]  # rows of the new elements over the old
    of_elements = element_parameters(potential.architecture, potential.config, potential.parameters)
    parameters = {
        module: {
            name: np.tensordot(mixing, value, 1).astype(value.dtype) if f"{module}/{name}" in of_elements else value
            for name, value in own.items()
        }
        for module, own in potential.parameters.items()
    }
    mixed = make_potential(
        potential.architecture,
        replace(potential.config, n_species=len(order)),
        parameters,
        numbers=tuple(sorted([*potential.numbers, *numbers])),
        name=potential.name,
        provenance=potential.provenance,
    )
    return mixed, numbers


def _row(potential: Potential, mixture: Mixture) -> np.ndarray:
    """(n_species,) shares of the elements that a network knows."""
    row = np.zeros(len(potential.numbers))
    for number, share in mixture.items():
        if number not in potential.numbers:
            raise InputError(
                f"the model {potential.name!r} does not know the element {number}",
                "its row would be empty",
                f"it knows the atomic numbers {' '.join(map(str, potential.numbers))}",
            )
        if not (np.isfinite(share) and share >= 0):
            raise InputError(f"the share of element {number} is {share!r}", "it is a part of a site", "give 0 to 1")
        row[potential.numbers.index(number)] = share
    if abs(row.sum() - 1) > _WHOLE:
        raise InputError(
            f"the shares of a site's elements add up to {row.sum():.4g}",
            "a site has one atom; vacancies are no element that the network has seen",
            "make them add up to 1",
        )
    return row / row.sum()
