"""`ase-phonax fine-tune`: train on from an existing model."""

from __future__ import annotations

import argparse
import sys
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

Or correct a model by spectra: `--spectrum benzene.yaml` trains until its frequencies are those lines, while energies
and forces of other structures stay (`--replay`; small molecules by default). Needs no configuration; `--spectrum` with
`--template` prints what could be in one, and in a list of lines.
"""

_EPILOG = "To keep what a model knows, mix in frames it has labelled itself: see docs/training.md."


def add_parser(commands: Commands) -> None:
    """Register the command."""
    add_command(commands, "fine-tune", _add_arguments, _DESCRIPTION, help="train on from a model", epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from . import training_runs

    parser.add_argument("model", metavar="MODEL", help="a name listed by `ase-phonax models`, or a model file")
    training_runs.add_arguments(parser)
    group = parser.add_argument_group("spectra")
    group.add_argument("--spectrum", metavar="LINES.yaml", nargs="*", help="learn these lines")
    group.add_argument("--replay", metavar="FILE", nargs="+", help="structures whose energies and forces are to stay")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train on."""
    from . import spectral_tuning, training_runs

    if arguments.spectrum is not None:
        return spectral_tuning.run(arguments)
    if arguments.replay:
        print(
            "error: --replay keeps what a model knows while it learns a --spectrum, and none is given", file=sys.stderr
        )
        return 2

    def start(*inputs: Any, **options: Any) -> Any:
        from ..training import fine_tune

        return fine_tune(arguments.model, *inputs, **options)

    return training_runs.run(arguments, start, training_runs.FINE_TUNING_TEMPLATE)
