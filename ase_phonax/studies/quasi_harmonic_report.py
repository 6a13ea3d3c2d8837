"""What a quasi-harmonic study tells programs and people: every temperature with its reason or its doubts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .summary_units import Summary

if TYPE_CHECKING:
    from ..phonons.volumes import QuasiHarmonic
    from ..phonons.volumes.verdicts import Verdict
    from .report import Report

PRINTED = (0.0, 100.0, 300.0, 600.0, 1000.0)  # [K]


def summary(expansion: QuasiHarmonic) -> Summary:
    """What is added to that of every study at several volumes: built-in types only."""
    from ..phonons.volumes.verdicts import DOUBTS

    result = expansion.result
    temperatures = result.temperatures.tolist()
    rows = [expansion.at(temperature) for temperature in temperatures]
    names = [name for name in rows[0] if name != "temperature_k"]
    spreads = [verdict.expansion_spread_per_k for verdict in expansion.verdicts]
    doubts = [list(verdict.doubts) for verdict in expansion.verdicts]
    left_out = zip(expansion.left_out, expansion.reasons, strict=True)
    return {
        "pressure_gpa": expansion.pressure_gpa,
        "equation_of_state": result.eos_name,
        "mesh": list(expansion.mesh_numbers),
        "ratios_fitted": [point.ratio for point in expansion.points],
        "modes_lost": list(expansion.modes_lost),
        "ratios_left_out": [point.ratio for point in expansion.left_out],
        "left_out": [{"ratio": point.ratio, "reason": reason} for point, reason in left_out],
        "temperatures_k": temperatures,
        # Differences over temperature have no value at the lowest one: null, not phonopy's filler 0.
        "curves": {name: [_known(row[name]) for row in rows] for name in names},
        "thermal_expansion_spread_per_k": [None, *map(_known, spreads[1:])],
        "fit_residual": [verdict.residual for verdict in expansion.verdicts],
        "doubts": doubts,
        "doubts_in_words": {name: words for name, words in DOUBTS.items() if any(name in row for row in doubts)},
        "refused": [
            {"temperature_k": verdict.temperature_k, "reason": verdict.refusal} for verdict in expansion.refused
        ],
        "lattice_parameters": result.lattice.lattice_parameters.tolist() if result.lattice else None,
    }


def _known(value: float) -> float | None:
    """A number as JSON has it: null for NaN."""
    return value if value == value else None


def describe(text: Report, expansion: QuasiHarmonic, summary: Summary) -> None:
    """Add the results to a report, below structure and volumes."""
    for point, reason in zip(expansion.left_out, expansion.reasons, strict=True):
        text.row("left out of the fit", f"{point.name}: {reason}", doubt=True)
    text.group(
        f"quasi-harmonic, {expansion.pressure_gpa:g} GPa, per primitive cell ({expansion.result.eos_name} equation)"
    )
    head = ("T (K)", "V (Å³)", "β (10⁻⁶/K)", "B (GPa)", "Cp (J/K/mol)", "G (eV)", "γ", "doubt")
    verdicts = [_verdict(expansion, temperature) for temperature in _printed(expansion)]
    given = [verdict for verdict in verdicts if not verdict.refusal]
    doubtful = [k for k, verdict in enumerate(given) if verdict.doubts]
    text.columns(head, [_cells(expansion, verdict) for verdict in given], doubtful=doubtful)
    for verdict in verdicts:
        if verdict.refusal:
            text.row(f"{verdict.temperature_k:g} K", f"refused: {verdict.refusal}", doubt=True)
    _explain(text, {name for verdict in verdicts for name in verdict.doubts}, summary)


def _printed(expansion: QuasiHarmonic) -> list[float]:
    """Temperatures of the table [K], the last one with results and the first one refused among them."""
    temperatures = expansion.result.temperatures.tolist()
    asked = temperatures[-1] if not expansion.refused else expansion.refused[-1].temperature_k
    first = [verdict.temperature_k for verdict in expansion.refused[1:2] if verdict.temperature_k < asked]
    return sorted({*(t for t in PRINTED if t < asked), temperatures[-1], *first, asked})


def _verdict(expansion: QuasiHarmonic, temperature: float) -> Verdict:
    return min((*expansion.verdicts, *expansion.refused), key=lambda verdict: abs(verdict.temperature_k - temperature))


def _cells(expansion: QuasiHarmonic, verdict: Verdict) -> tuple[str, ...]:
    """Cells of one temperature in the table."""
    row = expansion.at(verdict.temperature_k)
    coefficient = _number(1e6 * row["thermal_expansion_per_k"], 2)
    if coefficient != "–":
        coefficient += f" ± {_number(1e6 * verdict.expansion_spread_per_k, 1, '?')}"
    return (
        f"{row['temperature_k']:g}",
        f"{row['volume']:.4f}",
        coefficient,
        f"{row['bulk_modulus_gpa']:.2f}",
        _number(row["heat_capacity_p_J_K_mol"], 3),
        f"{row['gibbs_free_energy']:.6f}",
        _number(row["gruneisen"], 3),
        "".join(sorted(_letter(name) for name in verdict.doubts)),
    )


def _letter(doubt: str) -> str:
    from ..phonons.volumes.verdicts import DOUBTS

    return "abcdefgh"[list(DOUBTS).index(doubt)]


def _explain(text: Report, doubts: set[str], summary: Summary) -> None:
    """Below the rows: what ± and letters mean, and what is known of the model's errors."""
    from ..phonons.volumes.verdicts import DOUBTS

    text.row("±", "largest change of β without one of the volumes, or with an equation of higher order; ?: unknown")
    for name, words in DOUBTS.items():
        if name in doubts:
            text.row(f"doubt {_letter(name)}", words, doubt=True)
    text.row("errors of β at 300 K", summary["expansion_errors"])


def _number(value: float, digits: int, unknown: str = "–") -> str:
    return unknown if value != value else f"{value:.{digits}f}"
