"""What `phonon_study` can be asked for besides bands, densities and heat: the form of such a section."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy

    from ..calculator import PhonaxCalculator
    from .report import Report
    from .settings import PhononSettings


@dataclass(frozen=True)
class Context:
    """What a section computes from.

    Attributes:
        settings: of the study.
        phonopy: with force constants, bands, densities and heat.
        calc: the calculator.
        repeated: directions that the crystal extends in; not the vacuum of a layer.
        noise_thz: largest acoustic frequency at Gamma, zero but for noise [THz].
        exact: phonopy computes with exact D(q) at this moment.
        charges_because: why the calculator has charges, or none.
    """

    settings: PhononSettings
    phonopy: Phonopy
    calc: PhonaxCalculator | None = None
    repeated: tuple[bool, bool, bool] = (True, True, True)
    noise_thz: float = 0.0
    exact: bool = False
    charges_because: str = ""

    @property
    def is_layer(self) -> bool:
        """Whether one direction is vacuum."""
        return not all(self.repeated)


class Part(Protocol):
    """Results of one section."""

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""

    def summary(self) -> Summary:
        """What the section adds to summary.json: built-in types only."""

    def describe(self, text: Report) -> None:
        """Add the groups of the section to the report."""

    def write(self, folder: Path) -> None:
        """Write the files that `files` names."""


@dataclass(frozen=True)
class Section:
    """A section that can be asked for.

    Attributes:
        check: refuses settings before anything long is computed; it knows the atoms as they will enter.
        compute: its results; None where nothing was asked for.
        own_files: names of all files that it may write, or patterns of them.
        needs_exact: it looks at single wave vectors, which are to be as exact as the bands.
    """

    check: Callable[[PhononSettings, Atoms], None]
    compute: Callable[[Context], Part | None]
    own_files: tuple[str, ...] = ()
    needs_exact: bool = False
