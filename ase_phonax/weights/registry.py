"""Named models: the files that ship with the package, each with a card beside it."""

import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError

# In an installed wheel the folder lies inside the package, in a checkout beside it.
_PACKAGE = Path(__file__).resolve().parents[1]
MODEL_FOLDERS = (_PACKAGE / "models", _PACKAGE.parent / "models")


@dataclass(frozen=True)
class ModelCard:
    """What is known of a named model, read from the JSON beside its file.

    Attributes:
        name: what `PhonaxCalculator` and `--model` take.
        elements: chemical symbols.
        level_of_theory: what its energies imitate.
        n_parameters: how many numbers it holds.
        training_set: what it was trained on.
        licence: of the weights.
        summary: one line on what it is for, and not for.
        location: path of the file.
    """

    name: str
    elements: tuple[str, ...]
    level_of_theory: str
    n_parameters: int
    training_set: str
    licence: str
    summary: str
    location: str


def list_models() -> list[ModelCard]:
    """Cards of the models that ship with the package, by name."""
    cards: dict[str, ModelCard] = {}
    for folder in MODEL_FOLDERS:
        for path in sorted(folder.glob("*.json")):
            card = json.loads(path.read_text(encoding="utf-8"))
            card["elements"] = tuple(card["elements"])
            fields = {key: card[key] for key in ModelCard.__dataclass_fields__ if key != "location"}
            cards.setdefault(card["name"], ModelCard(**fields, location=str(path.with_suffix(".h5"))))
    return [cards[name] for name in sorted(cards)]


def find_model(model: str | os.PathLike) -> Path:
    """The file of a registered name, or the given path itself.

    Raises:
        ModelError: neither a name nor an existing file.
    """
    cards = {card.name: card for card in list_models()}
    text = os.fspath(model)
    path = Path(cards[text].location) if text in cards else Path(text)
    if path.is_file():
        return path
    near = difflib.get_close_matches(text, cards, n=1)
    raise ModelError(
        f"there is no model {text!r}: neither a registered name nor a file",
        "without a model nothing can be computed",
        (f"did you mean {near[0]!r}? " if near else "")
        + f"registered names: {', '.join(cards) or 'none'}; or give the path of a model file",
    )
