"""Densities of states as a table for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from .model_facts import describe_model
from .report import Report
from .study import describe_end

if TYPE_CHECKING:
    from .density_rows import DensityRow
    from .density_study import DensityStudy

_MOST = 12  # structures that are listed one by one
_UNSTABLE = 0.01  # share of imaginary modes above which an exact density is marked
_COLUMNS = (
    ("mean THz", "mean_frequency_thz", ".2f"),
    ("C_V J/K/mol", "heat_capacity_J_K_mol", ".2f"),
    ("S J/K/mol", "entropy_J_K_mol", ".2f"),
    ("Debye K", "debye_temperature_K", ".0f"),
    ("expected error", "expected_error", ".0%"),
)
_EXPECTED = "expected error: share of the modes at other frequencies, by how far the networks differ"
_DOUBTFUL = 0.25  # expected share of modes at other frequencies, above which a density is marked


def describe(study: DensityStudy, folder: Path | None) -> Report:
    """The report of a study."""
    n, failed = len(study.rows), len(study.failures)
    one = study.rows[0].formula if n == 1 else f"{n} structures"
    text = Report(f"Density of states of {one} by {study.model['model']}")
    describe_model(text, study.model)
    text.group(f"per mole of atoms, at {study.settings.temperature:g} K")
    if n == 1:
        _describe_one(text, study)
    elif n <= _MOST:
        _describe_some(text, study)
    else:
        _describe_many(text, study)
    if any(row.exact for row in study.rows):
        _describe_comparison(text, study)
    if study.series is not None:
        _describe_series(text, study, study.series.elements)
    if failed:
        text.group(f"{failed} of {n + failed} structures could not be computed")
        for name, reason in study.failures[:_MOST]:
            text.row(name, reason, doubt=True)
        if failed > _MOST:
            text.paragraph(f"{failed - _MOST} more in failures.csv")
    describe_end(text, study, folder)
    return text


def _describe_one(text: Report, study: DensityStudy) -> None:
    row = study.rows[0]
    facts = row.facts
    shared = [site for site, z in zip(row.sites, row.numbers, strict=True) if site != chemical_symbols[z]]
    if shared:
        text.row(
            "alloy", f"{len(shared)} of {len(row.sites)} sites hold {', '.join(dict.fromkeys(shared))}: an average"
        )
    if row.isotopes:
        text.row("isotopes", f"{row.isotopes} amu")
    mean, of_logarithms = facts["mean_frequency_thz"], facts["mean_log_frequency_thz"]
    text.row("mean frequency", f"{mean:.2f} THz, of logarithms {of_logarithms:.2f} THz")
    text.row("heat capacity", f"{facts['heat_capacity_J_K_mol']:.2f} J/K/mol at constant volume")
    text.row("entropy", f"{facts['entropy_J_K_mol']:.2f} J/K/mol")
    text.row("zero point", f"{facts['zero_point_kJ_mol']:.3f} kJ/mol")
    if facts["debye_temperature_K"] is None:
        text.row("Debye temperature", "none: at this temperature heat is that of no mode, or of all")
    else:
        text.row("Debye temperature", f"{facts['debye_temperature_K']:.0f} K, of this heat capacity")
    if facts["expected_error"] is not None:
        expected = facts["expected_error"]
        words = f"{100 * expected:.0f} % of the modes at other frequencies, by how far the networks differ"
        text.row("expected error", words, doubt=expected > _DOUBTFUL)


def _describe_some(text: Report, study: DensityStudy) -> None:
    rows = [[_named(row), *(_cell(row.facts[key], form) for _, key, form in _COLUMNS)] for row in study.rows]
    doubtful = [k for k, row in enumerate(study.rows) if (row.facts["expected_error"] or 0) > _DOUBTFUL]
    text.columns(["", *(head for head, _, _ in _COLUMNS)], rows, left=(0,), doubtful=doubtful)
    text.paragraph(_EXPECTED)


def _named(row: DensityRow) -> str:
    return row.formula + (f" ({row.isotopes})" if row.isotopes else "")


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _describe_many(text: Report, study: DensityStudy) -> None:
    rows = []
    for head, key, form in _COLUMNS:
        values = np.array([row.facts[key] for row in study.rows if row.facts[key] is not None])
        if len(values):
            low, middle, high = np.percentile(values.astype(float), [10, 50, 90])
            rows.append([head, *(format(float(x), form) for x in (low, middle, high))])
    text.columns(["", "tenth", "median", "nine tenths"], rows, left=(0,))
    text.paragraph(_EXPECTED)


def _describe_comparison(text: Report, study: DensityStudy) -> None:
    judged = [(row, row.exact) for row in study.rows if row.exact is not None]
    text.group(f"beside the exact density of {judged[0][1].model}, of the structure as it is")
    for row, exact in judged[:_MOST]:
        facts = row.facts
        words = f"{100 * facts['misplaced']:.0f} % of the modes at other frequencies; exact mean frequency"
        words += f" {facts['exact_mean_frequency_thz']:.2f} THz, C_V {facts['exact_heat_capacity_J_K_mol']:.2f} J/K/mol"
        if exact.imaginary:
            words += f"; {100 * exact.imaginary:.2g} % of its modes are imaginary and left out"
        text.row(row.formula, words, doubt=exact.imaginary > _UNSTABLE)
    if len(judged) > _MOST:
        text.paragraph(f"{len(judged) - _MOST} more in dos.csv")


def _describe_series(text: Report, study: DensityStudy, elements: tuple[str, str]) -> None:
    facts = study.series_facts
    text.group(f"from {elements[0]} to {elements[1]}")
    heads = ("share", "volume Å³", "mean THz", "C_V J/K/mol")
    keys = (
        ("fraction", ".2f"),
        ("volume_A3", ".2f"),
        ("mean_frequency_thz", ".2f"),
        ("heat_capacity_J_K_mol", ".2f"),
    )
    text.columns(heads, [[_cell(row[key], form) for key, form in keys] for row in facts])
