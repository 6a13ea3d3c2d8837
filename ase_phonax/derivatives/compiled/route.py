"""Energies and second derivatives through JAX: padded graphs, functions compiled for each size class."""

from typing import Any

import numpy as np
from ase import Atoms

from ...models.potential import Potential
from ...structures.neighbours import Alternatives, check_atoms
from ..route import Progress
from .graphs import build_graph, pad, size_class


class _CompiledEvaluator:
    """The same through JAX: padded graphs, functions compiled for each size class."""

    def __init__(self, potential: Potential, dtype: np.dtype, others: Alternatives | None):
        import jax

        from . import responses

        self.potential, self.dtype, self.derivatives, self.others = potential, dtype, responses, others
        self.parameters = responses.cast(potential.parameters, dtype)
        self.precision = lambda: jax.enable_x64(dtype == np.float64)
        self._capacity: tuple[int, int] | None = None

    def energy_forces_stress(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        graph = self._graph(atoms)
        n, n_edges, capacity = len(atoms), len(graph.senders), self._capacity
        # A much smaller structure than the last one is not worth the time of the large class.
        fits = capacity is not None and n < capacity[0] <= 4 * size_class(n + 1) and n_edges <= capacity[1]
        padded = pad(graph, *capacity) if fits and capacity else pad(graph)
        self._capacity = (padded.nodes["species"].shape[0], padded.senders.shape[0])
        with self.precision():
            energies, forces, virial = self.derivatives.energy_forces_stress(*self._function(), self._cast(padded))
            return np.array(energies)[:n], np.array(forces)[:n], np.array(virial)

    def lattice_matrices(self, atoms: Atoms, qpoints: np.ndarray, progress: Progress | None) -> np.ndarray:
        graph = self._cast(pad(self._graph(atoms)))
        with self.precision():
            return self.derivatives.dynamical_matrices(*self._function(), graph, qpoints, progress)

    def hessian(self, atoms: Atoms, rows: np.ndarray, progress: Progress | None) -> np.ndarray:
        graph = self._cast(pad(self._graph(atoms)))
        with self.precision():
            return self.derivatives.hessian(*self._function(), graph, rows, progress)

    def _graph(self, atoms: Atoms) -> Any:
        check_atoms(atoms, self.potential.numbers, self.potential.name, self.others)
        return build_graph(atoms, self.potential.cutoff, self.potential.numbers)

    def _cast(self, graph: Any) -> Any:
        return self.derivatives.cast(graph, self.dtype)

    def _function(self) -> tuple[Any, float, Any]:
        return self.potential.node_energies, self.potential.cutoff, self.parameters
