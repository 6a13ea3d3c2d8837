"""Weighted sums of a network's outputs as energies of a network: what derives energies then derives outputs, too.

A structure's dipole along x is a number for every arrangement of its atoms, as the energy is. As arrays (`parts`), a
network that gives it is the layer of the outputs with a gate behind which one scalar of each atom is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .outputs import ENERGY
from .parts import Blocks, GateAt, LayerParts, Linear, NetworkParts
from .potential import NodeOutputs, Potential

# Output -> (components,) by which it is multiplied.
Weights = Mapping[str, np.ndarray]


def functional(potential: Potential, weights: Weights, energy: float = 0.0) -> Potential:
    """The potential whose energy is a weighted sum over components of outputs, summed over atoms.

    Args:
        potential: a network with these outputs, which are sums over atoms.
        weights: by the names of outputs, in the inverse of their units times eV.
        energy: 1 adds the potential's own energy, 0 does not.
    """
    given = {name: np.asarray(row, float) for name, row in weights.items()}
    # Weights travel with the parameters: functions compiled for one set of them serve all.
    return Potential(
        node_energies=_Sum(potential.node_outputs, tuple(sorted(given))),
        parameters={"network": potential.parameters, "weights": {"energy": np.array(energy), **given}},
        cutoff=potential.cutoff,
        n_layers=potential.n_layers,
        numbers=potential.numbers,
        name=potential.name,
        parts=None if potential.parts is None else _Parts(potential.parts),
        provenance=potential.provenance,
    )


@dataclass(frozen=True)
class _Sum:
    """The sum for JAX; equal for equal networks, so that it is compiled once."""

    outputs: NodeOutputs
    names: tuple[str, ...]

    def __call__(self, parameters: Any, *inputs: Any) -> Any:
        values, weights = self.outputs(parameters["network"], *inputs), parameters["weights"]
        total = weights["energy"] * values[ENERGY.name][:, 0]
        for name in self.names:
            total = total + values[name] @ weights[name].astype(values[name].dtype)
        return total


@dataclass(frozen=True)
class _Parts:
    """The sum as arrays."""

    parts: Any

    def __call__(self, parameters: Any, dtype: np.dtype) -> NetworkParts | None:
        network = self.parts(parameters["network"], dtype)
        weights = dict(parameters["weights"])
        energy = float(weights.pop("energy"))
        if network is None or not can_be_arrays(network):
            return None
        return weighted(network, weights, energy)


def can_be_arrays(network: NetworkParts) -> bool:
    """Whether all outputs are read from the layer of the outputs alone."""
    outputs = network.outputs
    return outputs is not None and not any(linear for row in outputs.readouts.values() for linear in row[:-1])


def weighted(network: NetworkParts, weights: Weights, energy: float) -> NetworkParts:
    """A network whose energies are `energy` times those of another plus weighted sums of its outputs.

    Where the energy counts, the layer of the outputs stands beside the last layer, as one layer of both; where it does
    not (`energy` 0), in place of it.
    """
    outputs = network.outputs
    assert outputs is not None
    read = _read(outputs.layer, {name: outputs.readouts[name][-1] for name in weights}, weights)
    one = np.ones(1, network.dtype)
    if energy == 0:
        silent = np.zeros_like(network.atom_energies)
        layers, readout = (*network.layers[:-1], read), one
        return replace(network, layers=layers, readout=readout, atom_energies=silent, pairs=None, outputs=None)
    layers = (*network.layers[:-1], _beside(network.layers[-1], read))
    readout = network.dtype.type(energy) * network.readout
    readout = np.concatenate([readout, np.ones((*readout.shape[:-1], 1), network.dtype)], -1)
    atom_energies = network.dtype.type(energy) * network.atom_energies
    return replace(network, layers=layers, readout=readout, atom_energies=atom_energies, outputs=None)


def _read(layer: LayerParts, linears: Mapping[str, Linear | None], weights: Weights) -> LayerParts:
    """The layer of the outputs, of which one scalar leaves."""
    factors: list[np.ndarray] = []
    for name, linear in linears.items():
        assert linear is not None, "the last readout is of the layer of the outputs"
        dtype, begin, blocks = linear.matrices[0].dtype, 0, []
        for mul, dim in linear.outputs:
            blocks.append(weights[name][begin : begin + mul * dim].reshape(mul, 1, dim).astype(dtype))
            begin += mul * dim
        # Components of features that the output reads, each with its weight: the readout, transposed.
        pulled = linear.transposed(blocks, np.zeros(1, int))
        factors = [a + b for a, b in zip(factors, pulled, strict=True)] if factors else pulled
    return replace(layer, gate=_Read(layer.gate, tuple(factors)))


@dataclass(frozen=True, eq=False)
class _Read:
    """A gate, and factors (u, 1, i) of what leaves it: their sum is all that leaves."""

    gate: Any
    factors: tuple[np.ndarray, ...]

    def __call__(self, blocks: Blocks, species: np.ndarray) -> "_ReadAt":
        return _ReadAt(self.gate(blocks, species), self.factors)


@dataclass(eq=False)
class _ReadAt:
    """A `_Read` around the values of a structure; its methods are those of `parts.GateAt`."""

    gate: GateAt
    factors: tuple[np.ndarray, ...]
    value: Blocks = field(init=False)
    _last: tuple[Blocks, Blocks] | None = None

    def __post_init__(self) -> None:
        terms = [np.sum(f * x, (0, 2)) for f, x in zip(self.factors, self.gate.value, strict=True)]
        self.value = [np.sum(terms, axis=0)[None, :, None]]

    def pull_back(self, bar: Blocks) -> Blocks:
        """Cotangents of what enters."""
        return self.gate.pull_back(self._spread(bar))

    def response(self, moved: Blocks) -> tuple[Blocks, Any]:
        """Change of what leaves."""
        inner, kept = self.gate.response(moved)
        total = np.sum([np.sum(f[..., None] * x, (0, 2)) for f, x in zip(self.factors, inner, strict=True)], axis=0)
        return [total[None, :, None]], kept

    def back_response(self, kept: Any, bar: Blocks, moved_bar: Blocks) -> Blocks:
        """Change of `pull_back`."""
        moved = [f[..., None] * moved_bar[0] for f in self.factors]
        return self.gate.back_response(kept, self._spread(bar), moved)

    def third(self, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> np.ndarray:
        """Third derivative of the values times their cotangents."""
        inner = tuple([f[..., None] * own[0] for f in self.factors] for own in bars)
        return self.gate.third(self._spread(bar), inner, moved)

    def _spread(self, bar: Blocks) -> Blocks:
        """Cotangents of what leaves the gate inside. Gates know a question again by its list, so that is kept."""
        last = self._last
        if last is None or last[0] is not bar:
            last = bar, [f * bar[0] for f in self.factors]
            self._last = last
        return last[1]


def _beside(one: LayerParts, other: LayerParts) -> LayerParts:
    """Two layers of the same features as one; scalars leave both, and lie one after the other."""
    n_blocks, n_outputs = len(one.inputs), len(one.outputs)
    n_weights = max(path.weights.stop for path in one.paths)

    def moved(path):
        weights = slice(path.weights.start + n_weights, path.weights.stop + n_weights)
        return replace(path, block=path.block + n_blocks, weights=weights, out=path.out + n_outputs)

    def radial(basis, kinds):
        both = zip(one.radial(basis, kinds), other.radial(basis, kinds), strict=True)
        return [np.concatenate(orders, -1) for orders in both]

    collect = _joined(one.collect, other.collect, len(one.collect.inputs))
    return LayerParts(
        paths=(*one.paths, *map(moved, other.paths)),
        inputs=(*one.inputs, *other.inputs),
        outputs=(*one.outputs, *other.outputs),
        radial=radial,
        mix=replace(_joined(one.mix, other.mix, 0), inputs=one.mix.inputs),
        collect=replace(collect, inputs=(*one.collect.inputs, *other.collect.inputs)),
        skip=replace(_joined(one.skip, other.skip, 0), inputs=one.skip.inputs),
        gate=_Both(one.gate, other.gate, len(one.collect.outputs)),
    )


def _joined(one: Linear, other: Linear, offset: int) -> Linear:
    """Outputs of two maps side by side; the sources of the second are moved."""
    sources = tuple(None if source is None else source + offset for source in other.sources)
    return Linear(
        (*one.sources, *sources), (*one.matrices, *other.matrices), one.inputs, (*one.outputs, *other.outputs)
    )


@dataclass(frozen=True, eq=False)
class _Both:
    """Two gates side by side; the first takes the first `n_blocks` blocks."""

    one: Any
    other: Any
    n_blocks: int

    def __call__(self, blocks: Blocks, species: np.ndarray) -> "_BothAt":
        one = self.one(blocks[: self.n_blocks], species)
        return _BothAt(one, self.other(blocks[self.n_blocks :], species), self.n_blocks)


@dataclass(eq=False)
class _BothAt:
    """Two gates around the values of a structure; its methods are those of `parts.GateAt`."""

    one: GateAt
    other: GateAt
    n_blocks: int
    value: Blocks = field(init=False)
    _last: tuple[Blocks, tuple[Blocks, Blocks]] | None = None

    def __post_init__(self) -> None:
        self.value = [np.concatenate([self.one.value[0], self.other.value[0]])]

    def pull_back(self, bar: Blocks) -> Blocks:
        """Cotangents of what enters."""
        one, other = self._split(bar)
        return [*self.one.pull_back(one), *self.other.pull_back(other)]

    def response(self, moved: Blocks) -> tuple[Blocks, Any]:
        """Change of what leaves."""
        one, kept = self.one.response(moved[: self.n_blocks])
        other, also_kept = self.other.response(moved[self.n_blocks :])
        return [np.concatenate([one[0], other[0]])], (kept, also_kept)

    def back_response(self, kept: Any, bar: Blocks, moved_bar: Blocks) -> Blocks:
        """Change of `pull_back`."""
        (one, other), n = self._split(bar), len(self.one.value[0])
        first = self.one.back_response(kept[0], one, [moved_bar[0][:n]])
        return [*first, *self.other.back_response(kept[1], other, [moved_bar[0][n:]])]

    def third(self, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> np.ndarray:
        """Third derivative of the values times their cotangents."""
        (one, other), n = self._split(bar), len(self.one.value[0])
        first = self.one.third(one, tuple([own[0][:n]] for own in bars), tuple(own[: self.n_blocks] for own in moved))
        rest = tuple([own[0][n:]] for own in bars), tuple(own[self.n_blocks :] for own in moved)
        return np.asarray(first + self.other.third(other, *rest))

    def _split(self, bar: Blocks) -> tuple[Blocks, Blocks]:
        """Cotangents for each gate. Gates know a question again by its list, so these are kept."""
        last = self._last
        if last is None or last[0] is not bar:
            n = len(self.one.value[0])
            last = bar, ([bar[0][:n]], [bar[0][n:]])
            self._last = last
        return last[1]
