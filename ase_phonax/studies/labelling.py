"""Structures labelled by a potential in any number of processes: what `ase-phonax label` does.

One file for each structure, so that a second start goes on where the first was stopped, however it was stopped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms

from ..base.claims import LOCK, claimed_folder
from ..base.cores import LIMIT, n_cores, one_blas_thread
from ..base.errors import InputError, OutputError, PhonaxError, StructureError, check_calculator, in_words
from ..base.files import TEMPORARY, write_whole
from ..base.input_files import parse_json
from ..base.processes import in_processes
from ..base.settings import build
from ..base.sharing import ignored_warnings
from ..calculator import PhonaxCalculator
from ..training.labels import Frame, read_frames, save_frames, teacher
from ..training.labels.checks import check_frames
from .notes import collected_warnings
from .provenance import Origin
from .watch import Watch

NOTE, FAILURES, FRAMES = "labels.json", "failures.csv", "frames"
_FRAME_FILE = re.compile(r"\d+-.*\.h5")
_LOSS = "labels go there; those that lie there are untouched"
_REMEDY = "make room and start again, or choose another folder with --output"


@dataclass(frozen=True)
class LabelledStructure:
    """What became of one structure.

    Attributes:
        number: its place among those given; with the seed of the recipe, it says what its noise is.
        name: where it comes from; its frames say so, too.
        formula: chemical, metals first.
        path: the file of its frames, there unless there is a problem.
        problem: why it could not be labelled, in a line; empty where it is.
    """

    number: int
    name: str
    formula: str
    path: Path
    problem: str = ""


@dataclass(frozen=True)
class LabelStudy:
    """A folder of labels.

    Attributes:
        folder: with `labels.json`, which says what they are of, and one file for each structure in `frames/`.
        structures: all those given, in their order.
    """

    folder: Path
    structures: tuple[LabelledStructure, ...]

    @property
    def failures(self) -> tuple[LabelledStructure, ...]:
        """Those that could not be labelled; another start tries them again."""
        return tuple(structure for structure in self.structures if structure.problem)

    def frames(self) -> list[Frame]:
        """The labels, as `train` and `fine_tune` take them; none where no structure was labelled."""
        return read_frames([str(structure.path) for structure in self.structures if not structure.problem])

    def to_dict(self) -> dict[str, Any]:
        """In built-in types, for programs."""
        return {
            "folder": str(self.folder),
            "n_structures": len(self.structures),
            "n_labelled": len(self.structures) - len(self.failures),
            "failures": [{"structure": f.name, "formula": f.formula, "problem": f.problem} for f in self.failures],
        }


def label_structures(
    structures: Sequence[Atoms],
    calc: PhonaxCalculator,
    folder: str | os.PathLike,
    recipe: teacher.LabelRecipe | Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
    n_workers: int | None = None,
    overwrite: bool = False,
    watch: Watch | None = None,
    origin: Origin | None = None,
) -> LabelStudy:
    """Relax and perturb structures, and write energies, forces, stresses and second derivatives of each to a file.

    Structures whose files lie in the folder already are left as they are. One that fails, or whose process is killed,
    is noted in `failures.csv` and costs the others nothing. Whatever ends this function, Ctrl-C among it, ends all
    processes and leaves whole files only.

    Args:
        structures: crystals, or molecules without periodicity.
        calc: of the model whose labels they get. Several processes get copies of it.
        folder: made where there is none; nobody else labels into it meanwhile.
        recipe: relaxation and perturbations, which may be a mapping as in YAML; the default one if None.
        names: where the structures come from, such as "salts.xyz@3"; numbers if None.
        n_workers: processes, which divide the cores; one for each core if None. One computes in this process. In a
            script, several need its usual `if __name__ == "__main__":`.
        overwrite: remove the labels of earlier starts in that folder first.
        watch: is told of progress, and of each structure as it ends.
        origin: what `labels.json` shall say of the files they were read from.

    Raises:
        InputError: no structure, or labels of another recipe, model or of other structures in that folder.
        OutputError: the folder cannot be written, or another run writes it; with `overwrite`, other files are in it.
    """
    if not len(structures):
        raise StructureError("there are no structures", "there is nothing to label", "give at least one")
    if n_workers is not None and n_workers < 1:
        raise InputError(f"the number of processes is {n_workers}", "somebody has to compute", "give 1 or more")
    check_calculator(calc, "get_dynamical_matrix")
    recipe = _as_recipe({} if recipe is None else recipe)
    folder, watch = Path(folder), watch or Watch()
    tasks = _tasks(structures, names, folder)
    with watch.section("labels"), claimed_folder(folder):
        if overwrite:
            _remove_labels(folder)
        _note_or_compare(folder, recipe, calc, tasks, origin or Origin())
        _remove_parts(folder)  # of a start that was killed
        left = [task for task in tasks if not task.structure.path.exists()]
        n_processes = min(n_workers or n_cores(), max(1, len(left)))
        try:
            with (
                watch.progress("structures") as progress,
                closing(_results(left, partial(_label, calc, recipe), n_processes)) as results,
            ):
                failures = []
                for done, (task, problem) in enumerate(results, len(tasks) - len(left) + 1):
                    progress(done, len(tasks))
                    watch.note("structure", {"structure": task.structure.name, "problem": problem})
                    if problem:
                        failures.append(replace(task.structure, problem=problem))
                        _write_failures(folder, failures)
        finally:
            _remove_parts(folder)
        if not failures:
            (folder / FAILURES).unlink(missing_ok=True)  # of an earlier start
    failed = {failure.number: failure for failure in failures}
    return LabelStudy(folder, tuple(failed.get(task.structure.number, task.structure) for task in tasks))


def _as_recipe(recipe: Any) -> teacher.LabelRecipe:
    return recipe if isinstance(recipe, teacher.LabelRecipe) else build(teacher.LabelRecipe, recipe, "the recipe")


def frame_files(structures: Sequence[Atoms], folder: str | os.PathLike) -> list[Path]:
    """Where `label_structures` writes the frames of each structure; those that are there are whole."""
    width = len(str(len(structures)))
    frames = Path(folder) / FRAMES
    return [frames / f"{k:0{width}d}-{_formula(atoms)}.h5" for k, atoms in enumerate(structures)]


@dataclass(frozen=True)
class _Task:
    structure: LabelledStructure
    atoms: Atoms


def _tasks(structures: Sequence[Atoms], names: Sequence[str] | None, folder: Path) -> list[_Task]:
    names = [str(k) for k in range(len(structures))] if names is None else names
    if len(names) != len(structures):
        raise InputError(
            f"there are {len(structures)} structures and {len(names)} names",
            "labels would say that they come from elsewhere",
            "give a name for each structure, or none at all",
        )
    files = frame_files(structures, folder)
    return [
        _Task(LabelledStructure(k, name, _formula(atoms), path), atoms)
        for k, (name, atoms, path) in enumerate(zip(names, structures, files, strict=True))
    ]


def _formula(atoms: Atoms) -> str:
    return atoms.get_chemical_formula("metal")[:40]


# ---- what is computed, in this process or in others --------------------------------------------------


def _results(
    tasks: Sequence[_Task], label_one: Callable[[_Task], str], n_processes: int
) -> Generator[tuple[_Task, str], None, None]:
    """(task, problem) as they end; the problem is empty where there is none."""
    if n_processes < 2:
        for task in tasks:
            yield task, label_one(task)
        return
    with closing(in_processes(label_one, tasks, n_processes, _share_cores, (n_processes,))) as results:
        for task, result in results:
            yield task, str(result)  # of a process that was killed, too: the structure is one that failed


def _share_cores(n_processes: int) -> None:
    """In every process, before it begins."""
    os.environ[LIMIT] = str(max(1, n_cores() // n_processes))


def _label(calc: PhonaxCalculator, recipe: teacher.LabelRecipe, task: _Task) -> str:
    """Label one structure and write its frames; what went wrong with this one, in a line."""
    structure = task.structure
    try:
        # There would be thousands of lines; what matters is in the labels.
        with one_blas_thread(), collected_warnings(), ignored_warnings("", Warning):
            frames = teacher.label(task.atoms, calc, recipe, structure.number, structure.name)
            check_frames(frames)  # or nobody could read them: atoms that nothing holds in place are no crystal
    except PhonaxError as error:
        return error.what
    except (ArithmeticError, ValueError, RuntimeError, MemoryError) as error:  # flying apart in the relaxation
        return in_words(error)
    save_frames(frames, structure.path, overwrite=True)
    return ""


# ---- the folder --------------------------------------------------------------------------------------


def _note_or_compare(
    folder: Path, recipe: teacher.LabelRecipe, calc: PhonaxCalculator, tasks: Sequence[_Task], origin: Origin
) -> None:
    """Note in the folder what its labels are of; refuse to mix them with others."""
    content = {
        "recipe": asdict(recipe),
        "model": calc.potential.name,
        "model_fingerprint": calc.potential.fingerprint(),
        "level_of_theory": calc.potential.provenance.level_of_theory,
        "dtype": origin.precision(calc),
        "files": [file for file in dict.fromkeys(task.structure.name.rpartition("@")[0] for task in tasks) if file],
        "structures": _digest([task.atoms for task in tasks]),
    }
    content = json.loads(json.dumps(content))
    path = folder / NOTE
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


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        note = in_words(error)
    if not isinstance(note, dict):
        raise InputError(
            f"{path} does not say what the labels beside it are of: {str(note)[:200]}",
            "labels of two kinds could be mixed",
            "choose another folder with --output",
        )
    return note


def _write_failures(folder: Path, failures: Sequence[LabelledStructure]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["structure", "formula", "problem"])
    writer.writerows((f.name, f.formula, f.problem) for f in sorted(failures, key=lambda f: f.number))
    # A name that is no UTF-8 is written with escapes.
    write_whole(folder / FAILURES, text.getvalue().encode("utf-8", "backslashreplace"), loss=_LOSS, remedy=_REMEDY)


def _remove_parts(folder: Path) -> None:
    """Files that a killed process was writing."""
    for part in (*folder.glob(TEMPORARY), *(folder / FRAMES).glob(TEMPORARY)):
        if part.is_file() and not part.is_symlink():
            with suppress(OSError):
                part.unlink()


def _remove_labels(folder: Path) -> None:
    """What earlier starts wrote; the note last, so that what is left after a kill is still known.

    Raises:
        OutputError: there is something else as well; nothing is removed then.
    """
    frames = folder / FRAMES
    _remove_parts(folder)
    foreign = [p.name for p in folder.iterdir() if p.name not in (LOCK, FRAMES) and not _is_file(p, (NOTE, FAILURES))]
    if frames.is_symlink() or (frames.exists() and not frames.is_dir()):
        foreign.append(FRAMES)
    labels = [] if foreign or not frames.exists() else sorted(frames.iterdir())
    foreign += [f"{FRAMES}/{p.name}" for p in labels if not (_FRAME_FILE.fullmatch(p.name) and _is_file(p))]
    if foreign:
        raise OutputError(
            f"the folder {folder} holds files that are not results of this command: {', '.join(sorted(foreign)[:5])}",
            "--overwrite replaces the labels in it, and they would be among the new ones",
            "choose another folder with --output, or move them away",
        )
    try:
        for path in (folder / FAILURES, *labels, folder / NOTE):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"the labels in {folder} cannot be removed: {error.strerror or error}",
            "labels of two kinds would be mixed",
            "choose another folder with --output",
        ) from error


def _is_file(path: Path, names: Sequence[str] = ()) -> bool:
    return path.is_file() and not path.is_symlink() and (not names or path.name in names)
