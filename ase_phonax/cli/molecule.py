"""`ase-phonax molecule`: normal modes, their symmetry, and what a spectrometer will see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import StudyCommand

if TYPE_CHECKING:
    from ..studies.options import Settings

_DESCRIPTION = """\
Relax a molecule, compute its exact Hessian, and print its normal modes: wavenumbers, irreducible
representations of the point group, infrared and Raman activity, and its thermochemistry as an ideal gas.
Of models that give a dipole or a polarizability also infrared intensities, Raman activities,
depolarization ratios, and spectra of broadened lines.
Translations and rotations are projected out by their own vectors: six of them, five for a linear molecule,
three for a single atom. Atoms fixed in the file, or left out of --atoms, stay where they are; then nothing
is projected out and there is no symmetry.
"""

_EPILOG = """\
files written to the output folder:
  summary.json         what is printed, for programs
  relaxed.extxyz       the structure the modes belong to
  vibrations.json      ASE VibrationsData: VibrationsData.read("vibrations.json")
  modes.molden         all modes, for Molden, Jmol, Avogadro and others
  sticks.png, .pdf     where lines are allowed: infrared, Raman, silent
  spectra.png, .pdf    of models with a dipole or a polarizability: infrared above, Raman below
  infrared.csv, .jdx   that curve as a table, and as JCAMP-DX for programs of spectroscopists
  raman.csv, .jdx      that curve likewise
  mode_N.extxyz        with --animate: one period of a mode
  follow_N_*.extxyz    with --follow: where the molecule comes to rest on both sides of a saddle point

example, with a measured spectrum beneath and wavenumbers brought nearer to it:
  ase-phonax molecule methanol.xyz --model MODEL --frequency-scale 0.97 --measured-infrared gas.jdx

Wavenumbers are in cm⁻¹, imaginary ones marked with an i (negative in files). Exit codes: see
`ase-phonax --help`.
"""


def _default_model() -> str:
    from ..models.registry import FOR_MOLECULES

    return FOR_MOLECULES


def _settings() -> tuple[type[Settings], ...]:
    from ..studies.molecule_settings import BeginningSettings, MoleculeSettings

    return MoleculeSettings, BeginningSettings


COMMAND = StudyCommand(
    name="molecule",
    aliases=("hessian",),  # its earlier name
    study="molecule_study",
    settings=_settings,
    from_cif=False,
    metavar="MOLECULE",
    structure_help="file of any format ASE reads (xyz, mol, sdf, ...)",
    model_help="the one for molecules that ships",
    default_model=_default_model,
    help="normal modes of a molecule, their symmetry, activity and spectra",
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
add_parser = COMMAND.add_parser
