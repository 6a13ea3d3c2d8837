"""What the results of a command line came from."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any


def provenance(arguments: argparse.Namespace, files: Iterable[Any], model: Any = None) -> dict[str, Any]:
    """Date, command, versions and checksums, in built-in types.

    Args:
        arguments: of the command line; `main` keeps there what was typed.
        files: read by the command: structures, data, configurations; "run.xyz@3" is the file run.xyz.
        model: name or file of the model that was used; None where there is none.
    """
    from ..studies import provenance as of_studies

    return of_studies.provenance(command_of(arguments), files, model)


def command_of(arguments: argparse.Namespace) -> str:
    """The command as a shell would take it."""
    import shlex

    return shlex.join(["ase-phonax", *getattr(arguments, "typed", ())])


def read_files(arguments: argparse.Namespace) -> list[Any]:
    """Names of the files that a command on a single structure was given."""
    from ..studies.charges import WORDS

    names = ("structure", "born", "config", "measured_infrared", "measured_raman")
    given = {name: getattr(arguments, name, None) for name in names}
    if str(given["born"]) in WORDS:
        del given["born"]
    return [file for file in given.values() if file is not None]
