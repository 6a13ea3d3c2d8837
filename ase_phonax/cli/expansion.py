"""`ase-phonax expansion`: thermal expansion of a crystal in all directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import StudyCommand

if TYPE_CHECKING:
    from ..studies.options import Settings

_DESCRIPTION = """\
Relax a crystal and heat it in the quasi-harmonic approximation, in all strains that its symmetry allows: free energies
have exact slopes by strain, so that a handful of strained crystals take the place of a grid of volumes and shapes.
"""

_EPILOG = """\
files written to the output folder:
  summary.json                 everything printed, for programs: expansion_tensors_per_k, lattice_lengths_angstrom, ...
  relaxed.extxyz               the crystal without vibrations, in whose axes tensors are
  cells.extxyz                 the crystal at each temperature, atoms at rest in its cell
  expansion.png, .pdf          expansion and lengths by temperature

Exit codes: see `ase-phonax --help`.
"""


def _settings() -> tuple[type[Settings], ...]:
    from ..studies.expansion_settings import ExpansionSettings

    return (ExpansionSettings,)


COMMAND = StudyCommand(
    name="expansion",
    study="expansion_study",
    settings=_settings,
    help="thermal expansion of a crystal in all directions",
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
add_parser = COMMAND.add_parser
