"""Densities of states as a table for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .model_facts import describe_model
from .report import Report
from .study import describe_end

if TYPE_CHECKING:
    from .density_study import DensityStudy

_MOST = 12  # structures that are listed one by one
_COLUMNS = (
    ("mean THz", "mean_frequency_thz", ".2f"),
    ("C_V J/K/mol", "heat_capacity_J_K_mol", ".2f"),
    ("S J/K/mol", "entropy_J_K_mol", ".2f"),
    ("Debye K", "debye_temperature_K", ".0f"),
)


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
    facts, row = study.facts[0], study.rows[0]
    if row.mixtures:
        first = next(iter(row.mixtures.values()))
        shares = " ".join(f"{symbol}{share:g}" for symbol, share in first.items())
        text.row("alloy", f"{len(row.mixtures)} of {len(row.symbols)} sites shared, such as {shares}: an average")
    text.row("mean frequency", f"{facts['mean_frequency_thz']:.2f} THz, of logarithms {_log(facts)} THz")
    text.row("heat capacity", f"{facts['heat_capacity_J_K_mol']:.2f} J/K/mol at constant volume")
    text.row("entropy", f"{facts['entropy_J_K_mol']:.2f} J/K/mol")
    text.row("zero point", f"{facts['zero_point_kJ_mol']:.3f} kJ/mol")
    if facts["debye_temperature_K"] is not None:
        text.row("Debye temperature", f"{facts['debye_temperature_K']:.0f} K, of this heat capacity")
    if facts["expected_error"] is not None:
        text.row("expected error", f"{facts['expected_error']:.3f} of the highest peak, on average over frequencies")


def _log(facts: dict) -> str:
    return f"{facts['mean_log_frequency_thz']:.2f}"


def _describe_some(text: Report, study: DensityStudy) -> None:
    rows = [
        [row.formula, *(_cell(facts[key], form) for _, key, form in _COLUMNS)]
        for row, facts in zip(study.rows, study.facts, strict=True)
    ]
    text.columns(["", *(head for head, _, _ in _COLUMNS)], rows, left=(0,))


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _describe_many(text: Report, study: DensityStudy) -> None:
    rows = []
    for head, key, form in _COLUMNS:
        values = np.array([facts[key] for facts in study.facts if facts[key] is not None])
        if len(values):
            low, middle, high = np.percentile(values, [10, 50, 90])
            rows.append([head, *(format(float(x), form) for x in (low, middle, high))])
    text.columns(["", "tenth", "median", "nine tenths"], rows, left=(0,))


def _describe_comparison(text: Report, study: DensityStudy) -> None:
    judged = [(row, row.exact) for row in study.rows if row.exact is not None]
    text.group(f"beside the exact density of {judged[0][1].model}, of the structure as it is")
    for row, second in judged[:_MOST]:
        first = row.density
        shapes = [own.total / own.total.max() for own in (first, second)]
        reach = int(np.flatnonzero(second.total > 0).max(initial=1)) + 1
        words = f"{np.abs(shapes[0] - shapes[1])[:reach].mean():.3f} of the highest peak apart, on average"
        if second.imaginary:
            words += f"; {100 * second.imaginary:.2g} % of the potential's modes are imaginary and left out"
        text.row(row.formula, words, doubt=second.imaginary > 0.01)


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
