"""The route of arrays: NumPy on CPUs. Nothing is compiled; the first call is as fast as the next."""

from collections.abc import Sequence

import numpy as np

from ...base.progress import Progress
from ...base.sharing import Remembered
from ...models.parts import Blocks, NetworkParts
from ...structures.neighbours import Neighbours
from ..route import StrainDerivatives
from .edge_tensors import Expansion, expand
from .energies import SortedEdges, evaluate, evaluate_features, evaluate_outputs
from .lattice_matrices import lattice_matrices, lattice_slopes
from .strain_slopes import strain_slopes
from .strains import strain_derivatives
from .triplets import triplet_matrices

# Tensors of a structure are kept for the next call up to this size: some thousand edges.
REMEMBERED_BYTES = 512e6


class ArraysRoute:
    """Derivatives of a network that has a form as arrays, by the edge expansion.

    Its methods are those of `Route`.

    Args:
        network: in the precision of all arithmetic.
    """

    def __init__(self, network: NetworkParts):
        self.network = network
        self._expansion_of: Remembered[Expansion] = Remembered(_worth_keeping)

    def energy_forces_stress(self, neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        state = evaluate(self.network, _edges(neighbours))
        n, dtype = len(neighbours.species), self.network.dtype
        forces = np.zeros((n, 3), dtype)
        for x in range(3):
            pull = np.bincount(neighbours.receivers, state.slopes[:, x], n)
            forces[:, x] = pull - np.bincount(neighbours.senders, state.slopes[:, x], n)
        virial = state.slopes.T.astype(float) @ neighbours.vectors
        return state.energies, forces, ((virial + virial.T) / 2).astype(dtype)

    def outputs(self, neighbours: Neighbours) -> dict[str, np.ndarray]:
        return evaluate_outputs(self.network, _edges(neighbours))

    def features(self, neighbours: Neighbours) -> list[Blocks]:
        """What leaves each layer (`evaluate_features`)."""
        return evaluate_features(self.network, _edges(neighbours))

    def lattice_matrices(
        self,
        neighbours: Neighbours,
        qpoints: np.ndarray,
        displacements: Sequence[np.ndarray] | None = None,
        progress: Progress | None = None,
    ) -> list[np.ndarray]:
        columns = None if displacements is None else list(displacements)
        return lattice_matrices(self.expansion(neighbours), qpoints, columns, progress)

    def lattice_slopes(
        self, neighbours: Neighbours, qpoints: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """Slopes of lattice matrices; here progress is called with (done, total) wave vectors."""
        return lattice_slopes(self.expansion(neighbours), qpoints, progress)

    def hessian(self, neighbours: Neighbours, rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Rows of the Hessian: the force constants at q = 0."""
        n = len(neighbours.species)
        moved = np.eye(3 * n).reshape(n, 3, -1)[np.asarray(rows)].reshape(-1, 3 * n).T
        columns = lattice_matrices(self.expansion(neighbours), np.zeros((1, 3)), [moved], progress)[0]
        return columns.real.T.reshape(len(rows), 3, n, 3)

    def strain_derivatives(self, neighbours: Neighbours) -> StrainDerivatives:
        return strain_derivatives(self.expansion(neighbours))

    def strain_slopes(
        self,
        neighbours: Neighbours,
        qpoints: np.ndarray,
        strains: np.ndarray,
        displacements: np.ndarray,
        progress: Progress | None = None,
    ) -> np.ndarray:
        return strain_slopes(self.expansion(neighbours), qpoints, strains, displacements, progress)

    def triplet_matrices(
        self, neighbours: Neighbours, qpoints: np.ndarray, triplets: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        return triplet_matrices(self.expansion(neighbours), qpoints, triplets, progress)

    def expansion(self, neighbours: Neighbours) -> Expansion:
        """Tensors of the last structure, or of a new one."""
        key = tuple(
            x.tobytes() for x in (neighbours.vectors, neighbours.species, neighbours.senders, neighbours.shifts)
        )
        return self._expansion_of.of(key, lambda: expand(self.network, _edges(neighbours)))

    def forget(self) -> None:
        """Drop the tensors of the last structure."""
        self._expansion_of.forget()


def _edges(neighbours: Neighbours) -> SortedEdges:
    return SortedEdges(
        neighbours.species,
        neighbours.vectors,
        neighbours.receivers,
        neighbours.senders,
        neighbours.shifts,
        np.searchsorted(neighbours.receivers, np.arange(len(neighbours.species) + 1)),
    )


def _worth_keeping(expansion: Expansion) -> bool:
    return expansion.n_bytes <= REMEMBERED_BYTES
