"""`ase-phonax elastic`: elastic constants of a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import StudyCommand

if TYPE_CHECKING:
    from ..studies.options import Settings

_DESCRIPTION = """\
Relax a crystal and compute its elastic constants by exact second derivatives, atoms held and let go: no
strain is applied, no difference taken. Moduli of a polycrystal, stability, the velocities of sound and
the Debye temperature follow.
"""

_EPILOG = """\
files written to the output folder:
  summary.json                 everything printed, for programs: elastic_constants_GPa, clamped_ion_GPa, ...
  relaxed.extxyz               the crystal, in whose axes the constants are
  elastic.png, elastic.pdf     Young's modulus and sound by direction, in three planes

Voigt's order is xx yy zz yz xz xy, strains of shear are engineers'. Exit codes: see `ase-phonax --help`.
"""


def _settings() -> tuple[type[Settings], ...]:
    from ..studies.elastic_settings import ElasticSettings

    return (ElasticSettings,)


COMMAND = StudyCommand(
    name="elastic",
    study="elastic_study",
    settings=_settings,
    help="elastic constants, moduli and sound of a crystal",
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
add_parser = COMMAND.add_parser
