"""Derivatives of D(q) by strain, exactly, at any wave vectors: third derivatives along a strain and the waves q, -q.

Beside what triplets of waves have (`wave_responses`), the strain changes every edge by a vector of its own: it
turns tensors of edges into slopes of displacements, and dT/dr along these vectors is one more map between atoms.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np

from ...base.cores import n_cores, on_cores, one_blas_thread
from ...base.progress import Progress
from .columns import flat_columns
from .displacement_waves import DisplacementWaves
from .edge_functions import ThirdOrderEdges, third_of_edges
from .edge_tensors import Expansion
from .linear_response import LayerResponse, add_messages, respond
from .perturbations import Phases, Together
from .strains import Strains
from .triplets import PairsOfAtoms, of_gates, of_one_response, of_two_responses
from .wave_responses import WaveResponse, all_waves, directed_maps, responses

_AT_ONCE = 4  # wave vectors whose responses are computed together


def strain_slopes(
    expansion: Expansion,
    qpoints: np.ndarray,
    strains: np.ndarray,
    displacements: np.ndarray,
    progress: Progress | None = None,
) -> np.ndarray:
    """Derivatives of lattice matrices by strains, and displacements beside them (`Route.strain_slopes`)."""
    functions, pairs = ThirdOrderEdges.of(expansion), PairsOfAtoms.of(expansion)
    with one_blas_thread():
        strained, changes = _strained(expansion, functions, strains, displacements)

    def slopes_at(block: np.ndarray) -> list[np.ndarray]:
        waves = all_waves(expansion, block)
        layers = respond(waves).layers
        along = _along_strains(functions, waves, layers, changes)
        there = responses(waves, functions, layers)
        return [_contracted(expansion, pairs, strained, changes, own) + along[q] for q, own in enumerate(there)]

    at_once = max(1, min(_AT_ONCE, -(-len(qpoints) // n_cores())))
    blocks = [qpoints[begin : begin + at_once] for begin in range(0, len(qpoints), at_once)]
    slopes: list[np.ndarray] = []
    with closing(on_cores(slopes_at, blocks)) as found:
        for some in found:
            slopes.extend(some)
            if progress:
                progress(len(slopes), len(qpoints))
    return np.array(slopes).swapaxes(2, 3)


def _strained(
    expansion: Expansion, functions: ThirdOrderEdges, strains: np.ndarray, displacements: np.ndarray
) -> tuple[WaveResponse, np.ndarray]:
    """The response to the strains, and how they change edges (e, 3, c); edges alone are in its tensors of edges."""
    n, edges = expansion.edges.n_atoms, expansion.edges
    at_rest = Phases.at(np.zeros((1, 3)), expansion, real=True)
    beside = DisplacementWaves.of(expansion, at_rest, displacements.reshape(1, len(strains), 3 * n).swapaxes(1, 2))
    both = Together((Strains(expansion, at_rest, strains.transpose(1, 2, 0).copy()), beside))
    found, changes = responses(both, functions, respond(both).layers)[0], both.edge_changes()[:, :, 0]
    alone = np.einsum("exyz,exc->eyzc", third_of_edges(expansion, functions), changes)
    tensors = found.edges + alone.reshape(found.edges.shape)
    at_ends = np.zeros((n, *tensors.shape[1:]), tensors.dtype)
    for ends in (edges.receivers, edges.senders):
        np.add.at(at_ends, ends, tensors)
    return replace(found, edges=tensors, at_ends=at_ends), changes


def _contracted(
    expansion: Expansion, pairs: PairsOfAtoms, strained: WaveResponse, changes: np.ndarray, wave: WaveResponse
) -> np.ndarray:
    """All but what the strain does between two responses: (strains, 3n, 3n), columns of q and of -q."""
    back, edges, size = wave.reversed(), expansion.edges, 3 * pairs.n_atoms
    result = of_gates(expansion, [strained, wave, back]).astype(complex)
    result += of_one_response(strained, pairs, wave, back).reshape(-1, size, size)
    result += of_two_responses(strained, wave).reshape(-1, size, size)
    result += of_two_responses(strained, back).reshape(-1, size, size).swapaxes(1, 2)
    # W of a wave with the change of the edge, and with the displacement of the other wave at either end.
    n_e, _, n_c = wave.edges.shape
    pulled = np.einsum("exyc,exs->eycs", wave.edges.reshape(n_e, 3, 3, n_c), changes, optimize=True)
    ends = np.zeros((pairs.n_atoms, *pulled.shape[1:]), complex)
    np.add.at(ends, edges.senders, wave.phases.conj()[:, None, None, None] * pulled)
    np.subtract.at(ends, edges.receivers, pulled)
    of_wave = ends.reshape(size, n_c, -1).transpose(2, 1, 0)  # (strains, columns of q, rows of -q)
    return result + of_wave + of_wave.conj().swapaxes(1, 2)


def _along_strains(
    functions: ThirdOrderEdges, waves: DisplacementWaves, layers: list[LayerResponse], changes: np.ndarray
) -> np.ndarray:
    """What the change of edges does between responses to q and to -q: (q, strains, 3n, 3n)."""
    columns, species = waves.columns, waves.expansion.edges.species
    n_s, n_c = changes.shape[2], columns.n_columns
    result = np.zeros((columns.n_q, n_s, n_c, n_c), complex)
    for own in layers:
        if own.dh is None:
            continue
        bars = columns.as_numbers(flat_columns(own.entering_bar)).transpose(2, 3, 0, 1).reshape(columns.n_q, n_c, -1)
        for s in range(n_s):
            maps = directed_maps(functions, waves, own.layer, changes[:, :, s].real)
            da = [np.zeros_like(z) for z in own.da_bar]
            add_messages(da, waves, own.layer, own.dh, maps)
            entering = columns.as_numbers(flat_columns(own.layer.state.parts.collect(da, species)))
            moved = entering.transpose(2, 3, 0, 1).reshape(columns.n_q, n_c, -1)
            one = bars @ moved.conj().swapaxes(1, 2)
            result[:, s] += one + one.conj().swapaxes(1, 2)
    return result
