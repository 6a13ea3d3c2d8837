"""The parser of the command line: what it cannot understand is said as every other error is."""

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from ..errors import InputError


class Parser(argparse.ArgumentParser):
    """argparse's, which answers with the usage and leaves the program otherwise."""

    def error(self, message: str) -> NoReturn:
        """What is wrong with the arguments, as an InputError."""
        raise InputError(
            f"the command line: {message}", "nothing was computed", f"`{self.prog} --help` explains every option"
        )


def parse(parser: Parser, commands: Mapping[str, argparse.ArgumentParser], given: Sequence[str]) -> argparse.Namespace:
    """Arguments of one of the commands.

    Raises:
        InputError: an unknown command or option, the nearest known one is named; a value that does not fit.
    """
    if given and not given[0].startswith("-") and given[0] not in commands:
        raise _unknown("command", given[0], commands, parser.prog)
    found, left = parser.parse_known_args(given)
    options = [word.partition("=")[0] for word in left if re.match("--?[a-zA-Z]", word)]
    if options:
        command = commands.get(given[0], parser)
        known = [name for action in command._actions for name in action.option_strings]
        raise _unknown("option", options[0], known, command.prog)
    if left:
        parser.error(f"{' '.join(left)} is one value too many")
    return found


def _unknown(kind: str, name: str, known: Iterable[str], program: str) -> InputError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return InputError(
        f"there is no {kind} {name}",
        "it would have been left out, so nothing was computed" if kind == "option" else "nothing was computed",
        f"did you mean {near[0]}?" if near else f"`{program} --help` lists what there is",
    )
