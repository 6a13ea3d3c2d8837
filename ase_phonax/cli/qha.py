"""`ase-phonax qha`: thermal expansion and its kin in the quasi-harmonic approximation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import loading, options, volume_runs
from .model_facts import describe_model
from .output import atomic_directory, writing
from .progress import Stopwatch, progress_bar, without_progress

if TYPE_CHECKING:
    from ..volumes import QuasiHarmonic, VolumePoint
    from .volume_runs import Reference

SUFFIX = "qha"
# Defaults of `volumes.quasi_harmonic`, which a parser cannot import cheaply; a test compares them.
LOWEST, HIGHEST, N_VOLUMES = -4.0, 8.0, 7  # [%]
T_MAX, T_STEP = 1000.0, 10.0  # [K]
MESH_LENGTH = 60.0  # [Å]
EQUATIONS = ("vinet", "birch_murnaghan", "murnaghan")
PRINTED = (0.0, 100.0, 300.0, 600.0, 1000.0)  # [K]
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

Everything is per primitive cell. Volumes with imaginary modes are left out of the fit, and temperatures
whose equilibrium lies outside the volumes are cut off; both are said. Exit codes: see
`ase-phonax --help`.
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
            from ..volumes.quasi_harmonic import FILES
        ratios = _ratios(arguments)
        with loading.collected_warnings() as notes:
            with watch.section("structure"):
                crystal = volume_runs.read_solid(arguments)
            with atomic_directory(output, overwrite=arguments.overwrite, own_files=(*OWN_FILES, *FILES)) as folder:
                reference = volume_runs.relaxed_reference(arguments, crystal, watch)
                points = volume_runs.compute_volumes(arguments, reference, ratios, watch)
                with watch.section("qha"), progress_bar("free energies"):
                    found = _minimised(arguments, points)
                with watch.section("files"), writing(output):
                    summary = volume_runs.summary(reference, points, arguments) | _summary(found)
                    summary = volume_runs.completed(summary, notes, (*OWN_FILES, *found.files), watch)
                    _write(folder, reference, found, summary)
        watch.note("results", {"folder": str(output), **summary})
        if not arguments.quiet:
            print(_table(reference, found, summary, output))
    return 0


def _minimised(arguments: argparse.Namespace, points: tuple[VolumePoint, ...]) -> QuasiHarmonic:
    from ..volumes import get_quasi_harmonic

    return get_quasi_harmonic(
        points,
        t_max=arguments.max_temperature,
        t_step=arguments.temperature_step,
        pressure_gpa=arguments.pressure,
        eos=arguments.eos,
        mesh_length=arguments.mesh_length,
    )


def _ratios(arguments: argparse.Namespace) -> list[float]:
    """Volumes asked for over that of the crystal; refused here where the result would be none."""
    import numpy as np

    from ..errors import InputError
    from ..volumes.quasi_harmonic import MIN_VOLUMES, check_temperatures

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


def _summary(found: QuasiHarmonic) -> dict[str, Any]:
    result = found.result
    temperatures = result.temperatures.tolist()
    rows = [found.at(temperature) for temperature in temperatures]
    names = [name for name in rows[0] if name != "temperature_k"]
    return {
        "pressure_gpa": found.pressure_gpa,
        "equation_of_state": result.eos_name,
        "mesh": list(found.mesh_numbers),
        "ratios_fitted": [point.ratio for point in found.points],
        "ratios_left_out": [point.ratio for point in found.left_out],
        "temperatures_k": temperatures,
        # Differences over temperature have no value at the lowest one: null, not phonopy's filler 0.
        "curves": {name: [None if row[name] != row[name] else row[name] for row in rows] for name in names},
        "lattice_parameters": result.lattice.lattice_parameters.tolist() if result.lattice else None,
    }


def _write(folder: Path, reference: Reference, found: QuasiHarmonic, summary: dict[str, Any]) -> None:
    from ..figures import save_figure
    from ..volumes.pictures import draw_quasi_harmonic
    from ..volumes.quasi_harmonic import write_quasi_harmonic

    write_quasi_harmonic(found, folder)
    save_figure(draw_quasi_harmonic(found, volume_runs.title(reference)), folder / "qha")
    volume_runs.write_shared(folder, (*found.points, *found.left_out), summary)


def _table(reference: Reference, found: QuasiHarmonic, summary: dict[str, Any], output: Path) -> str:
    from .tables import Table

    text = Table(f"{reference.formula}   {reference.crystal.space_group}   {summary['model']}, {summary['dtype']}")
    describe_model(text, summary)
    points = sorted((*found.points, *found.left_out), key=lambda point: point.volume)
    volume_runs.describe(text, reference, points)
    text.group(f"quasi-harmonic, {found.pressure_gpa:g} GPa, per primitive cell ({found.result.eos_name} equation)")
    text.row("T (K)", "V (Å³)    β (10⁻⁶/K)    B (GPa)    Cp (J/K/mol)    G (eV)        γ")
    last = found.result.temperatures[-1]
    for temperature in (*(t for t in PRINTED if t < last), last):
        row = found.at(temperature)
        text.row(
            f"{row['temperature_k']:g}",
            f"{row['volume']:<9.4f} {_number(1e6 * row['thermal_expansion_per_k'], 2):<13}"
            f" {row['bulk_modulus_gpa']:<10.2f} {_number(row['heat_capacity_p_J_K_mol'], 3):<15}"
            f" {row['gibbs_free_energy']:<13.6f} {_number(row['gruneisen'], 3)}",
        )
    return volume_runs.finished(text, summary, output)


def _number(value: float, digits: int) -> str:
    return "–" if value != value else f"{value:.{digits}f}"
