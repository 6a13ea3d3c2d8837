"""The exceptions of the package, and what they say in several places. Each says what is wrong, why, and what to do.

The classes also inherit the built-in exception a caller would expect, so `except ValueError`
around a calculator keeps working. `exit_code` is what the command line returns for it.
"""

import re
import reprlib
from typing import Any


class PhonaxError(Exception):
    """An error with three parts: the value found, why it matters, what to do next.

    They speak to a caller in Python, and name settings in backquotes: `min_length`, `exact=True`, `mesh=(2, 2, 2)`. The
    command line makes options of these (`cli.wording`).

    Args:
        on_command_line: what to do instead for who typed a command, where that is another thing.
    """

    exit_code = 2

    def __init__(self, what: str, why: str, remedy: str, *, on_command_line: str = ""):
        super().__init__(what, why, remedy)
        self.what, self.why, self.remedy = what, why, remedy
        self.on_command_line = on_command_line

    def __str__(self) -> str:
        return f"{self.what}\n  why it matters: {self.why}\n  what to do: {self.remedy}"


class InputError(PhonaxError, ValueError):
    """A value given by the user cannot mean what they want."""


class StructureError(InputError):
    """The structure cannot be computed: elements, positions, cell or periodicity."""


class SupercellError(InputError):
    """A supercell or primitive matrix that does not describe a supercell."""


class ModelError(PhonaxError, ValueError):
    """A model file that is missing, damaged, foreign or unsuitable."""

    exit_code = 3


class ContractError(ModelError):
    """A potential that does not keep what every potential must.

    Attributes:
        check: which of the checks it failed.
        measured: the value found; NaN where it is none.
        tolerance: what would have passed, at most or at least.
    """

    def __init__(self, what: str, why: str, remedy: str, check: str = "", measured: Any = None, tolerance: Any = None):
        super().__init__(what, why, remedy)
        self.check, self.measured, self.tolerance = check, measured, tolerance


class RelaxationError(PhonaxError, RuntimeError):
    """The structure did not reach a stationary point."""

    exit_code = 4


class MissingPropertyError(InputError, NotImplementedError):
    """A calculator of another package does not give what is needed."""


class OutputError(PhonaxError, OSError):
    """Results cannot be written where they were asked for."""

    exit_code = 5


class TrainingError(PhonaxError, RuntimeError):
    """Training met numbers that are not finite."""

    exit_code = 6


class UnstableWarning(UserWarning):
    """A result that is computed as asked but needs the user's eyes."""


class ColumnOrderWarning(UserWarning):
    """An array in an order that another object may not share."""


def check_calculator(calc: Any, method: str) -> None:
    """Refuse as a calculator what lacks a method: a model's name, a potential, None.

    Raises:
        InputError: with what was given.
    """
    if not hasattr(calc, method) and hasattr(calc, "get_forces"):
        raise InputError(
            f"the calculator is {reprlib.repr(calc)}, which has no {method}",
            "what is asked for are derivatives, which a calculator by itself does not give",
            "give a PhonaxCalculator, or DisplacementCalculator(calc), which finds them by displacements; studies take"
            " any ASE calculator as it is",
        )
    if not hasattr(calc, method):
        raise InputError(
            f"the calculator is {reprlib.repr(calc)}, which has no {method}",
            "all numbers come from a calculator; neither the name of a model nor a potential is one",
            "give a calculator: PhonaxCalculator(name)",
        )


def in_words(error: BaseException) -> str:
    """Another program's exception: its class, and what it says where it says something."""
    return ": ".join(filter(None, (type(error).__name__, str(error).strip())))


_ELSE = "something else stands in it than its reader looks for"
# What Python's own exceptions mean where a reader meets them: their texts speak of its program, not of the file.
_OF_READERS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((KeyError,), "a name that its reader looks for is missing or unknown"),
    ((IndexError, StopIteration, EOFError), "it ends, or a line of it, before what its reader looks for"),
    ((UnicodeError,), "its bytes are no text"),
    ((MemoryError, OverflowError), "what it announces fits no memory"),
    ((RecursionError,), "it is nested too deeply"),
    ((AssertionError, AttributeError, TypeError, NameError, ZeroDivisionError, NotImplementedError), _ELSE),
)
# So do some of the texts of a ValueError; others name what stands in the file.
_OF_A_PROGRAM = re.compile("could not be broadcast|values to unpack|cannot reshape|inhomogeneous shape|array element")


def why_unread(error: BaseException) -> str:
    """Why another program could not read something, in words about what it read.

    What the exception says, on one line. Where it says nothing, or speaks of the program, its meaning goes before:
    "something else stands in it than its reader looks for (AssertionError)".
    """
    said = " ".join(str(error).split())
    meaning = next((words for kinds, words in _OF_READERS if isinstance(error, kinds)), "")
    if not meaning and _OF_A_PROGRAM.search(said):
        meaning = _ELSE
    if said and not meaning:
        return said
    return f"{meaning or 'its reader gives no reason'} ({' '.join(in_words(error).split())})"


def is_failure(error: BaseException) -> bool:
    """Whether another program failed, and was not told to stop. A panic of Rust (phonopy, spglib) is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
