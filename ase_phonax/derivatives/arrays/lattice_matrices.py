"""Exact D(q) of many wave vectors by linear response, in blocks that fit the cores and the memory.

The fast route to second derivatives (docs/conventions.md, "The edge expansion"): the tensors of every edge are formed
once (`edge_tensors`); what is left for each wave vector and displacement is matrix products (`linear_response`).
"""

from contextlib import closing

import numpy as np

from ...base.cores import n_cores, on_cores
from ...base.progress import Progress
from .bloch_sums import map_numbers
from .displacement_waves import DisplacementWaves
from .edge_tensors import Expansion
from .linear_response import second_derivatives, wave_vector_slopes
from .perturbations import Phases, is_real

# Columns of a block, and products with its maps for each receiver: what a block costs however little it computes is
# worth so much. More blocks than that, and threads on less, cost more than they gain.
FEWEST_COLUMNS = 12
FEWEST_PRODUCTS = 150_000
# What a wave vector costs besides its columns, in columns (measured: 2 to 4 for cells of two and three atoms).
WAVE_VECTOR = 3
# Bytes of responses kept between the passes, in all blocks that are computed side by side.
BLOCK_BYTES = 384e6


def lattice_matrices(
    expansion: Expansion,
    qpoints: np.ndarray,
    displacements: list[np.ndarray] | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """What `Route.lattice_matrices` describes, of a structure with these tensors."""
    edges = expansion.edges
    if displacements is None:
        displacements = [np.eye(3 * edges.n_atoms)] * len(qpoints)
    qpoints = np.asarray(qpoints)
    counts = [u.shape[1] for u in displacements]
    real = is_real(qpoints)
    if len(counts) * max(counts, default=0) <= _fewest_columns(expansion):
        real[:] = real.all()  # a block of their own would cost more than their imaginary parts
    results = [np.zeros(u.shape, complex) for u in displacements]

    def respond(block: list[tuple[int, int, int]]) -> int:
        """Columns of one block into their places; how many they were."""
        u = np.zeros((len(block), 3 * edges.n_atoms, max(stop - start for _, start, stop in block)))
        for row, (k, start, stop) in enumerate(block):
            u[row, :, : stop - start] = displacements[k][:, start:stop]
        here = [k for k, _, _ in block]
        phases = Phases.at(qpoints[here], expansion, bool(real[here[0]]))
        products = second_derivatives(DisplacementWaves.of(expansion, phases, u))
        for row, (k, start, stop) in enumerate(block):
            results[k][:, start:stop] = products[row, :, : stop - start]
        return sum(stop - start for _, start, stop in block)

    done = 0
    with closing(on_cores(respond, _blocks(counts, real, expansion))) as blocks:
        for count in blocks:
            done += count
            if progress:
                progress(done, sum(counts))
    return results


def _blocks(counts: list[int], real: np.ndarray, expansion: Expansion) -> list[list[tuple[int, int, int]]]:
    """Pieces (q-point, first column, end) computed together: all or none real, of similar width, within BLOCK_BYTES."""
    edges = expansion.edges
    kept = sum(layer.slope_sums.shape[-1] for layer in expansion.layers)  # of every response, until the way back
    per_column = (1 if real.all() else 2) * edges.n_atoms * kept * expansion.network.dtype.itemsize
    fit = max(3, int(BLOCK_BYTES / n_cores() / per_column))
    # Something to do for every core, but not too little.
    at_once = min(fit, max(FEWEST_COLUMNS, _fewest_columns(expansion), -(-sum(counts) // n_cores())))
    pieces = [
        (k, start, min(start + at_once, counts[k]))
        for k in sorted(range(len(counts)), key=lambda k: (real[k], counts[k]), reverse=True)
        for start in range(0, counts[k], at_once)
    ]
    blocks: list[list[tuple[int, int, int]]] = []
    for piece in pieces:
        width = blocks[-1][0][2] - blocks[-1][0][1] if blocks else 0
        alike = bool(blocks) and real[blocks[-1][0][0]] == real[piece[0]]
        if alike and (len(blocks[-1]) + 1) * width <= at_once:
            blocks[-1].append(piece)
        else:
            blocks.append([piece])
    return [_narrowed(block) for block in blocks]


def _narrowed(block: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """A block with wide pieces cut, if their wave vectors once more cost less than padding of the narrow ones."""
    counts = np.array([stop - start for _, start, stop in block])
    width = min(set(counts.tolist()), key=lambda w: -(-counts // w).sum() * (w + WAVE_VECTOR))
    return [(k, begin, min(begin + width, stop)) for k, start, stop in block for begin in range(start, stop, width)]


def _fewest_columns(expansion: Expansion) -> int:
    """How many columns make FEWEST_PRODUCTS."""
    numbers = map_numbers(expansion)
    return FEWEST_PRODUCTS * expansion.edges.n_atoms // numbers if numbers else FEWEST_COLUMNS


def lattice_slopes(expansion: Expansion, qpoints: np.ndarray, progress: Progress | None = None) -> np.ndarray:
    """What `Route.lattice_slopes` describes; progress is called with (done, total) wave vectors."""
    everything = np.eye(3 * expansion.edges.n_atoms)[None]

    def slopes_at(q: np.ndarray) -> np.ndarray:
        """Slopes at one wave vector: (3, 3n, 3n)."""
        phases = Phases.at(q[None], expansion)
        return wave_vector_slopes(DisplacementWaves.of(expansion, phases, everything))[0]

    result = []
    with closing(on_cores(slopes_at, np.asarray(qpoints))) as all_slopes:
        for slopes in all_slopes:
            result.append(slopes)
            if progress:
                progress(len(result), len(qpoints))
    return np.array(result)
