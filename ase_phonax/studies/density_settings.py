"""What can be asked of a study of densities of states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..base.settings import Given
from .options import Settings, Unfit, flag, integer, option, path, positive, text


def several(value: Given) -> int:
    """A whole number of 2 at least."""
    count = integer(value)
    if count < 2:
        raise Unfit(f"{value!r} compositions are no series: both ends are among them")
    return count


@dataclass(frozen=True)
class DensitySettings(Settings):
    """Settings of `density_study`."""

    temperature: float = option(
        300.0, positive, "heat", "of heat, entropy and the Debye temperature (default: %(default)g)", metavar="K"
    )
    compare: str | None = option(
        None,
        text,
        "comparison",
        "draw each beside the exact density of a potential, for the structure as it is: a name listed by"
        " `ase-phonax models`, or a model file",
        metavar="POTENTIAL",
    )
    alloy: str | None = option(
        None,
        text,
        "alloys",
        "a mixture on every site of its elements, such as Mg0.75Al0.25; or, of one structure, two elements such as"
        " Sb-Bi: a series in which the second takes the place of the first",
        metavar="MIXTURE",
    )
    end: Path | None = option(
        None,
        path,
        "alloys",
        "file of the crystal at the end of the series, its atoms in the same order: cell and positions go from one to"
        " the other in proportion (default: the cell stays)",
        metavar="FILE",
    )
    compositions: int = option(
        11, several, "alloys", "how many, both ends among them (default: %(default)s)", metavar="N"
    )
    stand_ins: bool = flag(
        "elements",
        "let the most similar element that the network knows stand for one that it does not, with the mass of"
        " the latter (such structures are refused otherwise)",
    )
