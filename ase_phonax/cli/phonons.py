"""`ase-phonax phonons`: from a structure file to bands, densities of states and heat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import StudyCommand

if TYPE_CHECKING:
    from ..studies.options import Settings

_DESCRIPTION = """\
Relax a crystal with its symmetry kept, find the smallest supercell that is large enough, compute exact
force constants, and write bands, densities of states, symmetries and thermal properties. Nothing is
displaced and nothing is symmetrised afterwards; what that costs in accuracy is checked and printed.
"""

_EPILOG = """\
files written to the output folder:
  summary.json                 everything printed, for programs
  bands.png, bands.pdf         bands beside densities of states
  band.yaml                    bands in phonopy's format
  irreps.yaml                  symmetry and activity of the modes at Γ
  imaginary_modes.yaml         where there are any
  total_dos.dat                density of states
  projected_dos.dat            its projection on each atom
  thermal_properties.yaml      free energy, entropy, heat capacity
  phonopy_params.yaml          all of it, for `phonopy-load` and phonopy.load()
  force_constants.hdf5         the force constants alone [eV/Å²]
  relaxed.extxyz               the structure they belong to
and those that the options above name. phonopy's files are in THz whatever --unit says.

Imaginary frequencies are negative. A crystal with imaginary modes is a result: the exit code is 0 and
the table says so. Exit codes: see `ase-phonax --help`.
"""


def _settings() -> tuple[type[Settings], ...]:
    from ..studies.settings import CellSettings, PhononSettings

    return PhononSettings, CellSettings


COMMAND = StudyCommand(
    name="phonons",
    study="phonon_study",
    settings=_settings,
    help="phonons of a crystal",
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
add_parser = COMMAND.add_parser
