"""`ase-phonax gruneisen`: mode Grüneisen parameters of a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import StudyCommand

if TYPE_CHECKING:
    from ..studies.options import Settings

_DESCRIPTION = """\
Relax a crystal, and compute how much each frequency changes with the volume, γ = - d ln ω / d ln V,
from the exact derivative of its force constants by strain, atoms and shape of the cell following; and
from it the tensor of thermal expansion. --finite takes the difference of two volumes by phonopy instead.
"""

_EPILOG = """\
files written to the output folder:
  summary.json                     everything printed, for programs
  gruneisen.png, gruneisen.pdf     bands colored by γ, and γ against frequency
  gruneisen.yaml                   γ along the band path, in phonopy's format
  gruneisen_mesh.yaml              γ on the mesh, in phonopy's format
  volumes.extxyz                   the relaxed structure; with --finite all three

The three acoustic modes at Γ have no γ of their own (0/0, a limit that depends on the direction):
phonopy's files hold arbitrary numbers there, averages and the picture leave them out. Exit codes: see
`ase-phonax --help`.
"""


def _settings() -> tuple[type[Settings], ...]:
    from ..studies.settings import CellSettings, GruneisenSettings

    return GruneisenSettings, CellSettings


COMMAND = StudyCommand(
    name="gruneisen",
    study="gruneisen_study",
    settings=_settings,
    help="how phonons of a crystal change with its volume",
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
add_parser = COMMAND.add_parser
