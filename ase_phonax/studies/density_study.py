"""Densities of states of many structures from a network: what `ase-phonax dos` does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from .. import __version__
from ..base.errors import InputError, PhonaxError, StructureError, UnstableWarning
from ..calculator import PhonaxCalculator
from ..models.registry import FOR_DENSITIES
from ..models.spectra.densities import DENSITY
from ..phonons.committees import evaluators_of
from ..phonons.densities.alloys import (
    AlloySeries,
    alloy_series,
    read_mixture,
    read_series,
    stated_mixtures,
)
from ..phonons.densities.prediction import STEP_THZ
from ..structures.checks import check_atoms_given
from ..structures.files import read_structure
from ..structures.formulas import crystal_formula
from .density_files import ALLOY_FILES, FAILURES, HDF5, ONE_FILES, TABLE, write_files
from .density_report import describe
from .density_rows import DensityRow, density_row, facts_of, without_occupancies
from .density_settings import DensitySettings
from .model_facts import model_facts
from .notes import collected_warnings
from .provenance import Origin
from .report import Report
from .study import Study
from .summary_units import Summary, units_of
from .watch import Watch

if TYPE_CHECKING:
    from ..models.committee import Model

MOST_IN_SUMMARY = 20
COLDEST = 50.0  # K: below it heat depends on frequencies between the first points of the grid


@dataclass(frozen=True)
class DensityStudy(Study):
    """Densities of states of structures, in the order in which they were given.

    Attributes:
        settings: what was asked for.
        rows: those that were computed.
        failures: name of each other, and why.
        series: densities from one composition to another, where these were asked for.
    """

    OWN_FILES = ("summary.json", TABLE, HDF5, FAILURES, "dos.png", "dos.pdf", *ONE_FILES, *ALLOY_FILES)

    settings: DensitySettings
    rows: tuple[DensityRow, ...]
    failures: tuple[tuple[str, str], ...]
    series: AlloySeries | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        names = ["summary.json", TABLE, "dos.png", "dos.pdf", HDF5]
        names += ONE_FILES if len(self.rows) == 1 else ()
        names += ALLOY_FILES if self.series is not None else ()
        return tuple(names + [FAILURES] * bool(self.failures))

    @cached_property
    def series_facts(self) -> list[dict[str, Any]]:
        """What follows from each density of the series."""
        if self.series is None:
            return []
        each = zip(self.series.fractions, self.series.volumes, self.series.densities, strict=True)
        return [
            {"fraction": float(x), "volume_A3": float(volume), **facts_of(density, self.settings.temperature)}
            for x, volume, density in each
        ]

    def to_dict(self) -> Summary:
        """The contents of summary.json: numbers of the first `MOST_IN_SUMMARY` structures; dos.csv has those of all."""
        numbers: Summary = {
            "n_structures": len(self.rows),
            "n_structures_listed": min(len(self.rows), MOST_IN_SUMMARY),
            "n_failures": len(self.failures),
            "temperature_K": self.settings.temperature,
            "structures": [
                {"structure": row.name, "formula": row.formula, "isotopes": row.isotopes, **row.facts}
                for row in self.rows[:MOST_IN_SUMMARY]
            ],
            "series": self.series_facts,
            "failures": [{"structure": name, "reason": reason} for name, reason in self.failures],
        }
        return {
            "version": __version__,
            **self.model,
            "dtype": self.dtype,
            **numbers,
            "settings": self.settings.to_dict(),
            "warnings": self.notes,
            "timings_s": self.timings_s,
            "provenance": self.provenance,
            "units": units_of(numbers),
        }

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        return describe(self, folder)

    def failures_in_words(self) -> str:
        """How many failed, and each."""
        lines = [f"{len(self.failures)} of {len(self.failures) + len(self.rows)} structures could not be computed"]
        return "\n".join(lines + [f"  {name}: {reason}" for name, reason in self.failures])

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        write_files(self, folder)


def density_study(
    structures: Atoms | Sequence[Atoms],
    model: Model = FOR_DENSITIES,
    settings: DensitySettings | None = None,
    *,
    names: Sequence[str] | None = None,
    unread: Sequence[tuple[str, str]] = (),
    watch: Watch | None = None,
    origin: Origin | None = None,
    notes: list[str] | None = None,
) -> DensityStudy:
    """Predict densities of states of structures, each as it is: nothing is relaxed.

    Sites that `atoms.info["occupancy"]` gives to several elements, as ASE keeps it of CIF files, are alloys.

    Args:
        structures: crystals.
        model: as of `predict_density`.
        settings: what is asked for.
        names: of the structures, in results; formulas unless given.
        unread: name and reason of others that could not be read; they are listed among the failures.
        watch: is told of sections and progress.
        origin: what the results shall say of the files they come from.
        notes: texts of warnings met so far.

    Raises:
        StructureError: the only structure, or all of them, cannot be computed.
        InputError, ModelError: a model without densities; settings that make no sense for these structures.
    """
    asked, watch = DensitySettings() if settings is None else settings, watch or Watch()
    given = [structures] if isinstance(structures, Atoms) else list(structures)
    series_of, mixture = _check_asked(asked, given, names)
    file = model if isinstance(model, (str, PathLike)) else None
    origin = replace(origin or Origin(model_file=file), model=None if file is None else str(file))
    called = list(names) if names is not None else [crystal_formula(atoms) for atoms in given]
    with collected_warnings(again=notes is None) as heard:
        with watch.section("model"), watch.progress("loading the model"):
            potential = evaluators_of(model, DENSITY)[0].potential
            judge = PhonaxCalculator(asked.compare) if asked.compare else None
        series = None if series_of is None else _series(given[0], series_of, model, asked)
        rows, failures, error_of_first = [], list(unread), None
        with watch.section("densities"), watch.progress("densities") as progress:
            for done, (name, atoms) in enumerate(zip(called, given, strict=True)):
                progress(done, len(given))
                try:
                    row = density_row(
                        name,
                        atoms,
                        model,
                        temperature_k=asked.temperature,
                        mixture=mixture,
                        stand_ins=asked.stand_ins,
                        judge=judge,
                    )
                    rows.append(row)
                except PhonaxError as error:
                    error_of_first = error_of_first or error
                    failures.append((name, f"{error.what}: {error.why}; {error.remedy}"))
            progress(len(given), len(given))
        if error_of_first is not None and not rows:
            raise error_of_first
        _say_uncompared(rows)
        if asked.temperature < COLDEST:
            warnings.warn(
                f"At {asked.temperature:g} K heat depends on frequencies between the first points of the grid, of"
                f" {STEP_THZ:.2g} THz: it is not to be trusted below {COLDEST:g} K.",
                UnstableWarning,
                stacklevel=2,
            )
    return DensityStudy(
        origin=origin,
        dtype="float64",
        model=model_facts(potential, origin.model),
        provenance=origin.provenance(),
        notes=[*(notes or []), *heard],
        timings_s=watch.rounded(),
        settings=asked,
        rows=tuple(rows),
        failures=tuple(failures),
        series=series,
    )


def _say_uncompared(rows: Sequence[DensityRow]) -> None:
    others = [row for row in rows if row.uncompared]
    if others:
        warnings.warn(
            f"{len(others)} of {len(rows)} structures are not compared; the first, {others[0].name}: "
            f"{others[0].uncompared}",
            UnstableWarning,
            stacklevel=3,
        )


def _check_asked(
    settings: DensitySettings, given: Sequence[Atoms], names: Sequence[str] | None
) -> tuple[tuple[str, str] | None, dict[str, float] | None]:
    """The elements of a series, or a mixture, if one is asked for; what makes no sense is refused."""
    if not isinstance(settings, DensitySettings):
        raise InputError(
            f"the settings are {settings!r}"[:200],
            "they are checked when made",
            "give DensitySettings(temperature=300)",
        )
    for atoms in given:
        check_atoms_given(atoms)
    n = len(given)
    if n == 0:
        raise StructureError("there are no structures", "there is nothing to compute", "give one or more")
    if names is not None and len(names) != n:
        raise InputError(f"{len(names)} names for {n} structures", "each has its own", "give as many")
    series = None if settings.alloy is None else read_series(settings.alloy)
    mixture = read_mixture(settings.alloy) if series is None and settings.alloy is not None else None
    if series and n > 1:
        raise InputError(
            f"`alloy` is the series {settings.alloy}, of {n} structures",
            "a series begins at one crystal",
            "give a single structure",
        )
    if settings.end is not None and not series:
        raise InputError(
            f"`end` is {settings.end} without a series",
            "it is the crystal at the other end of one",
            "give two elements as well, such as `alloy='Sb-Bi'`",
        )
    return series, mixture


def _series(atoms: Atoms, elements: tuple[str, str], model: Model, settings: DensitySettings) -> AlloySeries:
    mixtures, end = stated_mixtures(atoms), None
    if settings.end is not None:
        end = read_structure(str(settings.end))
    return alloy_series(
        without_occupancies(atoms),
        elements,
        model,
        fractions=np.linspace(0, 1, settings.compositions),
        end=end,
        mixtures=mixtures,
        stand_ins=settings.stand_ins,
    )
