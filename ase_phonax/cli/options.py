"""Options that belong to the command line alone, as settings: which model, how files are read, where results go.

A field added here is an option of every command that takes the class, with its help and its check.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..phonons.defaults import DISPLACEMENT, WAYS
from ..studies.options import Settings, Unfit, flag, option, path, positive, text


@dataclass(frozen=True)
class CalculatorOptions(Settings):
    """Arguments of `PhonaxCalculator`, by their names there."""

    model: str | None = option(
        None,
        text,
        "potential",
        "a name listed by `ase-phonax models`, or a model file (default: {default})",
        metavar="MODEL",
    )
    dtype: str = option(
        "float64",
        text,
        "potential",
        "precision; float32 is faster, with noise of 1e-6 to 1e-5 of the largest constant (default: %(default)s)",
        choices=("float64", "float32"),
    )
    route: str | None = option(
        None,
        text,
        "potential",
        "arrays: NumPy on CPUs, nothing to compile; compiled: JAX, for accelerators and the smallest networks"
        " (default: arrays, unless --device names an accelerator)",
        choices=("arrays", "compiled"),
    )
    device: str | None = option(
        None,
        text,
        "potential",
        "where compiled functions run: cpu, gpu, gpu:1 (default: as JAX chooses)",
        metavar="DEVICE",
    )


@dataclass(frozen=True)
class OtherCalculatorOptions(Settings):
    """A calculator of another package, whose second derivatives come by displacements."""

    calculator: str | None = option(
        None,
        text,
        "potential",
        "in place of a model: any ASE calculator, made by calling this Python name, such as ase.calculators.emt:EMT;"
        " second derivatives come by displacements, or from its get_hessian",
        metavar="MODULE:NAME",
    )
    calculator_arguments: str | None = option(
        None, text, "potential", "what it is called with: YAML like '{device: cpu}', or a file of it", metavar="YAML"
    )
    displacement: float | None = option(
        None,
        positive,
        "potential",
        f"step of displacements (default: {DISPLACEMENT}); twice as long ones measure their noise",
        metavar="Å",
    )
    second_derivatives: str | None = option(
        None,
        text,
        "potential",
        "of that calculator (default: its get_hessian where it has one)",
        choices=WAYS,
    )


@dataclass(frozen=True)
class CifOptions(Settings):
    """How the file of a crystal is read."""

    site_tolerance: float | None = option(
        None,
        positive,
        "structure",
        "of CIF files: images of a site nearer than this are one atom, in the middle of them; for special"
        " positions written with few digits, such as 0.333 (default: 0.001, and such files are refused)",
        metavar="Å",
    )


def isotope(value: Any) -> tuple[str, float]:
    """ "H=2.014" as ("H", 2.014)."""
    what, _, amu = value.partition("=") if isinstance(value, str) else (value[0], "=", value[1])
    if not what or not amu:
        raise Unfit(f"{value!r} is not like H=2.014")
    return what, positive(amu)


@dataclass(frozen=True)
class IsotopeOptions(Settings):
    """Masses that the file does not state."""

    mass: tuple[tuple[str, float], ...] = option(
        (),
        isotope,
        "structure",
        "isotopes: of an element or of one atom of the file, counted from 1, such as H=2.014 or 3=13.00335;"
        " D and T in a file are hydrogen with their masses",
        metavar="WHAT=AMU",
        n_values="+",
    )


@dataclass(frozen=True)
class PageOptions(Settings):
    """A page to look at."""

    page: bool = flag(
        "output", "write report.html as well: one file with the table, and of phonons bands and modes that move"
    )


@dataclass(frozen=True)
class OutputOptions(Settings):
    """Where results go; the default is completed with the ending of each command."""

    output: Path | None = option(
        None,
        path,
        "output",
        "folder for the results, complete or not there at all (default: name of the structure + -{suffix})",
        metavar="DIR",
    )
    overwrite: bool = flag("output", "replace the results of an earlier run in that folder")


@dataclass(frozen=True)
class QuietOptions(Settings):
    """Whether anything is told while a command runs, and at its end."""

    quiet: bool = flag("reporting", "print nothing but errors; files are written all the same")


@dataclass(frozen=True)
class ReportingOptions(QuietOptions):
    """What is told while a study runs."""

    log: Path | None = option(
        None,
        path,
        "reporting",
        "write a line of JSON as each step begins and ends, and the results at the end",
        metavar="FILE.jsonl",
    )
