"""A potential as data: what computes node energies, its parameters and where they come from."""

import hashlib
import inspect
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from ..base.errors import InputError
from .outputs import ENERGY, Output
from .parts import NetworkParts

HEAVIEST = 118  # element
# (parameters, edge_vectors, species, exchange) -> node energies (n_nodes,) [eV]
NodeEnergies = Callable[..., Any]
# the same arguments -> name of each output -> (n_nodes, components), the energy [eV] among them
NodeOutputs = Callable[..., Any]


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from; stored in the model file and in every summary of results.

    Attributes:
        training: for models trained here: configuration, sha256 of the data, errors; built-in types.
    """

    level_of_theory: str = "not stated"
    training_set: str = "not stated"
    licence: str = "not stated"
    citation: str = ""
    source: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EnergyAlone:
    """The outputs of a potential that has no other than the energy."""

    node_energies: NodeEnergies

    def __call__(self, *inputs: Any) -> dict[str, Any]:
        """See `Potential.node_outputs`."""
        return {ENERGY.name: self.node_energies(*inputs)[:, None]}


@dataclass(frozen=True, eq=False)
class Potential:
    """A message-passing potential E = sum_k E_k, ready to be evaluated and differentiated.

    Attributes:
        node_energies: pure function (parameters, edge_vectors (n_edges, 3) [Å], species (n_nodes,),
            exchange) -> (n_nodes,) [eV]. Edge vectors point from receiver to sender; `species`
            are positions in `numbers`. Must vanish smoothly for edges at or beyond the cutoff.
        parameters: tree of NumPy arrays, in the precision they were trained in.
        cutoff: largest edge length [Å].
        n_layers: how many hops of edges a node energy depends on.
        numbers: atomic numbers the potential knows, ascending.
        name: what to call it in summaries.
        architecture: key of `architectures.ARCHITECTURES`, None for a plain function.
        config: the architecture's frozen configuration, None for a plain function.
        parts: (parameters, dtype) -> the network as arrays, or None where there is no such form; None for a plain
            function.
        provenance: level of theory, training set, licence.
        all_outputs: as `node_outputs`, where there are more than the energy; None where there are not.
        check: the function is tried when it first meets the elements of a structure (`from_function`).
    """

    node_energies: NodeEnergies
    parameters: Any
    cutoff: float
    n_layers: int
    numbers: tuple[int, ...]
    name: str = "unnamed"
    architecture: str | None = None
    config: Any = None
    parts: Callable[[Any, np.dtype], NetworkParts | None] | None = None
    provenance: Provenance = field(default_factory=Provenance)
    all_outputs: NodeOutputs | None = None
    check: bool = False

    def __post_init__(self):
        if not (_is_number(self.cutoff) and np.isfinite(self.cutoff) and self.cutoff > 0):
            raise InputError(f"the cutoff is {self.cutoff!r} Å", "edges are cut there", "give a positive length in Å")
        if not (_is_number(self.n_layers) and self.n_layers >= 1 and float(self.n_layers).is_integer()):
            raise InputError(
                f"the number of layers is {self.n_layers!r}",
                "it sets how far a node energy sees; too few hops give wrong constants without a sign of it",
                "state the number of message-passing hops, 1 or more",
            )
        is_element = [isinstance(z, (int, np.integer)) and 0 < z <= HEAVIEST for z in self.numbers]
        if not all(is_element) or list(self.numbers) != sorted(set(self.numbers)):
            raise InputError(
                f"the atomic numbers are {self.numbers}",
                "species are positions in this list",
                f"give them ascending, once each, from 1 to {HEAVIEST}",
            )

    def __repr__(self) -> str:
        facts = f"{len(self.numbers)} elements, {self.n_parameters} parameters, cutoff {self.cutoff:g} Å"
        return f"<{type(self).__name__} {self.name!r}: {facts}>"

    def __deepcopy__(self, memo):
        return self  # immutable: copies of a calculator share it, and with it the compiled functions

    @property
    def parity(self) -> bool:
        """Whether mirror images have the same energy; not of networks that know rotations alone."""
        return bool(getattr(self.config, "parity", True))

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Everything that it gives: the energy, and what its configuration has besides."""
        return ENERGY, *getattr(self.config, "outputs", ())

    @property
    def node_outputs(self) -> NodeOutputs:
        """Pure function of the arguments of `node_energies`: name of each output -> (n_nodes, components).

        Of an output per structure these are the contributions of its atoms (`Output.pooled`).
        """
        return self.all_outputs or EnergyAlone(self.node_energies)

    @property
    def n_parameters(self) -> int:
        """How many numbers the parameters hold."""
        return sum(np.size(leaf) for leaf in _leaves(self.parameters))

    def fingerprint(self) -> str:
        """sha256 of configuration and parameters: names do not tell models apart."""
        digest = hashlib.sha256(repr((self.architecture, _chosen(self.config), self.numbers)).encode())
        for path, leaf in _named_leaves(self.parameters):
            digest.update(path.encode() + np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()

    @classmethod
    def from_function(
        cls,
        node_energies: NodeEnergies,
        *,
        cutoff: float,
        n_layers: int,
        numbers: Sequence[int],
        parameters: Any = None,
        name: str = "function",
        check: bool = True,
    ) -> "Potential":
        """Wrap a plain JAX function of edge vectors.

        When a calculator first meets a structure with some elements, the function is tried on three atoms of these: it
        must give one energy for each atom, fade at the cutoff, and let nothing past `exchange`. A function that does
        not is refused with a `ContractError`. `ase_phonax.testing.check_potential` has more, for its author's tests.

        Args:
            node_energies: as the attribute of the same name; JAX-traceable.
            cutoff: [Å]; beyond it the function must be zero with as many derivatives as are used.
            n_layers: hops of edges that one node energy depends on (1 for any sum over neighbours).
            numbers: atomic numbers it is meant for.
            parameters: first argument of the function; an empty dict when None.
            name: shown in summaries.
            check: False computes with the function whatever it does.

        Raises:
            InputError: what is given is no function of these four arguments, or the numbers are none.
        """
        _check_signature(node_energies)
        parameters = {} if parameters is None else parameters
        given = float(cutoff) if _is_number(cutoff) else cutoff  # what is none is refused with the rest
        return cls(node_energies, parameters, given, n_layers, tuple(numbers), name, check=check)


def _is_number(value: Any) -> bool:
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf"


def _check_signature(node_energies: object) -> None:
    """Refuse what cannot be called with the four arguments of `NodeEnergies`."""
    why = "it is called with (parameters, edge_vectors, species, exchange), in this order"
    if not callable(node_energies):
        raise InputError(
            f"the function of a potential is {reprlib.repr(node_energies)}, of the type {type(node_energies).__name__}",
            why,
            "give a function that returns an energy for each atom [eV]",
        )
    try:
        signature = inspect.signature(node_energies)
    except ValueError:  # compiled ones may have none
        return
    try:
        signature.bind(*[None] * 4)
    except TypeError as error:
        raise InputError(
            f"the function of a potential takes {signature}: {error}",
            why,
            "give it these four, also those that it does not use; its numbers are the first, `parameters=` here, or"
            " functools.partial fixes what else it takes",
        ) from error


def _leaves(tree: Any) -> list:
    return [leaf for _, leaf in _named_leaves(tree)]


def _chosen(config: Any) -> Any:
    """Options that are not at their defaults: one that a later version adds does not make a model another."""
    if not is_dataclass(config):
        return repr(config)
    chosen = {f.name: value for f in fields(config) if (value := getattr(config, f.name)) != f.default}
    return {name: tuple(map(_chosen, value)) if _holds_settings(value) else value for name, value in chosen.items()}


def _holds_settings(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(is_dataclass, value)) and len(value) > 0


def _named_leaves(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    """(module/name, array), mappings in the order of their keys."""
    if isinstance(tree, Mapping):
        parts = sorted(tree.items())
    elif isinstance(tree, (list, tuple)):
        parts = [(str(k), part) for k, part in enumerate(tree)]
    else:
        return [(path, tree)]
    return [leaf for key, part in parts for leaf in _named_leaves(part, f"{path}/{key}" if path else key)]
