"""Polar crystals: Born charges and a dielectric tensor, given or predicted, and what they do to D(q).

A potential of finite range has no dipole tail, so that its dynamical matrix is analytic at Gamma and LO and TO modes
meet there. With charges Z* and the electronic dielectric tensor, the limit q -> 0 along each direction is defined by
theory alone (X. Gonze, C. Lee, Phys. Rev. B 55, 10355 (1997), Eq. 60):

    D_ij,ab(q -> 0) = D_ij,ab(0) + 4 pi f / V  (q.Z_i)_a (q.Z_j)_b / (q.eps.q) / sqrt(m_i m_j)

with f = e²/(4 pi eps0) = 14.39965 eV Å. Away from Gamma a part of the interaction of dipoles lies in what the potential
has learned, and `dipoles` adds what lies beyond its reach (`widths`): a `PolarCalculator` knows D(q) with both, and no
supercell is in it. `set_nac` is phonopy's own correction, for constants of any origin.
"""

from .calculator import PolarCalculator, PolarLayerCalculator
from .charges import METHOD, NAC_FACTOR, NonAnalyticCorrection, charges_by_element, read_correction
from .dipoles import DipoleInteraction
from .prediction import PredictedCharges, predict_charges
from .splitting import GammaSplitting, checked_directions, directions_of_path, get_gamma_splitting, set_nac
from .widths import checked_width, width_of

__all__ = [
    "METHOD",
    "NAC_FACTOR",
    "DipoleInteraction",
    "GammaSplitting",
    "NonAnalyticCorrection",
    "PolarCalculator",
    "PolarLayerCalculator",
    "PredictedCharges",
    "charges_by_element",
    "checked_directions",
    "checked_width",
    "directions_of_path",
    "get_gamma_splitting",
    "predict_charges",
    "read_correction",
    "set_nac",
    "width_of",
]
