"""`ase-phonax qha`: thermal expansion and its kin in the quasi-harmonic approximation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import StudyCommand

if TYPE_CHECKING:
    from ..studies.options import Settings

_DESCRIPTION = """\
Relax a crystal, and at several volumes relax atoms and shape of the cell, compute energy and exact force
constants, and let phonopy minimise the free energy over the volume at each temperature: thermal
expansion, bulk modulus, Gibbs energy, heat capacity at constant pressure.
"""

_EPILOG = """\
files written to the output folder:
  summary.json           what is printed and the curves, for programs
  qha.png, qha.pdf       free energies over volume, and results against temperature
  volumes.extxyz         the relaxed structures
  e-v.dat                static energy against volume
  helmholtz-volume.dat, volume-temperature.dat, thermal_expansion.dat, bulk_modulus-temperature.dat,
  gibbs-temperature.dat, Cp-temperature.dat, entropy-temperature.dat, enthalpy-temperature.dat,
  gruneisen-temperature.dat, entropy-volume.dat, Cv-volume.dat, dsdv-temperature.dat
                         phonopy's files of phonopy-qha
  lattice_parameters-temperature.dat, axial_thermal_expansion.dat
                         where the angles of the cell do not depend on its volume

Everything is per primitive cell. Volumes with imaginary modes, or that lost more modes than others, are
left out of the fit. Where the minimum nears the end of the volumes, up to four more are computed. Results
end below the first temperature whose fit is refused; all is said, with reasons, and rows that are doubtful
say why. Exit codes: see `ase-phonax --help`.
"""


def _settings() -> tuple[type[Settings], ...]:
    from ..studies.settings import CellSettings, QuasiHarmonicSettings

    return QuasiHarmonicSettings, CellSettings


COMMAND = StudyCommand(
    name="qha",
    study="quasi_harmonic_study",
    settings=_settings,
    help="thermal expansion of a crystal, quasi-harmonic",
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
add_parser = COMMAND.add_parser
