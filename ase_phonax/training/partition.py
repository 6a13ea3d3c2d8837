"""Which frames are learned from, and which tell how good the result is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..base.errors import InputError
from .config import DataConfig
from .labels.checks import check_frames
from .labels.frames import Frame, count_labels
from .labels.near_misses import say_repeated
from .labels.reading import read_frames
from .targets import TARGETS

VALIDATED_WAVES = 4  # of a frame


def load_frames(config: DataConfig, seed: int) -> tuple[list[Frame], list[Frame]]:
    """Training and validation frames; repeated ones appear as often as they count.

    Raises:
        InputError: no frames, or none left for validation where some were asked for.
    """
    if not config.train:
        raise InputError("data.train names no files", "there is nothing to learn from", "list files under data.train")
    training: list[Frame] = []
    copies: list[int] = []
    for name in config.train:
        frames = read_frames(name, config.keys or None)
        training += frames
        copies += [config.repeat.get(name, 1)] * len(frames)
    if len(config.train) > 1:
        check_frames(training)  # each file has been checked alone; now against each other
    unused = set(config.repeat) - set(config.train)
    if unused:
        raise InputError(
            f"data.repeat names {', '.join(sorted(unused))}",
            "it is not among the files of data.train, and would be ignored",
            "write the same path in both places",
        )
    if isinstance(config.valid, tuple):
        valid = read_frames(config.valid, config.keys or None) if config.valid else []
        if not valid:
            raise InputError(
                "data.valid names files without frames",
                "nothing would tell when to stop",
                "give frames, a part such as 0.1, or 0 to train without validation",
            )
    else:
        training, copies, valid = _split(training, copies, config.valid, seed)
    say_repeated(training, valid)
    return [frame for frame, n in zip(training, copies, strict=True) for _ in range(n)], valid


def _split(
    frames: list[Frame], copies: list[int], part: float, seed: int
) -> tuple[list[Frame], list[int], list[Frame]]:
    if not 0 <= part < 1:
        raise InputError(
            f"data.valid is {part}",
            "it is the part of the frames held out",
            "give a number from 0 to below 1, or files",
        )
    groups: dict[tuple[bool, ...], list[int]] = {}
    for k in np.random.default_rng((seed, 2)).permutation(len(frames)):
        groups.setdefault(_labels_of(frames[k]), []).append(int(k))
    # Of each mix of labels its own part, and never all: the only Hessian is there to be learned from. In fields and
    # without is another mix.
    held = {k for own in groups.values() for k in own[: min(round(part * len(own)), len(own) - 1)]}
    largest = max(groups.values(), key=len, default=[])
    if round(part * len(frames)) and not held and len(largest) > 1:
        held = {largest[0]}
    if part and not held:
        raise InputError(
            f"{part:g} of {len(frames)} training frames is no frame for validation",
            "nothing would tell when to stop, or how good the result is",
            "give validation files, a larger part, or data.valid: 0 to train without",
        )
    kept = [k for k in range(len(frames)) if k not in held]
    return [frames[k] for k in kept], [copies[k] for k in kept], [frames[k] for k in sorted(held)]


def _labels_of(frame: Frame) -> tuple[bool, ...]:
    return (*(n > 0 for n in count_labels([frame]).values()), frame.field is not None)


def validated(frames: Sequence[Frame]) -> list[Frame]:
    """Frames with several second derivatives as several frames with one each, at most VALIDATED_WAVES.

    A step looks at one wave vector of a frame. Always the same one would say little of the others, and nothing at all
    where it is Γ of one atom to a cell.
    """
    result = []
    for frame in frames:
        if frame.second is None or len(frame.second.qpoints) == 1:
            result.append(frame)
            continue
        sizes = np.abs(frame.second.matrices).max((1, 2))
        useful = np.flatnonzero(sizes > 1e-3 * sizes.max())
        chosen = useful[np.unique(np.linspace(0, len(useful) - 1, VALIDATED_WAVES).round().astype(int))]
        for n, k in enumerate(chosen):
            labels: dict[str, Any] = {}
            for target in TARGETS:
                value = target.of(frame)
                if target.per == "wave" and value is not None:  # all at the same wave vectors, as a Frame demands
                    labels[target.attribute] = target.at_wave(value, int(k))
                elif n:
                    labels[target.attribute] = None
            result.append(replace(frame, **labels))
    return result
