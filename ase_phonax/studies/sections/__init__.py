"""What `phonon_study` can be asked for besides bands, densities and heat: one file for each section.

A new one is named twice here, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..section import Section
from . import animation, formats, infrared, instability, motion, polar, symmetry

# In the order of the report.
SECTIONS: tuple[Section, ...] = (
    symmetry.SECTION,
    instability.SECTION,
    polar.SECTION,
    infrared.SECTION,
    motion.SECTION,
    animation.SECTION,
    formats.SECTION,
)


@dataclass(frozen=True)
class SectionSettings(
    formats.FormatSettings,
    animation.AnimationSettings,
    motion.MotionSettings,
    infrared.InfraredSettings,
    polar.PolarSettings,
    instability.InstabilitySettings,
    symmetry.SymmetrySettings,
):
    """Those of all sections, the last one first: a dataclass takes the fields of its last base first."""
