"""What a student is told of the inside of its teacher, and how far it is from that. Pure functions; see `imitation`.

Letters: n atoms, d numbers that leave all layers of the teacher.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from ...base.errors import InputError
from ...derivatives.compiled.exchange import Exchange
from ...derivatives.compiled.responses import Tree, edge_vectors
from ...models.architectures import ARCHITECTURES
from ...models.o3.irreps import EVEN_SCALAR, Irrep, Irreps
from ...models.potential import Potential
from .. import steps
from ..predictions import both_ways, graph_of_nodes

# The arguments of a node-energy function -> features that leave each layer, and node energies: `student.inside`.
InsideFunction = Callable[..., Any]
# Channels that hardly vary are divided by this part of the median channel's size.
LEAST_SIZE = 0.1
# Of node energies and their changes, which all else is for, beside 1 for values and for changes of each lesson.
ENERGY_WEIGHT = 4.0
# Sizes are taken from every n-th structure: from all below twice this number, else from this number or more.
MEASURED = 1000


@dataclass(frozen=True)
class Lesson:
    """Which layer of the student is compared with one of the teacher's; hashable.

    Attributes:
        layer: of the student.
        of_student, of_teacher: irreps that leave both, blocks in the order of the arrays.
    """

    layer: int
    of_student: Irreps
    of_teacher: Irreps

    def shared(self) -> list[tuple[Irrep, slice, slice]]:
        """Irreps of both, where the student's blocks lie and where the teacher's."""
        own, theirs = _slices(self.of_student), _slices(self.of_teacher)
        return [(ir, own[ir], theirs[ir]) for ir in theirs if ir in own]


class Inside(NamedTuple):
    """What a network computes on its way to the energy, or how that changes per unit of a direction.

    Attributes:
        features: what leaves each layer, (n, d) of each, or joined (n, sum of d); dimensionless, or 1/Å.
        energies: (n,) of the atoms [eV, or eV/Å].
    """

    features: Any  # arrays of NumPy or JAX
    energies: Any


class Scales(NamedTuple):
    """What targets are counted from, and divided by.

    Attributes:
        mean: (d,) of the teacher's even scalars, zero elsewhere.
        sizes: (2, d) of features without their mean, and of their changes.
        elements: (n_species,) mean energy of the atoms of each element of the student [eV].
        energies: (2,) size of node energies without these, and of their changes [eV, eV/Å].
    """

    mean: np.ndarray
    sizes: np.ndarray
    elements: np.ndarray
    energies: np.ndarray


def make_lessons(student: Potential, teacher: Potential) -> tuple[Lesson, ...]:
    """A lesson for each layer of the teacher, in order."""
    own, theirs = _leaving(student), _leaving(teacher)
    chosen = pair_layers(len(own), len(theirs))
    return tuple(Lesson(layer, own[layer], irreps) for layer, irreps in zip(chosen, theirs, strict=True))


def _leaving(potential: Potential) -> list[Irreps]:
    """Irreps that leave each layer, of a potential that tells them."""
    assert potential.architecture
    layers = ARCHITECTURES[potential.architecture].layers
    assert layers
    return [leaving for _, leaving in layers(potential.config)]


def pair_layers(n_own: int, n_theirs: int) -> list[int]:
    """Which layer of a student is compared with each of the teacher's.

    The last with the last, the first with the first where both have several, those between with those between, spread
    evenly. None of the student's sees less far than the teacher's it is compared with, unless the student has fewer
    layers; where it has more, nobody teaches some.
    """
    last, end = n_own - 1, n_theirs - 1
    if last > end:
        # By depth: the k-th sees k + 1 cutoffs far, so teaching the first ones would leave the late ones alone.
        between = [k * last // end for k in range(1, end)]
    else:
        # Of two layers the first stands for all but the last.
        between = [1 + (k - 1) * (last - 1) // (end - 1) if last > 1 else 0 for k in range(1, end)]
    return [*([0] if end else []), *between, last]


def _slices(irreps: Irreps) -> dict[Irrep, slice]:
    """Where the block of each irrep lies."""
    slices, start = {}, 0
    for mul, ir in irreps:
        slices[ir] = slice(start, start + mul * ir.dim)
        start += mul * ir.dim
    return slices


def values_and_changes(
    function: InsideFunction, cutoff: float, parameters: Tree, batch: jraph.GraphsTuple
) -> tuple[Inside, Inside]:
    """What is inside a network, and how it changes along the batch's directions, per unit of these.

    Args:
        function: `student.inside` of a potential.
        cutoff: of the potential [Å].
        batch: padded graphs of `training.batches`, with the node array "direction" (n_nodes, 3).
    """
    positions = batch.nodes["positions"]
    senders, receivers, offsets = both_ways(batch)
    exchange = Exchange(senders, receivers, positions.shape[0], mirrored=True)
    real_edges = (batch.globals["n_atoms"] > 0)[graph_of_nodes(batch)[receivers]]

    def compute(x: jax.Array) -> Inside:
        vectors = edge_vectors(x, offsets, real_edges, cutoff, exchange)
        return Inside(*function(parameters, vectors, batch.nodes["species"], exchange))

    return jax.jvp(compute, (positions,), (batch.nodes["direction"],))


def measure_scales(
    seen: list[tuple[Inside, Inside]], numbers: Sequence[np.ndarray], lessons: tuple[Lesson, ...], student: Potential
) -> Scales:
    """What targets are counted from, and divided by.

    Args:
        seen: values and changes inside the teacher, of each structure. Energies of elements are taken from all of them,
            sizes from some (`MEASURED`).
        numbers: atomic numbers of each structure.

    Raises:
        InputError: energies of atoms that do not vary, or do not change when atoms move.
    """
    some = seen[:: max(1, len(seen) // MEASURED)]
    features = [np.concatenate([s[k].features for s in some]).astype(float) for k in (0, 1)]
    mean, sizes, first = np.zeros(features[0].shape[1]), np.ones((2, features[0].shape[1])), 0
    for lesson in lessons:
        for ir, own in _slices(lesson.of_teacher).items():
            block = slice(first + own.start, first + own.stop)
            if ir == EVEN_SCALAR:
                mean[block] = features[0][:, block].mean(0)
            for k, x in enumerate((features[0] - mean, features[1])):
                size = np.sqrt(np.mean(x[:, block].reshape(len(x), ir.dim, -1) ** 2, (0, 1)))
                sizes[k, block] = np.tile(np.maximum(size, max(LEAST_SIZE * np.median(size), 1e-6)), ir.dim)
        first += sum(mul * ir.dim for mul, ir in lesson.of_teacher)
    species = np.searchsorted(student.numbers, np.concatenate(list(numbers)))
    energies = np.concatenate([s[0].energies for s in seen]).astype(float)
    elements = np.array([energies[species == k].mean() for k in range(len(student.numbers))])
    moved = np.concatenate([s[1].energies for s in some]).astype(float)
    size = np.array([np.std(energies - elements[species]), np.sqrt(np.mean(moved**2))])
    if not (size > 1e-6).all():
        raise InputError(
            f"energies of atoms vary by {size[0]:.1g} eV in these structures, and by {size[1]:.1g} eV/Å when they move",
            "atoms that are all alike, or have no neighbours, teach nothing",
            "move the atoms of crystals at rest",
        )
    return Scales(mean, sizes, elements, size)


def make_target(seen: tuple[Inside, Inside], numbers: np.ndarray, scales: Scales, student: Potential) -> np.ndarray:
    """(n, 2, d + 1) float16: values and changes in units of their sizes, node energies last."""
    value, change = seen
    own = scales.elements[np.searchsorted(student.numbers, numbers)]
    rows = [
        np.column_stack(
            [(value.features - scales.mean) / scales.sizes[0], (value.energies - own) / scales.energies[0]]
        ),
        np.column_stack([change.features / scales.sizes[1], change.energies / scales.energies[1]]),
    ]
    largest = float(np.finfo(np.float16).max)
    return np.clip(np.stack(rows, 1), -largest, largest).astype(np.float16)


def first_heads(lessons: tuple[Lesson, ...], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Linear maps from the student's channels to the teacher's; others for changes, whose sizes differ."""
    heads = {}
    for k, lesson in enumerate(lessons):
        for ir, own, theirs in lesson.shared():
            shape = ((own.stop - own.start) // ir.dim, (theirs.stop - theirs.start) // ir.dim)
            for which in ("value", "change"):
                heads[f"{k}_{ir}_{which}"] = rng.normal(size=shape) / shape[0] ** 0.5
            if ir == EVEN_SCALAR:
                heads[f"{k}_bias"] = np.zeros(shape[1])
    return heads


def lesson_loss(
    function: InsideFunction,
    cutoff: float,
    lessons: tuple[Lesson, ...],
    parameters: Tree,
    batch: jraph.GraphsTuple,
    scales: Mapping[str, Any],
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Weighted mean of the parts of the loss, and these. A leading axis of the batch is that of devices."""

    def one(batch: jraph.GraphsTuple) -> dict[str, jax.Array]:
        return _losses(function, cutoff, lessons, parameters, batch, scales)

    parts = steps.over_devices(one, batch)
    weights = {"energies": ENERGY_WEIGHT, "energy_changes": ENERGY_WEIGHT}
    total = sum(weights.get(name, 1.0) * value for name, value in parts.items())
    return jnp.asarray(total / sum(weights.get(name, 1.0) for name in parts)), parts


def _losses(
    function: InsideFunction,
    cutoff: float,
    lessons: tuple[Lesson, ...],
    parameters: Tree,
    batch: jraph.GraphsTuple,
    scales: Mapping[str, Any],
) -> dict[str, jax.Array]:
    """Mean squares of the deviations in units of the targets' sizes: over channels and atoms, over frames, over irreps.

    So each irrep of a layer counts the same, whatever its number of channels.
    """
    own = {name: arrays for name, arrays in parameters.items() if name != "heads"}
    heads, target = parameters["heads"], batch.nodes["target"]
    value, change = values_and_changes(function, cutoff, own, batch)
    n_atoms = batch.globals["n_atoms"]
    share = jnp.where(n_atoms > 0, 1 / jnp.maximum(n_atoms, 1), 0.0) / jnp.maximum(jnp.sum(n_atoms > 0), 1)
    share = share[graph_of_nodes(batch)]  # of each atom; none of padding

    def mean_square(error: jax.Array) -> jax.Array:
        return jnp.sum(share * jnp.mean(error.reshape(len(error), -1) ** 2, 1))

    result, first = {}, 0
    for k, lesson in enumerate(lessons):
        for j, (which, inside) in enumerate((("value", value), ("change", change))):
            features = inside.features[lesson.layer]
            parts = []
            for ir, ours, theirs in lesson.shared():
                x = features[:, ours].reshape(len(features), ir.dim, -1) @ heads[f"{k}_{ir}_{which}"]
                x = x + heads[f"{k}_bias"] if ir == EVEN_SCALAR and which == "value" else x
                aim = target[:, j, first + theirs.start : first + theirs.stop]
                parts.append(mean_square(x.reshape(len(x), -1) - aim))
            result[f"{which}_{k}"] = jnp.mean(jnp.stack(parts))
        first += sum(mul * ir.dim for mul, ir in lesson.of_teacher)
    energies = value.energies - scales["elements"][batch.nodes["species"]]
    result["energies"] = mean_square(energies / scales["energies"][0] - target[:, 0, -1])
    result["energy_changes"] = mean_square(change.energies / scales["energies"][1] - target[:, 1, -1])
    return result
