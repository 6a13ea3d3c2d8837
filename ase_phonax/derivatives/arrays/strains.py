"""Homogeneous strains: every edge changes by dr = r eps, at q = 0, and what a strain and a displacement cost together.

Row vectors, r -> r (1 + eps): dr_y = sum_x r_x eps_xy (docs/conventions.md, "Strain"). Atoms move along with the
lattice; displacements beside a strain are in the Cartesian axes of the strained crystal, r (1 + eps) + u_j - u_x.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...base.cores import one_blas_thread
from ...models.parts import Blocks
from ..route import StrainDerivatives
from .columns import Columns, flat_columns
from .displacement_waves import DisplacementWaves
from .edge_tensors import Expansion, LayerTensors
from .linear_response import second_derivatives
from .perturbations import Phases, Together, curved


@dataclass(frozen=True, eq=False)
class Strains:
    """A `Perturbation`; its rows are the components of eps, 3 x + y.

    Attributes:
        expansion: the structure that they perturb.
        phases: those of q = 0, real.
        amplitudes: eps (3, 3, c), symmetric or not.
    """

    expansion: Expansion
    phases: Phases
    amplitudes: np.ndarray

    def __post_init__(self) -> None:
        assert self.phases.parts == self.phases.n_q == 1, "a homogeneous strain has the wave vector 0"
        assert (self.phases.of_edges == 1).all(), "a homogeneous strain has the wave vector 0"

    @cached_property
    def columns(self) -> Columns:
        """The layout of responses."""
        return Columns(1, self.amplitudes.shape[2], 1, self.expansion.network.dtype)

    @cached_property
    def _strains(self) -> np.ndarray:
        """Components of eps, one after the other: (9, c)."""
        return self.amplitudes.reshape(9, -1).astype(self.columns.dtype)

    @cached_property
    def _vectors(self) -> np.ndarray:
        """Vectors of edges (e, 3), in the precision of the network."""
        return self.expansion.edges.vectors.astype(self.columns.dtype)

    def edge_changes(self) -> np.ndarray:
        """dr = r eps: (e, 3, 1, c)."""
        return np.einsum("ex,xyc->eyc", self._vectors, self._strains.reshape(3, 3, -1))[:, :, None]

    def rows_of_edges(self, edges_bar: np.ndarray) -> np.ndarray:
        """Sum over edges of r_x times the cotangent's y: (9, 1, c). Of the energy's slopes, this is the virial."""
        rows = np.einsum("ex,eyc->xyc", self._vectors, edges_bar[:, :, 0])
        return rows.reshape(9, 1, -1)

    def curvature(self) -> np.ndarray:
        """K dr of all edges, on the components of eps: (9, 1, c)."""
        return self.rows_of_edges(curved(self.expansion, self.edge_changes()))

    def messages(self, layer: LayerTensors) -> tuple[Blocks, np.ndarray]:
        """J (r eps), per output irrep (u, n, k, z), and the sums of r J onto the receivers, (n, 9, D)."""
        sums = np.zeros((self.expansion.edges.n_atoms, 9, layer.slope_sums.shape[-1]), self.columns.dtype)
        for tensors, pairs in zip(layer.groups, self.expansion.pairs, strict=True):
            by_component = np.einsum("gpsx,gpsyd->gxyd", self._vectors[pairs.table], tensors.slope, optimize=True)
            sums[pairs.receivers] = by_component.reshape(len(by_component), 9, -1)
        return self._blocks(sums, layer.state.parts.outputs), sums

    def rows_of_messages(self, layer: LayerTensors, kept: np.ndarray, da_bar: Blocks) -> np.ndarray:
        """J^H da' on the components of eps: (9, 1, c); da' per output irrep (u, n, k, z)."""
        return (kept @ flat_columns(da_bar)).sum(axis=0)[:, None]

    def cotangents(self, layer: LayerTensors, dh: Blocks | None) -> tuple[Blocks, np.ndarray | None]:
        """C (r eps), blocks (u, n, i, z); and, with dh, C^H dh on the components of eps: (9, 1, c)."""
        assert layer.cross_sums is not None, "the first features do not depend on where atoms are"
        sums = np.zeros((self.expansion.edges.n_atoms, 9, layer.cross_sums.shape[-1]), self.columns.dtype)
        for tensors, pairs in zip(layer.groups, self.expansion.pairs, strict=True):
            assert tensors.cross is not None
            by_component = np.einsum("gpsx,gpsyd->pxyd", self._vectors[pairs.table], tensors.cross, optimize=True)
            sums[pairs.senders] += by_component.reshape(len(by_component), 9, -1)
        blocks = self._blocks(sums, layer.state.parts.inputs)
        return blocks, None if dh is None else (sums @ flat_columns(dh)).sum(axis=0)[:, None]

    def _blocks(self, sums: np.ndarray, irreps: tuple[tuple[int, int], ...]) -> Blocks:
        """Sums (n, 9, D) times all strains, in blocks (u, n, i, z)."""
        return self.columns.blocks((sums.swapaxes(1, 2) @ self._strains)[None, :, :, None], irreps)


def strain_derivatives(expansion: Expansion) -> StrainDerivatives:
    """Exact derivatives of the energy of the cell, from the first-order responses to nine strains."""
    n_atoms, dtype = expansion.edges.n_atoms, expansion.network.dtype
    with one_blas_thread():
        phases = Phases.at(np.zeros((1, 3)), expansion, real=True)
        # Displacements of zero: only their rows are asked for.
        fixed = DisplacementWaves(expansion, phases, np.zeros((n_atoms, 3, 1, 9), dtype))
        strains = Strains(expansion, phases, np.eye(9, dtype=dtype).reshape(3, 3, 9))
        rows = second_derivatives(Together((fixed, strains)))[0].real
    of_positions, of_strains = np.split(rows, [3 * n_atoms])
    return StrainDerivatives(of_strains.reshape(3, 3, 3, 3), of_positions.reshape(n_atoms, 3, 3, 3))
