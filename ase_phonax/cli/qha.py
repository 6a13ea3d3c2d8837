"""`ase-phonax qha`: thermal expansion and its kin in the quasi-harmonic approximation."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import PhonaxError
from . import loading, options, qha_table, volume_runs
from .output import atomic_directory, writing
from .progress import Stopwatch, progress_bar, without_progress

if TYPE_CHECKING:
    from ..phonons.volumes import QuasiHarmonic, VolumePoint
    from .volume_runs import Reference

SUFFIX = "qha"
# Defaults of `volumes.quasi_harmonic`, which a parser cannot import cheaply; a test compares them.
LOWEST, HIGHEST, N_VOLUMES = -4.0, 8.0, 7  # [%]
T_MAX, T_STEP = 1000.0, 10.0  # [K]
MESH_LENGTH = 60.0  # [Å]
EQUATIONS = ("vinet", "birch_murnaghan", "murnaghan")
OWN_FILES = ("summary.json", "qha.png", "qha.pdf", volume_runs.STRUCTURES_FILE)

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


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "qha",
        help="thermal expansion of a crystal, quasi-harmonic",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    volume_runs.add_shared_options(parser)
    volumes = parser.add_argument_group("volumes")
    volumes.add_argument(
        "--range",
        metavar=("LOW", "HIGH"),
        nargs=2,
        type=float,
        default=[LOWEST, HIGHEST],
        help="change of the volume in percent; heat swells crystals, so more above than below"
        f" (default: {LOWEST:g} {HIGHEST:g})",
    )
    volumes.add_argument(
        "--n-volumes",
        metavar="N",
        type=options.integer,
        default=N_VOLUMES,
        help="volumes in that range, five or more (default: %(default)d)",
    )
    heat = parser.add_argument_group("thermodynamics")
    heat.add_argument(
        "--max-temperature",
        metavar="K",
        type=options.positive,
        default=T_MAX,
        help="from 0 to this (default: %(default)g)",
    )
    heat.add_argument(
        "--temperature-step", metavar="K", type=options.positive, default=T_STEP, help="(default: %(default)g)"
    )
    heat.add_argument("--pressure", metavar="GPa", type=float, default=0.0, help="(default: 0)")
    heat.add_argument("--eos", choices=EQUATIONS, default=EQUATIONS[0], help="equation of state (default: %(default)s)")
    heat.add_argument(
        "--mesh-length",
        metavar="Å",
        type=options.positive,
        default=MESH_LENGTH,
        help="q-points along each reciprocal vector b: about this times |b| / 2π (default: %(default)g)",
    )
    volume_runs.add_last_options(parser, SUFFIX)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write and print."""
    output = options.output_directory(arguments.structure, arguments.output, SUFFIX)
    with Stopwatch.logging_to(arguments.log) as watch, without_progress(arguments.quiet):
        with watch.section("imports"):
            from ..phonons.volumes.quasi_harmonic import FILES
            from ..phonons.volumes.reliability import expansion_errors
        ratios = _ratios(arguments)
        with loading.collected_warnings() as notes:
            with watch.section("structure"):
                crystal = volume_runs.read_solid(arguments)
            with atomic_directory(output, overwrite=arguments.overwrite, own_files=(*OWN_FILES, *FILES)) as folder:
                reference = volume_runs.relaxed_reference(arguments, crystal, watch)
                points = volume_runs.compute_volumes(arguments, reference, ratios, watch)
                points, added, found = _with_room(arguments, reference, points, watch)
                with watch.section("files"), writing(output):
                    summary = volume_runs.summary(reference, points, arguments) | qha_table.summary(found)
                    summary |= {"ratios_added": added, "expansion_errors": expansion_errors(summary["model"])}
                    summary |= {"warnings": notes, "files": [*OWN_FILES, *found.files], "timings_s": watch.rounded()}
                    _write(folder, reference, found, summary)
        watch.note("results", {"folder": str(output), **summary})
        if not arguments.quiet:
            print(qha_table.table(reference, found, summary, output))
    return 0


def _with_room(
    arguments: argparse.Namespace, reference: Reference, points: tuple[VolumePoint, ...], watch: Stopwatch
) -> tuple[tuple[VolumePoint, ...], list[float], QuasiHarmonic]:
    """The volumes, ratios added where the minimum nears their end, not more than `MOST_ADDED`, and the results.

    Volumes far out spoil the fit at temperatures that do not need them: added ones stay where results go further.
    """
    from ..base.errors import RelaxationError
    from ..phonons.volumes.room import MOST_ADDED, ratios_wanted

    added: list[float] = []
    best = _minimised(arguments, points, watch)
    while len(added) < MOST_ADDED:
        wanted = ratios_wanted(points, arguments.max_temperature, arguments.pressure, arguments.mesh_length)
        if not wanted:
            break
        try:
            more = volume_runs.compute_volumes(arguments, reference, wanted, watch)
        except RelaxationError as error:
            warnings.warn(f"No volumes are added to those asked for: {error.what}.", stacklevel=2)
            break
        tried = _minimised(arguments, (*points, *more), watch)
        if tried.reach <= best.reach:
            named = " and ".join(point.name for point in more)
            warnings.warn(f"Volumes {named} were added, and left again: results go no further with them.", stacklevel=2)
            break
        best, points, added = tried, (*points, *more), [*added, *wanted]
    return tuple(sorted(points, key=lambda point: point.volume)), sorted(added), best.found_or_raise()


@dataclass(frozen=True)
class _Attempt:
    """Results from one choice of volumes, or why there are none; what was warned of is said for the last choice."""

    found: QuasiHarmonic | None
    error: PhonaxError | None
    said: list[warnings.WarningMessage]

    @property
    def reach(self) -> tuple[float, int]:
        """The more the better: highest temperature of the results [K], and, negative, how many near the end."""
        if self.found is None:
            return -1.0, 0
        near_the_end = sum("end" in verdict.doubts for verdict in self.found.verdicts)
        return float(self.found.result.temperatures[-1]), -near_the_end

    def found_or_raise(self) -> QuasiHarmonic:
        for warning in self.said:
            warnings.warn(warning.message, stacklevel=2)
        if self.found is None:
            assert self.error is not None, "an attempt ends in results or in an error"
            raise self.error
        return self.found


def _minimised(arguments: argparse.Namespace, points: tuple[VolumePoint, ...], watch: Stopwatch) -> _Attempt:
    from ..phonons.volumes import get_quasi_harmonic

    with watch.section("qha"), progress_bar("free energies"), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = get_quasi_harmonic(
                points,
                t_max=arguments.max_temperature,
                t_step=arguments.temperature_step,
                pressure_gpa=arguments.pressure,
                eos=arguments.eos,
                mesh_length=arguments.mesh_length,
            )
        except PhonaxError as error:
            return _Attempt(None, error, said)
    return _Attempt(found, None, said)


def _ratios(arguments: argparse.Namespace) -> list[float]:
    """Volumes asked for over that of the crystal; refused here where the result would be none."""
    import numpy as np

    from ..base.errors import InputError
    from ..phonons.volumes.quasi_harmonic import MIN_VOLUMES, check_temperatures

    low, high = arguments.range
    if not -50 < low < high < 100:
        raise InputError(
            f"the range of volumes {low:g} % to {high:g} % is none, or one no crystal stands",
            "free energies are fitted over it",
            "give two numbers in ascending order, such as -4 8",
        )
    if not MIN_VOLUMES <= arguments.n_volumes <= 100:
        raise InputError(
            f"{arguments.n_volumes} volumes were asked for",
            f"phonopy fits entropy and heat capacity over volume with polynomials that take {MIN_VOLUMES},"
            " and each costs a relaxation and force constants",
            f"give between {MIN_VOLUMES} and 100; seven are a good number",
        )
    if not np.isfinite(arguments.pressure):
        raise InputError(
            f"the pressure {arguments.pressure} is not a number", "it enters as pV", "give it in GPa, such as 5"
        )
    check_temperatures(arguments.max_temperature, arguments.temperature_step)
    return [1 + x / 100 for x in np.linspace(low, high, arguments.n_volumes).tolist()]


def _write(folder: Path, reference: Reference, found: QuasiHarmonic, summary: dict[str, Any]) -> None:
    from ..base.drawing import save_figure
    from ..phonons.volumes.pictures import draw_quasi_harmonic
    from ..phonons.volumes.quasi_harmonic import write_quasi_harmonic

    write_quasi_harmonic(found, folder)
    save_figure(draw_quasi_harmonic(found, volume_runs.title(reference)), folder / "qha")
    volume_runs.write_shared(folder, (*found.points, *found.left_out), summary)
