"""Interactions of three phonons on phono3py's meshes, by Fourier transforms instead of sums for every triplet.

phono3py sums over all pairs of atoms of the supercell anew for each triplet of wave vectors, which makes large
supercells slow. But for one wave vector q1 the constants depend on the other one alone, through a few lattice vectors,

    Phi(q1, q2) = sum_L B_q1(L) exp 2 pi i q2.L,

so that one Fourier transform gives it at all q2 of a mesh. Shortest vectors, and the mean over the three atoms that
they may begin at, are phono3py's; so are the results, to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ...base.cores import n_cores
from ...base.memory import memory_bytes

if TYPE_CHECKING:
    from phono3py import Phono3py
    from phono3py.phonon3.interaction import Interaction

    from ...base.progress import Progress

_ROOM = 0.5  # of the memory


class MeshInteraction:
    """Interaction strengths of all triplets with one grid point, those of phono3py's `Interaction`.

    Args:
        interaction: of a `Phono3py` object, on a mesh along the reciprocal vectors.
        progress: called with (done, total) irreducible wave vectors.
    """

    def __init__(self, interaction: Interaction, progress: Progress | None = None):
        self._interaction, self._progress, self._done = interaction, progress, 0
        from phonopy.phonon.grid import get_ir_grid_points

        primitive, constants = interaction.primitive, _compact(interaction)
        self._n, self._places = len(primitive), primitive.scaled_positions
        images = _images(primitive)
        lattice, weights = _lattice_vectors(primitive, images)
        self._lattice = lattice
        n, n_l = self._n, len(lattice)
        self._total = len(get_ir_grid_points(interaction.bz_grid)[0])
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
        first = addresses[triplets[0, 0]] / mesh
        frequencies, bands = phonons.frequencies, interaction.band_indices
        one = self._amplitudes(triplets[0, :1], phonons.eigenvectors)[0][:, bands]
        grid = self._on_mesh(first, one, mesh)
        at = tuple((addresses[triplets[:, 1]] % mesh).T)
        two, three = (self._amplitudes(triplets[:, k], phonons.eigenvectors) for k in (1, 2))
        size, n_b = 3 * self._n, len(bands)
        modes = grid[at].reshape(len(triplets), n_b * size, size) @ three
        modes = modes.reshape(len(triplets), n_b, size, size).swapaxes(2, 3) @ two[:, None]
        strengths = np.abs(modes.swapaxes(2, 3)) ** 2
        one_f, two_f, three_f = frequencies[triplets].swapaxes(0, 1)
        one_f, two_f, three_f = one_f[:, bands, None, None], two_f[:, None, :, None], three_f[:, None, None]
        product, cutoff = one_f * two_f * three_f, interaction.cutoff_frequency
        counts = (one_f > cutoff) & (two_f > cutoff) & (three_f > cutoff)
        strengths *= np.divide(interaction.unit_conversion_factor, product, out=np.zeros_like(product), where=counts)
        interaction._interaction_strength[:] = strengths
        interaction._g_zero = g_zero
        self._done += 1
        if self._progress:
            self._progress(min(self._done, self._total), self._total)

    def _amplitudes(self, points: NDArray[np.int64], eigenvectors: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Eigenvectors over square roots of masses, with the phases of the atoms' places: (points, 3n, bands)."""
        interaction = self._interaction
        q = interaction.bz_grid.addresses[points] / interaction.mesh_numbers
        phases = np.exp(2j * np.pi * q @ self._places.T) / np.sqrt(interaction.primitive.masses)
        return eigenvectors[points] * np.repeat(phases, 3, axis=1)[:, :, None]

    def _on_mesh(
        self, q: NDArray[np.float64], one: NDArray[np.complex128], mesh: NDArray[np.int64]
    ) -> NDArray[np.complex128]:
        """Phi(q, q2) with the first amplitudes, at all q2: (*mesh, bands, 3n, 3n)."""
        size, n_b = 3 * self._n, one.shape[1]
        grid = np.zeros((*mesh, n_b, size, size), complex)
        waves = np.exp(2j * np.pi * self._lattice @ q)

        def contracted(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
            """(L, i j k) -> (L, bands, j, k)."""
            return (one.T @ values.reshape(-1, size, size * size)).reshape(-1, n_b, size, size)

        # exp 2 pi i (q1.L' + q2.L) of vectors from k.
        self._add(grid, self._lattice, contracted(_sum(waves, self._from_k)), mesh)
        # exp 2 pi i (q1.L + q3.L'), q3 = -q1 - q2.
        from_j = contracted(_sum(waves, self._from_j)) * waves.conj()[:, None, None, None]
        self._add(grid, -self._lattice, from_j, mesh)
        # exp 2 pi i (q2.L + q3.L'), for each L' apart.
        for shift, wave, values in zip(self._lattice, waves.conj(), self._from_i, strict=True):
            turned = (wave * one).T
            part = (turned @ values.reshape(-1, size, size * size)).reshape(-1, n_b, size, size)
            self._add(grid, self._lattice - shift, part, mesh)
        return scipy.fft.ifftn(grid, axes=(0, 1, 2), norm="forward", overwrite_x=True, workers=n_cores())

    @staticmethod
    def _add(
        grid: NDArray[np.complex128],
        vectors: NDArray[np.int64],
        values: NDArray[np.complex128],
        mesh: NDArray[np.int64],
    ) -> None:
        """Add what belongs to lattice vectors to their places on the mesh, which may coincide on coarse ones."""
        places = np.ravel_multi_index(tuple((vectors % mesh).T), mesh)
        flat = grid.reshape(-1, *grid.shape[3:])
        if len(np.unique(places)) == len(places):
            flat[places] += values
        else:
            np.add.at(flat, places, values)


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
    """Memory of the tensors of all legs while they are made, and of a mesh."""
    primitive = interaction.primitive
    n_lattice = len(_lattice_vectors(primitive, _images(primitive))[0])
    return 27 * len(primitive) ** 3 * (5 * 8 * n_lattice**2 + 16 * float(np.prod(interaction.mesh_numbers)))


def use_fourier_transforms(phono3py: Phono3py, progress: Progress | None = None) -> None:
    """Let a `Phono3py` object, after `init_phph_interaction`, compute interactions here.

    phono3py offers no other door: it is asked for whole interactions (`is_full_pp`), and calls this in their place.
    Meshes that are not along the reciprocal vectors, averages over permutations of q, and what would take more than
    half of the memory are left to it: the same numbers, later.
    """
    interaction = phono3py.phph_interaction
    aligned = np.array_equal(interaction.bz_grid.Q, np.eye(3))
    fits = _n_bytes(interaction) < _ROOM * memory_bytes()
    if fits and aligned and not interaction._symmetrize_fc3q and interaction.make_r0_average:
        interaction._run_rust = interaction._run_c = MeshInteraction(interaction, progress)
