"""Interactions of three phonons on phono3py's meshes, by Fourier transforms instead of sums for every triplet.

phono3py sums over all pairs of atoms of the supercell anew for each triplet of wave vectors, which makes large
supercells slow. But for one wave vector q1 the constants depend on the other one alone, through a few lattice vectors,

    Phi(q1, q2) = sum_L B_q1(L) exp 2 pi i q2.L,

so that one Fourier transform gives it at all q2 of a mesh. The lattice vectors fill a small box, and the transform goes
along one axis after the other as products of small matrices, the last one slab by slab of the mesh: what a slab gives
is contracted with the modes of its triplets while it is in the cache. Shortest vectors, and the mean over the three
atoms that they may begin at, are phono3py's; so are the results, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.cores import n_cores
from ...base.memory import memory_bytes

if TYPE_CHECKING:
    from phono3py import Phono3py
    from phono3py.phonon3.interaction import Interaction

_ROOM = 0.5  # of the memory


class MeshInteraction:
    """Interaction strengths of all triplets with one grid point, those of phono3py's `Interaction`.

    Args:
        interaction: of a `Phono3py` object, on a mesh along the reciprocal vectors.
        done: called after each grid point.
    """

    def __init__(self, interaction: Interaction, done: Callable[[], None] | None = None):
        self._interaction, self._done = interaction, done
        primitive, constants = interaction.primitive, _compact(interaction)
        self._n, self._places = len(primitive), primitive.scaled_positions
        images = _images(primitive)
        lattice, weights = _lattice_vectors(primitive, images)
        self._lattice = lattice
        self._corner, self._extent = _box(lattice)
        n, n_l = self._n, len(lattice)
        # From the atom that vectors begin at: (a, L, L', axis of a, b, axis, c, axis), b in L and c in L'.
        own = np.zeros((n, n_l, n_l, 3, n, 3, n, 3))
        for a in range(n):
            to = weights[a]  # (supercell, L)
            for b in range(n):
                for c in range(n):
                    one, two = np.flatnonzero(images == b), np.flatnonzero(images == c)
                    block = constants[a][np.ix_(one, two)].reshape(len(one), len(two), 27)
                    half = np.tensordot(to[one].T, block, 1)
                    whole = np.tensordot(half, to[two], ((1,), (0,))).swapaxes(1, 2)  # (L, L', 27)
                    own[a, :, :, :, b, :, c] = whole.reshape(n_l, n_l, 3, 3, 3)
        size = 3 * n
        # Each leg as (L of the sum over q1, L that is left, i j k), with i of q1, j of q2 and k of q3.
        legs = own.transpose(1, 2, 0, 3, 4, 5, 6, 7).reshape(n_l, n_l, size, size, size) / 3
        self._from_k = legs.transpose(1, 0, 4, 3, 2).reshape(n_l, n_l, -1).copy()  # a = k, b = j in L, c = i in L'
        self._from_j = legs.transpose(0, 1, 3, 2, 4).reshape(n_l, n_l, -1).copy()  # a = j, b = i in L, c = k in L'
        self._from_i = legs.transpose(1, 0, 2, 3, 4).reshape(n_l, n_l, -1).copy()  # a = i, c = k in L', b = j in L

    def __call__(self, g_zero: NDArray[np.byte] | None = None) -> None:
        """Fill the strengths of the triplets of the grid point that is set, in eV²."""
        interaction = self._interaction
        triplets = interaction.get_triplets_at_q()[0]
        addresses, mesh = interaction.bz_grid.addresses, interaction.mesh_numbers
        phonons = interaction.phonons
        assert triplets is not None
        assert phonons is not None
        one = self._amplitudes(triplets[0, :1], phonons)[0][:, interaction.band_indices]
        half = self._half_transformed(addresses[triplets[0, 0]] / mesh, one, mesh)
        last = self._waves(0, mesh)
        x, y, z = (addresses[triplets[:, 1]] % mesh).T
        size, n_b = 3 * self._n, one.shape[1]
        strengths = interaction._interaction_strength

        def fill(slab: int) -> None:
            """The triplets whose second wave vector has this second coordinate."""
            rows = np.flatnonzero(y == slab)
            if not len(rows):
                return
            grid = (last @ half[:, slab].reshape(len(half), -1)).reshape(mesh[0], mesh[2], size * n_b, size)
            two, three = (self._amplitudes(triplets[rows, k], phonons) for k in (1, 2))
            part = (grid[x[rows], z[rows]] @ three).reshape(len(rows), size, n_b * size)
            part = two.swapaxes(1, 2) @ part
            part = (part.real**2 + part.imag**2).reshape(len(rows), size, n_b, size)
            strengths[rows] = interaction.unit_conversion_factor * part.swapaxes(1, 2)

        with ThreadPoolExecutor(n_cores()) as pool:
            list(pool.map(fill, range(mesh[1])))
        interaction._g_zero = g_zero
        if self._done:
            self._done()

    def _amplitudes(self, points: NDArray[np.int64], phonons: Any) -> NDArray[np.complex128]:
        """Eigenvectors over square roots of masses and frequencies, with the phases of the atoms' places.

        Shape (points, 3n, bands); zero where the frequency does not count.
        """
        interaction = self._interaction
        q = interaction.bz_grid.addresses[points] / interaction.mesh_numbers
        phases = np.exp(2j * np.pi * q @ self._places.T) / np.sqrt(interaction.primitive.masses)
        frequencies = phonons.frequencies[points]
        counts = frequencies > interaction.cutoff_frequency
        scale = np.where(counts, 1 / np.sqrt(np.where(counts, frequencies, 1)), 0)
        return phonons.eigenvectors[points] * np.repeat(phases, 3, axis=1)[:, :, None] * scale[:, None]

    def _waves(self, axis: int, mesh: NDArray[np.int64]) -> NDArray[np.complex128]:
        """exp 2 pi i q.L along one axis of the mesh and of the box of lattice vectors."""
        cells = self._corner[axis] + np.arange(self._extent[axis])
        return np.exp(2j * np.pi * np.outer(np.arange(mesh[axis]), cells) / mesh[axis])

    def _half_transformed(
        self, q: NDArray[np.float64], one: NDArray[np.complex128], mesh: NDArray[np.int64]
    ) -> NDArray[np.complex128]:
        """Phi(q, q2) with the first amplitudes, for cells along the first axis and q2 along the others.

        Shape (cells, mesh, mesh, 3n, bands, 3n), with the atoms of the second wave before those of the third.
        """
        size, n_b = 3 * self._n, one.shape[1]
        box = np.zeros((*self._extent, size, n_b, size), complex)
        waves = np.exp(2j * np.pi * self._lattice @ q)

        def add(vectors: NDArray[np.int64], amplitudes: NDArray[np.complex128], values: NDArray[Any]) -> None:
            """Contract (L, i j k) with the first amplitudes, and add to the places of lattice vectors."""
            part = amplitudes.T @ values.reshape(-1, size, size * size)
            box[tuple((vectors - self._corner).T)] += part.reshape(-1, n_b, size, size).swapaxes(1, 2)

        # exp 2 pi i (q1.L' + q2.L) of vectors from k.
        add(self._lattice, one, _sum(waves, self._from_k))
        # exp 2 pi i (q1.L + q3.L'), q3 = -q1 - q2.
        add(-self._lattice, one, _sum(waves, self._from_j) * waves.conj()[:, None])
        # exp 2 pi i (q2.L + q3.L'), for each L' apart.
        for shift, wave, values in zip(self._lattice, waves.conj(), self._from_i, strict=True):
            add(self._lattice - shift, wave * one, values)
        box = self._waves(2, mesh) @ box.reshape(*self._extent, -1)
        box = self._waves(1, mesh) @ box.reshape(*self._extent[:2], -1)
        return box.reshape(self._extent[0], mesh[1], mesh[2], size, n_b, size)


def _box(lattice: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest corner and extent of the lattice vectors, those opposite, and their differences."""
    both = np.concatenate([lattice, -lattice, lattice.max(axis=0) - lattice, lattice.min(axis=0) - lattice])
    return both.min(axis=0), np.ptp(both, axis=0) + 1


def _sum(waves: NDArray[np.complex128], tensor: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Sum over the first axis of real numbers (L, L', x) times waves (L,)."""
    flat = tensor.reshape(len(waves), -1)
    return (waves.real @ flat + 1j * (waves.imag @ flat)).reshape(tensor.shape[1:])


def _compact(interaction: Interaction) -> NDArray[np.float64]:
    """Constants of the atoms of the primitive cell, with the mask of those that count."""
    constants = interaction.fc3 * interaction.fc3_nonzero_indices[..., None, None, None]
    full = constants.shape[0] == constants.shape[1] != len(interaction.primitive)
    return constants[interaction.primitive.p2s_map] if full else constants


def _images(primitive: Any) -> NDArray[np.int64]:
    """(n_supercell,) which primitive atom each atom of the supercell is an image of."""
    return np.array([primitive.p2p_map[s] for s in primitive.s2p_map])


def _lattice_vectors(primitive, images: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lattice vectors of all shortest vectors, (L, 3), and the weight of each atom's: (n, supercell, L)."""
    vectors, multiplicity = primitive.get_smallest_vectors()
    scaled = primitive.scaled_positions
    found: dict[tuple[int, ...], int] = {}
    entries = []
    for atom, image in enumerate(images):
        for a in range(len(primitive)):
            count, begin = multiplicity[atom, a]
            cells = np.rint(vectors[begin : begin + count] - (scaled[image] - scaled[a])).astype(int)
            for cell in map(tuple, cells.tolist()):
                entries.append((a, atom, found.setdefault(cell, len(found)), 1 / count))
    weights = np.zeros((len(primitive), len(images), len(found)))
    for a, atom, place, weight in entries:
        weights[a, atom, place] += weight
    return np.array(list(found)), weights


def _n_bytes(interaction: Interaction) -> float:
    """Memory of the tensors of all legs while they are made, and of the half-transformed ones."""
    primitive = interaction.primitive
    lattice = _lattice_vectors(primitive, _images(primitive))[0]
    half = _box(lattice)[1][0] * float(np.prod(interaction.mesh_numbers[1:]))
    return 27 * len(primitive) ** 3 * (5 * 8 * len(lattice) ** 2 + 2 * 16 * half)


def use_fourier_transforms(phono3py: Phono3py, done: Callable[[], None] | None = None) -> None:
    """Let a `Phono3py` object, after `init_phph_interaction`, compute interactions here.

    phono3py offers no other door: it is asked for whole interactions (`is_full_pp`), and calls this in their place.
    Meshes that are not along the reciprocal vectors, averages over permutations of q, and what would take more than
    half of the memory are left to it: the same numbers, later.
    """
    interaction = phono3py.phph_interaction
    aligned = np.array_equal(interaction.bz_grid.Q, np.eye(3))
    fits = _n_bytes(interaction) < _ROOM * memory_bytes()
    if fits and aligned and not interaction._symmetrize_fc3q and interaction.make_r0_average:
        interaction._run_rust = interaction._run_c = MeshInteraction(interaction, done)
