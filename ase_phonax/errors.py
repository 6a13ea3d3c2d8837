"""The exceptions of the package. Each says what is wrong, why it matters and what to do.

The classes also inherit the built-in exception a caller would expect, so `except ValueError`
around a calculator keeps working. `exit_code` is what the command line returns for it.
"""


class PhonaxError(Exception):
    """An error with three parts: the value found, why it matters, what to do next."""

    exit_code = 2

    def __init__(self, what: str, why: str, remedy: str):
        super().__init__(what, why, remedy)
        self.what, self.why, self.remedy = what, why, remedy

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


class RelaxationError(PhonaxError, RuntimeError):
    """The structure did not reach a stationary point."""

    exit_code = 4


class OutputError(PhonaxError, OSError):
    """Results cannot be written where they were asked for."""

    exit_code = 5


class TrainingError(PhonaxError, RuntimeError):
    """Training met numbers that are not finite."""

    exit_code = 6


class UnstableWarning(UserWarning):
    """A result that is computed as asked but needs the user's eyes."""
