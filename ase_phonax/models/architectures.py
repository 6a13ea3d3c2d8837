"""Network architectures. A new one is a folder beside this file, and one line in the table.

Each has two forms of the same parameters: arrays for NumPy, which need no compiling, and a JAX function to train,
to run on accelerators, and to be differentiated in any other way. JAX is imported when the second is first used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from .mace.arrays import mace_parts
from .mace.config import MACEConfig
from .nequip.arrays import nequip_parts
from .nequip.config import NequIPConfig, layer_irreps
from .o3.irreps import Irreps
from .parts import NetworkParts
from .potential import Potential, Provenance
from .shapes import Shapes, mace_shapes, nequip_shapes


class Architecture(NamedTuple):
    """How to make the network of a stored model.

    Attributes:
        config: its configuration class.
        parts: (config, parameters, dtype) -> the network as arrays; None for one that is a function only.
        network: module and name here of (config) -> init, node_energies and, with more outputs, outputs for JAX.
        shapes: (config) -> the shape of every parameter, by module and name.
        from_data: fields of the configuration that training takes from elements and frames.
        of_elements: (config) -> names, or patterns of names, of parameters with a row or a matrix for each element.
        references: module and name of the energies of isolated atoms (n_species,) [eV].
        layers: (config) -> irreps that enter and leave each layer, of networks that tell what is inside them.
    """

    config: type
    parts: Callable[[Any, Mapping[str, Any], np.dtype], NetworkParts] | None
    network: tuple[str, str]
    shapes: Callable[[Any], dict[str, Shapes]]
    of_elements: Callable[[Any], tuple[str, ...]]
    from_data: tuple[str, ...] = ("n_species", "average_neighbors", "scale")
    references: tuple[str, str] = ("~", "atom_energies")
    layers: Callable[[Any], list[tuple[Irreps, Irreps]]] | None = None


ARCHITECTURES: dict[str, Architecture] = {
    "nequip": Architecture(
        NequIPConfig,
        nequip_parts,
        ("nequip.function", "nequip_network"),
        nequip_shapes,
        of_elements=lambda c: ("embedding", "radial_elements", *(["skip_*"] if c.self_connection == "species" else [])),
        layers=layer_irreps,
    ),
    "mace": Architecture(
        MACEConfig,
        mace_parts,
        ("mace.function", "mace_network"),
        mace_shapes,
        from_data=("n_species", "numbers", "radii", "average_neighbors", "scale"),
        of_elements=lambda c: ("embedding", "skip_*", "select_*", "product_*"),
    ),
}


def get_network(architecture: str, config: Any) -> Any:
    """The JAX network of a configuration, see `blocks.function.Network`; equal ones are the same object."""
    module, name = ARCHITECTURES[architecture].network
    return getattr(import_module(f".{module}", __package__), name)(config)


def element_parameters(architecture: str, config: Any, parameters: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """Names module/array of the parameters whose first axis counts the elements: a row, or a matrix, of each."""
    patterns = ARCHITECTURES[architecture].of_elements(config)
    return frozenset(
        f"{module}/{name}"
        for module, arrays in parameters.items()
        for name in arrays
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    )


@dataclass(frozen=True, eq=False)
class _NetworkFunction:
    """A JAX function of a configuration, found when it is first called; pickled by its configuration."""

    architecture: str
    config: Any
    name: str

    def __call__(self, parameters, vectors, species, exchange):
        network = get_network(self.architecture, self.config)
        return getattr(network, self.name)(parameters, vectors, species, exchange)

    def __reduce__(self):
        return _network_function, (self.architecture, self.config, self.name)


@lru_cache
def _network_function(architecture: str, config: Any, name: str) -> _NetworkFunction:
    """One object for each configuration and name: compiled functions are found by it."""
    return _NetworkFunction(architecture, config, name)


def make_potential(
    architecture: str,
    config: Any,
    parameters: Any,
    numbers: Sequence[int],
    name: str,
    provenance: Provenance | None = None,
) -> Potential:
    """A `Potential` from an architecture's configuration and its parameters."""
    parts = ARCHITECTURES[architecture].parts
    return Potential(
        node_energies=_network_function(architecture, config, "node_energies"),
        parameters=parameters,
        cutoff=config.cutoff,
        n_layers=config.n_layers,
        numbers=tuple(numbers),
        name=name,
        architecture=architecture,
        config=config,
        parts=None if parts is None else partial(parts, config),
        all_outputs=_network_function(architecture, config, "outputs") if getattr(config, "outputs", ()) else None,
        provenance=provenance or Provenance(),
    )
