"""Where the reach of a model ends: which waves of dipoles it has learned, and which it cannot see.

L belongs to the model and not to a crystal: fitted to the highest branch of 30 binary crystals by DFT with charges
(examples/polar), it is the best for those that are not among them, whatever their dielectric constant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...base.errors import InputError
from ...models.registry import find_card

if TYPE_CHECKING:
    from ...models.potential import Potential

UNKNOWN = 0.10  # [1/Å], of models that nobody has measured
DIPOLE_WIDTH = "dipole_width_per_angstrom"  # in the provenance of a training


def width_of(potential: Potential) -> float | None:
    """L of the Gaussian that ends a model's reach [1/Å]; None where it was not measured.

    It stands in the card of a named model, and in the file of one that was trained: there by `run.dipole_width`, or
    inherited from the model that was fine-tuned.
    """
    card = find_card(potential.name)
    known = card.dipole_width if card is not None else potential.provenance.training.get(DIPOLE_WIDTH)
    return known or None


def checked_width(width: float) -> float:
    """A width that can be one.

    Raises:
        InputError: no number, or not of a size that a reach can have.
    """
    if not (isinstance(width, int | float | np.number) and 0.01 <= width <= 2.0):
        raise InputError(
            f"the width of the window of dipoles is {width!r}",
            "waves longer than 1/width are added to what the model knows: below 0.01 1/Å there are none, and above 2"
            " the model's own would be added once more",
            "give a number in 1/Å, such as 0.1, or leave it to the model",
        )
    return float(width)
