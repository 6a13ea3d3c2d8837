"""`ase-phonax evaluate`: a model against labels."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..base.errors import InputError
from .arguments import add_calculator, add_reporting, calculator_arguments, load_calculator, reporting
from .config import add_config
from .loading import refuse_idle_options
from .parser import add_command
from .provenance import command_of

if TYPE_CHECKING:
    from .parser import Commands

_DESCRIPTION = """\
Compare a model with labelled structures: energies per atom, forces, stresses, second derivatives and their
frequencies, whatever the files hold. Files are those of training: ASE's formats, phonopy yaml with force
constants, ASE's VibrationsData, HDF5.
"""

_LOSS = "the numbers would be lost"


def add_parser(commands: Commands) -> None:
    """Register the command."""
    add_command(commands, "evaluate", _add_arguments, _DESCRIPTION, help="compare a model with labels")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    words = "a name listed by `ase-phonax models`, or a model file; none with `--calculator`"
    parser.add_argument("model", metavar="MODEL", nargs="?", help=words)
    parser.add_argument("data", metavar="DATA", nargs="*", help="labelled structures")
    parser.add_argument("--key", metavar="LABEL=NAME", action="append", default=[], help="e.g. energy=REF_energy")
    add_calculator(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="folder for both: summary.json, the numbers, and frames.csv, the errors of every frame (default: none)",
    )
    output.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in that folder")
    output.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to a file")
    output.add_argument("--csv", metavar="FILE", type=Path, help="write the errors of every frame to a file")
    add_reporting(parser)
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, write and print."""
    import json
    from contextlib import nullcontext

    from ..base.files import write_whole
    from ..studies.output import atomic_directory, writing
    from ..studies.provenance import Origin
    from .terminal import print_report

    output, keys = arguments.output, _keys(arguments.key)
    if arguments.overwrite and output is None:
        raise InputError(
            "--overwrite was given without --output", "there is no folder whose results it could replace", "name it"
        )
    with reporting(arguments) as watch:
        with watch.section("imports"):
            from ..studies.evaluation import FILES, evaluation_study

        model, data = _model_and_data(arguments)
        settings = [] if arguments.config is None else [arguments.config]
        model_file = None if arguments.calculator else arguments.model
        origin = Origin(
            model=arguments.calculator,
            model_file=model_file,
            command=command_of(arguments),
            files=(*data, *settings),
        )
        place = atomic_directory(output, overwrite=arguments.overwrite, own_files=FILES) if output else nullcontext()
        with place as folder:
            study = evaluation_study(data=data, keys=keys, watch=watch, origin=origin, **model)
            if folder is not None:
                with writing(output):
                    study.write_into(folder)
        watch.note("results", study.to_dict())
        if not arguments.quiet:
            print_report(study.report(output))
        if arguments.json:
            write_whole(arguments.json, json.dumps(study.to_dict(), indent=2) + "\n", loss=_LOSS)
        if arguments.csv:
            write_whole(arguments.csv, study.frames_as_csv(), loss=_LOSS)
    return 0


def _model_and_data(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Arguments of the study about the model; and the files, of which a calculator leaves the first in its place.

    Raises:
        InputError: no files.
    """
    from ..models.registry import find_card

    first, others = arguments.model, list(arguments.data)
    if arguments.calculator is not None:
        others = [first, *others] if first is not None and not find_card(first) else others
        if len(others) > len(arguments.data):
            arguments.model = None  # the first file stood in its place
    else:
        refuse_idle_options(arguments)
    if not others or (first is None and arguments.calculator is None):
        raise InputError(
            f"{first or arguments.calculator or 'nothing'} is named, and no labelled structures",
            "a model is compared with labels",
            "name it and their files",
        )
    if arguments.calculator is not None:
        return {"model": load_calculator(arguments)}, others
    return calculator_arguments(arguments), others


def _keys(pairs: list[str]) -> dict[str, str] | None:
    """Of "energy=REF_energy" and the like; None where there are none."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise InputError(f"--key {wrong[0]}", "it joins a label and its name in the file", "write --key energy=NAME")
    return dict(pair.split("=", 1) for pair in pairs) or None
