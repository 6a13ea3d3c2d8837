"""`--config FILE.yaml`: every option of a command in a file, the command line having the last word."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from ..base.errors import InputError
from .parser import Parser

OPTION = "--config"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument_group("configuration").add_argument(
        OPTION,
        metavar="FILE.yaml",
        help="options of this command by their names, such as `tolerance: 0.02`; those on the command line count more",
    )


def apply_config(argv: Sequence[str], parser_of: Callable[[str], Parser]) -> None:
    """Make the options of a configuration file the defaults of a command's parser.

    Args:
        argv: arguments, the command first.
        parser_of: command -> its parser; KeyError for an unknown one.

    Raises:
        InputError: the file cannot be read, is no mapping, or has an unknown key or a value that does not fit.
    """
    # Most command lines name no file, and need not be looked at twice.
    if not any(word.startswith("--c") for word in argv):
        return
    try:
        parser = parser_of(argv[0]).filled()
    except KeyError:
        return  # `parser.parse` says what is wrong with the command
    name = _config_file(parser, argv)
    if name is None:
        return
    values = _read(name)
    arguments = _as_arguments(values, parser, name)
    # argparse does the conversions and refuses what it would refuse on the command line.
    positional = ["-"] * sum(not action.option_strings for action in parser._actions)
    with parser.reading(f"the configuration {name}"):
        parsed = vars(parser.parse_args([*positional, *arguments]))
    chosen = {_destination(parser, key) for key in values} - _overruled(parser, argv)
    parser.set_defaults(**{key: parsed[key] for key in chosen})


def _destination(parser: Parser, key: str) -> str:
    option = f"--{key.replace('_', '-')}"
    return next(action.dest for action in parser._actions if option in action.option_strings)


def _overruled(parser: Parser, argv: Sequence[str]) -> set[str]:
    """Names of the options that exclude one on the command line, which counts more."""
    given = {parser.spelled_out(word) for word in argv}
    return {
        action.dest
        for group in parser._mutually_exclusive_groups
        if any(given & set(action.option_strings) for action in group._group_actions)
        for action in group._group_actions
    }


def _config_file(parser: Parser, argv: Sequence[str]) -> str | None:
    """The file that the last `--config`, which may be abbreviated, names."""
    name = None
    for index, word in enumerate(argv):
        if parser.spelled_out(word) == OPTION:
            _, equals, value = word.partition("=")
            name = value if equals else argv[index + 1] if index + 1 < len(argv) else name
    return name


def _read(path: str) -> dict[str, Any]:
    from ..base.settings import read_yaml

    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(
            f"the configuration {path} holds a {type(content).__name__}, not options with values",
            "options are found by their names",
            "write one `option: value` on each line",
        )
    return {str(key): value for key, value in content.items()}


def _as_arguments(values: dict[str, Any], parser: Parser, name: str) -> list[str]:
    """The words that would say the same on the command line."""
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
    from difflib import get_close_matches

    near = get_close_matches(key.replace("_", "-"), known, n=1, cutoff=0.5)
    return InputError(
        f"{name} has the unknown option {key!r}",
        "a mistyped option would be left out unseen",
        f"did you mean {near[0]!r}?" if near else f"known options are {', '.join(sorted(known))}",
    )
