"""Beyond harmonic crystals, by exact third derivatives: phono3py's constants, and how phonons change with strain."""

from .gruneisen_tensors import GruneisenTensors, gruneisen_tensors
from .objects import get_phono3py

__all__ = ["GruneisenTensors", "get_phono3py", "gruneisen_tensors"]
