"""Labelled frames: reading, checking and storing them.

Its names are imported when they are first asked for: frames need the table `training.targets`, which needs this room.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .frames import Frame
    from .phonopy_labels import frame_of_phonopy
    from .reading import frame_of_atoms, frame_of_hessian, read_frames
    from .store import save_frames
    from .values import SecondOrder, Spectrum

_HOMES = {
    "Frame": "frames",
    "SecondOrder": "values",
    "Spectrum": "values",
    "frame_of_atoms": "reading",
    "frame_of_hessian": "reading",
    "frame_of_phonopy": "phonopy_labels",
    "read_frames": "reading",
    "save_frames": "store",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
