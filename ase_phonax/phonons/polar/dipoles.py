"""The interaction of dipoles that a potential of finite range does not see, as a part of D(q).

    D(q) = D_model(q) + D_long(q)
    D_long,ij(q) = 4 pi F / V  sum_G (K.Z_i) (K.Z_j) / (K.eps.K) exp(-K² / 4 L²) exp[i G.(x_i - x_j)],  K = q + G

with q and G in 1/Å, 2 pi included, and F = e²/(4 pi eps0). It is the sum over reciprocal vectors of X. Gonze and
C. Lee, Phys. Rev. B 55, 10355 (1997), cut off at the reach of the *model* and not where it sums quickly: waves shorter
than 1/L the model has learned, longer ones it cannot see. At Gamma, where K = 0 is left out or taken as a limit along
a direction, it is theirs for every L. No supercell enters.

What moves with the whole crystal feels no force, so that at Gamma each row is summed up and taken off: its symmetric
part from the atom itself, and the antisymmetric one, which low symmetry allows, from pairs of atoms, spread as the
Gaussian is. D_long is Hermitian, obeys the sum rule to rounding and has the symmetry and the periods of the crystal.

Of a layer the sum is that of T. Sohier, M. Gibertini, M. Calandra, F. Mauri and N. Marzari, Nano Lett. 17, 3758 (2017),

    D_long,ij(q) = 2 pi F / A  sum_G (K.Z_i) (K.Z_j) / (|K| + K.r.K) exp(-K² / 4 L²) exp[i G.(x_i - x_j)]

with K in the plane and r = (eps - 1) c / 2 of the cell of height c that eps was computed in: nothing splits at Gamma,
where LO has a slope.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 39.0  # exp(-39) = 1e-17: waves whose Gaussian is below it are left out
_WIDE_IN_SPACE = 0.25  # 1/Å
_NUMBERS_AT_ONCE = 4_000_000  # complex numbers, 64 MB


@dataclass(frozen=True)
class DipoleInteraction:
    """Dipoles of a crystal, and where the model's reach ends.

    Attributes:
        cell: (3, 3) lattice vectors in rows [Å].
        scaled: (n, 3) reduced positions.
        charges: (n, 3, 3) Born charges, field index first [e]; their sum is zero.
        dielectric: (3, 3) electronic dielectric tensor; of a layer r, its polarizability [Å].
        width: L of the Gaussian [1/Å].
        factor: e²/(4 pi eps0) [eV Å].
        vacuum: of a layer, the cell vector that is perpendicular to it; None of a crystal.
    """

    cell: NDArray[np.float64]
    scaled: NDArray[np.float64]
    charges: NDArray[np.float64]
    dielectric: NDArray[np.float64]
    width: float
    factor: float
    vacuum: int | None = None

    def matrices(self, qpoints: NDArray[np.float64], direction: NDArray[np.float64] | None = None) -> NDArray:
        """D_long, phonopy's phase, no masses: (n_q, 3n, 3n) [eV/Å²].

        Args:
            qpoints: (n_q, 3) reduced.
            direction: (3,) reduced, along which Gamma of a crystal is approached; without one, nothing non-analytic.
        """
        size = 3 * len(self.scaled)
        return np.reshape([self._sum(q, direction) - self._held(q) for q in qpoints], (len(qpoints), size, size))

    def lattice_matrices(self, qpoints: NDArray[np.float64]) -> NDArray:
        """`matrices` in the lattice phase of docs/conventions.md, nothing non-analytic: (n_q, 3n, 3n) [eV/Å²]."""
        phases = np.repeat(np.exp(2j * np.pi * qpoints @ self.scaled.T), 3, axis=1)
        return phases[:, :, None] * self.matrices(qpoints) * phases.conj()[:, None]

    def slopes(self, qpoints: NDArray[np.float64]) -> NDArray:
        """dD_long/dk along x, y, z, with k in 1/Å without 2 pi: (n_q, 3, 3n, 3n) [eV/Å]; none of K = 0."""
        return np.array([self._slope(q) - self._held_slope(q) for q in qpoints])

    def _waves(self, q: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
        """K (m, 3) [1/Å] that count at q, and phases exp(i G.x) (m, n) of the atoms."""
        home = np.rint(q)
        near, reach = q - home, 2 * self.width * np.sqrt(_SMALLEST)
        if self.vacuum is not None:
            near[self.vacuum] = 0.0  # nothing depends on it
        most = np.ceil(reach * np.linalg.norm(self.cell, axis=1) / (2 * np.pi) + 0.5).astype(int)
        if self.vacuum is not None:
            most[self.vacuum] = 0
        g = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), -1).reshape(-1, 3)
        k = 2 * np.pi * (near + g) @ np.linalg.inv(self.cell).T
        counts = np.einsum("ka,ka->k", k, k) < reach**2
        return k[counts], np.exp(2j * np.pi * (g[counts] - home) @ self.scaled.T)

    def _screened(self, k: NDArray) -> tuple[NDArray, NDArray]:
        """What divides the products of dipoles, and its derivatives by K: (m,) and (m, 3).

        K.eps.K of a crystal, |K| + K.r.K of a layer.
        """
        if self.vacuum is None:
            return np.einsum("ka,ab,kb->k", k, self.dielectric, k), 2 * k @ self.dielectric
        r = self.dielectric
        lengths = np.linalg.norm(k, axis=1)
        units = k / np.where(lengths > 0, lengths, 1.0)[:, None]
        return lengths + np.einsum("ka,ab,kb->k", k, r, k), units + 2 * k @ r

    @property
    def _strength(self) -> float:
        """4 pi F / V of a crystal [eV/Å²], 2 pi F / A of a layer [eV/Å]."""
        volume = abs(np.linalg.det(self.cell))
        if self.vacuum is None:
            return 4 * np.pi * self.factor / volume
        return float(2 * np.pi * self.factor / volume * np.linalg.norm(self.cell[self.vacuum]))

    def _weights(self, k: NDArray) -> NDArray:
        """Strength times exp(-K² / 4 L²) over what screens each K, 0 for K = 0: (m,)."""
        squares, (screened, _) = np.einsum("ka,ka->k", k, k), self._screened(k)
        rest = squares < 1e-16
        gaussian = np.exp(-squares / (4 * self.width**2))
        return self._strength * np.where(rest, 0.0, gaussian / np.where(rest, 1.0, screened))

    def _sum(self, q: NDArray[np.float64], direction: NDArray[np.float64] | None) -> NDArray:
        """The sum over K at one wave vector, as it stands: (3n, 3n)."""
        k, phases = self._waves(q)
        weights = self._weights(k)
        if direction is not None and self.vacuum is None:
            # The limit of the term of K = 0 along the direction; the Gaussian is 1 there.
            rest, unit = np.linalg.norm(k, axis=1) < 1e-8, self._unit(direction)
            k = np.where(rest[:, None], unit, k)
            weights = np.where(rest, self._strength / (unit @ self.dielectric @ unit), weights)
        n = len(self.scaled)
        total = np.zeros((3 * n, 3 * n), complex)
        for some in np.array_split(np.arange(len(k)), max(1, 3 * n * len(k) // _NUMBERS_AT_ONCE)):
            moved = (np.einsum("ka,iab->kib", k[some], self.charges) * phases[some, :, None]).reshape(-1, 3 * n)
            total += (weights[some, None] * moved).T @ moved.conj()
        return total

    def _slope(self, q: NDArray[np.float64]) -> NDArray:
        """Derivatives of `_sum`: (3, 3n, 3n)."""
        k, phases = self._waves(q)
        weights, n = self._weights(k), len(self.scaled)
        screened, slopes = self._screened(k)
        own = -k / (2 * self.width**2) - slopes / np.where(weights > 0, screened, 1.0)[:, None]
        moved = (np.einsum("ka,iab->kib", k, self.charges) * phases[:, :, None]).reshape(-1, 3 * n)
        result = []
        for x in range(3):
            turned = (self.charges[None, :, x] * phases[:, :, None]).reshape(-1, 3 * n)
            half = (weights[:, None] * turned).T @ moved.conj()
            result.append((weights[:, None] * own[:, x, None] * moved).T @ moved.conj() + half + half.conj().T)
        return 2 * np.pi * np.array(result)

    def _unit(self, direction: NDArray[np.float64]) -> NDArray:
        """(3,) Cartesian, of reduced coordinates of the reciprocal cell."""
        vector = np.asarray(direction, float) @ np.linalg.inv(self.cell).T
        return vector / np.linalg.norm(vector)

    @cached_property
    def _at_rest(self) -> tuple[NDArray, NDArray]:
        """What translations would cost, of each atom: symmetric and antisymmetric parts, (n, 3, 3) each [eV/Å²]."""
        n = len(self.scaled)
        rows = self._sum(np.zeros(3), None).real.reshape(n, 3, n, 3).sum(axis=2)
        symmetric = (rows + rows.swapaxes(1, 2)) / 2
        return symmetric, rows - symmetric

    def _held(self, q: NDArray[np.float64]) -> NDArray:
        """What makes translations cost nothing, to be taken off: (3n, 3n)."""
        at_rest, _ = self._at_rest
        n = len(at_rest)
        result = np.zeros((n, n, 3, 3), complex)
        result[np.arange(n), np.arange(n)] = at_rest
        # The antisymmetric parts add up to zero over the atoms, and so these rows to those parts.
        k, phases = self._waves(q)
        result += self._pairs * self._spread(k, phases, np.ones(len(k)))[..., None, None]
        return result.swapaxes(1, 2).reshape(3 * n, 3 * n)

    def _held_slope(self, q: NDArray[np.float64]) -> NDArray:
        """Derivatives of `_held`: (3, 3n, 3n)."""
        n = len(self.scaled)
        k, phases = self._waves(q)
        spread = [self._spread(k, phases, -np.pi * k[:, x] / self._narrow**2) for x in range(3)]
        result = self._pairs * np.array(spread)[..., None, None]
        return result.swapaxes(2, 3).reshape(3, 3 * n, 3 * n)

    @property
    def _narrow(self) -> float:
        return min(self.width, _WIDE_IN_SPACE)

    @property
    def _pairs(self) -> NDArray:
        """(n, n, 3, 3) between atoms: rows add up to the parts of the atoms, and the matrix is symmetric."""
        _, turning = self._at_rest
        return (turning[:, None] - turning[None]) / len(turning)

    def _spread(self, k: NDArray, phases: NDArray, factors: NDArray) -> NDArray:
        """sum_K factor exp(-K² / 4 L²) exp[i G.(x_i - x_j)], over its value at Gamma for factors of 1: (n, n).

        L is that of `_narrow`: in space the sum is one of Gaussians, and sharp ones would vanish between atoms.
        """
        return self._gaussians(k, phases, factors) / self._at_gamma

    @cached_property
    def _at_gamma(self) -> NDArray:
        k, phases = self._waves(np.zeros(3))
        return self._gaussians(k, phases, np.ones(len(k)))

    def _gaussians(self, k: NDArray, phases: NDArray, factors: NDArray) -> NDArray:
        gaussian = factors * np.exp(-np.einsum("ka,ka->k", k, k) / (4 * self._narrow**2))
        return (gaussian[:, None] * phases).T @ phases.conj()
