"""What the library says to callers in Python, said to who typed a command: settings become options."""

from __future__ import annotations

import re
from functools import cache

from ..base.errors import PhonaxError

# Arguments of Python that are no setting, and the options that they are.
_ARGUMENTS = {"folder": "--output", "n_workers": "--workers"}
_NAMED = re.compile(r"`(\w+)(?:=([^`]*))?`")


def as_typed(text: str) -> str:
    """A text with options in place of the settings that it names in backquotes.

    `tolerance` becomes --tolerance, `exact=True` becomes --exact, and `mesh=(2, 2, 2)` becomes --mesh 2 2 2; what is no
    option of any command stays.
    """
    return _NAMED.sub(_typed, text)


def error_as_typed(error: BaseException) -> str:
    """What is wrong, why it matters and what to do, as `as_typed` says it."""
    if not isinstance(error, PhonaxError):
        return str(error)
    return as_typed(str(PhonaxError(error.what, error.why, error.on_command_line or error.remedy)))


def _typed(named: re.Match[str]) -> str:
    name, value = named.groups()
    if name not in _options():
        return named[0]
    if value is None or value == "True":
        return _options()[name]
    return " ".join([_options()[name], *re.sub(r"[][()\"',]", " ", value).split()])


@cache
def _options() -> dict[str, str]:
    """Name of a setting -> option, of all commands."""
    from . import _parser

    _, commands = _parser()
    actions = [action for parser in commands.values() for action in parser._actions if action.option_strings]
    return {action.dest: action.option_strings[-1] for action in actions} | _ARGUMENTS
