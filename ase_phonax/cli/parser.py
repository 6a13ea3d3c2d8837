"""The parser of the command line: what it cannot understand is said as every other error is."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from ..base.errors import InputError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """argparse's, which answers with the usage and leaves the program otherwise; its options may come when needed."""

    _fill: Callable[[argparse.ArgumentParser], None] | None = None
    _source = "the command line"

    def fill_later(self, fill: Callable[[argparse.ArgumentParser], None]) -> None:
        """Add the arguments before the first one is parsed: the help on all commands does not need those of each."""
        self._fill = fill

    def filled(self) -> Parser:
        """Itself, with all its arguments."""
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill(self)
        return self

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:
        """Parse (argparse's name for it)."""
        self.filled()
        return super().parse_known_args(*arguments, **options)

    @contextmanager
    def reading(self, source: str) -> Iterator[None]:
        """A block in which arguments come from somewhere else than the command line, such as a file."""
        self._source = source
        try:
            yield
        finally:
            del self._source

    def error(self, message: str) -> NoReturn:
        """What is wrong with the arguments, as an InputError."""
        raise InputError(
            f"{self._source}: {message}", "nothing was computed", f"`{self.prog} --help` explains every option"
        )

    def spelled_out(self, word: str) -> str:
        """The whole name of an option as it was typed, abbreviated or with its value; the word where it is none."""
        name = word.partition("=")[0]
        if not name.startswith("--") or name in self._option_string_actions:
            return name
        matches = self._get_option_tuples(name)
        return matches[0][1] if len(matches) == 1 else name

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


def add_command(
    commands: Commands, name: str, fill: Callable[[argparse.ArgumentParser], None], description: str, **words: Any
) -> None:
    """Register a command.

    Args:
        commands: what `add_subparsers` has returned.
        fill: adds its arguments; called when the command is asked for.
        description: of its help.
        words: `help`, `epilog` and `aliases`, as argparse has them.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, description=description, formatter_class=formatter, **words)
    if isinstance(parser, Parser):
        parser.fill_later(fill)
    else:
        fill(parser)


def parse(parser: Parser, commands: Mapping[str, argparse.ArgumentParser], given: Sequence[str]) -> argparse.Namespace:
    """Arguments of one of the commands.

    Raises:
        InputError: an unknown command or option, the nearest known one is named; a value that does not fit.
    """
    if given and not given[0].startswith("-") and given[0] not in commands:
        raise _unknown("command", given[0], commands, parser.prog)
    arguments, left = parser.parse_known_args(given)
    options = [word.partition("=")[0] for word in left if re.match("--?[a-zA-Z]", word)]
    if options:
        command = commands.get(given[0], parser)
        known = [name for action in command._actions for name in action.option_strings]
        raise _unknown("option", options[0], known, command.prog)
    if left:
        parser.error(f"{' '.join(left)} is one value too many")
    return arguments


def _unknown(kind: str, name: str, known: Iterable[str], program: str) -> InputError:
    from difflib import get_close_matches

    # Without their dashes, which would make all options look alike.
    bare = {one.lstrip("-"): one for one in known}
    near = [bare[one] for one in get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.7)]
    return InputError(
        f"there is no {kind} {name}",
        "it would have been left out, so nothing was computed" if kind == "option" else "nothing was computed",
        f"did you mean {near[0]}?" if near else f"`{program} --help` lists what there is",
    )
