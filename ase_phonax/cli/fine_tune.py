"""`ase-phonax fine-tune`: train on from an existing model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .parser import add_command

if TYPE_CHECKING:
    from .parser import Commands

_DESCRIPTION = """\
Train on from any model that can be loaded, Nequix checkpoints included. The network is the model's; of the
configuration's sections, `network` has to be left out and `fine_tune` says what keeps its value (`--template`):

  fine_tune:
    frozen: ["layer_0/*", "*/radial_*"]   # names module/array, with wildcards
    energies: shift                       # move reference energies to the level of the labels first
"""

_EPILOG = "To keep what a model knows, mix in frames it has labelled itself: see docs/training.md."


def add_parser(commands: Commands) -> None:
    """Register the command."""
    add_command(commands, "fine-tune", _add_arguments, _DESCRIPTION, help="train on from a model", epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from . import training_runs

    parser.add_argument("model", metavar="MODEL", help="a name listed by `ase-phonax models`, or a model file")
    training_runs.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train on."""
    from . import training_runs

    def start(*inputs: Any, **options: Any) -> Any:
        from ..training import fine_tune

        return fine_tune(arguments.model, *inputs, **options)

    return training_runs.run(arguments, start, training_runs.FINE_TUNING_TEMPLATE)
