"""`ase-phonax serve`: the same in a browser of this machine."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import InputError
from . import conductivity, elastic, expansion, gruneisen, loading, molecule, phonons, qha
from .arguments import add_options, settings_of
from .config import add_config
from .parser import add_command

if TYPE_CHECKING:
    from ..web.serving.forms import Offer
    from .arguments import StudyCommand
    from .parser import Commands

_COMMANDS = (phonons, elastic, gruneisen, qha, expansion, conductivity, molecule)
_ENTRANCE = ".open.html"
_DESCRIPTION = """\
Open a page of this machine in which structures are uploaded or pasted, computed with the options of the commands,
and looked at: bands and modes that move, tables, files. It answers on 127.0.0.1 alone, to the address that is printed.
Needs Starlette: pip install "ase-phonax[serve]"
"""
_EPILOG = """\
Each run is the command itself, in a folder of its own; runs are computed one after the other, and shown again the
next time. Ctrl-C ends the application, and what runs.

examples:
  ase-phonax serve --open
  ase-phonax serve --screening screening      with the table of a screening
"""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    words = "a page of this machine: upload, compute, look"
    add_command(commands, "serve", _add_arguments, _DESCRIPTION, help=words, epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..web.serving.settings import ServingSettings

    add_options(parser, ServingSettings)
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from ..base.claims import claimed_folder
    from ..web.serving.settings import ServingSettings

    settings = settings_of(ServingSettings, arguments)
    try:
        from ..web.serving.application import serve
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed", "it answers the browser", 'pip install "ase-phonax[serve]"'
        ) from error
    from ..web.serving.runs import Runs
    from ..web.serving.screened import Screened

    for model in settings.model:
        loading.check_model(model)
    screened = Screened(settings.screening) if settings.screening is not None else None
    with claimed_folder(settings.folder):
        runs = Runs(settings.folder.resolve(), settings.longest, settings.most_waiting)
        try:
            told = partial(_told, opens=settings.open, folder=settings.folder)
            serve(runs, _offers(), _models(settings.model), screened, settings, told)
        except KeyboardInterrupt:  # the way to end it
            pass
        finally:
            runs.close()
            (settings.folder / _ENTRANCE).unlink(missing_ok=True)
    return 0


def _offers() -> list[Offer]:
    from ..web.serving.forms import Offer

    return [
        Offer(command.name, command.help, _settings(command), _default_model(command))
        for command in (module.COMMAND for module in _COMMANDS)
    ]


def _settings(command: StudyCommand) -> tuple[type, ...]:
    from .options import CifOptions, IsotopeOptions

    own = command.settings()[0]
    return (own, CifOptions, IsotopeOptions) if command.from_cif else (own, IsotopeOptions)


def _default_model(command: StudyCommand) -> str:
    from ..models.registry import DEFAULT

    return command.default_model() or DEFAULT


def _models(files: tuple[str, ...]) -> list[str]:
    """Names of models that are on this machine and have energies, and the files given."""
    from ..models.registry import BOTH, CRYSTALS, MOLECULES, list_models

    named = [c.name for c in list_models() if c.purpose in (CRYSTALS, MOLECULES, BOTH) and os.path.exists(c.location)]
    return [*named, *(os.path.abspath(name) if os.path.exists(name) else name for name in files)]


def _told(url: str, opens: bool, folder: Path) -> None:
    print(f"{url}\n(Ctrl-C ends it; whoever has this address may use it)", flush=True)
    if not opens:
        return
    import webbrowser

    # Command lines of browsers are seen by all users of a machine: they get the name of a file that leads there.
    entrance = (folder / _ENTRANCE).resolve()
    entrance.unlink(missing_ok=True)
    with open(os.open(entrance, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><a href="{url}">ase-phonax</a>')
    if not webbrowser.open(entrance.as_uri()):
        print("no browser could be opened: copy the address", file=sys.stderr)
