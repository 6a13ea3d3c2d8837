"""`ase-phonax dos`: densities of states from structures alone, one or thousands."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..base.errors import InputError
from . import loading
from .arguments import add_options, add_reporting, reporting, settings_of
from .config import add_config
from .parser import add_command
from .provenance import command_of
from .wording import as_typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from .parser import Commands

_DESCRIPTION = """\
Predict phonon densities of states of crystals from their structure alone, in milliseconds each: no force
constants, no relaxation. Total and partial densities, heat capacity, entropy, mean frequencies and the
Debye temperature, of one structure or of thousands; alloys by sites that elements share. A network that has
learned densities is asked; for what it does not know, and for more exact ones: `ase-phonax phonons`.
"""

_EPILOG = """\
files written to the output folder:
  summary.json           everything printed, for programs
  dos.csv                a line for each structure: heat capacity, entropy, mean frequencies, ...
  dos.png, dos.pdf       the densities
  densities.h5           the densities of all structures and atoms, as arrays
  failures.csv           structures that could not be computed, and why
  total_dos.dat, projected_dos.dat      of a single structure, in phonopy's format
  alloy.csv, alloy.png, alloy.pdf       of a series of compositions

examples:
  ase-phonax dos MgO.cif --compare nequix-mp-1-pft
  ase-phonax dos thousands.extxyz
  ase-phonax dos Mg3Sb2.cif --alloy Sb-Bi --end Mg3Bi2.cif

Sites that a CIF file gives to several elements are taken as alloys. Exit codes: see `ase-phonax --help`.
"""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    words = "densities of states from structures alone, one or thousands"
    add_command(commands, "dos", _add_arguments, _DESCRIPTION, help=words, epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..studies.density_settings import DensitySettings
    from .options import IsotopeOptions, OutputOptions

    parser.add_argument(
        "structures", metavar="STRUCTURE", nargs="+", help="files that ASE reads, all their structures; FILE@3 is one"
    )
    potential = parser.add_argument_group("potential")
    potential.add_argument(
        "--model", metavar="MODEL", help="network with densities of states (default: the one that ships)"
    )
    add_options(parser, IsotopeOptions, DensitySettings)
    add_options(parser, OutputOptions, suffix="dos")
    add_reporting(parser)
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Predict, write and print."""
    from dataclasses import replace

    from ..models.registry import FOR_DENSITIES
    from ..studies.density_settings import DensitySettings
    from ..studies.notes import collected_warnings
    from ..studies.output import atomic_directory, output_directory, writing
    from ..studies.provenance import Origin
    from .terminal import print_report

    output = output_directory(arguments.structures[0], arguments.output, "dos")
    with reporting(arguments) as watch:
        settings = settings_of(DensitySettings, arguments)
        with watch.section("imports"):
            from ..studies.density_study import DensityStudy, density_study

        with collected_warnings() as notes:
            with watch.section("structures"):
                named, unread = loading.read_structures(arguments.structures)
                _set_masses([atoms for _, atoms in named], arguments.mass)
            read = [name for name in (arguments.config, settings.end) if name is not None]
            origin = Origin(
                structure=arguments.structures[0],
                model=arguments.model,
                model_file=arguments.model or FOR_DENSITIES,
                command=command_of(arguments),
                files=(*arguments.structures, *read),
                dtype="float64",
            )
            with atomic_directory(output, overwrite=arguments.overwrite, own_files=DensityStudy.OWN_FILES) as folder:
                study = density_study(
                    [atoms for _, atoms in named],
                    arguments.model or FOR_DENSITIES,
                    settings,
                    names=[name for name, _ in named],
                    unread=unread,
                    watch=watch,
                    origin=origin,
                    notes=notes,
                )
                with watch.section("files"), watch.progress("pictures and files"), writing(output):
                    study.write_into(folder)
        study = replace(study, timings_s=watch.rounded())
        watch.note("results", {"folder": str(output), **study.to_dict()})
        if not arguments.quiet:
            print_report(study.report(output))
        elif study.failures:
            print(f"warning: {as_typed(study.failures_in_words())}", file=sys.stderr)
    return 0


def _set_masses(structures: list[Atoms], masses: Sequence[tuple[str, float]]) -> None:
    """Each mass on the structures that have what it names; there is one at least."""
    from ..structures.species import set_isotopes

    for mass in masses:
        refusals = []
        for atoms in structures:
            try:
                set_isotopes(atoms, [mass])
            except InputError as error:
                refusals.append(error)
        if len(refusals) == len(structures):
            raise refusals[0]
