"""What a network architecture tells of itself, for files, training and the two forms of its parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from .blocks.shapes import Shapes
from .o3.irreps import Irreps
from .parts import NetworkParts

# Settings of networks that follow from elements and frames; training makes them of these, for those that have them.
FROM_DATA = ("n_species", "numbers", "radii", "average_neighbors", "scale")


@dataclass(frozen=True)
class Network:
    """Pure functions of one configuration; equal configurations give the same object.

    Attributes:
        init: (key, edge_vectors, species, exchange) -> parameters.
        node_energies: see `Potential.node_energies`.
        inside: the same arguments -> what leaves each layer (n_nodes, d), as `flat` has it, and the node energies; None
            where a network does not tell.
        outputs: the same arguments -> all that is read of atoms: name -> (n_nodes, components), the energy [eV] among
            it; None for a network that has the energy alone.
    """

    init: Callable[..., Any]
    node_energies: Callable[..., Any]
    inside: Callable[..., Any] | None = None
    outputs: Callable[..., Any] | None = None


class Architecture(NamedTuple):
    """How to make the network of a stored model.

    Attributes:
        config: its configuration, a frozen dataclass with at least n_species, cutoff [Å] and n_layers.
        parts: (config, parameters, dtype) -> the network as arrays; None for one that is a function only.
        network: module in `models/` and name there of (config) -> `Network`, which is imported when
            JAX is needed.
        shapes: (config) -> the shape of every parameter, by module and name.
        of_elements: (config) -> names, or patterns of names, of parameters with a row or a matrix for each element.
        references: module and name of the energies of isolated atoms (n_species,) [eV].
        layers: (config) -> irreps that enter and leave each layer, of networks that tell what is inside them.
        layer_of_outputs: (config) -> those of the layer that outputs beside the energy are read from.
    """

    config: type
    parts: Callable[[Any, Mapping[str, Any], np.dtype], NetworkParts] | None
    network: tuple[str, str]
    shapes: Callable[[Any], dict[str, Shapes]]
    of_elements: Callable[[Any], tuple[str, ...]]
    references: tuple[str, str] = ("~", "atom_energies")
    layers: Callable[[Any], list[tuple[Irreps, Irreps]]] | None = None
    layer_of_outputs: Callable[[Any], tuple[Irreps, Irreps]] | None = None

    @property
    def from_data(self) -> tuple[str, ...]:
        """Fields of the configuration that training takes from elements and frames."""
        return tuple(field.name for field in fields(self.config) if field.name in FROM_DATA)
