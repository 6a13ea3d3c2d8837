"""Densities of states as an output of networks: each atom has its own, over a fixed grid of frequencies.

The density of an atom is how the squares of all modes' components on it are spread over frequencies; over all of them
it holds three modes, whatever the atom (the modes are complete), and that of the structure is the mean of its atoms'.
"""

from typing import Any

import numpy as np

from ..outputs import Output

N_POINTS = 201
STEP_CM1 = 20.0  # the grid of Petretto et al.'s densities, Scientific Data 5, 180065 (2018), and on to hydrogen's modes
GRID_CM1 = STEP_CM1 * np.arange(N_POINTS)
DENSITY = Output("density_of_states", f"{N_POINTS}x0e")
UNKNOWN = -1.0  # in labels: frequencies that were not computed
_SOFT = 0.05  # where the map onto positive numbers turns, in units of the network's numbers


# Zero at zero, and small below the first step; of Debye's law the grid is too coarse to hold more.
_DEBYE = GRID_CM1**2 / (GRID_CM1**2 + STEP_CM1**2)


def site_densities(components: Any) -> Any:
    """(..., N_POINTS) shares of an atom's modes at each frequency, positive, whose sum is 1, of NumPy or JAX."""
    positive = (components + (components * components + _SOFT**2) ** 0.5) * _DEBYE
    return positive / positive.sum(-1)[..., None]
