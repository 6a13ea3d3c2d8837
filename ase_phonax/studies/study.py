"""What every study hands back: data, files and a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .output import atomic_directory, writing
from .provenance import Origin

if TYPE_CHECKING:
    from .options import Settings
    from .report import Report


@dataclass(frozen=True)
class Study:
    """Results of one run. They can be pickled and copied: no calculator is among them.

    Attributes:
        settings: it was computed with.
        origin: what it does not know of itself.
        dtype: precision of the calculator.
        model: name, level of theory and more (`model_facts`).
        provenance: date, versions, checksums.
        notes: warnings met on the way.
        timings_s: wall-clock seconds by section, and in total.
    """

    OWN_FILES: ClassVar[tuple[str, ...]]  # names, or patterns of names, of all files that `write` may write

    settings: Settings
    origin: Origin
    dtype: str
    model: dict[str, str]
    provenance: dict[str, Any]
    notes: list[str]
    timings_s: dict[str, float]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as in summary.json: built-in types, units in the names or under "units"."""
        raise NotImplementedError

    def report(self, folder: Path | None = None) -> Report:
        """The same for people.

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
    """Notes, seconds and files at the end of a report."""
    if study.notes:
        text.group("notes")
        for note in study.notes:
            text.paragraph(f"- {note}")
    text.group("seconds")
    text.paragraph(", ".join(f"{name.replace('_', ' ')} {time:.1f}" for name, time in study.timings_s.items()))
    if folder is not None:
        text.group(f"results in {folder}")
        text.paragraph(", ".join(study.files))
