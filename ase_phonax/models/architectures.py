"""Network architectures. A new one is a folder beside this file, and one line in the table.

Each has two forms of the same parameters: arrays for NumPy, which need no compiling, and a JAX function to train,
to run on accelerators, and to be differentiated in any other way. JAX is imported when the second is first used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from .mace.arrays import mace_parts
from .mace.config import MACEConfig
from .nequip.arrays import nequip_parts
from .nequip.config import NequIPConfig
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
    """

    config: type
    parts: Callable[[Any, Mapping[str, Any], np.dtype], NetworkParts] | None
    network: tuple[str, str]
    shapes: Callable[[Any], dict[str, Shapes]]


ARCHITECTURES: dict[str, Architecture] = {
    "nequip": Architecture(NequIPConfig, nequip_parts, ("nequip.function", "nequip_network"), nequip_shapes),
    "mace": Architecture(MACEConfig, mace_parts, ("mace.function", "mace_network"), mace_shapes),
}


def get_network(architecture: str, config: Any) -> Any:
    """The JAX network of a configuration, see `blocks.function.Network`; equal ones are the same object."""
    module, name = ARCHITECTURES[architecture].network
    return getattr(import_module(f".{module}", __package__), name)(config)


def is_of_elements(name: str, parameter: Any) -> bool:
    """Whether a parameter has a row, or a matrix, for each element: its first axis counts them."""
    return name in ("embedding", "radial_elements") or np.ndim(parameter) == 3


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
