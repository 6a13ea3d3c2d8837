"""Densities of states without modes: from the structure by a network, and what follows from any density."""

from .alloys import AlloySeries, alloy_series
from .exact import exact_density
from .formulas import debye_temperature, kinetic_conductivity, spectral_overlap, superconductivity
from .heat import DensityHeat, density_heat, mean_frequency
from .prediction import DensityOfStates, predict_density

__all__ = [
    "AlloySeries",
    "DensityHeat",
    "DensityOfStates",
    "alloy_series",
    "debye_temperature",
    "density_heat",
    "exact_density",
    "kinetic_conductivity",
    "mean_frequency",
    "predict_density",
    "spectral_overlap",
    "superconductivity",
]
