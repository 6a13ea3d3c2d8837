"""Options that several commands share, each defined once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..base.errors import InputError
from ..base.units import FREQUENCY_UNITS

MAX_MESH = 500  # 500³ q-points are more than any memory holds, and none of them is needed
MAX_TEMPERATURES = 10_000


def add_structure(parser: argparse.ArgumentParser, metavar: str, help: str) -> None:
    """The structure file, first positional argument."""
    parser.add_argument("structure", metavar=metavar, help=help)


def add_model(parser: argparse.ArgumentParser, default: str = "the first of that list") -> None:
    """`--model` and `--dtype`."""
    group = parser.add_argument_group("potential")
    group.add_argument(
        "--model",
        metavar="MODEL",
        help=f"a name listed by `ase-phonax models`, or a model file (default: {default})",
    )
    group.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="precision; float32 is faster, with noise of 1e-6 to 1e-5 of the largest constant (default: %(default)s)",
    )


def add_masses(group: Any) -> None:
    """`--mass`."""
    group.add_argument(
        "--mass",
        metavar="WHAT=AMU",
        nargs="+",
        default=[],
        type=_mass,
        help="isotopes: of an element or of one atom of the file, counted from 1, such as H=2.014 or 3=13.00335;"
        " D and T in a file are hydrogen with their masses",
    )


def _mass(text: str) -> tuple[str, float]:
    what, _, value = text.partition("=")
    if not what or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not like H=2.014")
    return what, positive(value)


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
    parser.set_defaults(output_suffix=suffix)


def add_mesh(group: Any) -> None:
    """`--mesh` and `--mesh-length`."""
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--mesh",
        metavar=("NA", "NB", "NC"),
        nargs=3,
        type=mesh_number,
        help="q-points along the three reciprocal vectors, for the total density of states and heat; Γ is one of them",
    )
    either.add_argument(
        "--mesh-length",
        metavar="Å",
        type=positive,
        help="the same by density: length times |b|/2π along each vector (default: 100; with --exact, a series of"
        " meshes until heat at 300 K changes by less than 0.1 %%)",
    )


def mesh_number(text: str) -> int:
    """A number of q-points along one direction."""
    value = integer(text)
    if not 1 <= value <= MAX_MESH:
        raise argparse.ArgumentTypeError(f"{value} q-points along one direction: a mesh has 1 to {MAX_MESH}")
    return value


def add_temperatures(group: Any) -> None:
    """`--temperatures`."""
    group.add_argument(
        "--temperatures",
        metavar=("FROM", "TO", "STEP"),
        nargs=3,
        type=float,
        default=(0.0, 1000.0, 10.0),
        help="of thermal properties [K] (default: 0 1000 10)",
    )


def temperatures(arguments: argparse.Namespace) -> list[float]:
    """The temperatures of `--temperatures` [K].

    Raises:
        InputError: negative, not ascending, or too many.
    """
    first, last, step = arguments.temperatures
    count = (last - first) / step if step else float("inf")
    if not (first >= 0 and 0 <= count <= MAX_TEMPERATURES):
        raise InputError(
            f"the temperatures {first:g} to {last:g} K in steps of {step:g} K are no series",
            f"they start at 0 K or above, ascend, and are at most {MAX_TEMPERATURES}",
            "write them like --temperatures 0 1000 10",
        )
    return [first + i * step for i in range(int(count + 1e-9) + 1)]


def add_unit(group: Any) -> None:
    """`--unit`."""
    group.add_argument(
        "--unit",
        choices=tuple(FREQUENCY_UNITS),
        default="THz",
        help="of frequencies printed and drawn; files of phonopy stay in THz (default: %(default)s)",
    )


def add_reporting(parser: argparse.ArgumentParser) -> None:
    """`--quiet` and `--log`."""
    group = parser.add_argument_group("reporting")
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")
    group.add_argument(
        "--log",
        metavar="FILE.jsonl",
        type=Path,
        help="write a line of JSON as each step begins and ends, and the results at the end",
    )


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


def coordinate(text: str) -> float:
    """A coordinate of a wave vector: 0.25 or 1/3; 0.3333 means 1/3, as all simple fractions typed with four digits."""
    from fractions import Fraction

    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a coordinate of a wave vector, such as 0.25 or 1/3"
        ) from None
    if not abs(value) < 1e3:
        return value  # the section says what is wrong with it
    simple = float(Fraction(value).limit_denominator(12))
    return simple if abs(simple - value) < 5e-5 else value


def positive_integer(text: str) -> int:
    """A whole number above zero."""
    value = integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def positive(text: str) -> float:
    """A positive number."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value
