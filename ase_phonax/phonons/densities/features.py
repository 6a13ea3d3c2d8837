"""What a network for densities has learned to see: the features of its layers, and how much they tell atoms apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...base.drawing import BANDS, ELEMENTS, INK
from ...base.errors import InputError
from ...models.architecture import Architecture
from ...models.architectures import ARCHITECTURES
from ...models.committee import Model
from ...models.registry import FOR_DENSITIES
from ...models.spectra.densities import DENSITY
from ..committees import evaluators_of
from .prediction import check_periodic


@dataclass(frozen=True)
class LayerFeatures:
    """Features that leave a layer, of all atoms of some structures one after the other.

    Attributes:
        layer: its number, from 1.
        blocks: irrep such as "0e" or "1o" -> (n, channels, 2 l + 1).
        numbers: (n,) atomic numbers.
        structures: (n,) to which of the structures each atom belongs.
    """

    layer: int
    blocks: dict[str, NDArray[np.float64]]
    numbers: NDArray[np.int_]
    structures: NDArray[np.int_]

    def invariants(self, irrep: str) -> NDArray[np.float64]:
        """(n, channels) that no rotation changes: scalars themselves, lengths of the others."""
        block = self.blocks[irrep]
        return block[..., 0] if block.shape[2] == 1 else np.linalg.norm(block, axis=2)

    def variation(self, irrep: str) -> tuple[float, float, float]:
        """Variances of the invariants, mean over channels in units of their mean square: between elements, between
        structures within an element, between sites within an element of a structure. Their sum is the whole variance.
        """
        values = self.invariants(irrep)
        scale = float((values**2).mean()) or 1.0
        by_element = _means(values, self.numbers)
        by_structure = _means(values, self.numbers + 1000 * self.structures)
        parts = (by_element - values.mean(axis=0), by_structure - by_element, values - by_structure)
        first, second, third = (float((part**2).mean()) / scale for part in parts)
        return first, second, third


def _means(values: NDArray[np.float64], groups: NDArray[np.int_]) -> NDArray[np.float64]:
    """(n, channels) of each row the mean of all rows of its group."""
    _, places = np.unique(groups, return_inverse=True)
    sums = np.zeros((places.max() + 1, values.shape[1]))
    np.add.at(sums, places, values)
    return (sums / np.bincount(places)[:, None])[places]


def learned_features(structures: Atoms | Sequence[Atoms], model: Model = FOR_DENSITIES) -> tuple[LayerFeatures, ...]:
    """Features of all layers for all atoms of some structures; of a committee those of its first network.

    Args:
        structures: crystals.
        model: as of `predict_density`.

    Raises:
        InputError: no structures, or a model that does not tell what is inside.
        StructureError: no crystals in three dimensions, or elements that the network does not know.
    """
    given = [structures] if isinstance(structures, Atoms) else list(structures)
    for atoms in given:
        check_periodic(atoms)
    evaluator = evaluators_of(model, DENSITY)[0]
    potential = evaluator.potential
    kind = ARCHITECTURES.get(potential.architecture or "")
    if kind is None or kind.layers is None or not given:
        raise InputError(
            f"features were asked for of {len(given)} structures by {potential.name!r}",
            "it takes atoms, and a network that tells the irreps of its layers",
            "give crystals, and a NequIP network such as phonax-dos",
        )
    each = [evaluator.features(atoms) for atoms in given]
    numbers = np.concatenate([atoms.numbers for atoms in given])
    owners = np.repeat(np.arange(len(given)), [len(atoms) for atoms in given])
    named = _irreps(kind, potential.config)
    result = []
    for k, names in enumerate(named):
        blocks = {
            name: np.concatenate([own[k][place].transpose(1, 0, 2) for own in each]).astype(float)
            for place, name in enumerate(names)
        }
        result.append(LayerFeatures(k + 1, blocks, numbers, owners))
    return tuple(result)


def _irreps(kind: Architecture, config: Any) -> list[list[str]]:
    """Names of the irreps that leave each layer; of the last those that outputs are read from."""
    assert kind.layers is not None
    assert kind.layer_of_outputs is not None
    leaving = [own for _, own in kind.layers(config)]
    leaving[-1] = kind.layer_of_outputs(config)[1]
    return [[str(ir) for _, ir in own] for own in leaving]


def draw_features(features: Sequence[LayerFeatures]) -> Figure:
    """How much the invariants of each layer vary, by irrep; and the two directions in which the last ones vary most.

    Args:
        features: of `learned_features`.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    named = [(f"{own.layer}: {irrep}", own.variation(irrep)) for own in features for irrep in own.blocks]
    places, below = np.arange(len(named)), np.zeros(len(named))
    words = ("between elements", "between crystals", "between sites")
    for part, (word, color) in enumerate(zip(words, (BANDS, *ELEMENTS[1:3]), strict=True)):
        heights = np.array([own[part] for _, own in named])
        left.bar(places, heights, bottom=below, color=color, width=0.7, label=word)
        below += heights
    left.set_xticks(places, [name for name, _ in named], rotation=45, ha="right")
    left.set_xlabel("Layer and irrep")
    left.set_ylabel("Variance over mean square")
    left.set_ylim(0, 1.35 * below.max())
    left.legend(frameon=False, fontsize=8, ncols=2)
    left.tick_params(direction="in", color=INK)
    last = features[-1]
    scalars = last.invariants(next(iter(last.blocks)))
    centred = scalars - scalars.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    along = centred @ directions[:2].T
    counts = {z: int((last.numbers == z).sum()) for z in np.unique(last.numbers)}
    shown = sorted(counts, key=lambda z: -counts[z])[: len(ELEMENTS)]
    others = ~np.isin(last.numbers, shown)
    right.scatter(*along[others, :2].T, s=4, color="#cccccc", linewidths=0)
    for color, z in zip(ELEMENTS, shown, strict=False):
        right.scatter(*along[last.numbers == z, :2].T, s=6, color=color, linewidths=0, label=chemical_symbols[z])
    right.set_xlabel("First direction of the last scalars")
    right.set_ylabel("Second direction")
    right.margins(y=0.2)
    right.legend(
        frameon=False, fontsize=7, ncols=4, markerscale=1.5, handletextpad=0.1, columnspacing=0.8, loc="upper center"
    )
    right.tick_params(direction="in", color=INK)
    return figure
