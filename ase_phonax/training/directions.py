"""What of second derivatives travels in a batch: directions drawn anew, products with them, phases of the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..derivatives.conventions import frequencies_thz
from .values import APART

if TYPE_CHECKING:
    from .batches import Item, Shape
    from .images import Images
    from .labels.frames import Frame

# What a batch has to compute; each is a compiled function of its own: no second derivatives, products with the Hessian,
# products with D(q), whole matrices D(q), whole Hessians.
KINDS = ("first", "real", "wave", "spectrum", "real spectrum")
WHOLE = ("spectrum", "real spectrum")
OF_WAVES = ("wave", "spectrum")  # in real and imaginary parts
SOFTEST = 0.05  # frequency, of the highest of the frame, below which modes move no farther in thermal directions


def kind_of_batch(frame: Frame, curvature: bool, spectrum: bool) -> str:
    """Which of `KINDS` a frame needs, if these labels are wanted."""
    if spectrum and frame.weight("spectrum") and (frame.second is not None or frame.spectrum is not None):
        labels = (label for label in (frame.second, frame.spectrum) if label is not None)
        return "real spectrum" if all(label.is_real for label in labels) else "spectrum"
    if curvature and frame.second is not None:
        return "real" if frame.second.is_real else "wave"
    return "first"


def second_order(item: Item, shape: Shape, directions: str, rng: np.random.Generator) -> tuple[dict, dict, dict]:
    """Node, edge and graph arrays: directions, products with the label, the phases of the edges, weights.

    Node arrays are (n, n_columns, parts, 3), parts 1 for real numbers and 2 for real and imaginary ones.

    Args:
        directions: "columns", "random" or "thermal" (`config.LossConfig`).
    """
    frame, n = item.frame, len(item.frame.atoms)
    second = frame.second
    source: Any = frame.spectrum if shape.kind in WHOLE and second is None else second
    which = int(rng.integers(len(source.qpoints)))
    q = source.qpoints[which]
    parts = 2 if shape.kind in OF_WAVES else 1
    if shape.kind in WHOLE:
        own = np.eye(3 * n).reshape(n, 3, -1)[item.images.displaced].reshape(-1, 3 * n)
        moved = np.zeros((shape.n_columns, 3 * n), complex)
        moved[: len(own)] = own * (3 * n) ** 0.5
    else:
        moved = _draw(shape.n_columns, 3 * n, directions, parts == 2 and bool(q.any()), rng)
        if directions == "thermal" and second is not None:
            moved = _as_heat_moves(moved, second.matrices[which], frame.atoms.get_masses())
    left = _draw(shape.n_columns, 3 * n, "random", parts == 2 and bool(q.any()), rng)
    response = np.zeros_like(moved) if second is None else moved @ second.matrices[which].T

    def split(x: np.ndarray) -> np.ndarray:
        pieces = [x.real] if parts == 1 else [x.real, x.imag]
        return np.stack([p.reshape(-1, n, 3) for p in pieces], 1).transpose(2, 0, 1, 3)

    nodes = {"direction": split(moved), "left": split(left), "response": split(response)}
    edges = {}
    if parts == 2:
        phase = 2 * np.pi * item.graph.edges["shifts"] @ q
        edges = {"cos": np.cos(phase), "sin": np.sin(phase)}
    values = {"curvature_weight": np.array([0.0 if second is None else frame.weight("curvature")])}
    if shape.kind in WHOLE:
        values |= _spectrum(frame, which, shape.largest) | _images(item.images, shape.largest)
    return nodes, edges, values


def _draw(count: int, n: int, directions: str, is_complex: bool, rng: np.random.Generator) -> np.ndarray:
    """(count, n) with mean square 1: columns of the identity times sqrt(n), or normal numbers.

    No column comes twice before all have come: n of them are the whole matrix, without noise.
    """
    if directions == "columns":
        return np.eye(n)[np.resize(rng.permutation(n), count)] * n**0.5 + 0j
    real = rng.normal(size=(2, count, n))
    return (real[0] + 1j * real[1]) / 2**0.5 if is_complex else real[0] + 0j


def _as_heat_moves(normal: np.ndarray, matrix: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(count, n) normal numbers made displacements of the harmonic classical distribution, mean square 1.

    u = M^-1/2 sum_k e_k ξ_k / ω_k: soft modes move far and stiff ones little, so that products with the label weigh
    absolute errors of all frequencies alike. Unstable modes count by |ω|, those below SOFTEST of the stiffest as such.
    """
    root = np.sqrt(np.repeat(masses, 3))
    weighted = (matrix + matrix.conj().T) / (2 * np.outer(root, root))
    eigenvalues, modes = np.linalg.eigh(weighted if weighted.imag.any() else weighted.real)
    sizes = np.sqrt(np.abs(eigenvalues))
    patterns = modes.T / np.maximum(sizes, max(SOFTEST * sizes.max(), 1e-6))[:, None] / root
    return normal @ patterns * (len(patterns) ** 0.5 / np.linalg.norm(patterns))


def _spectrum(frame: Frame, which: int, largest: int) -> dict[str, np.ndarray]:
    """Frequencies [THz], the weight and the species of each, padded to the largest frame; and the weight of all."""
    n = 3 * len(frame.atoms)
    weights, places, species = np.ones(n), np.zeros(n), np.zeros((n, n))
    intensities, of_intensities = np.zeros(n), np.zeros(n)
    if frame.spectrum is not None:
        known = frame.spectrum
        frequencies, places = known.in_order[which], known.order[which]
        weights = weights if known.weights is None else known.weights[which]
        species = species if known.species is None else known.species[which]
        if known.intensities is not None and known.intensity_weights is not None:
            intensities, of_intensities = known.intensities[which], known.intensity_weights[which]
    else:
        assert frame.second is not None
        root = np.sqrt(np.repeat(frame.atoms.get_masses(), 3))
        frequencies = frequencies_thz(frame.second.matrices[which] / np.outer(root, root))
    room = 3 * largest - n
    padded = {"spectrum": frequencies, "line_weights": weights, "apart": APART * places}
    padded |= {"intensities": intensities, "intensity_weights": of_intensities}
    # Modes of one set have one line: their intensities are compared by their mean.
    sets = np.stack([places, frequencies, intensities]) if of_intensities.any() else np.arange(n)[None]
    alike = np.all(sets[:, :, None] == sets[:, None], axis=0)
    return {
        **{name: np.pad(values, (0, room))[None] for name, values in padded.items()},
        "alike": np.pad(alike / alike.sum(1, keepdims=True), (0, room))[None],
        "species": np.pad(APART * np.stack([species.real, species.imag]), ((0, 0), (0, room), (0, room)))[None],
        "spectrum_weight": np.array([frame.weight("spectrum")]),
    }


def _images(images: Images, largest: int) -> dict[str, np.ndarray]:
    """Where the columns of each atom come from, padded to the largest frame."""
    room = largest - len(images.slots)
    return {
        "slots": np.pad(images.slots, (0, room))[None],
        "sources": np.pad(images.sources, (0, room))[None],
        "rotations": np.pad(images.rotations, ((0, room), (0, 0), (0, 0)))[None],
    }
