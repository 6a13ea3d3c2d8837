"""The compiled route: JAX, on whatever device; padded graphs, functions compiled for each size class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ...base.errors import StructureError
from ...base.progress import Progress
from ...models.potential import NodeEnergies, Potential
from ...structures.neighbours import Neighbours
from ..route import StrainDerivatives
from .blocks import Room
from .devices import find_device, is_cpu, memory_for_blocks
from .graphs import graph_of, pad, size_class

if TYPE_CHECKING:
    import jax
    import jraph

    from .responses import Tree


class CompiledRoute:
    """Derivatives of any node-energy function through JAX, which is imported at the first question.

    Its methods are those of `Route`.

    Args:
        potential: the function, its parameters and cutoff.
        dtype: of all arithmetic.
        device: name of a device (`devices.device_name`); None for the one that JAX takes by itself.
        n_bytes: memory that one block of columns may take; None for most of what the device has free.
    """

    def __init__(self, potential: Potential, dtype: np.dtype, device: str | None = None, n_bytes: float | None = None):
        self.potential, self.dtype, self.device, self.n_bytes = potential, np.dtype(dtype), device, n_bytes
        self._parameters: Tree = None
        self._capacity: tuple[int, int] | None = None

    def energy_forces_stress(self, neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, n_edges, capacity = len(neighbours.species), len(neighbours.senders), self._capacity
        # A much smaller structure than the last one is not worth the time of the large class.
        fits = capacity is not None and n < capacity[0] <= 4 * size_class(n + 1) and n_edges <= capacity[1]
        padded = pad(graph_of(neighbours), *(capacity if fits and capacity else ()))
        self._capacity = (padded.nodes["species"].shape[0], padded.senders.shape[0])
        with self._computing(n) as (responses, _):
            graph = self._tried(responses, padded)
            energies, forces, virial = responses.energy_forces_stress(*self._function(responses), graph)
            return np.array(energies)[:n], np.array(forces)[:n], np.array(virial)

    def outputs(self, neighbours: Neighbours) -> dict[str, np.ndarray]:
        n = len(neighbours.species)
        with self._computing(n) as (responses, _):
            parameters = self._function(responses)[1:]
            values = responses.outputs(self.potential.node_outputs, *parameters, self._graph(responses, neighbours))
            return {name: np.array(of_atoms)[:n] for name, of_atoms in values.items()}

    def lattice_matrices(
        self,
        neighbours: Neighbours,
        qpoints: np.ndarray,
        displacements: Sequence[np.ndarray] | None = None,
        progress: Progress | None = None,
    ) -> list[np.ndarray]:
        """Lattice matrices, or their products with displacements, by the twisted graph."""
        with self._computing(len(neighbours.species)) as (responses, room):
            function = *self._function(responses), self._graph(responses, neighbours)
            return responses.dynamical_matrices(*function, qpoints, displacements, progress, room)

    def lattice_slopes(
        self, neighbours: Neighbours, qpoints: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """Slopes of lattice matrices, by copies of the twisted graph that carry derivatives."""
        with self._computing(len(neighbours.species)) as (responses, room):
            function = *self._function(responses), self._graph(responses, neighbours)
            return responses.dynamical_slopes(*function, qpoints, progress, room)

    def hessian(self, neighbours: Neighbours, rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        with self._computing(len(neighbours.species)) as (responses, room):
            function = *self._function(responses), self._graph(responses, neighbours)
            return responses.hessian(*function, rows, progress, room)

    def strain_derivatives(self, neighbours: Neighbours) -> StrainDerivatives:
        n = len(neighbours.species)
        with self._computing(n) as (responses, _):
            function = *self._function(responses), self._graph(responses, neighbours)
            of_positions, of_strains = (np.array(own, float) for own in responses.strain_derivatives(*function))
        return StrainDerivatives(of_strains, of_positions[:n])

    def strain_slopes(
        self,
        neighbours: Neighbours,
        qpoints: np.ndarray,
        strains: np.ndarray,
        displacements: np.ndarray,
        progress: Progress | None = None,
    ) -> np.ndarray:
        n, slopes = len(neighbours.species), []
        with self._computing(n) as (responses, _):
            graph = self._graph(responses, neighbours)
            moved = np.zeros((len(strains), graph.nodes["species"].shape[0], 3), self.dtype)
            moved[:, :n] = displacements
            directions = responses.unit_directions(graph, np.arange(n))
            given = strains.astype(self.dtype), moved, directions
            for q in qpoints.astype(self.dtype):
                own = np.array(responses.strain_slopes(*self._function(responses), graph, q, *given), float)
                # (c, columns, parts, nodes, 3) -> (c, rows, columns)
                whole = (own[:, :, 0] + 1j * own[:, :, 1])[:, :, :n]
                slopes.append(whole.reshape(len(strains), 3 * n, 3 * n).swapaxes(1, 2))
                if progress:
                    progress(len(slopes), len(qpoints))
        return np.array(slopes)

    def triplet_matrices(
        self, neighbours: Neighbours, qpoints: np.ndarray, triplets: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """Third derivatives along three waves, by nested derivatives."""
        from .triplets import triplet_matrices

        with self._computing(len(neighbours.species)) as (responses, _):
            function = *self._function(responses), self._graph(responses, neighbours)
            return triplet_matrices(*function, qpoints.astype(self.dtype), triplets, progress)

    def forget(self) -> None:
        """Nothing is remembered but what was compiled."""

    @contextmanager
    def _computing(self, n_atoms: int) -> Iterator[tuple[ModuleType, Room]]:
        """JAX's derivatives in this precision and on this device, and the room for their blocks."""
        import jax

        from . import responses

        device = find_device(self.device)
        with jax.enable_x64(self.dtype == np.float64), jax.default_device(device):
            try:
                yield responses, self._room(device)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                raise StructureError(
                    f"{n_atoms} atoms need more memory than {device or jax.devices()[0]} has free",
                    "already one column of second derivatives, or the energy, does not fit",
                    'take a smaller cell, dtype="float32", or route="arrays", which needs no such device',
                ) from error

    def _room(self, device: "jax.Device | None") -> Room:
        import jax

        accelerated = jax.default_backend() != "cpu" if self.device is None else not is_cpu(self.device)
        return Room(memory_for_blocks(device) if self.n_bytes is None else self.n_bytes, accelerated)

    def _graph(self, responses: ModuleType, neighbours: Neighbours) -> "jraph.GraphsTuple":
        return self._put(self._tried(responses, pad(graph_of(neighbours))))

    def _tried(self, responses: ModuleType, graph: "jraph.GraphsTuple") -> "jraph.GraphsTuple":
        """The graph in this precision, once the function has been tried on its elements."""
        from .contract import require_contract

        require_contract(self.potential, graph, self.dtype)
        return responses.cast(graph, self.dtype)

    def _function(self, responses: ModuleType) -> tuple[NodeEnergies, float, "Tree"]:
        if self._parameters is None:
            self._parameters = self._put(responses.cast(self.potential.parameters, self.dtype))
        return self.potential.node_energies, self.potential.cutoff, self._parameters

    def _put(self, tree: "Tree") -> "Tree":
        """Arrays on the device once, and not with every block or call."""
        import jax

        return jax.device_put(tree, find_device(self.device))
