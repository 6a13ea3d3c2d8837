"""The table of network architectures. A new one is a folder beside this file, and one line here.

Each has two forms of the same parameters: arrays for NumPy, which need no compiling, and a JAX function to train,
to run on accelerators, and to be differentiated in any other way. JAX is imported when the second is first used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

from . import mace, nequip
from .architecture import Architecture, Network
from .potential import Potential, Provenance

ARCHITECTURES: dict[str, Architecture] = {
    "nequip": nequip.ARCHITECTURE,
    "mace": mace.ARCHITECTURE,
}


def get_network(architecture: str, config: Any) -> Network:
    """The JAX network of a configuration; equal ones are the same object."""
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
