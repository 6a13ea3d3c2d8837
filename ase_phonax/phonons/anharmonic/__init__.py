"""Beyond harmonic crystals, by exact third derivatives: phono3py's constants, and how phonons change with strain."""

from .choice import ThirdOrderChoice, choose_third_order_supercell
from .conductivity import ThermalConductivity, get_thermal_conductivity
from .gruneisen_tensors import GruneisenTensors, gruneisen_tensors
from .objects import get_phono3py

__all__ = [
    "GruneisenTensors",
    "ThermalConductivity",
    "ThirdOrderChoice",
    "choose_third_order_supercell",
    "get_phono3py",
    "get_thermal_conductivity",
    "gruneisen_tensors",
]
