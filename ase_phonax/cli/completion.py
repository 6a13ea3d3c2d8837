"""`ase-phonax completion`: what makes a shell complete commands, options and names of files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..base.errors import InputError
from .parser import add_command

if TYPE_CHECKING:
    from .parser import Commands

SHELLS = ("bash", "zsh")
_DESCRIPTION = """\
Print a script for a shell, which then completes commands, options and names of files. For bash:

  ase-phonax completion bash > ~/.local/share/bash-completion/completions/ase-phonax
"""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    words = "a script that makes a shell complete commands and options"
    add_command(commands, "completion", _add_arguments, _DESCRIPTION, help=words)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="that is to complete")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ImportError as error:
        raise InputError(
            "the package shtab is not installed",
            "it writes the scripts of shells",
            'pip install "ase-phonax[completion]"',
        ) from error
    from . import _parser

    print(shtab.complete(_parser()[0], shell=arguments.shell))
    return 0
