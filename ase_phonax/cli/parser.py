"""The parser of the command line: what it cannot understand is said as every other error is."""

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from ..base.errors import InputError


class Parser(argparse.ArgumentParser):
    """argparse's, which answers with the usage and leaves the program otherwise."""

    def error(self, message: str) -> NoReturn:
        """What is wrong with the arguments, as an InputError."""
        raise InputError(
            f"the command line: {message}", "nothing was computed", f"`{self.prog} --help` explains every option"
        )

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Options that an abbreviation may mean (argparse's name for it).

        Whole words that another option has, too, are ambiguous: `--temperature` of `--temperature-step` and
        `--max-temperature`.
        """
        matches = super()._get_option_tuples(option_string)
        word = option_string.partition("=")[0].removeprefix("--")
        if len(matches) == 1 and matches[0][1].startswith(f"--{word}-"):
            rest = matches[0][2:]
            matches += [
                (action, name, *rest)
                for action in self._actions
                for name in action.option_strings
                if action is not matches[0][0] and f"-{word}-" in f"{name.removeprefix('-')}-"
            ]
        return matches

    def _match_argument(self, action: argparse.Action, pattern: str) -> int:
        """How many values follow (argparse's name for it); where it is a wrong number, which ones belong there."""
        try:
            return super()._match_argument(action, pattern)
        except argparse.ArgumentError:
            if not isinstance(action.metavar, tuple):
                raise
            words = f"expected {len(action.metavar)} arguments, {' '.join(action.metavar)}"
            if isinstance(action.default, (list, tuple)):
                words += f"; without it they are {' '.join(f'{value:g}' for value in action.default)}"
            raise argparse.ArgumentError(action, words) from None


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
    # Without their dashes, which would make all options look alike.
    bare = {one.lstrip("-"): one for one in known}
    near = [bare[one] for one in difflib.get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.7)]
    return InputError(
        f"there is no {kind} {name}",
        "it would have been left out, so nothing was computed" if kind == "option" else "nothing was computed",
        f"did you mean {near[0]}?" if near else f"`{program} --help` lists what there is",
    )
