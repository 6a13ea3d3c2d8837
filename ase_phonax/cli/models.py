"""`ase-phonax models`: the potentials that can be named, and fetching those that do not ship."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.errors import InputError
from .parser import add_command

if TYPE_CHECKING:
    from ..models.registry import ModelCard
    from ..studies.report import Report
    from .parser import Commands

MANY_ELEMENTS = 40  # more are not listed one by one
_DESCRIPTION = """\
List the potentials that --model knows by name, one on a line. A model file can be named by its path instead.
"""
_EPILOG = """\
examples:
  ase-phonax models                     all of them
  ase-phonax models --elements H,C,O    those that know all of these elements; a formula will do as well
  ase-phonax models FILE.h5             what a model file says of itself
  ase-phonax models NAME                the whole card: theory, training set, measured errors, licence, citation
  ase-phonax models get NAME            download one that does not ship with the package
"""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    words = "list the potentials, download one"
    add_command(commands, "models", _add_arguments, _DESCRIPTION, help=words, epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="[get] NAME", nargs="*", help="show the card of one, or download it")
    parser.add_argument(
        "--elements", metavar="H,C,O", nargs="+", help="only models that know these elements, or those of a formula"
    )
    parser.add_argument("--for", dest="purpose", choices=("crystals", "molecules"), help="only models made for these")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List, show or download."""
    match arguments.words:
        case []:
            return _list(arguments)
        case ["get", name]:
            return _get(name)
        case ["get"]:
            what = "`models get` names no model"
        case [name]:
            from .terminal import print_report

            print_report(_shown(name))
            return 0
        case [first, *_]:
            what = f"`models {' '.join(arguments.words)}`: {first} is no action, and one card is shown at a time"
    raise InputError(what, "nothing was done", "write `ase-phonax models NAME`, or `ase-phonax models get NAME`")


def _list(arguments: argparse.Namespace) -> int:
    from ..models.registry import BOTH, list_models
    from .tables import Table
    from .terminal import print_report

    elements = _elements_of(arguments.elements or [])
    all_of_them = list_models()
    cards = [card for card in all_of_them if elements <= set(card.elements)]
    if arguments.purpose is not None:
        cards = [card for card in cards if card.purpose in (arguments.purpose, BOTH)]
    if not cards:
        asked = f" that know {' '.join(sorted(elements))}" if elements else ""
        print(f"No models{asked} are registered. Name a model file by its path: --model FILE")
        return 0
    how_many = f"{len(cards)} of {len(all_of_them)}" if len(cards) < len(all_of_them) else str(len(cards))
    text = Table(f"Models that --model takes: {how_many}")
    text.columns(
        ("name", "for", "elem.", "state", "level of theory"),
        [
            (card.name, card.purpose, str(len(card.elements)), _state(card), _level(card.level_of_theory))
            for card in cards
        ],
        left=(0, 1, 3),
        prose=True,
    )
    text.group("more")
    text.row("card, with errors", "ase-phonax models NAME")
    text.row("get", "ase-phonax models get NAME")
    text.row("convert", "ase-phonax convert NAME OUT.h5 --trust")
    print_report(text)
    return 0


def _elements_of(words: Sequence[str]) -> set[str]:
    """The elements of "H,C,O", "H C O" or a formula.

    Raises:
        InputError: a word that is neither.
    """
    from ase.data import atomic_numbers

    elements: set[str] = set()
    for word in filter(None, re.split(r"[,\s]+", " ".join(words))):
        symbols = re.findall(r"[A-Z][a-z]?", word)
        if not re.fullmatch(r"(?:[A-Z][a-z]?\d*)+", word) or any(symbol not in atomic_numbers for symbol in symbols):
            raise InputError(
                f"--elements: {word!r} is neither an element nor a formula",
                "models are chosen by the elements they know",
                "write symbols as in the periodic table: --elements H,C,O or --elements NaCl",
            )
        elements |= set(symbols)
    return elements


def _state(card: ModelCard) -> str:
    """What has to be done before a model can be used, or where it is."""
    if card.location.endswith(".model"):
        return "get, convert" if card.state == "to be downloaded" else "convert"
    return f"get, {card.size}" if card.state == "to be downloaded" else card.state


def _level(text: str) -> str:
    """A level of theory up to the first aside; the rest stands on the card."""
    return re.split(r",|;| \(", text)[0]


def _named(name: str) -> ModelCard:
    """The card of a name.

    Raises:
        ModelError: there is none.
    """
    from ..models.registry import find_card, unknown_model

    card = find_card(name)
    if card is None:
        raise unknown_model(name, "it has no card")
    return card


def _get(name: str) -> int:
    """Download a model, and say where it is."""
    from ..models.downloads import sha256_of
    from ..models.registry import download_model, find_card
    from .progress import progress_bar

    card = find_card(name)
    if card is not None and card.state == "to be downloaded":
        print(f"{card.url}\n{card.size}, licence: {card.licence}", file=sys.stderr)
        if not card.sha256:
            print("its source states no sha256: what comes can be compared with nothing", file=sys.stderr)
    with progress_bar(name) as progress:
        path = download_model(name, progress)
    if card is not None and card.url and not card.sha256:
        print(f"sha256 {sha256_of(path)}, recorded beside it: it is compared whenever it is read", file=sys.stderr)
    if path.suffix == ".model":
        print(f"a pickle: ase-phonax convert {name} OUT.h5 --trust", file=sys.stderr)
    print(path)
    return 0


def _elements(symbols: Sequence[str]) -> str:
    """How many elements and which; of very many the range, and what is missing in it."""
    if len(symbols) <= MANY_ELEMENTS:
        return f"{len(symbols)}: {' '.join(symbols)}"
    from ase.data import atomic_numbers, chemical_symbols

    numbers = sorted(atomic_numbers[symbol] for symbol in symbols)
    missing = [chemical_symbols[z] for z in range(numbers[0], numbers[-1]) if z not in numbers]
    but = f" but {' '.join(missing)}" if missing else ""
    return f"{len(symbols)}: {chemical_symbols[numbers[0]]} to {chemical_symbols[numbers[-1]]}{but}"


def _shown(name: str) -> Report:
    """The card of a name, or what a file says of itself."""
    from ..models.registry import find_card

    return _contents(name) if find_card(name) is None and os.path.isfile(name) else _card(_named(name))


def _contents(name: str) -> Report:
    """What a model file says of itself."""
    from ase.data import chemical_symbols

    from ..studies.notes import collected_warnings
    from .tables import Table

    with collected_warnings() as notes:
        from ..models.loading import load_model

        potential = load_model(name)
    known = potential.provenance
    rows = {
        "elements": _elements([chemical_symbols[z] for z in potential.numbers]),
        "network": f"{potential.architecture}, {potential.n_layers} layers, cutoff {potential.cutoff:g} Å",
        "outputs": ", ".join(map(str, potential.outputs)),
        "theory": known.level_of_theory,
        "parameters": f"{potential.n_parameters:,}",
        "training": known.training_set,
        "licence": known.licence,
        "citation": known.citation or "not stated",
        "source": known.source or "not stated",
    }
    text = Table(potential.name)
    for label, value in rows.items():
        text.row(label, value)
    for note in notes:
        text.row("note", note)
    return text


def _card(card: ModelCard) -> Report:
    """All that the card of a model says."""
    from ..models.registry import BOTH
    from .tables import Table

    convert = f", then ase-phonax convert {card.name} OUT.h5 --trust" if card.location.endswith(".model") else ""
    rows = {
        "for": "crystals and molecules" if card.purpose == BOTH else card.purpose,
        "elements": _elements(card.elements),
        "theory": card.level_of_theory,
        "parameters": f"{card.n_parameters or 'not stated':{',' if card.n_parameters else ''}} ({card.size})",
        "training": card.training_set,
        "errors": card.errors,
        "licence": card.licence,
        "citation": card.citation or "not stated",
        "file": card.location
        if card.state != "to be downloaded"
        else f"to be downloaded: ase-phonax models get {card.name}{convert}",
    }
    text = Table(card.name)
    text.paragraph(card.summary)
    for name, value in rows.items():
        text.row(name, value)
    return text
