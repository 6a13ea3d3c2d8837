"""Labelled frames: reading, checking, storing and making them.

`phonopy_labels` and `teacher` are imported by themselves: phonopy takes half a second, and a teacher is a calculator.
"""

from ..values import SecondOrder, Spectrum
from .frames import Frame
from .reading import frame_of_atoms, frame_of_hessian, read_frames
from .store import save_frames

__all__ = [
    "Frame",
    "SecondOrder",
    "Spectrum",
    "frame_of_atoms",
    "frame_of_hessian",
    "read_frames",
    "save_frames",
]
