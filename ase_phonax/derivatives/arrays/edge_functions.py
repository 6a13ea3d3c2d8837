"""Functions of edges with three derivatives: what third derivatives of the energy need of a structure's geometry.

A message is linear in Y_m(r) w_u(|r|). In the frame of an edge, two directions a, b across it and n along it, second
derivatives of the product are products: harmonics do not change along n, and their slopes across it fall as 1 / r, so
that

    aa, ab, bb: Y_ab w + (1 if a = b) Y w' / r,      an, bn: Y_a (w' - w / r),      nn: Y w''.

Axes as in `edge_tensors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...models.o3.spherical import harmonics_and_derivatives
from .edge_tensors import Expansion, frames_of

ROWS = ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))  # second derivatives in the frame of an edge; 2 is along it


@dataclass(frozen=True, eq=False)
class ThirdOrderEdges:
    """Functions of all edges, in double precision; the same for all layers.

    Attributes:
        lengths: (e,).
        frames: (e, 3, 3), the last row along the edge.
        harmonics: of each degree, with three derivatives by the vector.
        basis: of all layers' radial weights, with three derivatives by the length.
    """

    lengths: np.ndarray
    frames: np.ndarray
    harmonics: list[tuple[np.ndarray, ...]]
    basis: list[np.ndarray]

    @classmethod
    def of(cls, expansion: Expansion) -> ThirdOrderEdges:
        """Of a structure."""
        edges, network = expansion.edges, expansion.network
        vectors = edges.vectors.astype(float)
        lengths = np.linalg.norm(vectors, axis=1)
        harmonics = harmonics_and_derivatives(vectors, network.l_max, order=3)
        return cls(lengths, frames_of(vectors), harmonics, network.basis(lengths, 3, edges.kinds))

    @property
    def along(self) -> np.ndarray:
        """Unit vectors (e, 3)."""
        return self.frames[:, 2]

    @cached_property
    def across(self) -> np.ndarray:
        """Second derivatives of lengths: (e, 3, 3)."""
        n = self.along
        return (np.eye(3) - n[:, :, None] * n[:, None]) / self.lengths[:, None, None]

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """What second derivatives have of harmonics, per degree (e, 6, m)."""
        result = []
        for y, y1, y2, _ in self.harmonics:
            bent = np.einsum("eax,exym,eby->eabm", self.frames[:, :2], y2, self.frames[:, :2], optimize=True)
            turned = self.frames[:, :2] @ y1
            result.append(np.stack([bent[:, 0, 0], bent[:, 0, 1], bent[:, 1, 1], *turned.swapaxes(0, 1), y], 1))
        return result

    def factors(self, radial: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What second derivatives have of weights (e, U): (e, 6, U), and (e, U) of Y in aa and bb besides."""
        w, d1, d2, _ = radial
        over = 1 / self.lengths[:, None]
        tilted = d1 - w * over
        return np.stack([w, w, w, tilted, tilted, d2], 1), d1 * over

    @cached_property
    def turns(self) -> np.ndarray:
        """From second derivatives in the frame to Cartesian ones: (e, 9, 6)."""
        parts = []
        for a, b in ROWS:
            both = self.frames[:, a, :, None] * self.frames[:, b, None]
            parts.append(both if a == b else both + both.swapaxes(1, 2))
        return np.stack(parts, -1).reshape(-1, 9, 6)

    def products(self, degree: int, weights: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivatives of Y_m w_u: (e, 3, m, u), (e, 3, 3, m, u)."""
        y, y1, y2, _ = self.harmonics[degree]
        w, d1, d2, _ = weights
        n = self.along
        w1 = n[:, :, None] * d1[:, None]
        w2 = n[:, :, None, None] * n[:, None, :, None] * d2[:, None, None] + self.across[..., None] * d1[:, None, None]
        first = np.einsum("exm,eu->exmu", y1, w) + np.einsum("em,exu->exmu", y, w1)
        second = np.einsum("exym,eu->exymu", y2, w) + np.einsum("em,exyu->exymu", y, w2)
        mixed = np.einsum("exm,eyu->exymu", y1, w1)
        return first, second + mixed + mixed.swapaxes(1, 2)

    def third(self, degree: int, weights: list[np.ndarray]) -> np.ndarray:
        """Third derivatives of the sum over m of Y_m w_m, whose weights (e, m) depend on the length: (e, 3, 3, 3)."""
        y, y1, y2, y3 = self.harmonics[degree]
        w, d1, d2, d3 = weights
        n = self.along
        result = np.einsum("exyzm,em->exyz", y3, w)
        result += self.third_of_length(*((y * d).sum(axis=1) for d in (d1, d2, d3)))
        # Each product has one axis that is apart: z of Y'' n, x of Y' n n and of Y' across.
        last = np.einsum("exym,em->exy", y2, d1)[..., None] * n[:, None, None]
        one, two = (np.einsum("exm,em->ex", y1, d)[:, :, None, None] for d in (d1, d2))
        first = two * (n[:, :, None] * n[:, None])[:, None] + one * self.across[:, None]
        result += last + last.transpose(0, 1, 3, 2) + last.transpose(0, 3, 2, 1)
        return np.asarray(result + first + first.transpose(0, 2, 1, 3) + first.transpose(0, 3, 2, 1))

    def third_of_length(self, d1: np.ndarray, d2: np.ndarray, d3: np.ndarray) -> np.ndarray:
        """d³f(|r|)/dr³ from derivatives (e,) by the length: (e, 3, 3, 3)."""
        n, eye = self.along, np.eye(3)
        nnn = n[:, :, None, None] * n[:, None, :, None] * n[:, None, None, :]
        own = eye[None, :, :, None] * n[:, None, None, :]
        tilted = own + own.transpose(0, 1, 3, 2) + own.transpose(0, 3, 2, 1) - 3 * nnn
        bent = d2 / self.lengths - d1 / self.lengths**2
        return np.asarray(nnn * d3[:, None, None, None] + tilted * bent[:, None, None, None])


def third_of_edges(expansion: Expansion, functions: ThirdOrderEdges) -> np.ndarray:
    """Third derivatives of the energy by each edge alone, features and cotangents as they are: (e, 3, 3, 3)."""
    edges, network = expansion.edges, expansion.network
    result = np.zeros((len(edges.receivers), 3, 3, 3))
    if network.pairs is not None:
        result += functions.third_of_length(*network.pairs(functions.lengths, 3, edges.kinds)[1:])
    for layer in expansion.layers:
        state = layer.state
        radial = state.parts.radial(functions.basis, edges.kinds)
        for degree, paths in enumerate(state.parts.by_degree):
            weights: list[np.ndarray] = [np.zeros_like(functions.harmonics[degree][0]) for _ in radial]
            for path in paths:
                h = state.mixed[path.block][:, edges.senders].swapaxes(0, 1)  # (e, i, u)
                bar = state.out_bar[path.out][:, edges.receivers, path.rows].swapaxes(0, 1)  # (e, k, u)
                half = path.coupling.transpose(1, 2, 0).reshape(-1, h.shape[1]) @ h
                both = (half.reshape(len(h), -1, *bar.shape[1:]) * bar[:, None]).sum(axis=2)  # (e, m, u)
                for into, order in zip(weights, radial, strict=True):
                    into += (both @ order[:, path.weights, None])[..., 0]
            result += functions.third(degree, weights)
    return result
