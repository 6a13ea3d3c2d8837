"""A network's first parameters from what another network computes inside.

A teacher holds more than energies: what leaves each of its layers is hundreds of numbers for every atom, and how these
numbers answer to a displacement is hundreds more. The student learns to give them, up to linear maps of each irrep's
channels that are learned beside it and thrown away. That needs values and one forward derivative: no labels, and a
fraction of the arithmetic of a step on forces. Features as targets: Romero et al., arXiv:1412.6550; derivatives as
targets: Czarnecki et al., arXiv:1706.04859.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ...base.errors import InputError
from ...derivatives.compiled.responses import Tree, cast
from ...models.architectures import ARCHITECTURES, get_network
from ...models.potential import Potential, Provenance
from .. import placement, setup, steps
from ..batches import Item, Planner, iterate, prepare
from ..config import Config, LossConfig, NetworkConfig, OptimiserConfig, RunConfig, as_config
from ..folders import working_in
from ..labels.frames import Frame, find_elements, fingerprint
from ..trainer import FROM_NOTHING, Judge, Report, Trainer, as_arrays
from .lessons import (
    Inside,
    InsideFunction,
    Scales,
    first_heads,
    lesson_loss,
    make_lessons,
    make_target,
    measure_scales,
    values_and_changes,
)


def imitate(
    config: Config,
    teacher: str | os.PathLike | Potential,
    frames: Sequence[Frame],
    structures: Sequence[Atoms],
    report: Report | None = None,
    *,
    valid: Sequence[Atoms] = (),
    folder: str | os.PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Potential:
    """A new network that computes what another does, to be trained on; in single precision.

    Args:
        config: as for `train`. What counts are the network, the optimiser, and seed, devices and shapes of the run.
            Reference energies are the mean energies that the teacher gives to atoms of each element.
        teacher: a `Potential`, a registered name, or a model file.
        frames: labelled ones, which it will be trained on: sizes and elements are taken from them.
        structures: where the two are compared; see `learn`.
        report: called with the row of each epoch.
        valid: structures that only judge: the parameters kept are the best on them, and `patience` counts.
        folder: of checkpoints and history; None for neither.
        resume: go on from the last checkpoint in the folder, as if it had never stopped.
        overwrite: start anew where the folder holds an earlier run.

    Raises:
        InputError: the configuration, networks that do not tell what is inside them, nothing to compare, elements that
            the teacher lacks or that no structure has; a checkpoint of another run.
        TrainingError: a loss that is not finite.
        OutputError: the folder holds an earlier run, cannot be written, or another run is writing there.
    """
    from ...models.loading import load_model

    settings, known = as_config(config), load_model(teacher)
    if not frames:
        raise InputError("there are no frames", "sizes and elements are taken from them", "give those to train on")
    _check_types("frames", frames, Frame, "give what read_frames returns; frame_of_atoms makes one of Atoms")
    if settings.network.energies != NetworkConfig().energies:
        raise InputError(
            f"network.energies is {settings.network.energies!r}",
            "reference energies are those of the teacher's atoms",
            "leave it out; fine_tune.energies: shift moves them to the labels' afterwards",
        )
    _check_telling(f"the teacher {known.name}", known)
    network = replace(settings.network, energies="zero")
    with jax.enable_x64(False):
        student = setup.new_potential(replace(settings, network=network), frames)
        whole = partial(learn, student, known, structures, settings.optimiser, settings.run, report, valid=valid)
        if folder is None:
            return whole()
        with working_in(Path(folder), teacher, resume=resume, overwrite=overwrite) as replaces:
            return whole(folder=Path(folder), resume=resume, replaces=replaces)


def learn(
    student: Potential,
    teacher: Potential,
    structures: Sequence[Atoms],
    optimiser: OptimiserConfig,
    run: RunConfig,
    report: Report | None = None,
    *,
    valid: Sequence[Atoms] = (),
    folder: Path | None = None,
    resume: bool = False,
    replaces: bool = False,
) -> Potential:
    """A student that computes what the teacher does, as far as its channels hold it.

    The teacher's first layer is compared with the student's first, its last with the student's last, each between with
    one between, spread evenly: a student with fewer layers has some compared with several (of two the first with all
    but the teacher's last, a single one with all), one with more has some that nobody teaches. Node energies are
    compared with node energies. Each structure has one random direction, along which the answers of all these are
    compared too.

    JAX's precision is taken as it is set: `imitate` calls this with double precision off.

    Args:
        student: its parameters are where it starts.
        teacher: a NequIP-type network that knows the student's elements.
        structures: disordered ones teach more than crystals at rest, whose atoms are all alike.
        optimiser: all but `patience`, where there is no validation.
        run: seed of directions and of the order of structures; devices and shapes; how often is judged and written.
        report: called with the row of each epoch.
        valid: structures that only judge.
        folder: of checkpoints and history; None for neither.
        resume: go on from the last checkpoint in the folder.
        replaces: an earlier run lies in the folder, to be replaced.

    Raises:
        InputError: networks that do not tell what is inside them, nothing to compare, elements that the teacher lacks
            or that no structure has; a checkpoint of another run.
        TrainingError: a loss that is not finite.
    """
    _check(student, teacher, structures, valid, optimiser)
    lessons = make_lessons(student, teacher)
    # 7 for directions, as 2 is for the frames held out. The order of epoch 7 draws the same, for something else.
    rng = np.random.default_rng((run.seed, 7))
    frames = [Frame(atoms, energy=0.0) for atoms in structures]
    directions = [rng.normal(size=(len(a), 3)) for a in structures]
    seen = look_inside(teacher, frames, directions)
    numbers = [atoms.numbers for atoms in structures]
    scales = measure_scales(seen, numbers, lessons, student)
    targets = [make_target(s, z, scales, student) for s, z in zip(seen, numbers, strict=True)]
    del seen
    items = _items(student, frames, directions, targets)
    function = inside(student)
    assert function is not None, "the student has been asked whether it tells"
    loss = partial(lesson_loss, function, student.cutoff, lessons)
    sizes = {"elements": np.float32(scales.elements), "energies": np.float32(scales.energies)}

    n_devices = placement.n_devices(run.devices)
    pieces = placement.n_pieces(optimiser, items, n_devices)
    rules = steps.Rules.of(LossConfig(), optimiser, (), pieces, student)
    planner = Planner(items, optimiser.batch_size, n_shapes=run.n_shapes, n_stacked=n_devices * pieces)
    high = FROM_NOTHING if optimiser.learning_rate == "auto" else float(optimiser.learning_rate)
    total = len(planner.epoch(run.seed, 0)) * optimiser.epochs
    step = steps.step_down(loss, rules)
    start = setup.with_references(student, scales.elements - getattr(student.config, "shift", 0.0))
    parameters = {**start.parameters, "heads": first_heads(lessons, rng)}
    judged = [Frame(atoms, energy=0.0) for atoms in valid]
    trainer = Trainer(
        lambda kind: step,
        planner,
        steps.learning_rates(optimiser, high, total, np.dtype(np.float32)),
        _judge(loss, student, teacher, judged, scales, sizes, run) if judged else None,
        state=steps.start(rules, cast(parameters, np.dtype(np.float32))),
        scales=sizes,
        optimiser=optimiser,
        run=run,
        n_devices=n_devices,
        identity={
            "config": {"optimiser": asdict(optimiser), "run": asdict(run)},
            "base": f"{student.fingerprint()} imitates {teacher.fingerprint()}",
            "data": fingerprint([*frames, *judged]),
        },
        with_parts=True,
    )
    trainer.replaces = replaces
    if folder and resume:
        trainer.load(folder)
    trainer.go(folder, report, None)
    learned = as_arrays({name: arrays for name, arrays in trainer.chosen()[0].items() if name != "heads"})
    return replace(student, parameters=learned, provenance=_provenance(teacher, len(structures)))


def _judge(
    loss: steps.Loss,
    student: Potential,
    teacher: Potential,
    frames: Sequence[Frame],
    scales: Scales,
    sizes: Mapping[str, Any],
    run: RunConfig,
) -> Judge:
    """The loss on structures that nothing is learned from, always along the same directions."""
    rng = np.random.default_rng((run.seed, 8))
    directions = [rng.normal(size=(len(frame.atoms), 3)) for frame in frames]
    seen = look_inside(teacher, frames, directions)
    targets = [make_target(s, frame.atoms.numbers, scales, student) for s, frame in zip(seen, frames, strict=True)]
    planner = Planner(_items(student, frames, directions, targets), 8, n_shapes=run.n_shapes)
    compiled = jax.jit(loss, compiler_options=steps.compiler_options())

    def judge(parameters: Tree) -> dict[str, float]:
        total = 0.0
        for _, members, batch in iterate(planner, planner.in_order(), (0, 0)):
            total += float(compiled(parameters, batch, sizes)[0]) * len(members)
        return {"valid_loss": total / len(frames)}

    return judge


def inside(potential: Potential) -> InsideFunction | None:
    """What gives the inside of a potential (`models.architecture.Network.inside`); None where it does not tell."""
    if potential.architecture is None or ARCHITECTURES[potential.architecture].layers is None:
        return None
    return getattr(get_network(potential.architecture, potential.config), "inside", None)


def _check_types(what: str, given: Sequence[Any], kind: type, remedy: str) -> None:
    """Atoms and frames are easily taken for each other, and a single structure for a list of them."""
    for k, one in enumerate(given):
        if not isinstance(one, kind):
            raise InputError(
                f"{what}[{k}] is of the type {type(one).__name__}, not {kind.__name__}",
                "frames hold labels, structures are compared without any",
                remedy,
            )


def _check_telling(who: str, potential: Potential) -> None:
    if inside(potential) is None:
        raise InputError(
            f"{who} does not tell what leaves its layers",
            "there is nothing to compare",
            "use NequIP-type networks for teacher and student",
        )


def _check(
    student: Potential,
    teacher: Potential,
    structures: Sequence[Atoms],
    valid: Sequence[Atoms],
    optimiser: OptimiserConfig,
) -> None:
    for who, potential in (("the student", student), (f"the teacher {teacher.name}", teacher)):
        _check_telling(who, potential)
    if not structures:
        raise InputError("there are no structures", "there is nothing to compare", "give some that the teacher knows")
    for what, given in (("structures", structures), ("valid", valid)):
        _check_types(what, given, Atoms, "give ASE's Atoms; those of a frame are frame.atoms")
    if optimiser.patience and not valid:
        raise InputError(
            f"optimiser.patience is {optimiser.patience}, and no structures are held out",
            "there is no validation that could stop improving",
            "leave it out, or give valid",
        )
    learned = set(find_elements([Frame(atoms) for atoms in structures]))
    there = learned | set(find_elements([Frame(atoms) for atoms in valid]))
    own = set(student.numbers)
    problems = {
        f"the teacher {teacher.name} lacks": (own - set(teacher.numbers), "take another teacher, or a student without"),
        "the student lacks": (there - own, "leave such structures out, or make a student with"),
        "no structure has": (own - learned, "add structures with"),
    }
    for problem, (numbers, remedy) in problems.items():
        if numbers:
            symbols = ", ".join(chemical_symbols[z] for z in sorted(numbers))
            raise InputError(
                f"{problem} {symbols}",
                "an element is learned from atoms of it, by a teacher that knows it",
                f"{remedy} {symbols}",
            )


def _provenance(teacher: Potential, count: int) -> Provenance:
    theirs = teacher.provenance
    return Provenance(
        level_of_theory=f"imitates {teacher.name} ({theirs.level_of_theory})",
        training_set=f"{count} structures, by what {teacher.name} computes inside",
        licence=theirs.licence,
        citation=theirs.citation,
        source="ase_phonax.imitate",
    )


def look_inside(
    potential: Potential, frames: Sequence[Frame], directions: Sequence[np.ndarray]
) -> list[tuple[Inside, Inside]]:
    """Values and changes of each frame, features of all layers joined.

    Args:
        directions: (n, 3) of each frame.
    """
    items = _items(potential, frames, directions, None)
    planner = Planner(items, 8, n_shapes=4)
    function = inside(potential)
    assert function is not None, "networks are asked first whether they tell"
    run = jax.jit(partial(values_and_changes, function, potential.cutoff), compiler_options=steps.compiler_options())
    parameters = cast(potential.parameters, np.dtype(np.float32))
    seen: list[Any] = [None] * len(items)
    for _, members, batch in iterate(planner, planner.in_order(), (0, 0)):
        both = [Inside(np.concatenate(x.features, -1), np.asarray(x.energies)) for x in run(parameters, batch)]
        start = 0
        for k in members:
            here = slice(start, start + len(frames[k].atoms))
            seen[k] = tuple(Inside(x.features[here], x.energies[here]) for x in both)
            start = here.stop
    return seen


def _items(
    potential: Potential,
    frames: Sequence[Frame],
    directions: Sequence[np.ndarray],
    targets: Sequence[np.ndarray] | None,
) -> list[Item]:
    """Graphs with directions, and targets where there are some, among the node arrays."""
    items = prepare(frames, potential.cutoff, potential.numbers, potential.name, curvature=False, spectrum=False)
    result = []
    for k, (item, moved) in enumerate(zip(items, directions, strict=True)):
        more = {"direction": moved} | ({} if targets is None else {"target": targets[k]})
        result.append(replace(item, graph=item.graph._replace(nodes=item.graph.nodes | more)))
    return result
