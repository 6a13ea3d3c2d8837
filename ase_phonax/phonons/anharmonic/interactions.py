"""Interactions of three phonons on phono3py's meshes, by Fourier transforms instead of sums for every triplet.

phono3py sums over all pairs of atoms of the supercell anew for each triplet of wave vectors, which makes large
supercells slow. But the phases of all three legs are those of two lattice vectors,

    Phi(q1, q2) = sum_D B_q1(D) exp 2 pi i q2.D,    B_q1(D) = sum_R V(D, R) exp 2 pi i q1.R,

so that one Fourier transform gives it at all q2 of a mesh. The vectors D fill a small box, and the transform goes along
one axis after the other as products of small matrices, slab by slab of the mesh: what a slab gives is contracted with
the modes of its triplets while it is in the cache. Shortest vectors, and the mean over the three atoms that they may
begin at, are phono3py's; so are the results, to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...base.cores import on_cores
from ...base.errors import UnstableWarning
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
        own = own.transpose(1, 2, 0, 3, 4, 5, 6, 7).reshape(n_l, n_l, size, size, size) / 3
        first, second = (x.reshape(-1, 3) for x in np.broadcast_arrays(lattice[:, None], lattice[None]))
        # The atom that vectors begin at is that of q3, q2 or q1, with q3 = -q1 - q2: D, R, and what turns it to i j k,
        # the atoms of q1, q2 and q3.
        legs = [
            (first, second, (0, 1, 4, 3, 2)),
            (-second, first - second, (0, 1, 3, 2, 4)),
            (first - second, -second, (0, 1, 2, 3, 4)),
        ]
        pairs, places = np.unique(np.concatenate([np.hstack([d, r]) for d, r, _ in legs]), axis=0, return_inverse=True)
        values = np.zeros((len(pairs), size, size, size))
        for (_, _, order), where in zip(legs, places.reshape(3, -1), strict=True):
            values[where] += own.transpose(order).reshape(-1, size, size, size)
        # Sorted by D: those of one D follow each other.
        self._cells, begin = np.unique(pairs[:, :3], axis=0, return_index=True)
        self._r = np.split(pairs[:, 3:], begin[1:])
        self._v = np.split(values.reshape(len(pairs), -1), begin[1:])
        self._corner, self._extent = self._cells.min(axis=0), np.ptp(self._cells, axis=0) + 1

    def __call__(self, g_zero: NDArray[np.byte] | None = None) -> None:
        """Fill the strengths of the triplets of the grid point that is set, in eV²."""
        interaction = self._interaction
        triplets = interaction.get_triplets_at_q()[0]
        addresses, mesh = interaction.bz_grid.addresses, interaction.mesh_numbers
        phonons = interaction.phonons
        assert triplets is not None
        assert phonons is not None
        one = self._amplitudes(triplets[0, :1], phonons)[0][:, interaction.band_indices]
        size, n_b = 3 * self._n, one.shape[1]
        q2 = addresses[triplets[:, 1]] % mesh
        # Triplets that symmetry makes equal are left out, which leaves some coordinates of q2 with few values.
        slab, middle, last = np.argsort([len(np.unique(own)) for own in q2.T])
        axes = [slab, last, middle]
        extent = self._extent[axes]
        slabs = np.unique(q2[:, slab])
        box = self._box(addresses[triplets[0, 0]] / mesh, one, axes)
        box = (self._waves(slab, mesh)[slabs] @ box).reshape(len(slabs), *extent[1:], -1)
        on_middle, on_last = self._waves(middle, mesh), self._waves(last, mesh)
        strengths = interaction._interaction_strength

        def fill(k: int) -> None:
            """The triplets whose second wave vector lies in a slab of the mesh."""
            rows = np.flatnonzero(q2[:, slab] == slabs[k])
            lines, line = np.unique(q2[rows, middle], return_inverse=True)
            grid = on_last @ (on_middle[lines] @ box[k]).reshape(extent[1], -1)
            grid = grid.reshape(mesh[last], len(lines), size * n_b, size)[q2[rows, last], line]
            two, three = (self._amplitudes(triplets[rows, leg], phonons) for leg in (1, 2))
            part = two.swapaxes(1, 2) @ (grid @ three).reshape(len(rows), size, n_b * size)
            part = (part.real**2 + part.imag**2).reshape(len(rows), size, n_b, size)
            strengths[rows] = interaction.unit_conversion_factor * part.swapaxes(1, 2)

        list(on_cores(fill, range(len(slabs))))
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

    def _box(self, q: NDArray[np.float64], one: NDArray[np.complex128], axes: list[np.int64]) -> NDArray[np.complex128]:
        """B_q(D) with the first amplitudes, for a box of D along these axes.

        Shape (extent of the first axis, those of the others x 3n of q2 x bands x 3n of q3).
        """
        size, n_b = 3 * self._n, one.shape[1]
        sums = np.empty((len(self._cells), 2, size**3))
        for k, (vectors, values) in enumerate(zip(self._r, self._v, strict=True)):
            angles = 2 * np.pi * vectors @ q
            np.matmul(np.stack([np.cos(angles), np.sin(angles)]), values, out=sums[k])
        parts = one.T @ (sums[:, 0] + 1j * sums[:, 1]).reshape(-1, size, size * size)
        box = np.zeros((*self._extent[axes], size, n_b, size), complex)
        box[tuple((self._cells - self._corner)[:, axes].T)] = parts.reshape(-1, n_b, size, size).swapaxes(1, 2)
        return box.reshape(len(box), -1)


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
    """Memory of the tensors of all legs while they are made, and of the box half-way through its transform."""
    primitive = interaction.primitive
    lattice = _lattice_vectors(primitive, _images(primitive))[0]
    extent = 2 * np.ptp(lattice, axis=0) + 1
    half = float(np.prod(extent) * (interaction.mesh_numbers / extent).max())
    return 27 * len(primitive) ** 3 * (6 * 8 * len(lattice) ** 2 + 2 * 16 * half)


def use_fourier_transforms(phono3py: Phono3py, done: Callable[[], None] | None = None) -> None:
    """Let a `Phono3py` object, after `init_phph_interaction`, compute interactions here.

    phono3py offers no other door: it is asked for whole interactions (`is_full_pp`), and calls this in their place.
    Meshes that are not along the reciprocal vectors, averages over permutations of q, and what would take more than
    half of the memory are left to it: the same numbers, later.
    """
    interaction = phono3py.phph_interaction
    aligned = np.array_equal(interaction.bz_grid.Q, np.eye(3))
    fits = _n_bytes(interaction) < _ROOM * memory_bytes()
    if not fits:
        warnings.warn(
            "The interactions of three phonons do not fit in half of the memory as Fourier transforms; phono3py's own"
            " sums take their place, which are slow. A smaller supercell of third order would fit.",
            UnstableWarning,
            stacklevel=2,
        )
    if fits and aligned and not interaction._symmetrize_fc3q and interaction.make_r0_average:
        interaction._run_rust = interaction._run_c = MeshInteraction(interaction, done)


def leave_fourier_transforms(phono3py: Phono3py) -> None:
    """Give an object back as it was: tensors as large as half the memory, and whoever counts, are not left on it."""
    for name in ("_run_rust", "_run_c"):
        vars(phono3py.phph_interaction).pop(name, None)
