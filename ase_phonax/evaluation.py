"""From Atoms and a Potential to numbers: where graphs, precision and compiled functions meet.

Every public function enters float64 with the scoped `jax.enable_x64` where it is asked for and returns
NumPy arrays; no global JAX setting is touched.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from . import derivatives, edge_expansion
from .graph import build_graph, check_atoms, dense_slots, pad, size_class
from .potential import Potential

Progress = Callable[[int, int], None]

# Waves per compiled call of the edge expansion. Crystals have one size only: a second one would cost more
# to compile than small calls waste. Hessians, whose phases are all real, are compiled separately anyway.
WAVES = 64
FEW_WAVES = 16
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
    progress: Progress | None = None,
) -> np.ndarray:
    """sum_R Phi(R) exp(2 pi i q.R), home cell first, no masses: (n_q, 3n, 3n) complex [eV/Å²].

    By the edge expansion where the network has that form, else by the twisted graph.
    """
    check_atoms(atoms, potential.numbers, potential.name)
    graph = build_graph(atoms, potential.cutoff, potential.numbers)
    qpoints = np.asarray(qpoints, float).reshape(-1, 3)
    if potential.parts is None or len(graph.senders) == 0:
        with jax.enable_x64(dtype == np.float64):
            return derivatives.dynamical_matrices(
                potential.node_energies, potential.cutoff, parameters, cast(pad(graph), dtype), qpoints, progress
            )
    n = len(atoms)
    waves = [(q, a) for q in range(len(qpoints)) for a in range(3 * n)]
    columns = _columns(potential, parameters, graph, qpoints, waves, dtype, progress)
    return columns.reshape(len(qpoints), 3 * n, 3 * n).transpose(0, 2, 1)


def lattice_dynamical_slopes(
    potential: Potential,
    parameters: Any,
    atoms: Atoms,
    qpoints: np.ndarray,
    dtype: np.dtype,
    progress: Progress | None = None,
) -> np.ndarray:
    """d/dq_x of `lattice_dynamical_matrices`, x along each reduced component: (n_q, 3, 3n, 3n) complex [eV/Å²].

    Forward-mode differentiation of the edge expansion with respect to its wave vector. The twisted graph
    cannot be differentiated so (its phases are residuals of a custom rule): there, central differences of
    sixth order of the exact matrices, which are trigonometric polynomials of q.
    """
    qpoints = np.asarray(qpoints, float).reshape(-1, 3)
    if potential.parts is None:
        steps = Q_STEP * np.array([k * axis for axis in np.eye(3) for k in (1, 2, 3, -1, -2, -3)])
        around = (qpoints[:, None] + steps).reshape(-1, 3)
        found = lattice_dynamical_matrices(potential, parameters, atoms, around, dtype, progress)
        found = found.reshape(len(qpoints), 3, 2, 3, *found.shape[1:])
        return np.einsum("k,qxkij->qxij", [45, -9, 1], found[:, :, 0] - found[:, :, 1]) / (60 * Q_STEP)
    check_atoms(atoms, potential.numbers, potential.name)
    graph = build_graph(atoms, potential.cutoff, potential.numbers)
    n = len(atoms)
    if len(graph.senders) == 0:
        return np.zeros((len(qpoints), 3, 3 * n, 3 * n), complex)
    waves = [(q, a) for q in range(len(qpoints)) for a in range(3 * n)]
    columns = [
        _columns(potential, parameters, graph, qpoints, waves, dtype, progress, slope)
        for slope in np.eye(3, dtype=dtype)
    ]
    return np.array(columns).reshape(3, len(qpoints), 3 * n, 3 * n).transpose(1, 0, 3, 2)


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
    waves = [(0, 3 * i + x) for i in rows for x in range(3)]
    columns = _columns(potential, parameters, graph, np.zeros((1, 3)), waves, dtype, progress)
    return columns.real.reshape(len(rows), 3, len(atoms), 3)


def _columns(
    potential: Potential,
    parameters: Any,
    graph,
    qpoints: np.ndarray,
    waves: list[tuple[int, int]],
    dtype: np.dtype,
    progress,
    slope: np.ndarray | None = None,
) -> np.ndarray:
    """Columns (q index, 3 atom + axis) of the lattice dynamical matrix: (n_waves, 3n) complex.

    With `slope`, a direction (3,) of q, their derivatives along it instead.
    """
    assert potential.parts is not None
    n = int(graph.n_node[0])
    slots = dense_slots(graph, potential.cutoff)
    slots["mask"] = slots["mask"].astype(dtype)
    # At Gamma phases are 1: the sine copies vanish and are left out.
    real = slope is None and not qpoints.any()
    size = FEW_WAVES if real and len(waves) <= FEW_WAVES else WAVES
    done, result = 0, []
    with jax.enable_x64(dtype == np.float64):
        neighbours = edge_expansion.Neighbours(**cast(slots, dtype))
        states = edge_expansion.expand(potential.parts, parameters, neighbours)
        for start in range(0, len(waves), size):
            block = waves[start : start + size]
            directions = np.zeros((size, neighbours.species.shape[0], 3), dtype)
            q = np.zeros((size, 3), dtype)
            for row, (k, axis) in enumerate(block):
                directions[row, axis // 3, axis % 3] = 1
                q[row] = qpoints[k]
            respond = partial(
                edge_expansion.lattice_columns,
                potential.parts,
                parameters,
                neighbours,
                states,
                directions=jnp.asarray(directions),
                real=real,
            )
            wave = jnp.asarray(q)
            if slope is None:
                found = respond(wave)
            else:
                found = jax.jvp(respond, (wave,), (jnp.tile(jnp.asarray(slope), (size, 1)),))[1]
            result.append(np.asarray(found)[: len(block), :n].reshape(len(block), 3 * n))
            done += len(block)
            if progress:
                progress(done, len(waves))
    return np.concatenate(result)
