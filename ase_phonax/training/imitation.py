"""A network's first parameters from what another network computes inside.

A teacher holds more than energies: what leaves each of its layers is hundreds of numbers for every atom, and how these
numbers answer to a displacement is hundreds more. The student learns to give them, up to linear maps of each irrep's
channels that are learned beside it and thrown away. It costs values and one forward derivative, no forces: a quarter of
a step on labels. Hints: Romero et al., arXiv:1412.6550; derivatives as targets: Czarnecki et al., arXiv:1706.04859.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from ase import Atoms

from ..data.batches import Item, Planner, iterate, prepare
from ..data.frames import Frame
from ..derivatives import cast, edge_vectors
from ..errors import InputError
from ..exchange import Exchange
from ..networks import get_network
from ..networks.irreps import EVEN_SCALAR, Irreps
from ..networks.nequip import layer_irreps
from ..potential import Potential
from . import placement, setup, steps
from .config import Config, LossConfig, OptimiserConfig, RunConfig, as_config
from .losses import both_ways, graph_of_nodes

# Channels that hardly vary are divided by this part of the median channel's size.
LEAST_SIZE = 0.1
# Of node energies and their changes, which all else is for, beside 1 for each lesson.
ENERGY_WEIGHT = 4.0


@dataclass(frozen=True)
class Lesson:
    """What a layer of the student is compared with: hashable.

    Attributes:
        layer: of the student.
        of_student, of_teacher: irreps of both, blocks in the order of the arrays.
    """

    layer: int
    of_student: Irreps
    of_teacher: Irreps


Report = Callable[[Mapping[str, Any]], None]


def imitate(
    config: Config,
    teacher: Any,
    frames: Sequence[Frame],
    structures: Sequence[Atoms],
    report: Report | None = None,
) -> Potential:
    """A new network that computes what another does, to be trained on.

    Args:
        config: as for `train`, of which the network, the optimiser, `run.seed`, `run.devices`, `run.n_shapes` count.
        teacher: a `Potential`, a registered name, or a model file.
        frames: labelled ones, which it will be trained on: sizes, elements and reference energies are taken from them.
        structures: where the two are compared; see `learn`.
        report: called with the row of each epoch.

    Raises:
        InputError: the configuration, or networks that do not tell what is inside them.
        StructureError: a structure has elements that the teacher lacks.
    """
    from ..weights import load_model

    found = as_config(config)
    with jax.enable_x64(False):
        student = setup.new_potential(found, frames)
        return learn(student, load_model(teacher), structures, found.optimiser, found.run, report)


def learn(
    student: Potential,
    teacher: Potential,
    structures: Sequence[Atoms],
    optimiser: OptimiserConfig,
    run: RunConfig,
    report: Report | None = None,
) -> Potential:
    """A student that computes what the teacher does, as far as its channels hold it.

    The first layer of the student is compared with the teacher's first, the last with its last, any other with all of
    the teacher's in between; node energies with node energies. Each structure has one random direction, along which
    the answers of all these are compared too.

    Args:
        student: its parameters are where it starts.
        teacher: a NequIP-type network; its elements include the student's.
        structures: disordered ones teach more than crystals at rest, whose atoms are all alike.
        optimiser: epochs, rates and the like.
        run: seed of directions and of the order of structures; devices and shapes.
        report: called with the row of each epoch.

    Raises:
        InputError: one of the two does not tell what is inside it, or the teacher lacks elements.
    """
    for potential in (student, teacher):
        if inside(potential) is None:
            raise InputError(
                f"{potential.name} does not tell what leaves its layers",
                "there is nothing to compare",
                "use NequIP-type networks for teacher and student",
            )
    lessons = _lessons(student, teacher)
    rng = np.random.default_rng((run.seed, 7))
    frames = [Frame(atoms, energy=0.0) for atoms in structures]
    directions = [rng.normal(size=(len(a), 3)) for a in structures]
    seen = look_inside(teacher, frames, directions)
    sizes, energies, energy_size = _sizes(seen, frames, lessons, student)
    targets = [_target(s, energies[f.atoms.numbers], energy_size, sizes) for s, f in zip(seen, frames, strict=True)]
    del seen
    items = _items(student, frames, directions, targets)

    n_devices = placement.n_devices(run.devices)
    pieces = placement.n_pieces(optimiser, items, n_devices)
    rules = steps.Rules.of(LossConfig(), optimiser, (), pieces)
    planner = Planner(items, optimiser.batch_size, n_shapes=run.n_shapes, n_stacked=n_devices * pieces)
    per_epoch = len(planner.epoch(run.seed, 0))
    rates = _rates(optimiser, per_epoch * optimiser.epochs)
    means = energies[list(student.numbers)]
    scales = {"means": means.astype(np.float32), "energies": np.float32(energy_size)}
    step = steps.step_down(partial(_batch_loss, inside(student), student.cutoff, lessons), rules)
    top = {**student.parameters["~"], "atom_energies": means - student.config.shift}
    parameters = {**student.parameters, "~": top} | {"heads": _heads(lessons, rng)}
    state = steps.start(rules, cast(parameters, np.dtype(np.float32)))
    place, copy = placement.places(n_devices)
    state = copy(state)
    number = 0
    for epoch in range(optimiser.epochs):
        total: dict[str, float] = {}
        count = 0
        for _, members, batch in iterate(planner, planner.epoch(run.seed, epoch), (run.seed, epoch)):
            state, loss, parts, _ = step(state, place(batch), rates[number], scales)
            number, count = number + 1, count + len(members)
            for name, value in {"loss": loss, **parts}.items():
                total[name] = total.get(name, 0.0) + float(value) * len(members)
        if report:
            report({"epoch": epoch + 1, **{name: value / count for name, value in total.items()}})
    learned = {m: {k: np.asarray(x) for k, x in t.items()} for m, t in state.average.items() if m != "heads"}
    return replace(student, parameters=learned)


def inside(potential: Potential) -> Any:
    """See `networks.nequip_haiku.Network.inside`."""
    network = None if potential.architecture is None else get_network(potential.architecture, potential.config)
    return getattr(network, "inside", None)


def _lessons(student: Potential, teacher: Potential) -> tuple[Lesson, ...]:
    """One for each pair of layers, teachers' layers in order."""
    own, theirs = ([out for _, out in layer_irreps(p.config)] for p in (student, teacher))
    last, found = len(own) - 1, []
    for k, irreps in enumerate(theirs):
        if k == len(theirs) - 1:
            found.append(Lesson(last, own[last], irreps))
        elif k == 0 or last == 1:
            found.append(Lesson(0, own[0], irreps))
        else:
            found.append(Lesson(1 + (k - 1) * (last - 1) // max(1, len(theirs) - 2), own[1], irreps))
    return tuple(found)


def _shared(lesson: Lesson) -> list[tuple[Any, int, int, int]]:
    """Irreps of both: (irrep, channels of the student, of the teacher, where the teacher's block starts)."""
    own, start, found = {ir: mul for mul, ir in lesson.of_student}, 0, []
    for mul, ir in lesson.of_teacher:
        if ir in own:
            found.append((ir, own[ir], mul, start))
        start += mul * ir.dim
    return found


def look_inside(potential: Potential, frames: Sequence[Frame], directions: Sequence[np.ndarray]) -> list[tuple]:
    """Of each frame: features of all layers (n, d), their changes along the direction, and both of node energies."""
    items = _items(potential, frames, directions, None)
    planner = Planner(items, 8, n_shapes=4)
    function = partial(answers, inside(potential), potential.cutoff)
    run = jax.jit(function, compiler_options=steps.compiler_options())
    parameters = cast(potential.parameters, np.dtype(np.float32))
    found: list[Any] = [None] * len(items)
    for _, members, batch in iterate(planner, planner.in_order(), (0, 0)):
        (features, energies), (moved, moved_energies) = run(parameters, batch)
        arrays = [np.concatenate(x, -1) for x in (features, moved)] + [np.asarray(energies), np.asarray(moved_energies)]
        start = 0
        for k in members:
            stop = start + len(frames[k].atoms)
            found[k] = tuple(x[start:stop] for x in arrays)
            start = stop
    return found


def answers(function: Any, cutoff: float, parameters: Any, batch: jraph.GraphsTuple) -> tuple[Any, Any]:
    """What is inside, and how it changes along the batch's directions."""
    positions = batch.nodes["positions"]
    n = positions.shape[0]
    senders, receivers, offsets = both_ways(batch)
    exchange = Exchange(senders, receivers, n, mirrored=True)
    real_edges = (batch.globals["n_atoms"] > 0)[graph_of_nodes(batch)[receivers]]

    def compute(x: jax.Array) -> Any:
        vectors = edge_vectors(x, offsets, real_edges, cutoff, exchange)
        return function(parameters, vectors, batch.nodes["species"], exchange)

    return jax.jvp(compute, (positions,), (batch.nodes["direction"],))


def _items(potential: Potential, frames: Sequence[Frame], directions: Sequence[np.ndarray], targets: Any) -> list[Item]:
    items = prepare(frames, potential.cutoff, potential.numbers, potential.name, curvature=False, spectrum=False)
    result = []
    for k, (item, moved) in enumerate(zip(items, directions, strict=True)):
        more = {"direction": moved} | ({} if targets is None else {"target": targets[k]})
        result.append(replace(item, graph=item.graph._replace(nodes=item.graph.nodes | more)))
    return result


def _sizes(seen: list, frames: Sequence[Frame], lessons: tuple[Lesson, ...], student: Potential) -> tuple:
    """By what features and their changes (2, d) are divided, mean node energy of each element, size of what is left."""
    some = seen[:: max(1, len(seen) // 1000)]
    values, moved = (np.concatenate([s[k] for s in some]).astype(float) for k in (0, 1))
    sizes, start = np.ones((2, values.shape[1])), 0
    for lesson in lessons:
        for mul, ir in lesson.of_teacher:
            block = slice(start, start + mul * ir.dim)
            for k, x in enumerate((values, moved)):
                x = x[:, block].reshape(len(x), ir.dim, mul)
                x = x - x.mean(0) if ir == EVEN_SCALAR and k == 0 else x
                size = np.sqrt(np.mean(x**2, (0, 1)))
                size = np.maximum(size, max(LEAST_SIZE * np.median(size), 1e-6))
                sizes[k, block] = np.tile(size, ir.dim)
            start += mul * ir.dim
    numbers = np.concatenate([f.atoms.numbers for f in frames])
    energies = np.concatenate([s[2] for s in seen]).astype(float)
    moved_energies = np.concatenate([s[3] for s in some]).astype(float)
    mean = np.full(120, energies.mean())
    for z in student.numbers:
        if (numbers == z).any():
            mean[z] = energies[numbers == z].mean()
    return sizes, mean, (float(np.std(energies - mean[numbers])), float(np.sqrt(np.mean(moved_energies**2))))


def _target(seen: tuple, mean: np.ndarray, energy_size: tuple[float, float], sizes: np.ndarray) -> np.ndarray:
    """(n, 2, d + 1) float16: values and changes in units of their sizes, node energies last."""
    values, moved, energies, moved_energies = seen
    rows = [
        np.concatenate([values / sizes[0], ((energies - mean) / energy_size[0])[:, None]], -1),
        np.concatenate([moved / sizes[1], (moved_energies / energy_size[1])[:, None]], -1),
    ]
    return np.stack(rows, 1).astype(np.float16)


def _heads(lessons: tuple[Lesson, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Linear maps from the student's channels to the teacher's; a second one for changes, whose sizes differ."""
    heads = {}
    for k, lesson in enumerate(lessons):
        for ir, mul, theirs, _ in _shared(lesson):
            for which in ("value", "change"):
                heads[f"{k}_{ir}_{which}"] = rng.normal(size=(mul, theirs)) / mul**0.5
            if ir == EVEN_SCALAR:
                heads[f"{k}_bias"] = np.zeros(theirs)
    return heads


def _batch_loss(
    function: Any, cutoff: float, lessons: tuple[Lesson, ...], parameters: Any, batch: Any, scales: dict
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Weighted mean over lessons of the mean square deviations, in units of the targets' own mean squares."""

    def one(batch: jraph.GraphsTuple) -> dict[str, jax.Array]:
        return _losses(function, cutoff, lessons, parameters, batch, scales)

    if batch.n_node.ndim == 2:
        share = jnp.sum(batch.globals["n_atoms"], 1)
        share = share / jnp.maximum(jnp.sum(share), 1)
        parts = {name: jnp.sum(value * share) for name, value in jax.vmap(one)(batch).items()}
    else:
        parts = one(batch)
    weights = {name: ENERGY_WEIGHT if name.startswith("energ") else 1.0 for name in parts}
    return jnp.asarray(sum(weights[name] * parts[name] for name in parts) / sum(weights.values())), parts


def _losses(function: Any, cutoff: float, lessons: Any, parameters: Any, batch: Any, scales: dict) -> dict:
    own = {name: arrays for name, arrays in parameters.items() if name != "heads"}
    heads, target = parameters["heads"], batch.nodes["target"]
    found = answers(function, cutoff, own, batch)
    real = (batch.globals["n_atoms"] > 0)[graph_of_nodes(batch)]
    n_atoms = jnp.maximum(jnp.sum(real), 1)

    def mean_square(error: jax.Array) -> jax.Array:
        square = jnp.mean(error**2, tuple(range(1, error.ndim)))
        return jnp.sum(jnp.where(real, square, 0.0)) / n_atoms

    result, first = {}, 0
    for k, lesson in enumerate(lessons):
        starts, start = {}, 0
        for mul, ir in lesson.of_student:
            starts[ir] = start
            start += mul * ir.dim
        for j, which in enumerate(("value", "change")):
            features = found[j][0][lesson.layer]
            total = []
            for ir, mul, theirs, begin in _shared(lesson):
                x = features[:, starts[ir] : starts[ir] + mul * ir.dim].reshape(-1, ir.dim, mul)
                predicted = x @ heads[f"{k}_{ir}_{which}"]
                if ir == EVEN_SCALAR and not j:
                    predicted = predicted + heads[f"{k}_bias"]
                block = slice(first + begin, first + begin + theirs * ir.dim)
                total.append(mean_square(predicted.reshape(len(x), -1) - target[:, j, block]))
            result[f"{which}_{k}"] = jnp.mean(jnp.stack(total))
        first += sum(mul * ir.dim for mul, ir in lesson.of_teacher)
    for j, which in enumerate(("energies", "energy_changes")):
        predicted = found[j][1] - (scales["means"][batch.nodes["species"]] if not j else 0.0)
        result[which] = mean_square(predicted / scales["energies"][j] - target[:, j, -1])
    return result


@lru_cache
def _schedule(high: float, warm: int, total: int, final: float) -> np.ndarray:
    x = np.arange(total)
    cosine = final + (1 - final) * 0.5 * (1 + np.cos(np.pi * np.clip((x - warm) / max(1, total - warm), 0, 1)))
    return (high * np.minimum(cosine, (x + 1) / max(1, warm))).astype(np.float32)


def _rates(optimiser: OptimiserConfig, total: int) -> np.ndarray:
    high = 1e-2 if optimiser.learning_rate == "auto" else float(optimiser.learning_rate)
    return _schedule(high, int(optimiser.warmup * total), total, optimiser.final)
