"""Structures and calculators that a command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator


def read_structure(name: str, site_tolerance: float | None = None) -> Atoms:
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


def load_calculator(model: str | None, dtype: str, **others: Any) -> PhonaxCalculator:
    """The calculator of a registered name or a file; without one, of the default that ships.

    Args:
        others: further arguments of `PhonaxCalculator`, where there are any.

    Raises:
        ModelError: it cannot be found or read.
        InputError: the route or the device is none, or not for this model.
    """
    from ..calculator import PhonaxCalculator

    return PhonaxCalculator(model, dtype=dtype, **others)
