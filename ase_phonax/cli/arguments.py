"""The skeleton of every command that runs a study.

A command is a value of `StudyCommand`: its words, the settings of its study, and the module of `studies` that has
`prepare`, `compute` and `STUDY`. Options, help, defaults and checks are made from the settings (`add_options`), and so
are the keys of `--config` files, which `config` asks the parser for; every command has `--output`, `--overwrite`,
`--quiet`, `--log` and `--config`. `StudyCommand.run` does what all of them do between typing and reading:

    settings -> structure and checks -> the folder is claimed -> model, study, files -> log, table

A command that is no study of one structure takes the parts it needs: `add_options` for a class of settings and
`settings_of` for their values, `add_model`, `add_reporting` with `reporting`, `add_output`, `add_config`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from ..studies.options import Option, Settings, Unfit, flag, option, options_of, path, positive
from ..studies.output import atomic_directory, output_directory, writing
from ..studies.provenance import Origin
from . import loading
from .config import add_config
from .progress import Stopwatch, without_progress
from .provenance import command_of, read_files
from .tables import width

SettingsOf = TypeVar("SettingsOf", bound=Settings)


# ---- options that belong to the command line alone ---------------------------------------------------


@dataclass(frozen=True)
class CifOptions(Settings):
    """How the file of a crystal is read."""

    site_tolerance: float | None = option(
        None,
        positive,
        "structure",
        "of CIF files: images of a site nearer than this are one atom, in the middle of them; for special"
        " positions written with few digits, such as 0.333 (default: 0.001, and such files are refused)",
        metavar="Å",
    )


def isotope(value: Any) -> tuple[str, float]:
    """ "H=2.014" as ("H", 2.014)."""
    what, _, amu = value.partition("=") if isinstance(value, str) else (value[0], "=", value[1])
    if not what or not amu:
        raise Unfit(f"{value!r} is not like H=2.014")
    return what, positive(amu)


@dataclass(frozen=True)
class IsotopeOptions(Settings):
    """Masses that the file does not state."""

    mass: tuple[tuple[str, float], ...] = option(
        (),
        isotope,
        "structure",
        "isotopes: of an element or of one atom of the file, counted from 1, such as H=2.014 or 3=13.00335;"
        " D and T in a file are hydrogen with their masses",
        metavar="WHAT=AMU",
        n_values="+",
    )


@dataclass(frozen=True)
class OutputOptions(Settings):
    """Where results go; the default is completed with the ending of each command."""

    output: Path | None = option(
        None,
        path,
        "output",
        "folder for the results, complete or not there at all (default: name of the structure + -{suffix})",
        metavar="DIR",
    )
    overwrite: bool = flag("output", "replace the results of an earlier run in that folder")


@dataclass(frozen=True)
class ReportingOptions(Settings):
    """What is told while it runs."""

    quiet: bool = flag("reporting", "print nothing but errors")
    log: Path | None = option(
        None,
        path,
        "reporting",
        "write a line of JSON as each step begins and ends, and the results at the end",
        metavar="FILE.jsonl",
    )


# ---- options made from settings ----------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser, *settings: type[Settings], **words: str) -> None:
    """Options for every field of these settings, under the headings that they name; none is added twice.

    Args:
        words: what stands in braces in a help text.
    """
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


def _add(group: Any, field: dataclasses.Field[Any], setting: Option, words: dict[str, str]) -> None:
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
    """A kind of value as argparse takes it: its words become the message."""

    def of_text(text: str) -> Any:
        try:
            return kind(text)
        except Unfit as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return of_text


def settings_of(kind: type[SettingsOf], arguments: argparse.Namespace) -> SettingsOf:
    """The settings that a command line has given.

    Raises:
        InputError: values that make no sense together.
    """
    return kind(**{field.name: getattr(arguments, field.name) for field, _ in options_of(kind)})


def add_model(parser: argparse.ArgumentParser, default: str = "the first of that list") -> None:
    """`--model` and `--dtype`."""
    group = parser.add_argument_group("potential")
    group.add_argument(
        "--model",
        metavar="MODEL",
        help=f"a name listed by `ase-phonax models`, or a model file (default: {default})",
    )
    group.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="precision; float32 is faster, with noise of 1e-6 to 1e-5 of the largest constant (default: %(default)s)",
    )


def add_output(parser: argparse.ArgumentParser, suffix: str) -> None:
    """`--output` and `--overwrite`."""
    add_options(parser, OutputOptions, suffix=suffix)
    parser.set_defaults(output_suffix=suffix)


def add_reporting(parser: argparse.ArgumentParser) -> None:
    """`--quiet` and `--log`."""
    add_options(parser, ReportingOptions)


@contextmanager
def reporting(arguments: argparse.Namespace) -> Iterator[Stopwatch]:
    """A watch that shows bars unless `--quiet`, and writes `--log`."""
    with Stopwatch.logging_to(arguments.log) as watch, without_progress(arguments.quiet):
        yield watch


# ---- a command ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyCommand:
    """A command that runs a study of one structure.

    Attributes:
        name: of the command, and the ending of its folder.
        study: module in `studies`; it is imported when the command runs. It has

            prepare(atoms, settings, cutoff, name) -> prepared: refuses whatever can be refused before anything long is
                computed; `cutoff()` is that of the model, loaded for it
            compute(prepared, calc, settings, watch, origin, notes) -> Study
            STUDY: the class of its results, which knows the names of their files

        settings: of the study.
        help, description, epilog: of the command.
        files: settings of how the file is read, among `CifOptions` and `IsotopeOptions`.
        first: settings whose options come before those of the file; they are part of `settings`.
        metavar, structure_help: of the structure.
        model_help: which model is the default.
        default_model: its name, by a function, since the list of models is not imported for a help text.
        aliases: other names.
    """

    name: str
    study: str
    settings: type[Settings]
    help: str
    description: str
    epilog: str
    files: tuple[type[Settings], ...] = (CifOptions, IsotopeOptions)
    first: tuple[type[Settings], ...] = ()
    metavar: str = "STRUCTURE"
    structure_help: str = "file of any format ASE reads (POSCAR, CIF, extxyz, ...)"
    model_help: str = "the first of that list"
    default_model: Callable[[], str | None] = lambda: None
    aliases: tuple[str, ...] = ()

    def add_parser(self, commands: Any) -> None:
        """Register the command."""
        parser = commands.add_parser(
            self.name,
            aliases=list(self.aliases),
            help=self.help,
            description=self.description,
            epilog=self.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("structure", metavar=self.metavar, help=self.structure_help)
        add_model(parser, self.model_help)
        add_options(parser, *self.first, *self.files, self.settings)
        add_output(parser, self.name)
        add_reporting(parser)
        add_config(parser)
        parser.set_defaults(run=self.run)

    def run(self, arguments: argparse.Namespace) -> int:
        """Compute, write and print."""
        output = arguments.output = output_directory(arguments.structure, arguments.output, self.name)
        with reporting(arguments) as watch:
            settings = settings_of(self.settings, arguments)
            with watch.section("imports"):
                study = import_module(f"..studies.{self.study}", __package__)
            with loading.collected_warnings() as notes:
                load = cache(lambda: self._load(arguments, watch))
                with watch.section("structure"):
                    atoms = _read(arguments)
                    prepared = study.prepare(
                        atoms, settings, lambda: float(load().potential.cutoff), arguments.structure
                    )
                own_files = study.STUDY.OWN_FILES
                with atomic_directory(output, overwrite=arguments.overwrite, own_files=own_files) as folder:
                    results = study.compute(prepared, load(), settings, watch, self._origin(arguments), notes)
                    with watch.section("files"), watch.progress("pictures and files"), writing(output):
                        results.write_into(folder)
            results = dataclasses.replace(results, timings_s=watch.rounded())
            watch.note("results", {"folder": str(output), **results.to_dict()})
            if not arguments.quiet:
                print(results.report(output).text(width()))
        return 0

    def _load(self, arguments: argparse.Namespace, watch: Stopwatch) -> Any:
        with watch.section("model"), watch.progress("loading the model"):
            return loading.load_calculator(arguments.model or self.default_model(), arguments.dtype)

    def _origin(self, arguments: argparse.Namespace) -> Origin:
        from ..models.registry import DEFAULT

        return Origin(
            structure=arguments.structure,
            model=arguments.model,
            model_file=arguments.model or self.default_model() or DEFAULT,
            command=command_of(arguments),
            files=tuple(read_files(arguments)),
            dtype=arguments.dtype,
        )


def _read(arguments: argparse.Namespace) -> Any:
    """The atoms of the command line, with their isotopes."""
    from ..structures.species import set_isotopes

    loading.check_model(arguments.model)
    atoms = loading.read_structure(arguments.structure, getattr(arguments, "site_tolerance", None))
    set_isotopes(atoms, getattr(arguments, "mass", ()))
    return atoms
