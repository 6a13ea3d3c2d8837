"""`--config FILE.yaml`: every option of a command in a file, the command line having the last word."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..base.errors import InputError
from ..base.settings import read_yaml

OPTION = "--config"


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`."""
    parser.add_argument_group("configuration").add_argument(
        OPTION,
        metavar="FILE.yaml",
        help="options of this command by their names, such as `tolerance: 0.02`; those on the command line count more",
    )


def apply_config(argv: Sequence[str], parser_of: Any) -> None:
    """Make the options of a configuration file the defaults of a command's parser.

    Args:
        argv: arguments, the command first.
        parser_of: command -> its parser; KeyError for an unknown one.

    Raises:
        InputError: the file cannot be read, is no mapping, or has an unknown key.
    """
    name = _config_file(list(argv))
    if name is None or not argv:
        return
    try:
        parser = parser_of(argv[0])
    except KeyError:
        return  # `parser.parse` says what is wrong with the command
    values = _read(Path(name))
    arguments = _as_arguments(values, parser, name)
    # argparse does the conversions and refuses what it would refuse on the command line.
    positional = ["-"] * sum(not action.option_strings for action in parser._actions)
    parsed = vars(parser.parse_args([*positional, *arguments]))
    chosen = {_destination(parser, key) for key in values} - _overruled(parser, argv)
    parser.set_defaults(**{key: parsed[key] for key in chosen})


def _destination(parser: argparse.ArgumentParser, key: str) -> str:
    option = f"--{key.replace('_', '-')}"
    return next(action.dest for action in parser._actions if option in action.option_strings)


def _overruled(parser: argparse.ArgumentParser, argv: Sequence[str]) -> set[str]:
    """Options of the file that exclude one on the command line."""
    given = {argument.split("=")[0] for argument in argv}
    return {
        action.dest
        for group in parser._mutually_exclusive_groups
        if any(given & set(action.option_strings) for action in group._group_actions)
        for action in group._group_actions
    }


def _config_file(argv: list[str]) -> str | None:
    for index, argument in enumerate(argv):
        if argument == OPTION and index + 1 < len(argv):
            return argv[index + 1]
        if argument.startswith(OPTION + "="):
            return argument.removeprefix(OPTION + "=")
    return None


def _read(path: Path) -> dict[str, Any]:
    found = read_yaml(path)
    if not isinstance(found, dict):
        raise InputError(
            f"the configuration {path} holds a {type(found).__name__}, not options with values",
            "options are found by their names",
            "write one `option: value` on each line",
        )
    return {str(key): value for key, value in found.items()}


def _as_arguments(values: dict[str, Any], parser: argparse.ArgumentParser, name: str) -> list[str]:
    options = {
        option.removeprefix("--"): action
        for action in parser._actions  # argparse has no public list of them
        for option in action.option_strings
        if option.startswith("--") and option not in (OPTION, "--help")
    }
    arguments: list[str] = []
    for key, value in values.items():
        spelled = key.replace("_", "-")
        if spelled not in options:
            raise _unknown(key, list(options), name)
        elif options[spelled].nargs == 0:
            arguments += _flag(key, value, name)
        else:
            # A list of lists is an option given several times, and a list for one that takes a value each time.
            alone = isinstance(options[spelled], argparse._AppendAction) and options[spelled].nargs is None
            several = isinstance(value, list) and bool(value) and all(alone or isinstance(item, list) for item in value)
            for one in value if several else [value]:
                arguments += [f"--{spelled}", *(str(x) for x in (one if isinstance(one, list) else [one]))]
    return arguments


def _flag(key: str, value: Any, name: str) -> list[str]:
    if not isinstance(value, bool):
        raise InputError(
            f"{key} is {value!r} in {name}", "it is switched on or off", f"write `{key}: true`, or leave it out"
        )
    return [f"--{key.replace('_', '-')}"] if value else []


def _unknown(key: str, known: list[str], name: str) -> InputError:
    near = difflib.get_close_matches(key.replace("_", "-"), known, n=1, cutoff=0.5)
    return InputError(
        f"{name} has the unknown option {key!r}",
        "a mistyped option would be left out unseen",
        f"did you mean {near[0]!r}?" if near else f"known options are {', '.join(sorted(known))}",
    )
