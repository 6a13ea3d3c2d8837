"""`ase-phonax train`: a potential from labelled structures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .parser import add_command

if TYPE_CHECKING:
    from .parser import Commands

_DESCRIPTION = """\
Train a potential on energies, forces, stresses and second derivatives. The configuration is a YAML file;
unknown keys are refused. Second derivatives cost little: each step uses one product with a random direction.
"""

_EPILOG = """\
examples:
  ase-phonax train --template > config.yaml     a configuration to start from
  ase-phonax train config.yaml                  until the last epoch, or until validation stops improving
  ase-phonax train config.yaml --resume         after any interruption, with the same result to the last bit

See docs/training.md for every setting.
"""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    add_command(commands, "train", _add_arguments, _DESCRIPTION, help="train a potential", epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from . import training_runs

    training_runs.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    from . import training_runs

    def start(*inputs: Any, **options: Any) -> Any:
        from ..training import train

        return train(*inputs, **options)

    return training_runs.run(arguments, start)
