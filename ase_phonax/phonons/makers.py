"""What makes a calculator of another package: results that are kept belong to it, by its name."""

from collections.abc import Callable
from typing import Any

from ..base.errors import InputError

Maker = Callable[[], Any]


def name_of(maker: Maker | None, title: str) -> str:
    """What tells a maker from others, in every process.

    Args:
        title: of the calculator, for errors.

    Raises:
        InputError: there is none, or its name stands for several: a method's object, or what a function closes over,
            may differ, and an address is no name.
    """
    if maker is None:
        raise InputError(
            f"the calculator {title} cannot be told from others",
            "results are kept, and those of another calculator must not be taken for its own",
            "give what makes it as well: DisplacementCalculator(make(), maker=make), make a function of a module",
            on_command_line="name it by --calculator MODULE:NAME",
        )
    name = getattr(maker, "__qualname__", "")
    told = f"{maker.__module__}.{name}" if name else repr(maker)
    if "<" in name or " at 0x" in told or getattr(maker, "__self__", None) is not None:
        raise InputError(
            f"the calculator {title} is made by {told}, which does not tell it from others",
            "results are kept, and those of another calculator must not be taken for its own",
            "give a function or a class of a module that needs no arguments",
        )
    return told
