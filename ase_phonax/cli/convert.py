"""`ase-phonax convert`: a PyTorch model into a file of plain numbers."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from .parser import add_command

if TYPE_CHECKING:
    from .parser import Commands

_DESCRIPTION = """\
Read a model of PyTorch and write it as a model file of this package, which needs no PyTorch and cannot run code:
MACE's (.model), SevenNet's (.pth) or NequIP's (.ckpt, .nequip.zip).

Of all but MACE's, numbers alone are read: they need neither PyTorch nor trust, and can be used as they are as well.
A .model file is a pickle: opening it runs whatever code its writer put into it, with your rights. It is opened only
with --trust, and --trust means trust: what the file names is looked at before, which stops accidents and clumsy
attacks, but not a file that was made to harm. Convert only what you have from those who published it.
Needs torch and mace-torch: pip install ".[mace]" in the checkout of ase-phonax.
"""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    words = "turn a PyTorch model into a file of plain numbers"
    add_command(commands, "convert", _add_arguments, _DESCRIPTION, help=words)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    parser.add_argument("model", metavar="MODEL", help="the PyTorch model, or a name of `ase-phonax models`")
    parser.add_argument("output", metavar="OUT.h5", type=Path, help="the file to write")
    parser.add_argument(
        "--trust", action="store_true", help="I trust where MODEL comes from: it may run any code, with my rights"
    )
    parser.add_argument("--head", metavar="NAME", help="which head, where there are several")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.h5 if it exists")
    group = parser.add_argument_group("what is written into the file, and into every summary of results")
    group.add_argument("--name", help="of the model (default: that of the file)")
    group.add_argument("--theory", metavar="TEXT", help="level of theory, such as PBE+U")
    group.add_argument("--training-set", metavar="TEXT", help="what it was trained on")
    group.add_argument("--licence", metavar="TEXT", help="of the weights; several public ones are academic only")
    group.add_argument("--citation", metavar="TEXT", help="beside that of the architecture")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert; say what came out."""
    import dataclasses

    from ..base.errors import InputError, OutputError
    from ..models.files.mace_checkpoint import read_mace
    from ..models.files.native import SUFFIX, save_model
    from ..models.loading import FROM_PYTORCH, READERS
    from ..models.registry import find_card, find_model
    from ..studies.notes import collected_warnings

    if arguments.output.suffix.lower() != SUFFIX:
        raise InputError(
            f"{arguments.output} does not end in {SUFFIX}", "models are recognised by it", f"name it *{SUFFIX}"
        )
    if os.path.lexists(arguments.output) and not arguments.overwrite:
        raise OutputError(f"{arguments.output} exists", "it would be lost", "choose another name or add --overwrite")
    with collected_warnings() as notes:
        card, path = find_card(arguments.model), find_model(arguments.model)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    ending = path.suffix.lower()
    if ending in READERS and ending not in FROM_PYTORCH:
        raise InputError(
            f"{arguments.model} is a model that can be used already",
            "only PyTorch models need to be converted",
            f"name it as it is: --model {arguments.model}",
        )
    if ending in FROM_PYTORCH:
        _refuse_head(arguments)
        potential = READERS[ending](path)
    else:
        potential = read_mace(path, trust=arguments.trust, head=arguments.head)
    citation = arguments.citation or (card and card.citation)
    # A card tells of the head that its authors recommend, not of others.
    theory = card.level_of_theory if card and not arguments.head else None
    name = card.name + (f", {arguments.head}" if arguments.head else "") if card else potential.name
    given: dict[str, Any] = {
        "level_of_theory": arguments.theory or theory,
        "training_set": arguments.training_set or (card and card.training_set),
        "licence": arguments.licence or (card and card.licence),
        "citation": citation and f"{potential.provenance.citation}; {citation}",
    }
    provenance = dataclasses.replace(potential.provenance, **{k: v for k, v in given.items() if v})
    potential = dataclasses.replace(potential, name=arguments.name or name, provenance=provenance)
    save_model(potential, arguments.output, overwrite=arguments.overwrite)
    print(
        f"{arguments.output}: {potential.name}, {len(potential.numbers)} elements, {potential.n_layers} layers, cutoff "
        f"{potential.cutoff:g} Å, {potential.n_parameters:,} parameters"
    )
    return 0


def _refuse_head(arguments: argparse.Namespace) -> None:
    """Refuse a head where there is one network."""
    from ..base.errors import InputError

    if arguments.head:
        raise InputError(
            f"the head {arguments.head!r} was named, and {arguments.model} has none",
            "heads belong to MACE models of several levels of theory",
            "leave --head out",
        )
