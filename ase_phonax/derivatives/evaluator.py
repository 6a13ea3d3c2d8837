"""From Atoms and a Potential to numbers: where structures, precision and the routes to derivatives meet.

A potential that has a form as arrays is evaluated in NumPy: nothing is compiled, the first call is as fast as
the next. A plain function goes through JAX; float64 is then entered with the scoped `jax.enable_x64`, and no
global JAX setting is touched.
"""

from typing import Any

import numpy as np
from ase import Atoms

from ..base.errors import InputError
from ..base.sharing import Remembered, jax_stayed_behind
from ..models.potential import Potential
from ..structures.neighbours import Alternatives, Neighbours, check_atoms, find_neighbours, require_neighbours
from .arrays.edge_tensors import Expansion, expand
from .arrays.energies import Edges, evaluate
from .arrays.lattice_matrices import lattice_matrices, lattice_slopes
from .compiled.route import _CompiledEvaluator
from .route import Progress

# Reduced units: truncation (2 pi S step)^6 / 140 is 3e-9 for constants that reach S = 5 cells, rounding 1e-12.
Q_STEP = 2e-3
# Tensors of a structure are kept for the next call up to this size: some thousand edges.
REMEMBERED_BYTES = 512e6


class Evaluator:
    """A potential in one precision, ready for structures, in several threads at once.

    A pickle or a copy holds the potential alone: what is remembered of structures, and compiled, stays behind.

    Args:
        potential: with or without a form as arrays.
        dtype: of all arithmetic.
        compiled: energies, forces and stress through JAX even where there are arrays; not in a process forked from
            one in which JAX had run, where it cannot.
        others: names of other models that know given elements, for the error of an unknown one.
    """

    def __init__(
        self, potential: Potential, dtype: np.dtype, compiled: bool = False, others: Alternatives | None = None
    ):
        self.potential, self.dtype, self.compiled, self.others = potential, np.dtype(dtype), compiled, others
        parts = potential.parts
        self.network = None if parts is None else parts(potential.parameters, self.dtype)
        self._jax: _CompiledEvaluator | None = None
        self._neighbours_of: Remembered[Neighbours] = Remembered()
        self._expansion_of: Remembered[Expansion] = Remembered(_worth_keeping)

    def __reduce__(self) -> Any:
        return Evaluator, (self.potential, self.dtype, self.compiled, self.others)

    def energy_forces_stress(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energies of the atoms (n,) [eV], forces (n, 3) [eV/Å], virial dE/dstrain (3, 3) [eV]."""
        if self.network is None or (self.compiled and not jax_stayed_behind()):
            return self._through_jax().energy_forces_stress(atoms)
        found = self._neighbours(atoms)
        edges = self._edges(found)
        state = evaluate(self.network, edges)
        forces = np.zeros((len(atoms), 3), self.dtype)
        for x in range(3):
            pull = np.bincount(found.receivers, state.slopes[:, x], len(atoms))
            forces[:, x] = pull - np.bincount(found.senders, state.slopes[:, x], len(atoms))
        virial = state.slopes.T.astype(float) @ found.vectors
        return state.energies, forces, ((virial + virial.T) / 2).astype(self.dtype)

    def require_neighbours(self, atoms: Atoms) -> None:
        """Refuse a crystal with atoms that have no force constants.

        Raises:
            StructureError: as `check_atoms` and `neighbours.require_neighbours`.
        """
        require_neighbours(atoms, self._neighbours(atoms), self.potential.cutoff)

    def lattice_matrices(
        self,
        atoms: Atoms,
        qpoints: np.ndarray,
        displacements: list[np.ndarray] | None = None,
        progress: Progress | None = None,
    ) -> list[np.ndarray]:
        """sum_R Phi(R) exp(2 pi i q.R), home cell first, no masses: for each q-point (3n, 3n) complex [eV/Å²].

        By the edge expansion where the network has that form, else by the twisted graph.

        Args:
            displacements: for each q-point (3n, c) real; then the products (3n, c) with them come back.
        """
        qpoints = np.asarray(qpoints, float).reshape(-1, 3)
        if self.network is not None:
            return lattice_matrices(self._expansion(atoms), qpoints, displacements, progress)
        full = self._through_jax().lattice_matrices(atoms, qpoints, progress)
        return list(full) if displacements is None else [d @ u for d, u in zip(full, displacements, strict=True)]

    def lattice_slopes(self, atoms: Atoms, qpoints: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """d/dq_x of `lattice_matrices`, x along each reduced component: (n_q, 3, 3n, 3n) complex [eV/Å²].

        Exact where the network has an edge expansion. The twisted graph cannot be differentiated by its phases
        (they are residuals of a custom rule): there, central differences of sixth order of the exact matrices,
        which are trigonometric polynomials of q.
        """
        qpoints = np.asarray(qpoints, float).reshape(-1, 3)
        if self.network is not None:
            return lattice_slopes(self._expansion(atoms), qpoints, progress)
        steps = Q_STEP * np.array([k * axis for axis in np.eye(3) for k in (1, 2, 3, -1, -2, -3)])
        found = np.array(self.lattice_matrices(atoms, (qpoints[:, None] + steps).reshape(-1, 3), None, progress))
        found = found.reshape(len(qpoints), 3, 2, 3, *found.shape[1:])
        return np.einsum("k,qxkij->qxij", [45, -9, 1], found[:, :, 0] - found[:, :, 1]) / (60 * Q_STEP)

    def hessian(self, atoms: Atoms, rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """d²E/dx_i dx_j of the total energy of this cell, rows of the given atoms: (len(rows), 3, n, 3) [eV/Å²].

        In a periodic cell all images of an atom move together (the constants at q = 0).
        """
        if self.network is None:
            return self._through_jax().hessian(atoms, rows, progress)
        expansion = self._expansion(atoms)
        moved = np.eye(3 * len(atoms)).reshape(len(atoms), 3, -1)[np.asarray(rows)].reshape(-1, 3 * len(atoms)).T
        columns = lattice_matrices(expansion, np.zeros((1, 3)), [moved], progress)[0]
        return columns.real.T.reshape(len(rows), 3, len(atoms), 3)

    def forget(self) -> None:
        """Drop the tensors of the last structure."""
        self._expansion_of.forget()

    def _neighbours(self, atoms: Atoms) -> Neighbours:
        """Of the last structure, or found now: several questions are asked about one."""
        key = tuple(x.tobytes() for x in (atoms.positions, atoms.cell[:], atoms.numbers, atoms.pbc))

        def find() -> Neighbours:
            check_atoms(atoms, self.potential.numbers, self.potential.name, self.others)
            return find_neighbours(atoms, self.potential.cutoff, self.potential.numbers)

        return self._neighbours_of.of(key, find)

    def _edges(self, found: Neighbours) -> Edges:
        return Edges(
            found.species,
            found.vectors,
            found.receivers,
            found.senders,
            found.shifts,
            np.searchsorted(found.receivers, np.arange(len(found.species) + 1)),
        )

    def _expansion(self, atoms: Atoms) -> Expansion:
        """Of the last structure, or a new one."""
        network = self.network
        assert network is not None
        found = self._neighbours(atoms)
        key = (found.vectors.tobytes(), found.species.tobytes(), found.senders.tobytes(), found.shifts.tobytes())
        return self._expansion_of.of(key, lambda: expand(network, self._edges(found)))

    def _through_jax(self) -> "_CompiledEvaluator":
        if jax_stayed_behind():
            raise InputError(
                f"this process was forked from one in which JAX had run, and {self.potential.name!r} needs JAX",
                "JAX's threads did not come along: it would wait for them for ever",
                'start worker processes another way: multiprocessing.get_context("spawn"), or fork before JAX has'
                " computed anything; models that are networks need no JAX",
            )
        # Two threads may make one each: they share what is compiled.
        compiled = self._jax or _CompiledEvaluator(self.potential, self.dtype, self.others)
        self._jax = compiled
        return compiled


def _worth_keeping(expansion: Expansion) -> bool:
    return expansion.n_bytes <= REMEMBERED_BYTES
