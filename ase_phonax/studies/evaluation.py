"""A model against labels, with files and a report: what `ase-phonax evaluate` does.

The numbers themselves are those of `training.scores.evaluate`, which is what Python's users call.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ..training.scores import Scores, evaluate
from ..training.targets import QUANTITIES
from .notes import collected_warnings
from .output import atomic_directory, write_summary, writing
from .provenance import Origin
from .report import Report
from .watch import Watch

FRAMES = "frames.csv"
FILES = ("summary.json", FRAMES)


@dataclass(frozen=True)
class EvaluationStudy:
    """How well a model reproduces labels.

    Attributes:
        model: as it was asked for.
        scores: errors over all frames, and of each.
        notes: warnings met on the way.
        provenance: date, versions, checksums.
        timings_s: wall-clock seconds by section, and in total.
    """

    model: str
    scores: Scores
    notes: tuple[str, ...]
    provenance: dict[str, Any]
    timings_s: dict[str, float]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        return FILES

    def to_dict(self) -> dict[str, Any]:
        """The contents of summary.json: built-in types only, units under "units"."""
        scores = self.scores
        return {
            "mae": dict(scores.mae),
            "rmse": dict(scores.rmse),
            "counts": dict(scores.counts),
            "relative_curvature": scores.relative_curvature if "curvature" in scores.mae else None,
            "provenance": self.provenance,
            "units": {
                shown.name: shown.unit for shown in QUANTITIES
            },  # of the numbers written; those reported are in thousandths of some of them
        }

    def report(self, folder: Path | None = None) -> Report:
        """The same for people.

        Args:
            folder: where the files lie; None where they have not been written.
        """
        scores, n_frames = self.scores, len(self.scores.per_frame)
        text = Report(f"{self.model} on {n_frames} frame{'s' * (n_frames > 1)}")
        text.group("mean absolute error, root mean square error")
        for shown in QUANTITIES:
            if (label := shown.name) in scores.mae:
                numbers = (
                    f"{shown.factor * scores.mae[label]:.4g}, {shown.factor * scores.rmse[label]:.4g} {shown.printed}"
                )
                text.row(shown.words, f"{numbers} ({scores.counts[label]:,} numbers)")
        if "curvature" in scores.mae:
            text.row("relative", f"{100 * scores.relative_curvature:.3g} % of the norm of each matrix, on average")
        for note in self.notes:
            text.paragraph(f"note: {note}")
        if folder is not None:
            text.group(f"results in {folder}")
            text.paragraph(", ".join(self.files))
        return text

    def frames_as_csv(self) -> str:
        """Mean absolute errors of each frame, one line each below the names of the labels."""
        rows, text = self.scores.per_frame, io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        (folder / FRAMES).write_text(self.frames_as_csv(), encoding="utf-8", errors="backslashreplace", newline="")
        write_summary(self.to_dict(), folder)

    def write(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write all files into a folder, which is complete or not there at all.

        Args:
            folder: is created; its parent exists.
            overwrite: replace the results of an earlier evaluation, if nothing else is in it.

        Raises:
            OutputError: it exists, holds other files, or cannot be written.
        """
        folder = Path(folder)
        with atomic_directory(folder, overwrite=overwrite, own_files=FILES) as partial, writing(folder):
            self.write_into(partial)
        return folder


def evaluation_study(
    model: Any,
    data: str | PathLike | Sequence[Any],
    *,
    keys: Mapping[str, str] | None = None,
    dtype: str = "float64",
    route: str | None = None,
    device: Any = None,
    watch: Watch | None = None,
    origin: Origin | None = None,
) -> EvaluationStudy:
    """Compare a model with labels, as `training.scores.evaluate` does, for files and a report.

    Args:
        model: a `Potential`, a registered name, or a model file.
        data: files of `read_frames`, or frames.
        keys: names of labels in ASE's files.
        dtype: "float64" or "float32".
        route, device: as those of `PhonaxCalculator`.
        watch: is told of sections and progress.
        origin: what the results shall say of the files they come from.

    Raises:
        InputError, ModelError: what cannot be read; StructureError: an element the model does not know.
    """
    watch = watch or Watch()
    from_python = origin is None
    origin = origin or Origin(model_file=model if isinstance(model, (str, PathLike)) else None)
    with (
        collected_warnings(again=from_python) as notes,
        watch.section("frames"),
        watch.progress("frames") as progress,
    ):
        scores = evaluate(model, data, keys=keys, dtype=dtype, progress=progress, route=route, device=device)
    name = str(model) if isinstance(model, (str, PathLike)) else model.name
    return EvaluationStudy(name, scores, tuple(notes), origin.provenance(), watch.rounded())
