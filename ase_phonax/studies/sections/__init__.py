"""What `phonon_study` can be asked for besides bands, densities and heat, in the order of the report."""

from ..section import Section
from . import animation, formats, instability, motion, polar, symmetry

SECTIONS: tuple[Section, ...] = (
    symmetry.SECTION,
    instability.SECTION,
    polar.SECTION,
    motion.SECTION,
    animation.SECTION,
    formats.SECTION,
)
