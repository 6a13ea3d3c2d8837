"""A crystal at several volumes: Grüneisen parameters and the quasi-harmonic approximation.

At each volume atoms and shape of the cell are relaxed and exact force constants are computed on the same
supercell (`points`); phonopy's own classes make of them mode Grüneisen parameters (`gruneisen`) and
free energies against volume (`quasi_harmonic`); `pictures` draws both.
"""

from .anisotropic import AnisotropicExpansion, get_anisotropic_expansion
from .exact_gruneisen import get_exact_gruneisen
from .gruneisen import Gruneisen, get_gruneisen
from .points import VolumePoint, phonons_at_volumes
from .quasi_harmonic import QuasiHarmonic, get_quasi_harmonic

__all__ = [
    "AnisotropicExpansion",
    "Gruneisen",
    "QuasiHarmonic",
    "VolumePoint",
    "get_anisotropic_expansion",
    "get_exact_gruneisen",
    "get_gruneisen",
    "get_quasi_harmonic",
    "phonons_at_volumes",
]
