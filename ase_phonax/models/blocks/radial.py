"""The radial network of edges: a basis in the distance, closed by an envelope, through a perceptron.

Every function of a distance stands here once, with three derivatives and for any array module: NumPy for the network as
arrays, JAX for it as a function.
"""

from collections.abc import Callable, Sequence

import numpy as np

from .activations import silu
from .jets import AnyArray, Jet, composed, product, scaled


def radial_weights(
    basis: Jet, kinds: np.ndarray, *, matrices: Sequence[np.ndarray], elements: np.ndarray | None = None
) -> Jet:
    """Weights (e, n) of every path and channel, and their derivatives with respect to the length.

    Args:
        basis: (e, n_basis) and as many derivatives as are wanted.
        kinds: (e, 2) elements at both ends.
        matrices: of the perceptron, scaled; silu between them, no biases.
        elements: (n_species, m) rows whose product over both ends multiplies the first map; None for none.
    """
    factor = None if elements is None else elements[kinds[:, 0]] * elements[kinds[:, 1]]
    return perceptron(basis, matrices, factor)


def perceptron(
    x: Jet, matrices: Sequence[AnyArray], factor: AnyArray = None, activation: Callable[..., Sequence[AnyArray]] = silu
) -> Jet:
    """Linear maps with an activation between them; the first is multiplied by a factor that the length does not change.

    No biases: the basis is zero at the cutoff, and so must be what comes out.

    Args:
        activation: (values, order) -> value and derivatives.
    """
    for number, matrix in enumerate(matrices):
        if number:
            x = composed(activation(x[0], order=len(x) - 1), x)
        x = [z @ matrix for z in x]
        if factor is not None and not number:
            x = scaled(x, factor)
    return x


def closed_basis(
    lengths: AnyArray,
    order: int,
    kinds: np.ndarray | None = None,
    *,
    n_basis: int,
    cutoff: float,
    p: int,
    dtype: np.dtype,
    frequencies: AnyArray = None,
    switch_on: float | None = None,
) -> Jet:
    """Bessel functions times their envelope, and derivatives: (e, n_basis) each.

    Args:
        lengths: (e,) [Å], positive; of NumPy in double precision: rounding a length, the slope of a basis function
            makes it several times worse.
        order: how many derivatives, 0 to 3.
        kinds: of edges, all alike here.
        dtype: of the result.
        frequencies: (n_basis,) of the Bessel functions [1/Å]; their roots unless given.
        switch_on: where the envelope begins to fall, if it is `switch` [Å]; None for the polynomial.
    """
    r = lengths[:, None]
    closing = envelope(r, order, cutoff, p) if switch_on is None else switch(r, order, cutoff, switch_on)
    closed = product(bessel(r, order, n_basis, cutoff, frequencies), closing)
    return [z.astype(dtype) for z in closed]


def bessel_roots(n_basis: int, cutoff: float) -> np.ndarray:
    """Frequencies k pi / c of functions that vanish at the cutoff, k = 1..n: (n_basis,) [1/Å]."""
    return np.arange(1, n_basis + 1) * (np.pi / cutoff)


def bessel(r: AnyArray, order: int, n_basis: int, cutoff: float, frequencies: AnyArray = None) -> Jet:
    """(2/c) sin(f r)/r, f = k pi/c for k = 1..n, at r (e, 1) [Å]: (e, n_basis) each, the first in 1/Å².

    Zero at the cutoff, unless other frequencies f (n_basis,) are given [1/Å]. The spherical Bessel basis of DimeNet
    (Gasteiger et al., arXiv:2003.03123, eq. 7) with the prefactor of Nequix. r must be positive: padded edges carry a
    length beyond the cutoff.
    """
    xp = r.__array_namespace__()
    f = bessel_roots(n_basis, cutoff).astype(r.dtype) if frequencies is None else frequencies.astype(r.dtype)
    sine = xp.sin(f * r)
    b = [sine / r]
    if order > 0:
        b.append((f * xp.cos(f * r) - b[0]) / r)
    if order > 1:
        b.append(-(f**2 * sine + 2 * b[1]) / r)
    if order > 2:
        b.append(-(f**3 * xp.cos(f * r) + 3 * b[2]) / r)
    return scaled(b, 2 / cutoff)


def gaussians(r: AnyArray, order: int, n_basis: int, cutoff: float) -> Jet:
    """exp(-(r - r_k)² / 2 d²) around n points from 0 to the cutoff, d apart, at r (e, 1): (e, n_basis) each."""
    inverse = (n_basis - 1) / cutoff
    x = (r - np.linspace(0.0, cutoff, n_basis).astype(r.dtype)) * inverse
    value = r.__array_namespace__().exp(-0.5 * x**2)
    third = [inverse**3 * (3 * x - x**3) * value] if order > 2 else []
    return [value, -inverse * x * value, inverse**2 * (x**2 - 1) * value, *third][: order + 1]


def envelope(r: AnyArray, order: int, cutoff: AnyArray, p: int) -> Jet:
    """Polynomial of DimeNet (eq. 8), in the shape of r: 1 at r = 0, zero with two derivatives at the cutoff.

    Times the Bessel basis, itself zero there, the product has three continuous derivatives. `p` only sets the flatness
    at r = 0, not the smoothness at the cutoff.
    """
    xp, x = r.__array_namespace__(), r / cutoff
    e = [1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)]
    # Its derivative is -p (p + 1) (p + 2) / 2 x^(p-1) (1 - x)².
    head = -p * (p + 1) * (p + 2) / 2
    if order > 0:
        e.append(head * x ** (p - 1) * (1 - x) ** 2 / cutoff)
    if order > 1:
        e.append(head * x ** (p - 2) * (1 - x) * (p - 1 - (p + 1) * x) / cutoff**2)
    if order > 2:
        bent = (p - 2) * (p - 1) - 2 * p * (p - 1) * x + p * (p + 1) * x**2
        e.append(head * x ** (p - 3) * bent / cutoff**3)
    # Chosen, not multiplied: far beyond the cutoff the polynomial overflows, and 0 times infinity is none.
    return [xp.where(x < 1, z, 0) for z in e]


def switch(r: AnyArray, order: int, cutoff: float, start: float) -> Jet:
    """1 up to `start`, and from there a polynomial in r² to zero at the cutoff, in the shape of r [Å].

    The switching function of XPLOR, (c² - r²)² (c² + 2 r² - 3 s²) / (c² - s²)³ from s to c. Its slope is continuous at
    both ends; second derivatives jump at `start`, and at the cutoff unless what it multiplies vanishes there.
    """
    xp, y, a, b = r.__array_namespace__(), r * r, cutoff**2, start**2
    scale = 1 / (a - b) ** 3
    # Derivatives by r², and from them those by r.
    slope = -6 * scale * (a - y) * (y - b)
    bend = -6 * scale * (a + b - 2 * y)
    inside = [
        scale * (a - y) ** 2 * (a + 2 * y - 3 * b),
        2 * r * slope,
        2 * slope + 4 * y * bend,
        12 * r * bend + 96 * scale * y * r,
    ][: order + 1]
    return [xp.where(r < start, float(not k), xp.where(r < cutoff, z, 0)) for k, z in enumerate(inside)]
