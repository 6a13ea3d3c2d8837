"""Densities of states without modes: from the structure by a network, and what follows from any density."""

from .heat import DensityHeat, density_heat, mean_frequency
from .prediction import DensityOfStates, predict_density

__all__ = ["DensityHeat", "DensityOfStates", "density_heat", "mean_frequency", "predict_density"]
