"""Labelled frames: reading, checking, storing, and batching for training."""

from .frames import Frame, SecondOrder, Spectrum
from .phonopy_labels import frame_of_phonopy
from .reading import frame_of_atoms, frame_of_hessian, read_frames
from .store import save_frames

__all__ = [
    "Frame",
    "SecondOrder",
    "Spectrum",
    "frame_of_atoms",
    "frame_of_hessian",
    "frame_of_phonopy",
    "read_frames",
    "save_frames",
]
