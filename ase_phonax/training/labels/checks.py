"""Labels that contradict themselves or each other are refused: of each label what its row of `targets` says."""

from collections.abc import Sequence

from ..targets import TARGETS
from .frames import Frame
from .sizes import check_sizes


def check_frames(frames: Sequence[Frame]) -> None:
    """Refuse labels whose size or sign contradict each other.

    Neighbouring frames of the same atoms must obey dE = -F.dx and dF = -H dx; stresses must have a size that
    a solid survives and grow with the volume; second derivatives must be Hermitian and those of a body that
    vibrates and feels no translation.

    Raises:
        InputError: with the factor between them and what it usually means.
    """
    check_sizes(frames)
    for target in TARGETS:
        for check in target.checks:
            check(frames)
