"""Options that several commands share, each defined once."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_structure(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """The structure file, first positional argument."""
    parser.add_argument("structure", metavar=metavar, help=help)


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model` and `--dtype`."""
    group = parser.add_argument_group("potential")
    group.add_argument(
        "--model",
        metavar="MODEL",
        help="a name listed by `ase-phonax models`, or a model file (default: the first of that list)",
    )
    group.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="precision; float32 is faster, with noise of 1e-6 to 1e-5 of the largest constant (default: %(default)s)",
    )


def add_output(parser: argparse.ArgumentParser, suffix: str) -> None:
    """`--output` and `--overwrite`."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help=f"folder for the results, complete or not there at all (default: name of the structure + -{suffix})",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in that folder")


def output_directory(structure: str, output: Path | None, suffix: str) -> Path:
    """Where results go: `output`, or "<stem of the structure>-<suffix>" in the working directory."""
    if output is not None:
        return output
    stem = Path(structure.split("@")[0]).name
    # POSCAR and CONTCAR have no suffix; NaCl.relaxed.cif loses only its last.
    return Path(f"{Path(stem).stem or 'structure'}-{suffix}")


def integer(text: str) -> int:
    """An integer of a list option; its error says where the structure belongs."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an integer (the structure comes before the options)"
        ) from None


def positive(text: str) -> float:
    """A positive number."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value
