"""What every result says of its model, so that nobody reads numbers without their level of theory and licence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .report import Report

if TYPE_CHECKING:
    from ..models.potential import Potential

COMPARE = "this model imitates another: compare with a larger one (`ase-phonax models`)"


def model_facts(potential: Potential, asked: str | None) -> dict[str, str]:
    """Its share of summary.json.

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
        "licence": known.licence,
        "training_set": known.training_set,
        "citation": known.citation,
    }


def imitates_another(facts: dict[str, Any]) -> bool:
    """Whether the model learned from another, with errors of its own on top."""
    return facts["level_of_theory"].startswith("imitates")


def describe_model(text: Report, facts: dict[str, Any]) -> None:
    """Lines below the title."""
    licence = facts["licence"]
    text.row("level of theory", facts["level_of_theory"] + ("" if licence == "not stated" else f"; licence {licence}"))
    if facts["model_errors"]:
        text.row("errors", facts["model_errors"])
