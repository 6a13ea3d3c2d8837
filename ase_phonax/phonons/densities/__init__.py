"""Densities of states without modes: from the structure by a network, and what follows from any density."""

from .alloys import AlloySeries, alloy_series
from .features import LayerFeatures, draw_features, learned_features
from .formulas import debye_temperature, kinetic_conductivity, spectral_overlap, superconductivity
from .from_modes import exact_density, phonopy_density
from .heat import DensityHeat, density_heat, mean_frequency
from .prediction import DensityOfStates, predict_density

__all__ = [
    "AlloySeries",
    "DensityHeat",
    "DensityOfStates",
    "LayerFeatures",
    "alloy_series",
    "debye_temperature",
    "density_heat",
    "draw_features",
    "exact_density",
    "kinetic_conductivity",
    "learned_features",
    "mean_frequency",
    "phonopy_density",
    "predict_density",
    "spectral_overlap",
    "superconductivity",
]
