"""The command `ase-phonax`: one file per subcommand, nothing heavy imported before one runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from .. import __version__
from ..base.errors import OutputError, PhonaxError, in_words, is_failure
from . import (
    completion,
    conductivity,
    convert,
    dos,
    elastic,
    evaluate,
    expansion,
    fine_tune,
    gruneisen,
    label,
    models,
    molecule,
    phonons,
    qha,
    screen,
    serve,
    train,
)
from .config import apply_config
from .interruption import stopped_by_signals
from .parser import Parser, parse
from .wording import error_as_typed

_COMMANDS = (
    *(phonons, dos, elastic, conductivity, gruneisen, qha, expansion, molecule, screen, serve),
    *(train, fine_tune, evaluate, label, models, convert, completion),
)
_INTERRUPTED = (130, 143)  # 128 + SIGINT, 128 + SIGTERM

_DESCRIPTION = """\
Exact phonons from machine-learned potentials: a structure in, second derivatives by automatic
differentiation, no displacements to choose, everything in files that phonopy and ASE read.
"""

_EPILOG = """\
examples:
  ase-phonax models                                  what potentials there are
  ase-phonax phonons NaCl.cif                        relax, bands, densities of states, heat
  ase-phonax phonons POSCAR --model my.h5 --supercell 4 4 4
  ase-phonax dos thousands.extxyz                    densities of states, milliseconds each
  ase-phonax elastic NaCl.cif                        elastic constants, moduli, sound
  ase-phonax conductivity NaCl.cif                   lattice thermal conductivity, with phono3py
  ase-phonax screen crystals.extxyz                  phonons of thousands, into a database
  ase-phonax serve --open                            the same on a page of this machine
  ase-phonax molecule water.xyz                      normal modes, their symmetry and activity
  ase-phonax convert MACE.model mace.h5 --trust      a PyTorch MACE model into plain numbers
  ase-phonax train config.yaml                       a potential from labels, second derivatives included

exit codes:
  0    done; an unstable crystal is a result, not an error
  1    an unexpected error: please report it with the traceback
  2    the command line, a structure or an option cannot be used
  3    the model is missing, damaged or of a kind that is not read
  4    the structure did not relax
  5    results cannot be written where they were asked for
  6    training met numbers that are not finite
  130  interrupted (Ctrl-C; 143 where terminated); nothing half-written is left
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (see `ase-phonax --help`).

    Args:
        argv: arguments without the program's name; those of the process unless given.
    """
    _streams_that_take_anything()
    code = _printed(_run(argv))
    if argv is None and code in _INTERRUPTED:
        # Interrupted in the middle of a computation, JAX's threads may crash a regular shutdown.
        os._exit(code)
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        with stopped_by_signals():
            parser, commands = _begun_parser()
            given = sys.argv[1:] if argv is None else argv
            apply_config(given, commands.__getitem__)
            arguments = parse(parser, commands, given)
            from .places import check_places  # not for a help text

            check_places(arguments)
            arguments.typed = list(given)
            return arguments.run(arguments)
    except SystemExit as stop:  # argparse: --help, --version; or a signal
        return stop.code if isinstance(stop.code, int) else 2
    except PhonaxError as error:
        print(f"error: {error_as_typed(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        print(f"interrupted; {str(error) or 'no results were written'}", file=sys.stderr)
        return _INTERRUPTED[0]
    except BrokenPipeError:  # the reader, such as `head`, has left
        return 0
    except BaseException as error:
        if not is_failure(error):
            raise
        if isinstance(error, OSError) and not _takes_more(sys.stdout):
            return _output_lost(error)
        import traceback

        traceback.print_exc()
        print(f"unexpected error: {in_words(error)}", file=sys.stderr)
        return 1


def _parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of the commands, with all their options."""
    parser, commands = _begun_parser()
    for command in commands.values():
        command.filled()
    return parser, commands


def _begun_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and those of the commands, whose options come when one of them is asked for."""
    parser = Parser(
        prog="ase-phonax",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ase-phonax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser, dict(commands.choices)


def _printed(code: int) -> int:
    """Write out what is still on its way to the terminal, a pipe or a file; results are in their place by now.

    Returns:
        `code`; that of an OutputError instead of 0 where standard output takes no more, but for a reader that left.
    """
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except BrokenPipeError:
            _discard(stream)
        except OSError as error:
            if stream is sys.stdout:
                return code or _output_lost(error)
    return code


def _output_lost(error: OSError) -> int:
    _discard(sys.stdout)
    print(f"error: standard output cannot be written: {error.strerror}", file=sys.stderr)
    return OutputError.exit_code


def _takes_more(stream: TextIO) -> bool:
    try:
        print(file=stream, flush=True)
    except OSError:
        return False
    return True


def _discard(stream: TextIO) -> None:
    """Lead a stream nowhere: the flush at the end of the process would fail again, and say so in its own way."""
    with suppress(OSError, ValueError):  # a stream of a test, which has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        stream.flush()


def _streams_that_take_anything() -> None:
    """Let a terminal that cannot print Γ or Å get a question mark, and a closed one nothing, after a long run."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the life of the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
