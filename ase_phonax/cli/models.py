"""`ase-phonax models`: the potentials that can be named, and fetching those that do not ship."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

MANY_ELEMENTS = 40  # more are not listed one by one
_DESCRIPTION = """\
List the potentials that --model knows by name, with their cards; `models get NAME` downloads one that does not ship
with the package. A model file can be named by its path instead."""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("models", help="list the potentials, download one", description=_DESCRIPTION)
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    get = actions.add_parser("get", help="download a potential", description="Download a potential by its name.")
    get.add_argument("name", metavar="NAME", help="of the list")
    get.set_defaults(run=run_get)


def run(arguments: argparse.Namespace) -> int:
    """Print the cards."""
    from ..weights import list_models

    cards = list_models()
    if not cards:
        print("No model is registered. Name a model file by its path: --model FILE")
        return 0
    print("\n\n".join(_card(card) for card in cards))
    return 0


def run_get(arguments: argparse.Namespace) -> int:
    """Download one; say where it is."""
    from ..weights import list_models
    from ..weights.downloads import sha256_of
    from ..weights.registry import download_model
    from .progress import progress_bar

    card = next((card for card in list_models() if card.name == arguments.name), None)
    if card is not None and card.state == "to be downloaded":
        print(f"{card.url}\n{card.size}, licence: {card.licence}", file=sys.stderr)
    with progress_bar(arguments.name) as progress:
        path = download_model(arguments.name, progress)
    if card is not None and card.url and not card.sha256:
        print(f"sha256 {sha256_of(path)}: its source states none to compare with", file=sys.stderr)
    if path.suffix == ".model":
        print(f"a pickle: ase-phonax convert {arguments.name} OUT.h5 --trust", file=sys.stderr)
    print(path)
    return 0


def _elements(symbols: Sequence[str]) -> str:
    """All of them, or of very many the range and what is missing in it."""
    if len(symbols) <= MANY_ELEMENTS:
        return f"{len(symbols)}: {' '.join(symbols)}"
    from ase.data import atomic_numbers, chemical_symbols

    numbers = sorted(atomic_numbers[symbol] for symbol in symbols)
    missing = [chemical_symbols[z] for z in range(numbers[0], numbers[-1]) if z not in numbers]
    but = f" but {' '.join(missing)}" if missing else ""
    return f"{len(symbols)}: {chemical_symbols[numbers[0]]} to {chemical_symbols[numbers[-1]]}{but}"


def _card(card: Any) -> str:
    rows = {
        "elements": _elements(card.elements),
        "theory": card.level_of_theory,
        "parameters": f"{card.n_parameters or 'not stated':{',' if card.n_parameters else ''}} ({card.size})",
        "training": card.training_set,
        "errors": card.errors,
        "licence": card.licence,
        "file": card.location
        if card.state != "to be downloaded"
        else f"to be downloaded: ase-phonax models get {card.name}",
    }
    lines = [card.name, *textwrap.wrap(card.summary, 96, initial_indent="  ", subsequent_indent="  ")]
    for name, value in rows.items():
        lines += textwrap.wrap(
            value, 96, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14, break_long_words=False
        )
    return "\n".join(lines)
