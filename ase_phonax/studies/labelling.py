"""Structures labelled by a potential in any number of processes: what `ase-phonax label` does.

One file for each structure, so that a second start goes on where the first was stopped, however it was stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ase import Atoms

from ..base.claims import claimed_folder
from ..base.cores import LIMIT, n_cores, one_blas_thread
from ..base.errors import InputError, OutputError, PhonaxError, StructureError, in_words
from ..base.processes import in_processes
from ..base.settings import build, convert
from ..base.sharing import ignored_warnings
from ..calculator import PhonaxCalculator
from ..phonons.finite_differences import DisplacementCalculator, crystal_calculator
from ..training.labels import Frame, read_frames, save_frames, teacher
from ..training.labels.checks import check_frames
from .label_folder import FAILURES, FRAMES, NOTE, note_or_compare, remove_labels, remove_parts, write_failures
from .model_facts import facts_of
from .notes import collected_warnings
from .provenance import Origin
from .report import Report
from .study import Study
from .summary_units import Summary
from .watch import Watch

SHOWN_FAILURES = 5  # in the report; all of them are in the file


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
class LabelStudy(Study):
    """A folder of labels, each written as soon as it is computed: a run that was killed goes on from those.

    Attributes:
        folder: with `labels.json`, which says what they are of, and one file for each structure in `frames/`.
        structures: all those given, in their order.
    """

    folder: Path
    structures: tuple[LabelledStructure, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files in the folder."""
        frames = (f"{FRAMES}/{structure.path.name}" for structure in self.structures if not structure.problem)
        return (NOTE, *([FAILURES] if self.failures else []), *frames)

    @property
    def failures(self) -> tuple[LabelledStructure, ...]:
        """Structures that could not be labelled; another start tries them again."""
        return tuple(structure for structure in self.structures if structure.problem)

    def frames(self) -> list[Frame]:
        """The labels, as `train` and `fine_tune` take them; none where no structure was labelled."""
        return read_frames([str(structure.path) for structure in self.structures if not structure.problem])

    def to_dict(self) -> Summary:
        """How many structures are labelled, and why others are not: built-in types only."""
        return {
            "folder": str(self.folder),
            "n_structures": len(self.structures),
            "n_labelled": len(self.structures) - len(self.failures),
            "failures": [{"structure": f.name, "formula": f.formula, "problem": f.problem} for f in self.failures],
            "provenance": self.provenance,
            "timings_s": self.timings_s,
        }

    def report(self, folder: Path | None = None) -> Report:
        """How many structures are labelled, and why the first few others are not.

        Args:
            folder: that of the labels, which the study knows.
        """
        n_structures, failures = len(self.structures), self.failures
        labelled = f"{n_structures - len(failures)} of {n_structures} structures labelled"
        text = Report(f"{labelled}, in {self.folder / FRAMES}")
        for failure in failures[:SHOWN_FAILURES]:
            text.paragraph(f"{failure.name}: {failure.problem}")
        if failures:
            text.paragraph(f"{len(failures)} in {self.folder / FAILURES}; another start tries them again")
        return text

    def write(self, folder: str | os.PathLike, *, overwrite: bool = False) -> NoReturn:
        """Refuse: labels lie in the folder that they were computed into.

        Raises:
            OutputError: with that folder.
        """
        raise OutputError(
            f"these labels lie in {self.folder} already",
            "each was written as soon as it was computed, so that a run that is killed can go on",
            f"copy {self.folder} where you want them",
        )


def label_structures(
    structures: Sequence[Atoms],
    calc: PhonaxCalculator | DisplacementCalculator,
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
        calc: of the model whose labels they get, or any other ASE calculator, inside a `DisplacementCalculator` that
            knows its maker. Several processes get copies of it.
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
    if n_workers is not None and (n_workers := convert(int, n_workers, "the labelling", "n_workers")) < 1:
        raise InputError(f"the number of processes is {n_workers}", "somebody has to compute", "give 1 or more")
    teacher_calc = crystal_calculator(calc)
    recipe = _as_recipe({} if recipe is None else recipe)
    folder, watch, origin = Path(folder), watch or Watch(), origin or Origin()
    tasks = _tasks(structures, names, folder)
    with watch.section("labels"), claimed_folder(folder):
        if overwrite:
            remove_labels(folder)
        note_or_compare(folder, recipe, teacher_calc, structures, [task.structure.name for task in tasks], origin)
        remove_parts(folder)  # of a start that was killed
        left = [task for task in tasks if not task.structure.path.exists()]
        n_processes = min(n_workers or n_cores(), max(1, len(left)))
        try:
            with (
                watch.progress("structures") as progress,
                closing(_results(left, partial(_label, teacher_calc, recipe), n_processes)) as results,
            ):
                failures = []
                for done, (task, problem) in enumerate(results, len(tasks) - len(left) + 1):
                    progress(done, len(tasks))
                    watch.note("structure", {"structure": task.structure.name, "problem": problem})
                    if problem:
                        failures.append(replace(task.structure, problem=problem))
                        write_failures(folder, failures)
        finally:
            remove_parts(folder)
        if not failures:
            (folder / FAILURES).unlink(missing_ok=True)  # of an earlier start
    failed = {failure.number: failure for failure in failures}
    return LabelStudy(
        origin=origin,
        dtype=origin.precision(teacher_calc),
        model=facts_of(teacher_calc, origin.model),
        provenance=origin.provenance(),
        notes=[],
        timings_s=watch.rounded(),
        folder=folder,
        structures=tuple(failed.get(task.structure.number, task.structure) for task in tasks),
    )


def _as_recipe(recipe: teacher.LabelRecipe | Mapping[str, Any]) -> teacher.LabelRecipe:
    """A recipe, which may be given as a mapping."""
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
    """Yield tasks as they end, each with its problem, which is empty where there is none."""
    if n_processes < 2:
        for task in tasks:
            yield task, label_one(task)
        return
    with closing(in_processes(label_one, tasks, n_processes, _share_cores, (n_processes,))) as results:
        for task, result in results:
            yield task, str(result)  # of a process that was killed, too: the structure is one that failed


def _share_cores(n_processes: int) -> None:
    """Let a process use its share of the cores; it is called in each of them before it begins."""
    os.environ[LIMIT] = str(max(1, n_cores() // n_processes))


def _label(calc: PhonaxCalculator | DisplacementCalculator, recipe: teacher.LabelRecipe, task: _Task) -> str:
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
