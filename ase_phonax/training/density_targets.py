"""Densities of states as labels: rows of the table of `targets`, and what is refused of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import InputError
from ..models.spectra import densities
from . import answers, comparisons
from .target import Part, Quantity, Target, Term

if TYPE_CHECKING:
    from .labels.frames import Frame


def check_densities(frames: Sequence[Frame]) -> None:
    """Refuse densities of states in another normalisation than labels have."""
    for frame in frames:
        where = f"{frame.origin or 'a frame'} ({frame.atoms.get_chemical_formula()})"
        total, parts = frame.density_of_states, frame.partial_densities
        if total is not None:
            known = total != densities.UNKNOWN
            if (total[known] < 0).any() or not known.any() or abs(total.max() - 1) > 1e-3:
                raise InputError(
                    f"{where}: the density of states is from {total[known].min(initial=0):.3g} to {total.max():.3g}",
                    "labels have no unit: their maximum is 1, they are nowhere negative, and -1 stands for unknown",
                    "divide by the maximum",
                )
        if parts is not None and ((parts < 0).any() or np.abs(parts.sum(axis=1) - 1).max() > 1e-3):
            raise InputError(
                f"{where}: densities of atoms add up to {parts.sum(axis=1).min():.3g} at least",
                "each atom has three modes: its shares over all frequencies add up to 1, and none is negative",
                "divide each atom's by its sum; what lies above 4000 1/cm belongs to the last one",
            )


PARTIAL_DENSITIES = Target(
    name="partial_densities",
    attribute="partial_densities",
    words="densities of states of atoms",
    singular="a density of states of an atom",
    unit="1",
    per="atom",
    parts=(Part("densities of states of atoms", lambda n, m: (n, densities.N_POINTS)),),
    stored="partial_densities",
    since=7,
    checks=(check_densities,),
    output=densities.DENSITY,
    of_components=densities.site_densities,
    smallest=1e-3,
    terms=(Term("partial_densities", comparisons.values, ("partial_densities",)),),
    quantity=Quantity("partial_densities", "densities of states of atoms", "1", "%", 100.0, "site DoS %", 3),
)

DENSITY_OF_STATES = Target(
    name="density_of_states",
    attribute="density_of_states",
    words="density of states",
    singular="a density of states",
    unit="1",
    per="structure",
    parts=(Part("density of states", lambda n, m: (densities.N_POINTS,)),),
    stored="density_of_states",
    since=7,
    checks=(check_densities,),
    output=densities.DENSITY,
    of_components=densities.site_densities,
    typical=lambda density: density[density >= 0],
    smallest=0.05,
    terms=(
        Term("density_of_states", comparisons.densities, ("density_of_states",)),
        Term("integrated_density", comparisons.integrated_densities, ("density_of_states",)),
    ),
    errors=comparisons.density_errors,
    score=answers.density_errors,
    quantity=Quantity("density_of_states", "density of states", "1", "1", 1.0, "DoS", 4),
)
