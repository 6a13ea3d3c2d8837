"""`ase-phonax models`: the potentials that can be named."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

_DESCRIPTION = "List the potentials that --model knows by name. A model file can be named by its path instead."


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("models", help="list the potentials", description=_DESCRIPTION)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from ..weights import list_models

    cards = list_models()
    if not cards:
        print("No model is registered. Name a model file by its path: --model FILE")
        return 0
    print("\n\n".join(_card(card) for card in cards))
    return 0


def _card(card: Any) -> str:
    elements = " ".join(card.elements)
    rows = {
        "elements": f"{len(card.elements)}: {elements}",
        "theory": card.level_of_theory,
        "parameters": f"{card.n_parameters:,}",
        "training": card.training_set,
        "licence": card.licence,
        "file": card.location,
    }
    lines = [card.name, *textwrap.wrap(card.summary, 96, initial_indent="  ", subsequent_indent="  ")]
    for name, value in rows.items():
        lines += textwrap.wrap(
            value, 96, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14, break_long_words=False
        )
    return "\n".join(lines)
