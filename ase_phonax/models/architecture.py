"""What a network architecture tells of itself, for files, training and the two forms of its parameters."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from .blocks.shapes import Shapes
from .o3.irreps import Irreps
from .parts import NetworkParts

# Settings of networks that follow from elements and frames; training makes them of these, for those that have them.
FROM_DATA = ("n_species", "numbers", "radii", "average_neighbors", "scale")


class Architecture(NamedTuple):
    """How to make the network of a stored model.

    Attributes:
        config: its configuration, a frozen dataclass with at least n_species, cutoff [Å] and n_layers.
        parts: (config, parameters, dtype) -> the network as arrays; None for one that is a function only.
        network: module in `models/` and name there of (config) -> `blocks.function.Network`, which is imported when
            JAX is needed.
        shapes: (config) -> the shape of every parameter, by module and name.
        of_elements: (config) -> names, or patterns of names, of parameters with a row or a matrix for each element.
        references: module and name of the energies of isolated atoms (n_species,) [eV].
        layers: (config) -> irreps that enter and leave each layer, of networks that tell what is inside them.
    """

    config: type
    parts: Callable[[Any, Mapping[str, Any], np.dtype], NetworkParts] | None
    network: tuple[str, str]
    shapes: Callable[[Any], dict[str, Shapes]]
    of_elements: Callable[[Any], tuple[str, ...]]
    references: tuple[str, str] = ("~", "atom_energies")
    layers: Callable[[Any], list[tuple[Irreps, Irreps]]] | None = None

    @property
    def from_data(self) -> tuple[str, ...]:
        """Fields of the configuration that training takes from elements and frames."""
        return tuple(field.name for field in fields(self.config) if field.name in FROM_DATA)
