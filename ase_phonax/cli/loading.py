"""Structures and calculators that a command line names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..phonons.finite_differences import DisplacementCalculator


def read_structure(name: str, site_tolerance: float | None = None) -> Atoms:
    """The structure in a file, as `structures.files.read_structure` reads and checks it."""
    from ..structures import files

    return files.read_structure(name, site_tolerance)


def read_structures(files: Sequence[str]) -> tuple[list[tuple[str, Atoms]], list[tuple[str, str]]]:
    """All structures of files, by name; and names of files that cannot be read, each with the reason.

    Raises:
        StructureError: no file can be read.
    """
    from ..base.errors import StructureError
    from ..structures.files import read_structures

    named: list[tuple[str, Atoms]] = []
    unread: list[tuple[str, str]] = []
    for file in files:
        try:
            images = read_structures(file)
            if not images:
                raise StructureError(f"{file} holds no structure", "there is nothing to compute", "get the whole file")
        except StructureError as error:
            if len(files) == 1:
                raise
            unread.append((file, f"{error.what}: {error.why}; {error.remedy}"))
            continue
        sliced = "@" in file and len(images) > 1
        named += [
            (file if len(images) == 1 else f"{file} #{k}" if sliced else f"{file}@{k}", atoms)
            for k, atoms in enumerate(images)
        ]
    if not named:
        name, reason = unread[0]
        raise StructureError(f"no file can be read; {name}: {reason}", "there is nothing to compute", "check the names")
    return named, unread


def check_model(model: str | None) -> None:
    """Refuse a model that cannot be loaded, before anything else is complained of or computed.

    Raises:
        ModelError: not there, or of a kind that is not read.
    """
    from ..models.loading import find_reader

    if model is not None:
        find_reader(model)


def load_calculator(model: str | None, dtype: str, **others: Any) -> PhonaxCalculator:
    """The calculator of a registered name or a file; without one, of the default that ships.

    Args:
        others: further arguments of `PhonaxCalculator`, where there are any.

    Raises:
        ModelError: it cannot be found or read.
        InputError: the route or the device is none, or not for this model.
    """
    from ..calculator import PhonaxCalculator

    return PhonaxCalculator(model, dtype=dtype, **others)


def other_calculator(arguments: argparse.Namespace) -> DisplacementCalculator:
    """The calculator of another package that a command line asks for.

    Raises:
        InputError: a model is named as well, or it cannot be made.
    """
    from ..base.errors import InputError
    from .entries import calculator_of
    from .options import CalculatorOptions

    stated = [name for name in ("model", "route", "device") if getattr(arguments, name) is not None]
    if stated:
        raise InputError(
            f"`--calculator {arguments.calculator}` and `--{stated[0]} {getattr(arguments, stated[0])}` are given",
            "energies come from one of them",
            "leave one out; what the calculator is made with stands in `--calculator-arguments`",
        )
    if arguments.dtype != CalculatorOptions.dtype:
        raise InputError(
            f"`--calculator {arguments.calculator}` and `--dtype {arguments.dtype}` are given",
            "its precision is its own",
            "leave one out; what the calculator is made with stands in `--calculator-arguments`",
        )
    return calculator_of(
        arguments.calculator, arguments.calculator_arguments, arguments.displacement, arguments.second_derivatives
    )


def refuse_idle_options(arguments: argparse.Namespace) -> None:
    """Refuse options about a calculator that was not named: the results would be of another model.

    Raises:
        InputError: the first of them.
    """
    from ..base.errors import InputError

    for name in ("calculator_arguments", "displacement", "second_derivatives"):
        if getattr(arguments, name, None) is not None:
            raise InputError(
                f"`--{name.replace('_', '-')}` is given, and no calculator",
                "it says how a calculator of another package is asked; models of this one need none of it",
                "name the calculator: --calculator MODULE:NAME",
            )
