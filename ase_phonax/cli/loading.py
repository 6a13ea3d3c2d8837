"""Structures and calculators that a command line names, and the warnings met on the way."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FOR_THE_REPORT = (UserWarning, RuntimeWarning)  # seekpath's edge cases are of the second kind


def read_structure(name: str, site_tolerance: float | None = None) -> Any:
    """The structure in a file, as `structures.files.read_structure` reads and checks it."""
    from ..structures import files

    return files.read_structure(name, site_tolerance)


def check_model(model: str | None) -> None:
    """Refuse a model that cannot be loaded, before anything else is complained of or computed.

    Raises:
        ModelError: not there, or of a kind that is not read.
    """
    from ..models.loading import find_reader

    if model is not None:
        find_reader(model)


def load_calculator(model: str | None, dtype: str) -> Any:
    """A `PhonaxCalculator` for a registered name or a file; without one, for the default that ships.

    Raises:
        ModelError: it cannot be found or read.
    """
    from ..calculator import PhonaxCalculator

    return PhonaxCalculator(model, dtype=dtype)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """User and run-time warnings of the block as texts, each once, for the report instead of the terminal."""
    texts: list[str] = []

    def keep(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
        text = " ".join(str(message).split())
        if not issubclass(category, _FOR_THE_REPORT):
            show(message, category, filename, lineno, file, line)
        elif text not in texts:
            texts.append(text)

    with warnings.catch_warnings():
        show = warnings.showwarning
        for category in _FOR_THE_REPORT:
            warnings.simplefilter("always", category)
        warnings.showwarning = keep
        yield texts
