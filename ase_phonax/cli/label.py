"""`ase-phonax label`: structures labelled by a model, for training another."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..base.errors import StructureError
from .arguments import add_calculator, add_reporting, load_calculator, reporting
from .config import add_config
from .parser import add_command
from .provenance import command_of
from .wording import as_typed

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from ..training.labels.teacher import LabelRecipe
    from .parser import Commands

_DESCRIPTION = """\
Relax structures with a model, perturb them, and write energies, forces, stresses and second derivatives: labels from
which another model learns. Calculators of other packages (`--calculator`) give second derivatives by displacements,
those of the whole cell at q = 0. One HDF5 file for each structure, so that a second start goes on where the first was
stopped; a structure that fails is noted in failures.csv and left out. Train on `FOLDER/frames/*.h5`.
"""

_EPILOG = """\
The perturbations are a YAML file; these are the default:

  relax: true
  fmax: 0.001        # eV/Å
  smax: 0.0001       # eV: volume x stress / number of atoms
  max_atoms: 100     # larger repeats are left out
  seed: 0
  perturbations:     # noise in Å on every component of positions and cell vectors; wave vectors of D(q)
    - {waves: 4}
    - {positions: 0.1, count: 2}
    - {positions: 0.1, cell: 0.05, count: 2}
    - {repeat: 2, positions: 0.1}
    - {repeat: 2, positions: 0.1, cell: 0.05}
"""


INTERRUPTED = 130  # 128 + SIGINT


def add_parser(commands: Commands) -> None:
    """Register the command."""
    words = "label structures with a model, to train another"
    add_command(commands, "label", _add_arguments, _DESCRIPTION, help=words, epilog=_EPILOG)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from pathlib import Path

    parser.add_argument(
        "structures", metavar="STRUCTURES", nargs="+", help="files that ASE reads, all their structures"
    )
    add_calculator(parser, "phonax-small, itself an imitation")
    parser.add_argument("--recipe", metavar="FILE.yaml", type=Path, help="relaxation and perturbations; see below")
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one for each core)")
    output = parser.add_argument_group("output")
    output.add_argument("--output", metavar="FOLDER", type=Path, default=Path("labels"), help="default: %(default)s")
    output.add_argument("--overwrite", action="store_true", help="remove the labels in that folder first")
    add_reporting(parser)
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Label what is not labelled yet."""
    with reporting(arguments) as watch:
        with watch.section("imports"):
            from ..models.registry import DEFAULT
            from ..studies.labelling import frame_files, label_structures
            from ..studies.notes import collected_warnings
            from ..studies.provenance import Origin
            from .terminal import print_report

        recipe = _recipe(arguments.recipe)
        with watch.section("model"), collected_warnings() as notes:
            calc = load_calculator(arguments)
        if not arguments.quiet:
            for note in notes:
                print(f"note: {note}", file=sys.stderr)
        with watch.section("structures"):
            names, structures = _structures(arguments.structures)
        settings = [name for name in (arguments.recipe, arguments.config) if name is not None]
        other = arguments.calculator
        origin = Origin(
            model=other or arguments.model,
            model_file=None if other else arguments.model or DEFAULT,
            command=command_of(arguments),
            files=(*arguments.structures, *settings),
            dtype=None if other else arguments.dtype,
        )
        try:
            study = label_structures(
                structures,
                calc,
                arguments.output,
                recipe,
                names=names,
                n_workers=arguments.workers or None,
                overwrite=arguments.overwrite,
                watch=watch,
                origin=origin,
            )
        except KeyboardInterrupt:
            n_labelled = sum(path.exists() for path in frame_files(structures, arguments.output))
            again = "the same command without --overwrite" if arguments.overwrite else "the same command"
            words = f"{n_labelled} of {len(structures)} structures are labelled, and {again} labels the rest"
            print(f"interrupted; {words}", file=sys.stderr)
            watch.note("interrupted", {"n_structures": len(structures), "n_labelled": n_labelled})
            return INTERRUPTED
        watch.note("results", study.to_dict())
        if not arguments.quiet:
            print_report(study.report())
        elif study.failures:
            failed = f"{len(study.failures)} of {len(structures)} structures could not be labelled"
            _, _, each = study.report().text(words=as_typed).partition("\n")
            print(f"error: {failed}\n{each}", file=sys.stderr)
    return 0 if len(study.failures) < len(structures) else StructureError.exit_code


def _recipe(path: Path | None) -> LabelRecipe:
    from ..base.settings import build, read_yaml
    from ..training.labels.teacher import LabelRecipe

    return LabelRecipe() if path is None else build(LabelRecipe, read_yaml(path), str(path))


def _structures(files: list[str]) -> tuple[list[str], list[Atoms]]:
    """All structures of the files, and where each comes from.

    Raises:
        StructureError: they hold none, or one cannot be read.
    """
    from ..structures.files import read_structures

    named = [(f"{name}@{k}", atoms) for name in files for k, atoms in enumerate(read_structures(name))]
    if not named:
        raise StructureError(
            f"{', '.join(files)} hold no structure", "there is nothing to label", "check how the files were written"
        )
    return [name for name, _ in named], [atoms for _, atoms in named]
