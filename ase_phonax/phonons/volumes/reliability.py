"""What thermal expansion by a named model has been worth: `benchmarks/thermal_expansion.py`, docs/accuracy.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExpansionErrors:
    """Errors of the thermal expansion at 300 K against experiment, medians of their amounts.

    Attributes:
        n_crystals, percent: all crystals that gave a number.
        n_undoubted, percent_undoubted: those whose row had no doubts of `verdicts.DOUBTS`.
        percent_doubted: the others.
    """

    n_crystals: int
    percent: float
    n_undoubted: int
    percent_undoubted: float
    percent_doubted: float


MEASURED = {
    "phonax-small": ExpansionErrors(22, 57.0, 8, 38.0, 121.0),
    "nequix-mp-1-pft": ExpansionErrors(22, 31.0, 13, 22.0, 55.0),
}


def expansion_errors(model: str) -> str:
    """What is known of them, in words."""
    if model not in MEASURED:
        return "not measured for this model; compare a known crystal with experiment first"
    known = MEASURED[model]
    return (
        f"{known.percent:.0f} % against experiment (median of {known.n_crystals} crystals),"
        f" {known.percent_undoubted:.0f} % for the {known.n_undoubted} without doubts,"
        f" {known.percent_doubted:.0f} % for those with"
    )
