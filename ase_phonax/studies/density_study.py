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
from ..phonons.densities.alloys import AlloySeries, alloy_formula, alloy_series, mixed_on, read_mixture, stated_mixtures
from ..phonons.densities.formulas import debye_temperature
from ..phonons.densities.from_modes import exact_density
from ..phonons.densities.heat import density_heat, mean_frequency
from ..phonons.densities.prediction import DensityOfStates, Mixture, predict_density
from ..structures.checks import check_structure
from ..structures.files import read_structure
from ..structures.formulas import crystal_formula
from .density_files import ALLOY_FILES, FAILURES, HDF5, ONE_FILES, TABLE, write_files
from .density_report import describe
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


@dataclass(frozen=True)
class DensityRow:
    """One structure with its density.

    Attributes:
        name: of the file it came from.
        symbols: of its atoms.
        formula: reduced; of an alloy with shares: K0.4Na0.6Cl.
        density: of the network.
        exact: of a potential, where one was to be compared with.
        mixtures: index of an atom -> what its site holds, of alloys.
    """

    name: str
    symbols: tuple[str, ...]
    formula: str
    density: DensityOfStates
    exact: DensityOfStates | None
    mixtures: dict[int, Mixture]

    def facts(self, temperature_k: float) -> dict[str, Any]:
        """What follows from its density, per mole of atoms; units are in the names."""
        return facts_of(self.density, temperature_k)


def facts_of(density: DensityOfStates, temperature_k: float) -> dict[str, Any]:
    """What follows from a density, per mole of atoms; units are in the names."""
    along = density.frequencies_thz, density.total
    heat = density_heat(*along, temperature_k)
    try:
        debye = debye_temperature(*along, temperature_k)
    except InputError:  # heat says nothing of it at this temperature
        debye = None
    return {
        "mean_frequency_thz": mean_frequency(*along),
        "mean_log_frequency_thz": mean_frequency(*along, logarithmic=True),
        "heat_capacity_J_K_mol": float(heat.heat_capacity[0]),
        "entropy_J_K_mol": float(heat.entropy[0]),
        "free_energy_kJ_mol": float(heat.free_energy[0]),
        "zero_point_kJ_mol": heat.zero_point,
        "debye_temperature_K": debye,
        "expected_error": density.expected_error,
    }


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
    def facts(self) -> tuple[dict[str, Any], ...]:
        """What follows from the density of each row."""
        return tuple(row.facts(self.settings.temperature) for row in self.rows)

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
        """The contents of summary.json: of thousands of structures the numbers stand in dos.csv alone."""
        numbers: Summary = {
            "n_structures": len(self.rows),
            "n_failures": len(self.failures),
            "temperature_K": self.settings.temperature,
            "structures": [
                {"structure": row.name, "formula": row.formula, **facts}
                for row, facts in zip(self.rows[:MOST_IN_SUMMARY], self.facts, strict=False)
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


MOST_IN_SUMMARY = 20


def density_study(
    structures: Atoms | Sequence[Atoms],
    model: Model = FOR_DENSITIES,
    settings: DensitySettings | None = None,
    *,
    names: Sequence[str] | None = None,
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
        watch: is told of sections and progress.
        origin: what the results shall say of the files they come from.
        notes: texts of warnings met so far.

    Raises:
        StructureError: the only structure, or all of them, cannot be computed.
        InputError, ModelError: a model without densities; settings that make no sense for these structures.
    """
    asked, watch = settings or DensitySettings(), watch or Watch()
    given = [structures] if isinstance(structures, Atoms) else list(structures)
    _check_asked(asked, len(given))
    file = model if isinstance(model, (str, PathLike)) else None
    origin = replace(origin or Origin(model_file=file), model=None if file is None else str(file))
    called = list(names) if names is not None else [crystal_formula(atoms) for atoms in given]
    with collected_warnings(again=notes is None) as heard:
        with watch.section("model"), watch.progress("loading the model"):
            potential = evaluators_of(model, DENSITY)[0].potential
            judge = PhonaxCalculator(asked.compare) if asked.compare else None
        rows, failures, first = [], [], None
        with watch.section("densities"), watch.progress("densities") as progress:
            for done, (name, atoms) in enumerate(zip(called, given, strict=True)):
                progress(done, len(given))
                try:
                    rows.append(_row(name, atoms, model, asked, judge))
                except PhonaxError as error:
                    if not isinstance(error, StructureError) and len(given) == 1:
                        raise
                    first = first or error
                    failures.append((name, f"{error.what}: {error.why}"))
            progress(len(given), len(given))
        if first is not None and not rows:
            raise first
        series = _series(given[0], model, asked) if asked.alloy and "-" in asked.alloy else None
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


def _check_asked(settings: DensitySettings, n: int) -> None:
    if n == 0:
        raise StructureError("there are no structures", "there is nothing to compute", "give one or more")
    series = settings.alloy is not None and "-" in settings.alloy
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


def _row(
    name: str, atoms: Atoms, model: Model, settings: DensitySettings, judge: PhonaxCalculator | None
) -> DensityRow:
    mixtures = stated_mixtures(atoms)
    plain = atoms.copy()
    plain.info.pop("occupancy", None)
    check_structure(plain)
    if settings.alloy and "-" not in settings.alloy:
        mixtures |= mixed_on(plain, read_mixture(settings.alloy))
    density = predict_density(plain, model, mixtures or None, stand_ins=settings.stand_ins)
    if judge is not None and mixtures:
        raise InputError(
            "`compare` was given with sites that several elements share",
            "a potential takes whole atoms",
            "leave it out, or give a supercell with the atoms distributed",
        )
    formula = alloy_formula(plain, mixtures) if mixtures else crystal_formula(plain)
    return DensityRow(name, tuple(plain.symbols), formula, density, _judged(name, plain, judge), dict(mixtures))


def _judged(name: str, atoms: Atoms, judge: PhonaxCalculator | None) -> DensityOfStates | None:
    """The exact density; a potential that does not know the elements costs the comparison and no more."""
    try:
        return None if judge is None else exact_density(atoms, judge)
    except StructureError as error:
        warnings.warn(f"{name} is not compared: {error.what}", UnstableWarning, stacklevel=3)
        return None


def _series(atoms: Atoms, model: Model, settings: DensitySettings) -> AlloySeries:
    first, _, second = str(settings.alloy).partition("-")
    end = None
    if settings.end is not None:
        end = read_structure(str(settings.end))
    fractions = np.linspace(0, 1, max(2, settings.compositions))
    return alloy_series(atoms, (first, second), model, fractions=fractions, end=end)
