"""Message-passing layers as arrays: what sums over neighbours and linear response need of a network.

A layer is, for every receiver x, with h = mix(f) of the senders j at the ends of its edges r,

    a_o[k, u] = sum_j sum_paths coupling[i, m, k] Y_m(r) w_u(|r|) h_j[i, u]      messages, per output irrep o
    f'        = gate(collect(a) + skip(f))                                        everything that is one atom's

Blocks of features, one for each irrep, are arrays (u, n, i): channels first, so that linear maps are one matrix
product. Responses of features have one more axis, (u, n, i, z): all columns of all wave vectors. It is last and long,
so that what differs from atom to atom multiplies long rows.
Plain NumPy: nothing is compiled, nothing is waited for. The same network for JAX is in files named `function`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from .o3.irreps import Sizes

Blocks = list[np.ndarray]
Orders = list[np.ndarray]  # a function of lengths, and its derivatives


@dataclass(frozen=True, eq=False)
class Path:
    """One product of an input irrep with harmonics.

    Attributes:
        block: index of the input irrep.
        degree: l of the harmonics.
        coupling: (i, m, k) Clebsch-Gordan coefficients.
        weights: where its radial weights, one per channel, lie among those of the layer.
        columns: where its components k lie among all those that come from its block.
        out: index of the output irrep; rows: where its channels lie among those.
    """

    block: int
    degree: int
    coupling: np.ndarray
    weights: slice
    columns: slice
    out: int
    rows: slice


@dataclass(frozen=True, eq=False)
class Linear:
    """An equivariant linear map: each output irrep mixes the channels of one input irrep.

    Attributes:
        sources: per output, the index of the input; None for an output that nothing reaches.
        matrices: per output (channels in, channels out); with a leading axis of species, each atom's own.
        inputs, outputs: (channels, components) of the irreps.
    """

    sources: tuple[int | None, ...]
    matrices: tuple[np.ndarray, ...]
    inputs: Sizes
    outputs: Sizes

    def __call__(self, blocks: Sequence[np.ndarray], species: np.ndarray) -> Blocks:
        """Blocks of the outputs."""
        like, result = blocks[0], []
        for source, matrix, (mul, dim) in zip(self.sources, self.matrices, self.outputs, strict=True):
            if source is None:
                result.append(_zeros(like, mul, dim))
            else:
                result.append(_mixed(matrix, blocks[source], species))
        return result

    def transposed(self, blocks: Sequence[np.ndarray], species: np.ndarray) -> Blocks:
        """Cotangents of the inputs from those of the outputs."""
        like = blocks[0]
        result: list[np.ndarray | None] = [None] * len(self.inputs)
        for source, matrix, block in zip(self.sources, self.matrices, blocks, strict=True):
            if source is not None:
                back = _mixed(np.swapaxes(matrix, -1, -2), block, species)
                known = result[source]
                result[source] = back if known is None else known + back
        return [
            _zeros(like, mul, dim) if block is None else block
            for block, (mul, dim) in zip(result, self.inputs, strict=True)
        ]


def _zeros(like: np.ndarray, mul: int, dim: int) -> np.ndarray:
    """A block of other channels and components than one it goes with."""
    return np.zeros((mul, like.shape[1], dim, *like.shape[3:]), like.dtype)


def _mixed(matrix: np.ndarray, block: np.ndarray, species: np.ndarray) -> np.ndarray:
    if matrix.ndim == 2:
        return (matrix.T @ block.reshape(len(block), -1)).reshape(-1, *block.shape[1:])
    result = np.empty((matrix.shape[-1], *block.shape[1:]), block.dtype)
    for kind in np.unique(species):
        here = species == kind
        mine = block[:, here]
        result[:, here] = (matrix[kind].T @ mine.reshape(len(block), -1)).reshape(-1, *mine.shape[1:])
    return result


class GateAt(Protocol):
    """The function of single atoms that ends a layer, around the values it has in a structure.

    Values are blocks (u, n, i), responses (u, n, i, z).
    """

    value: Blocks

    def pull_back(self, bar: Blocks) -> Blocks:
        """Cotangents of what enters from those (u, n, i) of what leaves."""

    def response(self, moved: Blocks) -> tuple[Blocks, Any]:
        """Change of what leaves with what enters, and what `back_response` takes of that."""

    def back_response(self, kept: Any, bar: Blocks, moved_bar: Blocks) -> Blocks:
        """Change of `pull_back` with what enters, as kept by `response`, and with the cotangents themselves."""

    def third(self, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> np.ndarray:
        """Third derivative of the values times their cotangents, along three sets of changes of both: (c1, c2, c3).

        Args:
            bar: cotangents (u, n, i) of what leaves.
            bars: changes (u, n, i, c) of these, of each set.
            moved: changes (u, n, i, c) of what enters, real or complex.
        """


@dataclass(frozen=True, eq=False)
class LayerParts:
    """One layer; see the equations above.

    Attributes:
        paths: of the convolution.
        inputs: (channels, components) of h; outputs: of a.
        radial: (basis, kinds (e, 2)) -> weights (e, n_weights) and as many derivatives by the length as the network's
            basis has; all zero beyond the cutoff. Kinds are the elements of receiver and sender.
        mix, collect, skip: linear maps; the average number of neighbours is part of `collect`.
        gate: (blocks (u, n, i), species (n,)) -> the gate around them. What `collect` fills may be other blocks than
            what `skip` fills: a gate that multiplies messages and carries something past them takes both.
    """

    paths: tuple[Path, ...]
    inputs: Sizes
    outputs: Sizes
    radial: Callable[[Orders, np.ndarray], Orders]
    mix: Linear
    collect: Linear
    skip: Linear
    gate: Callable[[Blocks, np.ndarray], GateAt]

    @cached_property
    def by_degree(self) -> list[list[Path]]:
        """Paths of each degree of the harmonics, none left out."""
        return [[p for p in self.paths if p.degree == l] for l in range(max(p.degree for p in self.paths) + 1)]

    @cached_property
    def by_block(self) -> list[tuple[list[Path], np.ndarray]]:
        """Paths of each input irrep, by degree, and their couplings as one array (m's of all paths, i, k's of all)."""
        result = []
        for block, (_, dim) in enumerate(self.inputs):
            paths = [p for own in self.by_degree for p in own if p.block == block]
            n_m, n_k = (sum(p.coupling.shape[axis] for p in paths) for axis in (1, 2))
            couplings = np.zeros((n_m, dim, n_k))
            begin = 0
            for p in paths:
                end = begin + p.coupling.shape[1]
                couplings[begin:end, :, p.columns] = p.coupling.transpose(1, 0, 2)
                begin = end
            result.append((paths, couplings))
        return result


@dataclass(frozen=True, eq=False)
class OutputParts:
    """How a network's outputs besides the energy are read.

    Attributes:
        layer: beside the network's last one: it takes the same features, and keeps the irreps that outputs need.
        readouts: of each output, per layer a linear map of the features that leave it, or None. The last one is of
            `layer`. Their sum is the output, whose irreps are those of the maps.
    """

    layer: LayerParts
    readouts: Mapping[str, tuple[Linear | None, ...]]


@dataclass(frozen=True, eq=False)
class NetworkParts:
    """A whole network in one precision.

    Attributes:
        dtype: of all numbers but the coupling coefficients, which are shared by all precisions.
        l_max: highest degree of the harmonics.
        basis: (lengths (e,) in double precision, order, kinds (e, 2)) -> radial basis (e, n_basis) of all layers, and
            its derivatives up to that order.
        embedding: (n_species, u) first features, scalars.
        layers: in order; the last leaves scalars only.
        readout: (u,) energy of an atom per unit of its last features, or (n_species, u) of each element [eV].
        atom_energies: (n_species,) added [eV].
        pairs: as `basis`: energies (e,) that each edge gives to its receiver besides [eV]; None for none.
        outputs: besides the energy; None for none.
    """

    dtype: np.dtype
    l_max: int
    basis: Callable[[np.ndarray, int, np.ndarray], Orders]
    embedding: np.ndarray
    layers: tuple[LayerParts, ...]
    readout: np.ndarray
    atom_energies: np.ndarray
    pairs: Callable[[np.ndarray, int, np.ndarray], Orders] | None = None
    outputs: OutputParts | None = None

    def readout_of(self, species: np.ndarray) -> np.ndarray:
        """(u, n) energy of each atom per unit of its last features [eV]."""
        if self.readout.ndim == 2:
            return np.asarray(self.readout[species].T)
        return np.broadcast_to(self.readout[:, None], (len(self.readout), len(species)))
