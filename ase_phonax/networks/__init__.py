"""Network architectures. A new one is one file here and one line in the table."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..potential import Potential, Provenance
from .nequip import NequIPConfig, nequip


class Architecture(NamedTuple):
    """How to make the network of a stored model: its configuration class and its builder."""

    config: type
    build: Callable[..., Any]


ARCHITECTURES: dict[str, Architecture] = {"nequip": Architecture(NequIPConfig, nequip)}


def make_potential(
    architecture: str,
    config: Any,
    parameters: Any,
    numbers: Sequence[int],
    name: str,
    provenance: Provenance | None = None,
) -> Potential:
    """A `Potential` from an architecture's configuration and its parameters."""
    network = ARCHITECTURES[architecture].build(config)
    return Potential(
        node_energies=network.node_energies,
        parameters=parameters,
        cutoff=config.cutoff,
        n_layers=config.n_layers,
        numbers=tuple(numbers),
        name=name,
        architecture=architecture,
        config=config,
        parts=network.parts,
        provenance=provenance or Provenance(),
    )
