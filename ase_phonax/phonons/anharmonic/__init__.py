"""How phonons change with strain, by exact derivatives."""

from .gruneisen_tensors import GruneisenTensors, gruneisen_tensors

__all__ = ["GruneisenTensors", "gruneisen_tensors"]
