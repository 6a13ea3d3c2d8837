"""What every result says of its model, so that nobody reads numbers without their level of theory and licence."""

from __future__ import annotations

from typing import Any

from .tables import Table


def model_facts(potential: Any) -> dict[str, str]:
    """Its share of summary.json."""
    known = potential.provenance
    facts = {"model": potential.name, "level_of_theory": known.level_of_theory}
    return facts | {"licence": known.licence, "training_set": known.training_set, "citation": known.citation}


def describe_model(text: Table, facts: dict[str, Any]) -> None:
    """One line below the title."""
    licence = facts["licence"]
    text.row("level of theory", facts["level_of_theory"] + ("" if licence == "not stated" else f"; licence {licence}"))
