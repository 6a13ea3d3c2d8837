"""A model against labels, with files and a report: what `ase-phonax evaluate` does.

The numbers themselves are those of `training.scores.evaluate`, which is what Python's users call.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import BaseCalculator

from ..base.errors import InputError
from ..base.settings import convert
from ..phonons.finite_differences import crystal_calculator
from ..training.scores import Scores, evaluate
from ..training.targets import QUANTITIES
from .model_facts import facts_of, model_facts
from .notes import collected_warnings
from .output import write_summary
from .provenance import Origin
from .report import Report
from .study import Study
from .summary_units import Summary
from .watch import Watch

if TYPE_CHECKING:
    from ..models.potential import Potential
    from ..training.labels import Frame

FRAMES = "frames.csv"
FILES = ("summary.json", FRAMES)
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class EvaluationStudy(Study):
    """How well a model reproduces labels.

    Attributes:
        scores: errors over all frames, and of each.
    """

    OWN_FILES = FILES

    scores: Scores

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        return FILES

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only, units under "units"."""
        from .. import __version__

        scores = self.scores
        return {
            "version": __version__,
            **self.model,
            "dtype": self.dtype,
            "mae": dict(scores.mae),
            "rmse": dict(scores.rmse),
            "counts": dict(scores.counts),
            "relative_curvature": scores.relative_curvature if "curvature" in scores.mae else None,
            "warnings": self.notes,
            "provenance": self.provenance,
            # Of these numbers; the report has thousandths of some of them.
            "units": {quantity.name: quantity.unit for quantity in QUANTITIES},
        }

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people.

        Args:
            folder: where the files lie; None where they have not been written.
        """
        scores, n_frames = self.scores, len(self.scores.per_frame)
        text = Report(f"{self.origin.model or self.model['model']} on {n_frames} frame{'s' * (n_frames > 1)}")
        text.group("mean absolute error, root mean square error")
        for quantity in QUANTITIES:
            if (label := quantity.name) in scores.mae:
                mae, rmse = quantity.factor * scores.mae[label], quantity.factor * scores.rmse[label]
                text.row(quantity.words, f"{mae:.4g}, {rmse:.4g} {quantity.printed} ({scores.counts[label]:,} numbers)")
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


def evaluation_study(
    model: Potential | str | PathLike[str] | BaseCalculator,
    data: str | PathLike[str] | Sequence[str | PathLike[str] | Frame],
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
        model: a `Potential`, a registered name, or a model file; or any ASE calculator.
        data: files of `read_frames`, or frames.
        keys: names of labels in ASE's files.
        dtype: "float64" or "float32".
        route, device: as those of `PhonaxCalculator`.
        watch: is told of sections and progress.
        origin: what the results shall say of the files they come from.

    Raises:
        InputError, ModelError: what cannot be read; StructureError: an element the model does not know.
    """
    from ..models.loading import load_model

    if dtype not in DTYPES:
        raise InputError(
            f"the precision is {dtype!r}", "numbers are doubles or singles", f"give one of {', '.join(DTYPES)}"
        )
    keys = None if keys is None else convert(dict[str, str], keys, "the evaluation", "keys")
    named = model if isinstance(model, (str, PathLike)) else None
    given = origin or Origin(model_file=named)
    if not isinstance(model, BaseCalculator):
        given = replace(given, model=None if named is None else str(named), dtype=dtype)
    watch = watch or Watch()
    with (
        collected_warnings(again=origin is None) as notes,  # a caller in Python gets them as well
        watch.section("frames"),
        watch.progress("frames") as progress,
    ):
        asked: Any = crystal_calculator(model) if isinstance(model, BaseCalculator) else load_model(model)
        scores = evaluate(asked, data, keys=keys, dtype=dtype, progress=progress, route=route, device=device)
    return EvaluationStudy(
        origin=given,
        dtype=given.precision(asked),
        model=facts_of(asked, given.model) if isinstance(model, BaseCalculator) else model_facts(asked, given.model),
        provenance=given.provenance(),
        notes=notes,
        timings_s=watch.rounded(),
        scores=scores,
    )
