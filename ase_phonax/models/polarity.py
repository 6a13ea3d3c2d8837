"""What networks give of polar crystals: Born charges of atoms and the electronic dielectric tensor, as named outputs.

Charges are tensors without any symmetry, field first, displacement second, whose sum over the atoms is zero exactly.
Of the dielectric tensor the network gives the logarithm of the susceptibility, ln(eps - 1), which may be any symmetric
tensor: eps is positive definite and above 1 by construction, and equal errors are equal in proportion.
"""

from functools import cache
from typing import Any

import numpy as np

from .fields import as_tensor, symmetric_tensors
from .o3.spherical import clebsch_gordan
from .outputs import Output

CHARGES = Output("charges", "0e + 1e + 2e", unit="e", neutral=True)
SUSCEPTIBILITY = Output("log_susceptibility", "0e + 2e", per="structure", pooling="mean")


@cache
def tensors() -> np.ndarray:
    """(9, 3, 3) tensors of unit Frobenius norm: the components of "0e + 1e + 2e", in their order."""
    symmetric = symmetric_tensors()
    turning = clebsch_gordan(1, 1, 1).transpose(2, 0, 1)
    turning = turning / np.linalg.norm(turning, axis=(1, 2), keepdims=True)
    result = np.concatenate([symmetric[:1], turning, symmetric[1:]])
    result.setflags(write=False)
    return result


def as_charges(components: Any) -> Any:
    """(..., 9) components of "0e + 1e + 2e" as tensors (..., 3, 3)."""
    return (components @ tensors().reshape(9, 9)).reshape(*components.shape[:-1], 3, 3)


def dielectric_tensor(components: np.ndarray) -> np.ndarray:
    """(3, 3) eps of the six components of ln(eps - 1)."""
    values, vectors = np.linalg.eigh(as_tensor(np.asarray(components, float)))
    return np.asarray(np.eye(3) + (vectors * np.exp(values)) @ vectors.T)


def log_susceptibility(dielectric: np.ndarray) -> np.ndarray:
    """(3, 3) ln(eps - 1) of a dielectric tensor above 1, whose antisymmetric part is left out.

    Raises:
        ValueError: it is not above 1.
    """
    values, vectors = np.linalg.eigh((dielectric + np.swapaxes(dielectric, -1, -2)) / 2)
    if values.min() <= 1:
        raise ValueError(f"the dielectric tensor has the principal value {values.min():.4g}")
    return np.asarray((vectors * np.log(values - 1)) @ vectors.T)
