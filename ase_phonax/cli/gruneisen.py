"""`ase-phonax gruneisen`: mode Grüneisen parameters of a crystal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import loading, options, volume_runs
from .model_facts import describe_model
from .output import atomic_directory, writing
from .progress import Stopwatch, progress_bar, without_progress

if TYPE_CHECKING:
    from ..phonons.volumes import Gruneisen
    from .volume_runs import Reference

SUFFIX = "gruneisen"
FILES = (
    "summary.json",
    "gruneisen.png",
    "gruneisen.pdf",
    "gruneisen.yaml",
    "gruneisen_mesh.yaml",
    volume_runs.STRUCTURES_FILE,
)
STRAIN = 0.005  # `gruneisen.STRAIN`, which a parser cannot import cheaply; a test compares them
TEMPERATURE = 300.0  # [K]
MESH_LENGTH = 60.0  # `gruneisen.MESH_LENGTH`

_DESCRIPTION = """\
Relax a crystal, press and swell it a little, relax atoms and shape of the cell at each volume, compute
exact force constants on the same supercell, and let phonopy take the difference: how much each
frequency changes with the volume, γ = - d ln ω / d ln V.
"""

_EPILOG = """\
files written to the output folder:
  summary.json                     everything printed, for programs
  gruneisen.png, gruneisen.pdf     bands colored by γ, and γ against frequency
  gruneisen.yaml                   γ along the band path, in phonopy's format
  gruneisen_mesh.yaml              γ on the mesh, in phonopy's format
  volumes.extxyz                   the three relaxed structures

The three acoustic modes at Γ have no γ of their own (0/0, a limit that depends on the direction):
phonopy's files hold arbitrary numbers there, averages and the picture leave them out. Exit codes: see
`ase-phonax --help`.
"""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "gruneisen",
        help="how phonons of a crystal change with its volume",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    volume_runs.add_shared_options(parser)
    group = parser.add_argument_group("Grüneisen parameters")
    group.add_argument(
        "--strain",
        metavar="X",
        type=options.positive,
        default=STRAIN,
        help="relative change of the volume to both sides (default: %(default)g; exact constants allow small ones)",
    )
    group.add_argument(
        "--temperature",
        metavar="K",
        type=options.positive,
        default=TEMPERATURE,
        help="at which heat capacities weight the average (default: %(default)g)",
    )
    group.add_argument(
        "--path",
        metavar="POINTS",
        help="special points of ASE for the lattice, such as GXWLG or GX,KG (default: the standard path by seekpath)",
    )
    group.add_argument(
        "--mesh-length",
        metavar="Å",
        type=options.positive,
        default=MESH_LENGTH,
        help="q-points along each reciprocal vector b: this times |b| / 2π (default: %(default)g)",
    )
    options.add_unit(group)
    volume_runs.add_last_options(parser, SUFFIX)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write and print."""
    output = options.output_directory(arguments.structure, arguments.output, SUFFIX)
    _check_strain(arguments.strain)
    with Stopwatch.logging_to(arguments.log) as watch, without_progress(arguments.quiet):
        with loading.collected_warnings() as notes:
            with watch.section("structure"):
                crystal = volume_runs.read_solid(arguments)
                if arguments.path is not None:
                    _try_path(arguments.path, crystal.atoms)
            with atomic_directory(output, overwrite=arguments.overwrite, own_files=FILES) as folder:
                reference = volume_runs.relaxed_reference(arguments, crystal, watch)
                found = _compute(arguments, reference, watch)
                with watch.section("files"), writing(output):
                    summary = _summary(arguments, reference, found)
                    summary |= {"warnings": notes, "files": list(FILES), "timings_s": watch.rounded()}
                    _write(folder, reference, found, summary, arguments.unit)
        watch.note("results", {"folder": str(output), **summary})
        if not arguments.quiet:
            print(_table(reference, found, summary, output))
    return 0


def _compute(arguments: argparse.Namespace, reference: Reference, watch: Stopwatch) -> Gruneisen:
    from ..phonons.volumes import get_gruneisen

    ratios = (1 - arguments.strain, 1.0, 1 + arguments.strain)
    points = volume_runs.compute_volumes(arguments, reference, ratios, watch)
    with watch.section("gruneisen"), progress_bar("Grüneisen parameters"):
        return get_gruneisen(points, arguments.path, mesh_length=arguments.mesh_length)


def _check_strain(strain: float) -> None:
    from ..base.errors import InputError
    from ..phonons.volumes.gruneisen import LARGEST_STRAIN

    if strain > LARGEST_STRAIN:
        raise InputError(
            f"the strain {strain:g} changes the volume by {100 * strain:g} %",
            f"a derivative over more than {100 * LARGEST_STRAIN:g} % is no derivative any more",
            "give a small one, such as 0.005 for 0.5 %",
        )


def _try_path(path: str, atoms: Any) -> None:
    from ..phonons.bands.paths import named_path

    named_path(path, atoms.cell[:])


def _summary(arguments: argparse.Namespace, reference: Reference, found: Gruneisen) -> dict[str, Any]:
    low, high = found.range
    return volume_runs.summary(reference, found.points, arguments) | {
        "strain": found.strain,
        "temperature_k": arguments.temperature,
        "gruneisen_average": found.average(arguments.temperature),
        "gruneisen_minimum": low,
        "gruneisen_maximum": high,
        "mesh": list(found.mesh_numbers),
        "band_path": _band_path(found),
        "left_out": "three acoustic modes at Γ, and modes at zero; of the average also imaginary ones",
    }


def _write(folder: Path, reference: Reference, found: Gruneisen, summary: dict[str, Any], unit: str) -> None:
    from ..base.drawing import save_figure
    from ..phonons.volumes.pictures import draw_gruneisen

    found.bands.write_yaml(filename=folder / "gruneisen.yaml")
    found.mesh.write_yaml(filename=folder / "gruneisen_mesh.yaml")
    figure = draw_gruneisen(found, summary["temperature_k"], volume_runs.title(reference), unit)
    save_figure(figure, folder / "gruneisen")
    volume_runs.write_shared(folder, found.points, summary)


def _table(reference: Reference, found: Gruneisen, summary: dict[str, Any], output: Path) -> str:
    from .tables import Table

    text = Table(f"{reference.formula}   {reference.crystal.space_group}   {summary['model']}, {summary['dtype']}")
    describe_model(text, summary)
    volume_runs.describe(text, reference, found.points, summary)
    text.group("Grüneisen parameters γ = - d ln ω / d ln V")
    text.row(
        f"mean at {summary['temperature_k']:g} K", f"{summary['gruneisen_average']:.3f}, weighted by heat capacity"
    )
    text.row("range", f"{summary['gruneisen_minimum']:.3f} to {summary['gruneisen_maximum']:.3f}")
    text.row("mesh", " × ".join(map(str, summary["mesh"])))
    text.row("band path", summary["band_path"])
    text.row("left out", summary["left_out"])
    return volume_runs.finished(text, summary, output)


def _band_path(found: Gruneisen) -> str:
    from ..phonons.bands.paths import path_in_words

    return path_in_words(list(found.labels), list(found.path_connections))
