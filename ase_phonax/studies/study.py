"""The skeleton of every study: what it is given, in which order it goes, and what it hands back.

A study of one structure is a module with two functions. `prepare` refuses what can be refused before anything long is
computed, and `compute` does the rest; the command line claims the folder of the results in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .model_facts import facts_of
from .notes import collected_warnings
from .output import atomic_directory, writing
from .provenance import Origin
from .summary_units import Summary
from .watch import Watch

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from .options import Settings
    from .report import Report

SettingsOf = TypeVar("SettingsOf", bound="Settings")
SettingsOf_co = TypeVar("SettingsOf_co", bound="Settings", covariant=True)
Prepared = TypeVar("Prepared")
StudyOf = TypeVar("StudyOf", bound="Study")


@dataclass(frozen=True)
class Run(Generic[SettingsOf_co]):
    """What a study is given besides the structure.

    Attributes:
        calc: the calculator; results hold none.
        settings: what is asked for.
        watch: is told of sections and progress.
        origin: where model and structure come from: names as given, files, the command.
        notes: texts of warnings met on the way, which may go on growing.
        keep: a folder for parts of what takes long, from which the same run goes on after an interruption.
    """

    calc: PhonaxCalculator
    settings: SettingsOf_co
    watch: Watch
    origin: Origin
    notes: list[str]
    keep: Path | None = None

    @property
    def dtype(self) -> str:
        """Precision: "float64" or "float32"."""
        return self.origin.precision(self.calc)

    def facts(self) -> dict[str, Any]:
        """The fields of a `Study`, and its settings; the clock is read at this moment."""
        return {
            "settings": self.settings,
            "origin": self.origin,
            "dtype": self.dtype,
            "model": facts_of(self.calc, self.origin.model),
            "provenance": self.origin.provenance(),
            "notes": self.notes,
            "timings_s": self.watch.rounded(),
        }


def run_study(
    prepare: Callable[[Atoms, SettingsOf, Callable[[], float]], Prepared],
    compute: Callable[[Prepared, Run[SettingsOf]], StudyOf],
    atoms: Atoms,
    calc: PhonaxCalculator,
    settings: SettingsOf,
    watch: Watch | None,
) -> StudyOf:
    """A study in one call. Warnings become its notes, and are given again to the caller, who has filters for them.

    Args:
        prepare: (atoms, settings, cutoff) -> what `compute` takes; `cutoff()` is that of the model [Å].
        compute: (what was prepared, run) -> results.
        atoms, calc, settings, watch: those of the study.
    """
    from ..phonons.finite_differences import cutoff_of

    with collected_warnings(again=True) as notes:
        prepared = prepare(atoms, settings, lambda: cutoff_of(calc))
        return compute(prepared, Run(calc, settings, watch or Watch(), Origin(), notes))


@dataclass(frozen=True)
class Study:
    """Results of one run. They can be pickled and copied: no calculator is among them.

    Attributes:
        origin: where model and structure come from: names as given, files, the command.
        dtype: precision of the calculator.
        model: name, level of theory and more (`model_facts`).
        provenance: date, versions, checksums.
        notes: warnings met on the way.
        timings_s: wall-clock seconds by section, and in total.
    """

    OWN_FILES: ClassVar[tuple[str, ...]]  # names, or patterns of names, of all files that `write` may write

    origin: Origin
    dtype: str
    model: dict[str, str]
    provenance: Summary
    notes: list[str]
    timings_s: dict[str, float]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        raise NotImplementedError

    def to_dict(self) -> Summary:
        """The numbers, as in summary.json: built-in types, units in the names or under "units"."""
        raise NotImplementedError

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people.

        Args:
            folder: where the files lie; None where they have not been written.
        """
        raise NotImplementedError

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        raise NotImplementedError

    def write(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write all files into a folder, which is complete or not there at all.

        Args:
            folder: is created; its parent exists.
            overwrite: replace the results of an earlier run, if nothing else is in it.

        Raises:
            OutputError: it exists, holds other files, or cannot be written.
        """
        folder = Path(folder)
        with atomic_directory(folder, overwrite=overwrite, own_files=self.OWN_FILES) as partial, writing(folder):
            self.write_into(partial)
        return folder


def describe_end(text: Report, study: Study, folder: Path | None) -> None:
    """Add notes, seconds and files at the end of a report."""
    if study.notes:
        text.group("notes")
        for note in study.notes:
            text.paragraph(f"- {note}", doubt=True)
    text.group("seconds")
    text.paragraph(", ".join(f"{name.replace('_', ' ')} {time:.1f}" for name, time in study.timings_s.items()))
    if folder is not None:
        text.group(f"results in {folder}")
        text.paragraph(", ".join(study.files))
