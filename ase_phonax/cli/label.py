"""`ase-phonax label`: structures labelled by a model, for training another."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import os
import sys
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.claims import claimed_folder
from ..base.errors import InputError, OutputError, PhonaxError, StructureError, in_words
from ..base.files import TEMPORARY, write_whole
from ..base.input_files import parse_json
from . import loading
from .progress import progress_bar, without_progress
from .provenance import provenance

_DESCRIPTION = """\
Relax structures with a model, perturb them, and write energies, forces, stresses and second derivatives: labels from
which another model learns. One HDF5 file for each structure, so that a second start goes on where the first was
stopped; a structure that fails is noted in failures.csv and left out. Train on `FOLDER/frames/*.h5`.
"""

_EPILOG = """\
The perturbations are a YAML file; these are the default:

  relax: true
  fmax: 0.001        # eV/Å
  smax: 0.0001       # eV/Å³
  max_atoms: 100     # larger repeats are left out
  seed: 0
  perturbations:     # noise in Å on every component of positions and cell vectors; wave vectors of D(q)
    - {waves: 4}
    - {positions: 0.1, count: 2}
    - {positions: 0.1, cell: 0.05, count: 2}
    - {repeat: 2, positions: 0.1}
    - {repeat: 2, positions: 0.1, cell: 0.05}
"""

FAILURES = "failures.csv"
_LOSS = "labels go there; those that lie there are untouched"
_REMEDY = "make room and start again, or choose another folder with --output"
INTERRUPTED = 130  # 128 + SIGINT

_CALC: Any = None  # of a worker process


@dataclass(frozen=True)
class _Task:
    number: int
    source: str
    atoms: Any
    path: Path
    recipe: Any


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "label",
        help="label structures with a model, to train another",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "structures", metavar="STRUCTURES", nargs="+", help="files that ASE reads, all their structures"
    )
    parser.add_argument(
        "--model",
        metavar="TEACHER",
        help="a name listed by `ase-phonax models`, or a model file (default: phonax-small, itself an imitation)",
    )
    parser.add_argument("--recipe", metavar="FILE.yaml", type=Path, help="relaxation and perturbations; see below")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=Path("labels"), help="default: %(default)s")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="default: %(default)s")
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one for each core)")
    parser.add_argument("--quiet", action="store_true", help="no bars")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Label what is not labelled yet."""
    from ..base.cores import n_cores

    recipe = _recipe(arguments.recipe)
    with loading.collected_warnings() as notes:
        calc = loading.load_calculator(arguments.model, arguments.dtype)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    folder = arguments.output
    tasks = _tasks(arguments.structures, folder, recipe)
    with claimed_folder(folder):
        _note_or_compare(folder, recipe, calc, arguments, tasks)
        _remove_parts(folder)  # of a start that was killed
        open_tasks = [task for task in tasks if not task.path.exists()]
        n_workers = min(arguments.workers or n_cores(), max(1, len(open_tasks)))
        with without_progress(arguments.quiet):
            failures = _labelled(tasks, open_tasks, _results(open_tasks, n_workers, arguments), folder)
        if failures is None:
            return INTERRUPTED
        if not failures:
            (folder / FAILURES).unlink(missing_ok=True)  # of an earlier start
    print(f"{len(tasks) - len(failures)} of {len(tasks)} structures labelled, in {folder / 'frames'}")
    for task, problem in failures[:5]:
        print(f"  {task.source}: {problem}")
    if failures:
        print(f"  {len(failures)} in {folder / FAILURES}; another start tries them again")
    return 0 if len(failures) < len(tasks) else StructureError.exit_code


def _labelled(
    tasks: list[_Task], open_tasks: list[_Task], results: Generator[tuple[_Task, str]], folder: Path
) -> list[tuple[_Task, str]] | None:
    """What failed, as the results come; None after Ctrl-C."""
    failures: list[tuple[_Task, str]] = []
    try:
        with progress_bar("structures") as progress, closing(results):
            for done, (task, problem) in enumerate(results, len(tasks) - len(open_tasks) + 1):
                progress(done, len(tasks))
                if problem:
                    failures.append((task, problem))
                    _write_failures(folder, failures)
    except KeyboardInterrupt:
        n_labelled = sum(task.path.exists() for task in tasks)
        print(
            f"interrupted; {n_labelled} of {len(tasks)} structures are labelled, and the same command labels the rest",
            file=sys.stderr,
        )
        return None
    finally:
        _remove_parts(folder)
    return failures


def _remove_parts(folder: Path) -> None:
    """Files that a killed process was writing."""
    for part in (*folder.glob(TEMPORARY), *(folder / "frames").glob(TEMPORARY)):
        if part.is_file() and not part.is_symlink():
            with suppress(OSError):
                part.unlink()


def _recipe(path: Path | None) -> Any:
    from ..base.settings import build, read_yaml
    from ..training.labels.teacher import Recipe

    return Recipe() if path is None else build(Recipe, read_yaml(path), str(path))


def _tasks(files: list[str], folder: Path, recipe: Any) -> list[_Task]:
    from ..structures.files import read_structures

    found = []
    for name in files:
        found += [(f"{name}@{k}", atoms) for k, atoms in enumerate(read_structures(name))]
    if not found:
        raise StructureError(
            f"{', '.join(files)} hold no structure", "there is nothing to label", "check how the files were written"
        )
    width = len(str(len(found)))
    return [
        _Task(k, source, atoms, folder / "frames" / f"{k:0{width}d}-{_formula(atoms)}.h5", recipe)
        for k, (source, atoms) in enumerate(found)
    ]


def _formula(atoms: Any) -> str:
    return atoms.get_chemical_formula("metal")[:40]


def _digest(structures: Any) -> str:
    """SHA-256 of what is labelled, wherever its files lie."""
    digest = hashlib.sha256()
    for atoms in structures:
        for part in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
            digest.update(part.tobytes())
    return digest.hexdigest()


def _note_or_compare(folder: Path, recipe: Any, calc: Any, arguments: argparse.Namespace, tasks: list[_Task]) -> None:
    """Note in the folder what its labels are of; refuse to mix them with others."""
    content = {
        "recipe": dataclasses.asdict(recipe),
        "model": calc.potential.name,
        "model_fingerprint": calc.potential.fingerprint(),
        "level_of_theory": calc.potential.provenance.level_of_theory,
        "dtype": arguments.dtype,
        "files": arguments.structures,
        "structures": _digest(task.atoms for task in tasks),
    }
    content = json.loads(json.dumps(content))
    from ..models.registry import DEFAULT

    recipe_file = [arguments.recipe] if arguments.recipe is not None else []
    started = provenance(arguments, [*arguments.structures, *recipe_file], arguments.model or DEFAULT)
    path = folder / "labels.json"
    if path.exists():
        there = _read_note(path)
        differing = [key for key in content if key != "files" and content[key] != there.get(key)]
        if differing:
            raise InputError(
                f"{folder} holds labels made with other {' and '.join(differing)}",
                "labels of two kinds would be mixed",
                "choose another folder with --output",
            )
    try:
        (folder / "frames").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}", _LOSS, _REMEDY) from error
    if not path.exists():
        text = json.dumps(content | {"provenance": started}, indent=1)
        write_whole(path, text + "\n", loss=_LOSS, remedy=_REMEDY)


def _read_note(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = in_words(error)
    if not isinstance(found, dict):
        raise InputError(
            f"{path} does not say what the labels beside it are of: {str(found)[:200]}",
            "labels of two kinds could be mixed",
            "choose another folder with --output",
        )
    return found


def _results(tasks: list[_Task], n_workers: int, arguments: argparse.Namespace) -> Generator[tuple[_Task, str]]:
    """(task, problem) as they end; the problem is empty where there is none."""
    if n_workers < 2:
        _start(arguments.model, arguments.dtype, 1)
        for task in tasks:
            yield task, _label(task)
        return
    from .workers import in_processes

    with closing(
        in_processes(_label, tasks, n_workers, _start, (arguments.model, arguments.dtype, n_workers))
    ) as results:
        for task, result in results:
            yield task, str(result)  # of a process that was killed, too: the structure is one that failed


def _start(model: str | None, dtype: str, n_workers: int) -> None:
    """In every process: the calculator, and its share of the cores."""
    from ..base.cores import n_cores

    global _CALC
    if n_workers > 1:
        os.environ["OMP_NUM_THREADS"] = str(max(1, n_cores() // n_workers))
    with loading.collected_warnings():  # the process that started this one has said them
        _CALC = loading.load_calculator(model, dtype)


def _label(task: _Task) -> str:
    """Label one structure and write its frames; what went wrong with this one, in a line."""
    import warnings

    from ..base.cores import one_blas_thread
    from ..training.labels import save_frames
    from ..training.labels.checks import check_frames
    from ..training.labels.teacher import label

    try:
        with one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # thousands of lines; what matters is in the labels
            frames = label(task.atoms, _CALC, task.recipe, task.number, task.source)
            check_frames(frames)  # or nobody could read them: atoms that nothing holds in place are no crystal
    except PhonaxError as error:
        return error.what
    except (
        ArithmeticError,
        ValueError,
        RuntimeError,
        MemoryError,
    ) as error:  # a structure flying apart in the relaxation
        return in_words(error)
    save_frames(frames, task.path, overwrite=True)
    return ""


def _write_failures(folder: Path, failures: list[tuple[_Task, str]]) -> None:
    import csv

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["structure", "formula", "problem"])
    writer.writerows((t.source, _formula(t.atoms), p) for t, p in sorted(failures, key=lambda f: f[0].number))
    # A name that is no UTF-8 is written with escapes.
    write_whole(folder / FAILURES, text.getvalue().encode("utf-8", "backslashreplace"), loss=_LOSS, remedy=_REMEDY)
