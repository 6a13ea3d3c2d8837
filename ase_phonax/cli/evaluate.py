"""`ase-phonax evaluate`: a model against labels."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from ..base.errors import InputError
from ..base.files import write_whole
from . import loading
from .progress import progress_bar, without_progress
from .provenance import provenance
from .tables import Table

_DESCRIPTION = """\
Compare a model with labelled structures: energies per atom, forces, stresses, second derivatives and their
frequencies, whatever the files hold. Files are those of training: ASE's formats, phonopy yaml with force
constants, ASE's VibrationsData, HDF5.
"""

_LOSS = "the numbers would be lost"
# Label -> as printed, factor, unit.
_ROWS = {
    "energy": ("energy", 1e3, "meV/atom"),
    "forces": ("forces", 1e3, "meV/Å"),
    "stress": ("stress", 1e3, "meV/Å³"),
    "curvature": ("second derivatives", 1.0, "eV/Å²"),
    "frequency": ("frequencies", 1.0, "THz"),
}


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "evaluate",
        help="compare a model with labels",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="a name listed by `ase-phonax models`, or a model file")
    parser.add_argument("data", metavar="DATA", nargs="+", help="labelled structures")
    parser.add_argument("--key", metavar="LABEL=NAME", action="append", default=[], help="e.g. energy=REF_energy")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers to a file")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write the errors of every frame to a file")
    parser.add_argument("--quiet", action="store_true", help="no bars")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    from ..training import evaluate
    from ..training.scores import UNITS

    keys = _keys(arguments.key)
    with loading.collected_warnings() as notes, without_progress(arguments.quiet), progress_bar("frames") as progress:
        scores = evaluate(arguments.model, _frames(arguments.data, keys), dtype=arguments.dtype, progress=progress)
    n_frames = len(scores.per_frame)
    table = Table(f"{arguments.model} on {n_frames} frame{'s' * (n_frames > 1)}")
    table.group("mean absolute error, root mean square error")
    for label, (name, factor, unit) in _ROWS.items():
        if label in scores.mae:
            numbers = f"{factor * scores.mae[label]:.4g}, {factor * scores.rmse[label]:.4g} {unit}"
            table.row(name, f"{numbers} ({scores.counts[label]:,} numbers)")
    if "curvature" in scores.mae:
        table.row("relative", f"{100 * scores.relative_curvature:.3g} % of the norm of each matrix, on average")
    for note in notes:
        table.paragraph(f"note: {note}")
    print(table)
    if arguments.json:
        summary = {
            "mae": dict(scores.mae),
            "rmse": dict(scores.rmse),
            "counts": dict(scores.counts),
            "relative_curvature": scores.relative_curvature if "curvature" in scores.mae else None,
            "provenance": provenance(arguments, arguments.data, arguments.model),
            "units": UNITS,  # of the numbers written; those printed are in thousandths of some of them
        }
        write_whole(arguments.json, json.dumps(summary, indent=2) + "\n", loss=_LOSS)
    if arguments.csv:
        write_whole(arguments.csv, _as_csv(scores.per_frame), loss=_LOSS)
    return 0


def _frames(names: list[str], keys: dict[str, str] | None) -> Any:
    from ..training.labels import read_frames

    return read_frames(names, keys)


def _keys(pairs: list[str]) -> dict[str, str] | None:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise InputError(f"--key {wrong[0]}", "it joins a label and its name in the file", "write --key energy=NAME")
    return dict(pair.split("=", 1) for pair in pairs) or None


def _as_csv(rows: Any) -> str:
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
