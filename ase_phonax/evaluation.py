"""From Atoms and a Potential to numbers: where graphs, precision and compiled functions meet.

Every public function enters float64 with the scoped `jax.enable_x64` where it is asked for and returns
NumPy arrays; no global JAX setting is touched.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ase import Atoms

from . import derivatives, edge_expansion
from .edge_tensors import Edges, expand
from .graph import build_graph, check_atoms, pad, size_class
from .potential import Potential

Progress = Callable[[int, int], None]

# Reduced units: truncation (2 pi S step)^6 / 140 is 3e-9 for constants that reach S = 5 cells, rounding 1e-12.
Q_STEP = 2e-3


def cast(tree: Any, dtype: np.dtype) -> Any:
    """Floating arrays of a tree in the given precision, as NumPy arrays."""

    def convert(x: Any) -> np.ndarray:
        return np.asarray(x, dtype) if np.asarray(x).dtype.kind == "f" else np.asarray(x)

    return jax.tree.map(convert, tree)


def energy_forces_stress(
    potential: Potential, parameters: Any, atoms: Atoms, dtype: np.dtype, capacity: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """Node energies (n,) [eV], forces (n, 3) [eV/Å], virial dE/dstrain (3, 3) [eV], capacity used.

    Args:
        parameters: of the potential, already in `dtype`.
        capacity: padded numbers of nodes and edges to reuse while the structure fits them.
    """
    check_atoms(atoms, potential.numbers, potential.name)
    graph = build_graph(atoms, potential.cutoff, potential.numbers)
    n, n_edges = len(atoms), len(graph.senders)
    # A much smaller structure than the last one is not worth the time of the large class.
    fits = capacity is not None and n < capacity[0] <= 4 * size_class(n + 1) and n_edges <= capacity[1]
    padded = pad(graph, *capacity) if fits and capacity else pad(graph)
    with jax.enable_x64(dtype == np.float64):
        energies, forces, virial = derivatives.energy_forces_stress(
            potential.node_energies, potential.cutoff, parameters, cast(padded, dtype)
        )
        used = (padded.nodes["species"].shape[0], padded.senders.shape[0])
        return np.array(energies)[:n], np.array(forces)[:n], np.array(virial), used


def lattice_dynamical_matrices(
    potential: Potential,
    parameters: Any,
    atoms: Atoms,
    qpoints: np.ndarray,
    dtype: np.dtype,
    displacements: list[np.ndarray] | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """sum_R Phi(R) exp(2 pi i q.R), home cell first, no masses: for each q-point (3n, 3n) complex [eV/Å²].

    By the edge expansion where the network has that form, else by the twisted graph.

    Args:
        displacements: for each q-point (3n, c) real; then the products (3n, c) with them come back.
    """
    check_atoms(atoms, potential.numbers, potential.name)
    graph = build_graph(atoms, potential.cutoff, potential.numbers)
    qpoints = np.asarray(qpoints, float).reshape(-1, 3)
    if potential.parts is None or len(graph.senders) == 0:
        with jax.enable_x64(dtype == np.float64):
            full = derivatives.dynamical_matrices(
                potential.node_energies, potential.cutoff, parameters, cast(pad(graph), dtype), qpoints, progress
            )
        return list(full) if displacements is None else [d @ u for d, u in zip(full, displacements, strict=True)]
    with jax.enable_x64(dtype == np.float64):
        expansion = expand(potential.parts, parameters, Edges.of(graph, dtype))
        return edge_expansion.lattice_matrices(expansion, qpoints, displacements, progress)


def lattice_dynamical_slopes(
    potential: Potential,
    parameters: Any,
    atoms: Atoms,
    qpoints: np.ndarray,
    dtype: np.dtype,
    progress: Progress | None = None,
) -> np.ndarray:
    """d/dq_x of `lattice_dynamical_matrices`, x along each reduced component: (n_q, 3, 3n, 3n) complex [eV/Å²].

    Exact where the network has an edge expansion. The twisted graph cannot be differentiated by its phases
    (they are residuals of a custom rule): there, central differences of sixth order of the exact matrices,
    which are trigonometric polynomials of q.
    """
    qpoints = np.asarray(qpoints, float).reshape(-1, 3)
    if potential.parts is not None:
        check_atoms(atoms, potential.numbers, potential.name)
        graph = build_graph(atoms, potential.cutoff, potential.numbers)
        with jax.enable_x64(dtype == np.float64):
            expansion = expand(potential.parts, parameters, Edges.of(graph, dtype))
            return edge_expansion.lattice_slopes(expansion, qpoints, progress)
    steps = Q_STEP * np.array([k * axis for axis in np.eye(3) for k in (1, 2, 3, -1, -2, -3)])
    around = (qpoints[:, None] + steps).reshape(-1, 3)
    found = np.array(lattice_dynamical_matrices(potential, parameters, atoms, around, dtype, None, progress))
    found = found.reshape(len(qpoints), 3, 2, 3, *found.shape[1:])
    return np.einsum("k,qxkij->qxij", [45, -9, 1], found[:, :, 0] - found[:, :, 1]) / (60 * Q_STEP)


def hessian(
    potential: Potential,
    parameters: Any,
    atoms: Atoms,
    dtype: np.dtype,
    rows: np.ndarray,
    progress: Progress | None = None,
) -> np.ndarray:
    """d²E/dx_i dx_j of the total energy of this cell, rows of the given atoms: (len(rows), 3, n, 3) [eV/Å²].

    In a periodic cell all images of an atom move together (the constants at q = 0).
    """
    check_atoms(atoms, potential.numbers, potential.name)
    graph = build_graph(atoms, potential.cutoff, potential.numbers)
    if potential.parts is None or len(graph.senders) == 0:
        with jax.enable_x64(dtype == np.float64):
            return derivatives.hessian(
                potential.node_energies, potential.cutoff, parameters, cast(pad(graph), dtype), rows, progress
            )
    with jax.enable_x64(dtype == np.float64):
        expansion = expand(potential.parts, parameters, Edges.of(graph, dtype))
        moved = np.eye(3 * len(atoms)).reshape(len(atoms), 3, -1)[np.asarray(rows)].reshape(-1, 3 * len(atoms)).T
        columns = edge_expansion.lattice_matrices(expansion, np.zeros((1, 3)), [moved], progress)[0]
    return columns.real.T.reshape(len(rows), 3, len(atoms), 3)
