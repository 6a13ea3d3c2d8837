"""The skeleton of every command that runs a study.

A command is a value of `StudyCommand`: its words, the settings of its study, and the module of `studies` that has
`prepare`, `compute` and `STUDY`. Options, help, defaults and checks are made from the settings (`add_options`), and so
are the keys of `--config` files, which `config` asks the parser for; every command has `--output`, `--overwrite`,
`--quiet`, `--log` and `--config`. `StudyCommand.run` does what all of them do between typing and reading:

    settings -> structure and checks -> the folder is claimed -> model, study, files -> log, table

A command that is no study of one structure takes the parts it needs: `add_options` for a class of settings and
`settings_of` for their values, `add_calculator` with `load_calculator`, `add_reporting` with `reporting`,
`add_config`. What belongs to no study is a class of settings in `options`.

The help on all commands imports this module, so it imports nothing that takes time, and no settings.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from . import loading
from .config import add_config
from .parser import add_command
from .provenance import command_of, read_files

if TYPE_CHECKING:
    from dataclasses import Field
    from pathlib import Path

    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..studies.options import Option, Settings
    from ..studies.provenance import Origin
    from ..studies.watch import Watch
    from .parser import Commands

    SettingsOf = TypeVar("SettingsOf", bound=Settings)


_PAGE = "report.html"

# ---- options made from settings ----------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser, *settings: type[Settings], **words: str) -> None:
    """Add an option for every field of these settings, under the headings that they name; none is added twice.

    Args:
        words: what stands in braces in a help text.
    """
    from ..studies.options import options_of

    groups: dict[str, Any] = {str(group.title): group for group in parser._action_groups}
    either: dict[str, Any] = {}
    known = {action.dest for action in parser._actions}
    for one in settings:
        for field, setting in options_of(one):
            if field.name in known:
                continue
            known.add(field.name)
            group = groups.get(setting.group) or groups.setdefault(
                setting.group, parser.add_argument_group(setting.group)
            )
            if setting.either:
                group = either.get(setting.either) or either.setdefault(
                    setting.either, group.add_mutually_exclusive_group()
                )
            _add(group, field, setting, words)


def _add(group: Any, field: Field[Any], setting: Option, words: dict[str, str]) -> None:
    name = f"--{field.name.replace('_', '-')}"
    text = setting.help.format(**words) if words else setting.help
    if setting.kind is None:
        group.add_argument(name, action="store_true", help=text)
        return
    how: dict[str, Any] = {"default": field.default, "help": text}
    if setting.metavar is not None:
        how["metavar"] = setting.metavar
    if setting.n_values is not None:
        how["nargs"] = setting.n_values
    if setting.unnamed is not None:
        how |= {"nargs": "?", "const": setting.unnamed}
    if setting.repeated:
        how["action"] = "append"
    if setting.choices:
        how["choices"] = setting.choices
    else:
        how["type"] = argument_type(setting.kind)
    group.add_argument(name, **how)


def argument_type(kind: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A kind of value as a type of argparse, which shows the words of its error."""
    from ..studies.options import Unfit

    def of_text(text: str) -> Any:
        try:
            return kind(text)
        except Unfit as error:
            raise argparse.ArgumentTypeError(f"{error}{error.typed}") from None

    return of_text


def settings_of(kind: type[SettingsOf], arguments: argparse.Namespace) -> SettingsOf:
    """The settings that a command line has given.

    Raises:
        InputError: values that make no sense together.
    """
    from ..studies.options import options_of

    return kind(**{field.name: getattr(arguments, field.name) for field, _ in options_of(kind)})


def add_calculator(parser: argparse.ArgumentParser, default: str = "the first of that list") -> None:
    """Add the options of the calculator: of a model, or of another package.

    Args:
        default: which model is taken where none is named, for the help.
    """
    from .options import CalculatorOptions, OtherCalculatorOptions

    add_options(parser, CalculatorOptions, default=default)
    add_options(parser, OtherCalculatorOptions)


def load_calculator(arguments: argparse.Namespace, default_model: str | None = None) -> PhonaxCalculator:
    """The calculator that a command line asks for.

    Raises:
        ModelError, InputError: as `loading.load_calculator`.
    """
    asked = calculator_arguments(arguments)
    if arguments.calculator is not None:
        return cast("PhonaxCalculator", loading.other_calculator(arguments))
    loading.refuse_idle_options(arguments)
    return loading.load_calculator(asked.pop("model", default_model), **asked)


def calculator_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `PhonaxCalculator` that a command line gives, by name; what it leaves open is left out."""
    from .options import CalculatorOptions

    asked = settings_of(CalculatorOptions, arguments).to_dict()
    return {name: value for name, value in asked.items() if value is not None}


def add_reporting(parser: argparse.ArgumentParser) -> None:
    """Add `--quiet` and `--log`."""
    from .options import ReportingOptions

    add_options(parser, ReportingOptions)


@contextmanager
def reporting(arguments: argparse.Namespace) -> Iterator[Watch]:
    """A watch that shows progress unless `--quiet`, and writes `--log`."""
    from .log import logging_to
    from .progress import TerminalWatch, without_progress

    watch = TerminalWatch()
    with logging_to(arguments.log, watch), without_progress(arguments.quiet):
        yield watch


# ---- a command ---------------------------------------------------------------------------------------


class StudyCommand(NamedTuple):
    """A command that runs a study of one structure.

    Attributes:
        name: of the command, and the ending of its folder.
        study: module in `studies`; it is imported when the command runs. It has

            prepare(atoms, settings, cutoff, name) -> prepared: refuses whatever can be refused before anything long is
                computed; `cutoff()` is that of the model, loaded for it
            compute(prepared, run) -> Study
            STUDY: the class of its results, which knows the names of their files

        settings: gives the class of those of the study; behind it, classes of a part of them, whose options come first
            in the help. A function, since the help on all commands needs no settings.
        help, description, epilog: of the command.
        from_cif: whether structures may come from CIF files, which have an option of their own.
        metavar, structure_help: of the structure.
        model_help: which model is the default.
        default_model: its name, by a function, since the list of models is not imported for a help text.
        aliases: other names.
    """

    name: str
    study: str
    settings: Callable[[], tuple[type[Settings], ...]]
    help: str
    description: str
    epilog: str
    from_cif: bool = True
    metavar: str = "STRUCTURE"
    structure_help: str = "file of any format ASE reads (POSCAR, CIF, extxyz, ...)"
    model_help: str = "the first of that list"
    default_model: Callable[[], str | None] = lambda: None
    aliases: tuple[str, ...] = ()

    def add_parser(self, commands: Commands) -> None:
        """Register the command."""
        words: dict[str, Any] = {"help": self.help, "epilog": self.epilog, "aliases": list(self.aliases)}
        add_command(commands, self.name, self._add_arguments, self.description, **words)

    def _add_arguments(self, parser: argparse.ArgumentParser) -> None:
        from .options import CifOptions, IsotopeOptions, OutputOptions, PageOptions

        settings, *first = self.settings()
        files = (CifOptions, IsotopeOptions) if self.from_cif else (IsotopeOptions,)
        parser.add_argument("structure", metavar=self.metavar, help=self.structure_help)
        add_calculator(parser, self.model_help)
        add_options(parser, *first, *files, settings)
        add_options(parser, OutputOptions, suffix=self.name)
        add_options(parser, PageOptions)
        add_reporting(parser)
        add_config(parser)
        parser.set_defaults(run=self.run, output_suffix=self.name)

    def run(self, arguments: argparse.Namespace) -> int:
        """Compute, write and print."""
        from dataclasses import replace
        from functools import cache

        from ..phonons.finite_differences import cutoff_of
        from ..studies.notes import collected_warnings
        from ..studies.output import atomic_directory, kept_parts, output_directory, writing
        from ..studies.study import Run
        from .terminal import print_report

        output = arguments.output = output_directory(arguments.structure, arguments.output, self.name)
        with reporting(arguments) as watch:
            settings = settings_of(self.settings()[0], arguments)
            with watch.section("imports"):
                study = import_module(f"..studies.{self.study}", __package__)
            with collected_warnings() as notes:
                load = cache(lambda: self._load(arguments, watch))
                with watch.section("structure"):
                    atoms = _read(arguments)
                    prepared = study.prepare(atoms, settings, lambda: cutoff_of(load()), arguments.structure)
                own_files = (*study.STUDY.OWN_FILES, _PAGE)
                place = atomic_directory(output, overwrite=arguments.overwrite, own_files=own_files)
                with place as folder, _told_of(kept_parts(output)) as keep:
                    run = Run(load(), settings, watch, self._origin(arguments), notes, keep)
                    results = study.compute(prepared, run)
                    with watch.section("files"), watch.progress("pictures and files"), writing(output):
                        results.write_into(folder)
                        if arguments.page:
                            from ..web import write_page

                            write_page(results, folder / _PAGE, load())
            results = replace(results, timings_s=watch.rounded())
            watch.note("results", {"folder": str(output), **results.to_dict()})
            if not arguments.quiet:
                report = results.report(output)
                if arguments.page:
                    report.paragraph(f"{_PAGE}, for a browser")
                print_report(report)
        return 0

    def _load(self, arguments: argparse.Namespace, watch: Watch) -> PhonaxCalculator:
        with watch.section("model"), watch.progress("loading the model"):
            return load_calculator(arguments, self.default_model())

    def _origin(self, arguments: argparse.Namespace) -> Origin:
        from ..models.registry import DEFAULT
        from ..studies.provenance import Origin

        other = getattr(arguments, "calculator", None)
        return Origin(
            structure=arguments.structure,
            model=other or arguments.model,
            model_file=None if other else arguments.model or self.default_model() or DEFAULT,
            command=command_of(arguments),
            files=tuple(read_files(arguments)),
            dtype=None if other else arguments.dtype,
        )


@contextmanager
def _told_of(parts: AbstractContextManager[Path]) -> Iterator[Path]:
    """A folder for parts, of which the user is told where they outlive an interruption."""
    from ..base.errors import OutputError, PhonaxError

    with parts as folder:
        try:
            yield folder
        except (KeyboardInterrupt, SystemExit, PhonaxError) as error:
            if isinstance(error, PhonaxError) and not isinstance(error, OutputError):
                shutil.rmtree(folder, ignore_errors=True)  # of what is refused nothing is asked again
            if folder.is_dir():
                print(
                    f"what was found so far is kept in {folder}: the same command goes on from there", file=sys.stderr
                )
            raise


def _read(arguments: argparse.Namespace) -> Atoms:
    """The atoms of the command line, with their isotopes."""
    from ..structures.species import set_isotopes

    loading.check_model(arguments.model)
    atoms = loading.read_structure(arguments.structure, getattr(arguments, "site_tolerance", None))
    set_isotopes(atoms, getattr(arguments, "mass", ()))
    return atoms
