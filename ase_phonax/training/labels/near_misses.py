"""What frames hold and is not learned from: labels under other names, and frames that come twice."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...base.errors import UnstableWarning
from ..target import Target
from ..targets import TARGETS
from .frames import Frame

FIELDS = ("electric_field", "electricfield", "efield", "external_field", "homogeneous_field")  # parts of names
VIRIAL = "; from a virial, stress = -virial / volume where it is positive under pressure, as most write it"


def say_unread(named: Sequence[Mapping[str, Any]], frames: Sequence[Frame], path: Path) -> None:
    """Warn of what looks like a label that a frame does not have: it was not read.

    It goes by another name, or the frame is periodic and the label that of a molecule.

    Args:
        named: what one file says of each frame, by name.
        frames: what was made of them.
    """
    unread: dict[str, int] = {}
    for values, frame in zip(named, frames, strict=True):
        n = len(frame.atoms)
        for name, value in values.items():
            if any(_is_alike(target, str(name), value, n) and target.of(frame) is None for target in TARGETS):
                unread[str(name)] = unread.get(str(name), 0) + 1
    if unread:
        what = ", ".join(f"{name} ({n} frames)" for name, n in sorted(unread.items()))
        warnings.warn(
            f"{path}: not read: {what}. If these are labels, name them in keys, such as keys: {{energy: REF_energy}}"
            + (VIRIAL if any("virial" in name.lower() for name in unread) else ""),
            UnstableWarning,
            stacklevel=5,
        )


def _is_alike(target: Target, name: str, value: Any, n: int) -> bool:
    source = target.source
    if source is None or "weight" in name.lower() or not any(word in name.lower() for word in source.alike):
        return False
    try:
        return np.asarray(value, float).size in source.sizes(n)
    except (TypeError, ValueError):
        return False


def say_unread_fields(named: Sequence[Mapping[str, Any]], frames: Sequence[Frame], path: Path) -> None:
    """Warn of what looks like the electric field of a frame that was taken to be in none.

    Args:
        named: what one file says of each frame, by name.
        frames: what was made of them.
    """
    alone = [values for values, frame in zip(named, frames, strict=True) if frame.field is None]
    unread = sorted({str(name) for values in alone for name, value in values.items() if _is_field(str(name), value)})
    if unread:
        warnings.warn(
            f"{path}: not read: {', '.join(unread)}; these frames are taken to be in no electric field. If they were"
            f" computed in one, name it in keys, such as keys: {{electric_field: {unread[0]}}}, in V/Å",
            UnstableWarning,
            stacklevel=5,
        )


def _is_field(name: str, value: Any) -> bool:
    if not any(word in name.lower() for word in FIELDS) and name.lower() not in ("field", "e_field"):
        return False
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        return False
    return numbers.size == 3 and bool(numbers.any())


def say_repeated(training: Sequence[Frame], valid: Sequence[Frame]) -> None:
    """Warn of frames that come twice: they count twice, and a validation on what was trained on says nothing.

    Frames are the same where elements, positions, cell, periodicity and field are, and a kind of label is in both.
    """
    seen: dict[bytes, list[Frame]] = {}
    repeated = [frame for frame in training if _seen(frame, seen, remember=True)]
    if repeated:
        warnings.warn(
            f"{len(repeated)} of {len(training)} training frames come twice, the first is {_name(repeated[0])}: they"
            " count twice. List each file once, or say it with data.repeat.",
            UnstableWarning,
            stacklevel=3,
        )
    leaked = [frame for frame in valid if _seen(frame, seen, remember=False)]
    if leaked:
        warnings.warn(
            f"{len(leaked)} of {len(valid)} validation frames are training frames, too, the first is"
            f" {_name(leaked[0])}: the errors reported, and the epoch that is kept, are too good to be true. Take them"
            " out of one side.",
            UnstableWarning,
            stacklevel=3,
        )


def _seen(frame: Frame, seen: dict[bytes, list[Frame]], *, remember: bool) -> bool:
    """Whether a frame of the same structure and a label of the same kind was there before."""
    atoms = frame.atoms
    key = b"".join(
        (atoms.numbers.tobytes(), atoms.pbc.tobytes(), _rounded(atoms.positions), _rounded(atoms.cell.array))
    ) + (b"" if frame.field is None else _rounded(frame.field))
    others = seen.setdefault(key, []) if remember else seen.get(key, [])
    twice = any(_labels(frame) & _labels(other) for other in others)
    if remember:
        others.append(frame)
    return twice


def _rounded(values: np.ndarray) -> bytes:
    return (np.round(values, 7) + 0.0).tobytes()  # 1e-7 Å: what text files keep


def _labels(frame: Frame) -> set[tuple[str, bytes]]:
    """Its kinds of labels; second derivatives at other wave vectors are others."""
    kinds: set[tuple[str, bytes]] = set()
    for target in TARGETS:
        if (value := target.of(frame)) is not None:
            kinds |= {(target.name, _rounded(q)) for q in (value.qpoints if target.per == "wave" else [np.zeros(0)])}
    return kinds


def _name(frame: Frame) -> str:
    return frame.origin or frame.atoms.get_chemical_formula()
