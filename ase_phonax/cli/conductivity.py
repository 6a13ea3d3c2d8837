"""`ase-phonax conductivity`: the lattice thermal conductivity of a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import StudyCommand

if TYPE_CHECKING:
    from ..studies.options import Settings

_DESCRIPTION = """\
Relax a crystal, choose supercells by the measured errors of their constants, and compute exact constants of second
and third order without displacing anything; phono3py solves for the thermal conductivity, on meshes that grow until it
has settled. Calculators of other packages (--calculator) are displaced.
Needs phono3py: pip install "ase-phonax[conductivity]"
"""

_EPILOG = """\
files written to the output folder:
  summary.json                 everything printed, for programs: kappa_300K_W_mK, mesh, method, ...
  conductivity.yaml            the conductivity (3x3) by temperature
  conductivity.png, .pdf       over temperature, by frequency, and linewidths
  relaxed.extxyz               the crystal, in whose axes the conductivity is
  phono3py_params.yaml, fc2.hdf5, fc3.hdf5, kappa-mNNN.hdf5
                               phono3py's own: `phono3py-load phono3py_params.yaml` goes on from there

Exit codes: see `ase-phonax --help`.
"""


def _settings() -> tuple[type[Settings], ...]:
    from ..studies.conductivity_settings import ConductivitySettings

    return (ConductivitySettings,)


COMMAND = StudyCommand(
    name="conductivity",
    study="conductivity_study",
    settings=_settings,
    help="lattice thermal conductivity of a crystal",
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
add_parser = COMMAND.add_parser
