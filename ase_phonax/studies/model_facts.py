"""What every result says of its model, so that nobody reads numbers without their level of theory and licence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .report import Report
from .summary_units import Summary

EXACT = "exact"
ROTATIONS = "rotations alone"

if TYPE_CHECKING:
    from ..models.potential import Potential

COMPARE = "this model imitates another: compare with a larger one (`ase-phonax models`)"


def model_facts(potential: Potential, asked: str | None) -> dict[str, str]:
    """What summary.json says of the model.

    Args:
        potential: the model.
        asked: the name or file it was asked for by; None: the default. Only a name has a card, with its errors.
    """
    from ..models.registry import find_card

    known, card = potential.provenance, find_card(asked or potential.name)
    return {
        "model": potential.name,
        "level_of_theory": known.level_of_theory,
        "model_errors": card.errors if card else "",
        "model_symmetry": "rotations and inversion"
        if getattr(potential, "parity", True)
        else f"{ROTATIONS}: mirror images may differ",
        "licence": known.licence,
        "training_set": known.training_set,
        "citation": known.citation,
    }


def facts_of(calc: Any, asked: str | None) -> dict[str, str]:
    """What summary.json says of the model behind a calculator, and how second derivatives are found.

    Args:
        calc: a `PhonaxCalculator`, or another by displacements.
        asked: the name or file it was asked for by.
    """
    potential = getattr(calc, "potential", None)
    if potential is not None:
        return model_facts(potential, asked) | {"second_derivatives": EXACT}
    return {
        "model": calc.title,
        "level_of_theory": "that of the calculator",
        "model_errors": "",
        "model_symmetry": "that of the calculator",
        "licence": "not stated",
        "training_set": "not stated",
        "citation": "",
        "second_derivatives": calc.described,
    }


def fingerprint_of(calc: Any) -> str:
    """sha256 that tells the model behind a calculator, or the calculator itself, from others.

    Raises:
        InputError: a calculator by displacements of which nobody says what makes it.
    """
    return str(getattr(calc, "potential", calc).fingerprint())


def imitates_another(facts: Summary) -> bool:
    """Whether the model learned from another, with errors of its own on top."""
    return facts["level_of_theory"].startswith("imitates")


def describe_model(text: Report, facts: Summary) -> None:
    """Add level of theory, licence and known errors below the title of a report."""
    licence = facts["licence"]
    text.row("level of theory", facts["level_of_theory"] + ("" if licence == "not stated" else f"; licence {licence}"))
    if facts.get("second_derivatives", EXACT) != EXACT:
        text.row("second derivatives", facts["second_derivatives"])
    if facts.get("model_symmetry", "").startswith(ROTATIONS):
        text.row(
            "symmetry", f"the model knows {facts['model_symmetry']}, by as much as the checks say of the space group"
        )
    if facts["model_errors"]:
        text.row("errors", facts["model_errors"])
