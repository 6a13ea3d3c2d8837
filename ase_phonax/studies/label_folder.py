"""The folder of labels: what its note says they are of, the structures that failed, and what may be removed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.claims import LOCK
from ..base.errors import InputError, OutputError, in_words
from ..base.files import TEMPORARY, write_whole
from ..base.input_files import parse_json
from .model_facts import facts_of, fingerprint_of
from .summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..phonons.finite_differences import DisplacementCalculator
    from ..training.labels.teacher import LabelRecipe
    from .labelling import LabelledStructure
    from .provenance import Origin

NOTE, FAILURES, FRAMES = "labels.json", "failures.csv", "frames"
_FRAME_FILE = re.compile(r"\d+-.*\.h5")
_LOSS = "labels go there; those that lie there are untouched"
_REMEDY = "make room and start again, or choose another folder (`folder`)"


def note_or_compare(
    folder: Path,
    recipe: LabelRecipe,
    calc: PhonaxCalculator | DisplacementCalculator,
    structures: Sequence[Atoms],
    names: Sequence[str],
    origin: Origin,
) -> None:
    """Note in the folder what its labels are of; refuse to mix them with others.

    Raises:
        InputError: labels of another recipe, model or of other structures are there, or nobody can say of which.
        OutputError: the folder cannot be written.
    """
    facts = facts_of(calc, None)
    content = {
        "recipe": asdict(recipe),
        "model": facts["model"],
        "model_fingerprint": fingerprint_of(calc),
        "level_of_theory": facts["level_of_theory"],
        "dtype": origin.precision(calc),
        **({} if calc.field is None else {"field": calc.field.tolist()}),
        "files": [file for file in dict.fromkeys(name.rpartition("@")[0] for name in names) if file],
        "structures": _digest(structures),
    }
    content = json.loads(json.dumps(content))
    path = folder / NOTE
    if path.exists():
        there = _read_note(path)
        compared = [key for key in dict.fromkeys([*content, "field"]) if key != "files"]
        differing = [key for key in compared if content.get(key) != there.get(key)]
        if differing:
            raise InputError(
                f"{folder} holds labels made with other {' and '.join(differing)}",
                "labels of two kinds would be mixed",
                "choose another folder (`folder`)",
            )
    try:
        (folder / FRAMES).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}", _LOSS, _REMEDY) from error
    if not path.exists():
        text = json.dumps(content | {"provenance": origin.provenance()}, indent=1)
        write_whole(path, text + "\n", loss=_LOSS, remedy=_REMEDY)


def _digest(structures: Sequence[Atoms]) -> str:
    """SHA-256 of what is labelled, wherever its files lie."""
    digest = hashlib.sha256()
    for atoms in structures:
        for part in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
            digest.update(part.tobytes())
    return digest.hexdigest()


def _read_note(path: Path) -> Summary:
    try:
        note = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        note = in_words(error)
    if not isinstance(note, dict):
        raise InputError(
            f"{path} does not say what the labels beside it are of: {str(note)[:200]}",
            "labels of two kinds could be mixed",
            "choose another folder (`folder`)",
        )
    return note


def write_failures(folder: Path, failures: Sequence[LabelledStructure]) -> None:
    """Write which structures could not be labelled and why, in the order in which they were given."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["structure", "formula", "problem"])
    writer.writerows((f.name, f.formula, f.problem) for f in sorted(failures, key=lambda f: f.number))
    # A name that is no UTF-8 is written with escapes.
    write_whole(folder / FAILURES, text.getvalue().encode("utf-8", "backslashreplace"), loss=_LOSS, remedy=_REMEDY)


def remove_parts(folder: Path) -> None:
    """Remove files that a killed process was writing."""
    for part in (*folder.glob(TEMPORARY), *(folder / FRAMES).glob(TEMPORARY)):
        if part.is_file() and not part.is_symlink():
            with suppress(OSError):
                part.unlink()


def remove_labels(folder: Path) -> None:
    """What earlier starts wrote; the note last, so that what is left after a kill is still known.

    Raises:
        OutputError: there is something else as well; nothing is removed then.
    """
    frames = folder / FRAMES
    remove_parts(folder)
    foreign = [p.name for p in folder.iterdir() if p.name not in (LOCK, FRAMES) and not _is_file(p, (NOTE, FAILURES))]
    if frames.is_symlink() or (frames.exists() and not frames.is_dir()):
        foreign.append(FRAMES)
    labels = [] if foreign or not frames.exists() else sorted(frames.iterdir())
    foreign += [f"{FRAMES}/{p.name}" for p in labels if not (_FRAME_FILE.fullmatch(p.name) and _is_file(p))]
    if foreign:
        raise OutputError(
            f"the folder {folder} holds files that are not results of this command: {', '.join(sorted(foreign)[:5])}",
            "`overwrite=True` replaces the labels in it, and they would be among the new ones",
            "choose another folder (`folder`), or move them away",
        )
    try:
        for path in (folder / FAILURES, *labels, folder / NOTE):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"the labels in {folder} cannot be removed: {error.strerror or error}",
            "labels of two kinds would be mixed",
            "choose another folder (`folder`)",
        ) from error


def _is_file(path: Path, names: Sequence[str] = ()) -> bool:
    return path.is_file() and not path.is_symlink() and (not names or path.name in names)
