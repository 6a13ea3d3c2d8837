"""Structures and calculators that a command line names, and the warnings met on the way."""

from __future__ import annotations

from typing import Any

from ..studies.notes import collected_warnings

__all__ = ["check_model", "collected_warnings", "load_calculator", "read_structure"]


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
