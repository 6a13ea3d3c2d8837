"""`--calculator module:factory`: a calculator of any Python package, made by calling what is named."""

from __future__ import annotations

import os
import reprlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..base.errors import InputError, in_words

if TYPE_CHECKING:
    from ..phonons.finite_differences import DisplacementCalculator


@dataclass(frozen=True)
class Entry:
    """What makes a calculator; it is pickled by its name, and makes another one where it arrives.

    Attributes:
        name: "module:factory"; the factory may have dots.
        arguments: by name, that the factory is called with.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __call__(self) -> Any:
        """The calculator.

        Raises:
            InputError: no such module or name, or it cannot be called with these arguments.
        """
        factory = self._factory()
        try:
            made = factory(**self.arguments)
        except (Exception, SystemExit) as error:  # of another package: whatever it raises
            raise InputError(
                f"{self.name} cannot be called with {self.arguments}: {in_words(error)}",
                "it has to make an ASE calculator",
                "try it in Python first; arguments come from `--calculator-arguments`",
            ) from error

        if not hasattr(made, "get_property") or isinstance(made, type):
            raise InputError(
                f"{self.name} makes {reprlib.repr(made)}, of the type {type(made).__name__}",
                "energies and forces are asked of an ASE calculator",
                "name a class of calculators, or a function that returns one",
            )
        return made

    def _factory(self) -> Callable[..., Any]:
        module, colon, name = self.name.partition(":")
        if not (module and colon and name):
            raise InputError(
                f"the calculator is named {self.name!r}",
                "it is found by its module and its name there",
                "write it like ase.calculators.emt:EMT",
            )
        here = os.getcwd()  # of the shell: commands do not look for modules there by themselves
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            __import__(module)
            found: Any = sys.modules[module]
            for part in name.split("."):
                found = getattr(found, part)
        except (Exception, SystemExit) as error:  # a module that is imported raises whatever it runs into
            raise InputError(
                f"{self.name} cannot be imported: {in_words(error)}",
                "without it there are no energies",
                "check the spelling, and that its package is installed in this environment, or lies in this folder",
            ) from error
        if not callable(found):
            raise InputError(
                f"{self.name} is of the type {type(found).__name__}",
                "it is called to make a calculator",
                "name a class or a function",
            )
        return found


def calculator_of(
    name: str, arguments: str | None, step: float | None = None, way: str | None = None
) -> DisplacementCalculator:
    """The calculator that a command line names.

    Args:
        arguments: YAML: a mapping, or the file of one.
        step: of displacements [Å].
        way: of second derivatives.

    Raises:
        InputError: it cannot be made, or the arguments are none.
    """
    from ..phonons.defaults import DISPLACEMENT
    from ..phonons.finite_differences import DisplacementCalculator

    entry = Entry(name, read_arguments(arguments))
    return DisplacementCalculator(entry(), DISPLACEMENT if step is None else step, way, title=_title(name), maker=entry)


def _title(name: str) -> str:
    return name.rpartition(":")[2].rpartition(".")[2]


def read_arguments(text: str | None) -> dict[str, Any]:
    """Arguments by name, of YAML or a file of it.

    Raises:
        InputError: it is neither, or no mapping.
    """
    if text is None:
        return {}
    import yaml

    try:
        if os.path.isfile(text):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"the arguments of the calculator cannot be read: {in_words(error)}",
            "they are YAML",
            "give a file, or text like '{device: cpu}'",
        ) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(
            f"the arguments of the calculator are {text[:80]!r}",
            "they are called by their names",
            "give a mapping, such as '{device: cpu}', or a file of one that is there",
        )
    return found
