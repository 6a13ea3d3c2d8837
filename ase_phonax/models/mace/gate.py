"""The end of a MACE layer as arrays: symmetric products, self-connection and readout, with their derivatives.

What enters: messages A (u, n, D), one block for each irrep; the density rho of neighbours, where they are divided by
1 + rho; the old features mixed, S; the energy E that earlier layers have read. Then

    x = A / (1 + rho),   z = after(B(x)) + S,   E' = E + r(z),

with B the polynomials of `symmetric_products` and r the readout. What leaves: z, E', and a constant where densities
need it; of the last layer E' alone. Letters: J and H the first and second derivatives of B; s = 1 / (1 + rho).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..parts import Blocks, Linear
from .gate_third import third_derivative
from .products import Products


@dataclass(frozen=True, eq=False)
class Readout:
    """r(z) = second . f(first . z) of scalars z (u, n, 1); without an activation one product.

    Attributes:
        first: (u, h); second: (h,).
        activation: (x, order) -> value and derivatives, two unless told; None for a linear readout, whose `first` is
            (u, 1).
    """

    first: np.ndarray
    second: np.ndarray
    activation: Callable[..., Sequence[np.ndarray]] | None

    def at(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Value (n,), slope (u, n), and the curvature (h, n) along rows of `first`; None if linear."""
        hidden = self.first.T @ z[:, :, 0]  # (h, n)
        second = self.second[:, None]
        if self.activation is None:
            return self.second @ hidden, np.broadcast_to(self.first @ second, (len(z), z.shape[1])), None
        value, slope, curvature = self.activation(hidden)
        return self.second @ value, self.first @ (second * slope), second * curvature


@dataclass(frozen=True, eq=False)
class MACEGate:
    """What makes the gate around some values.

    Attributes:
        products: the polynomials.
        after: linear map of their values.
        density: whether messages are divided by 1 + rho; residual: whether old features are added.
        constant: whether a block of ones leaves, for the densities of the next layer.
        readout: None where the features are not read.
        scalars: which block of `after`'s outputs is read.
        last: only the energy leaves.
    """

    products: Products
    after: Linear
    density: bool
    residual: bool
    constant: bool
    readout: Readout | None
    scalars: int
    last: bool

    def __call__(self, blocks: Blocks, species: np.ndarray) -> "MACEGateAt":
        """The gate around values."""
        return MACEGateAt(self, blocks, species)


class _Entering(NamedTuple):
    """Blocks that enter, sorted."""

    factors: Any
    density: Any
    old: Blocks
    energy: Any


class _Around(NamedTuple):
    """What cotangents of what leaves come to on the way back."""

    leaving: Blocks
    total: Blocks
    energy: np.ndarray
    x: np.ndarray
    curvature: np.ndarray | None


class MACEGateAt:
    """The gate around values; see `parts.GateAt`."""

    def __init__(self, gate: MACEGate, blocks: Blocks, species: np.ndarray):
        self.gate, self.species = gate, species
        entering = self._sorted(blocks)
        self.messages = entering.factors
        self.s = 1 / (1 + entering.density) if gate.density else None  # (1, n, 1)
        self.x = self.messages if self.s is None else self.messages * self.s
        values, self.slopes = gate.products.values_and_slopes(self.x, species)
        z = gate.after(self._split_outputs(values), species)
        if gate.residual:
            z = [a + b for a, b in zip(z, entering.old, strict=True)]
        energy, self.bend = entering.energy, None
        self.hidden: np.ndarray | None = None
        if gate.readout is not None:
            self.hidden = gate.readout.first.T @ z[gate.scalars][:, :, 0]  # (h, n)
            value, slope, self.bend = gate.readout.at(z[gate.scalars])
            energy, self.read = energy + value[None, :, None], slope[:, :, None]
        self.value = self._leaving(z, energy)
        self._last: _Around | None = None

    def pull_back(self, bar: Blocks) -> Blocks:
        """Cotangents of what enters."""
        around = self._around(bar, curved=False)
        factors, density = around.x, None
        if self.s is not None:
            factors = self.s * around.x
            density = -(self.s**2) * np.sum(self.messages * around.x, axis=(0, 2))[None, :, None]
        return self._unsorted(factors, density, around.total, around.energy)

    def response(self, moved: Blocks) -> tuple[Blocks, tuple[_Entering, np.ndarray]]:
        """Change of what leaves; what enters, sorted, and the change of x are kept."""
        entering = self._sorted(moved)
        dx = self._factors_response(entering)
        values = self.slopes @ dx
        z = self.gate.after(self._split_outputs(values), self.species)
        if self.gate.residual:
            z = [a + b for a, b in zip(z, entering.old, strict=True)]
        energy = entering.energy
        if self.gate.readout is not None:
            change = np.sum(self.read[..., None] * z[self.gate.scalars], axis=0, keepdims=True)
            energy = energy + change
        return self._leaving(z, energy), (entering, dx)

    def back_response(self, kept: tuple[_Entering, np.ndarray], bar: Blocks, moved_bar: Blocks) -> Blocks:
        """Change of `pull_back`."""
        gate, around, (entering, dx) = self.gate, self._around(bar, curved=True), kept
        total, energy = self._split_leaving(moved_bar)
        if gate.readout is not None:
            change = self.read[..., None] * energy
            if self.bend is not None:
                change = change + self._readout_bend(around, entering, dx)
            total = [a + change if b == gate.scalars else a for b, a in enumerate(total)]
        values_bar = np.concatenate(gate.after.transposed(total, self.species), 2)
        x_bar = self.slopes.swapaxes(2, 3) @ values_bar
        if around.curvature is not None:
            x_bar += around.curvature @ dx
        if self.s is None:
            return self._unsorted(x_bar, None, total, energy)
        s = self.s[..., None]
        ds = -(s**2) * entering.density
        messages, pulled = self.messages[..., None], around.x[..., None]
        sums = 2 * s * ds * pulled * messages + s**2 * (entering.factors * pulled + messages * x_bar)
        density = -np.sum(sums, axis=(0, 2), keepdims=True)
        return self._unsorted(s * x_bar + ds * pulled, density, total, energy)

    def third(self, bar: Blocks, bars: tuple[Blocks, ...], moved: tuple[Blocks, ...]) -> np.ndarray:
        """The third derivative of the values times their cotangents (`gate_third`)."""
        return np.asarray(third_derivative(self, bar, bars, moved))

    def _factors_response(self, moved: _Entering) -> np.ndarray:
        """Change of x (u, n, D, z)."""
        if self.s is None:
            return moved.factors
        s = self.s[..., None]
        return s * moved.factors - s**2 * moved.density * self.messages[..., None]

    def _readout_bend(self, around: _Around, entering: _Entering, dx: np.ndarray) -> np.ndarray:
        """Change of the readout's slope, times the energy's cotangent: (u, n, 1, z)."""
        gate = self.gate
        assert gate.readout is not None
        assert self.bend is not None
        outputs = self._split_outputs(self.slopes @ dx)
        z = gate.after(outputs, self.species)[gate.scalars]
        if gate.residual:
            z = z + entering.old[gate.scalars]
        first = gate.readout.first
        hidden = (first.T @ z.reshape(len(z), -1)).reshape(-1, *z.shape[1:])
        hidden *= self.bend[..., None, None] * around.energy[..., None]
        return (first @ hidden.reshape(len(hidden), -1)).reshape(-1, *z.shape[1:])

    def _around(self, bar: Blocks, curved: bool) -> _Around:
        """Cotangents on their way back; those of the last question are kept."""
        last = self._last
        if last is None or last.leaving is not bar:
            total, energy = self._split_leaving(bar)
            if self.gate.readout is not None:
                total = [a + self.read * energy if b == self.gate.scalars else a for b, a in enumerate(total)]
            values_bar = np.concatenate(self.gate.after.transposed(total, self.species), 2)
            x_bar = (values_bar[:, :, None] @ self.slopes)[:, :, 0]
            last = _Around(bar, total, energy, x_bar, None)
        if curved and last.curvature is None and max(self.gate.products.degrees) > 1:
            values_bar = np.concatenate(self.gate.after.transposed(last.total, self.species), 2)
            last = last._replace(curvature=self.gate.products.curvatures(self.x, values_bar, self.species))
        self._last = last
        return last

    def _sorted(self, blocks: Blocks) -> _Entering:
        """The blocks that enter, values (u, n, i) or responses (u, n, i, z)."""
        gate = self.gate
        n = len(gate.products.factors)
        factors = np.concatenate(blocks[:n], 2)
        density = blocks[n] if gate.density else None
        n += gate.density
        old = blocks[n : n + len(gate.after.outputs)] if gate.residual else []
        return _Entering(factors, density, old, blocks[n + len(old)])

    def _unsorted(self, factors: np.ndarray, density: Any, old: Blocks, energy: np.ndarray) -> Blocks:
        """Blocks in the order of those that enter."""
        ends = np.cumsum([ir.dim for ir in self.gate.products.factors])[:-1]
        blocks = np.split(factors, ends, 2)
        if density is not None:
            blocks.append(density)
        blocks += old if self.gate.residual else []
        blocks.append(energy)
        return [*blocks, np.zeros_like(energy)] if self.gate.constant else blocks

    def _split_outputs(self, values: np.ndarray) -> Blocks:
        ends = np.cumsum([ir.dim for _, ir in self.gate.products.outputs])[:-1]
        return np.split(values, ends, 2)

    def _leaving(self, z: Blocks, energy: np.ndarray) -> Blocks:
        if self.gate.last:
            return [energy]
        if not self.gate.constant:
            return [*z, energy]
        constant = np.ones_like(energy) if energy.ndim == 3 else np.zeros_like(energy)
        return [*z, energy, constant]

    def _split_leaving(self, bar: Blocks) -> tuple[Blocks, np.ndarray]:
        """Cotangents of z and of the energy."""
        if not self.gate.last:
            n = len(self.gate.after.outputs)
            return bar[:n], bar[n]
        energy = bar[0]
        n, tail = energy.shape[1], energy.shape[3:]
        zeros = [np.zeros((mul, n, dim, *tail), energy.dtype) for mul, dim in self.gate.after.outputs]
        return zeros, energy
