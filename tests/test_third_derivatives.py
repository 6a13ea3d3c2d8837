"""Third derivatives of what networks are made of, against differences of the second."""

import numpy as np
import pytest

from ase_phonax.models.blocks.activations import NORMED, silu, tanh
from ase_phonax.models.blocks.jets import composed, power, product, reciprocal
from ase_phonax.models.blocks.radial import bessel, closed_basis, envelope, gaussians, perceptron
from ase_phonax.models.o3.spherical import harmonics_and_derivatives

STEP, ORDER_6 = 2e-3, {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
# Truncation falls as STEP^6 times seven further derivatives; rounding is 1e-16 / STEP.
TOLERANCE = 1e-9
LENGTHS = np.linspace(1.2, 4.7, 9)[:, None]
MATRICES = [np.random.default_rng(0).normal(size=shape) / 3 for shape in ((6, 8), (8, 5))]


def slope(function, x):
    return sum(w * (function(x + k * STEP) - function(x - k * STEP)) for k, w in ORDER_6.items()) / STEP


@pytest.mark.parametrize(
    "jet",
    [
        lambda r, order: bessel(r, order, 6, 5.0),
        lambda r, order: gaussians(r, order, 6, 5.0),
        lambda r, order: envelope(r, order, 5.0, 6),
        lambda r, order: envelope(r, order, 5.0, 3),
        lambda r, order: power(r, 2.7, order),
        lambda r, order: reciprocal(r, order),
        lambda r, order: list(silu(r - 3, order=order)),
        lambda r, order: list(tanh(r - 3, order=order)),
        lambda r, order: list(NORMED["silu"](r - 3, order=order)),
        lambda r, order: product(bessel(r, order, 6, 5.0), envelope(r, order, 5.0, 6)),
        lambda r, order: composed(silu(power(r, 1.5, order)[0], order=order), power(r, 1.5, order)),
        lambda r, order: closed_basis(r[:, 0], order, n_basis=6, cutoff=5.0, p=6, dtype=np.dtype(float)),
        lambda r, order: perceptron(product(bessel(r, order, 6, 5.0), envelope(r, order, 5.0, 6)), MATRICES),
    ],
)
def test_the_third_derivative_is_the_slope_of_the_second(jet):
    third = jet(LENGTHS, 3)
    assert len(third) == 4
    for own, same in zip(third, jet(LENGTHS, 2), strict=False):
        assert np.array_equal(own, same)  # asking for one more changes none of the others
    expected = slope(lambda r: jet(r, 2)[2], LENGTHS)
    assert np.abs(third[3] - expected).max() < TOLERANCE * np.abs(expected).max()


def test_a_closed_basis_has_three_continuous_derivatives_at_the_cutoff():
    inside = closed_basis(np.array([5 - 1e-6]), 3, n_basis=4, cutoff=5.0, p=6, dtype=np.dtype(float))
    assert max(np.abs(z).max() for z in inside) < 1e-4
    outside = closed_basis(np.array([5 + 1e-6]), 3, n_basis=4, cutoff=5.0, p=6, dtype=np.dtype(float))
    assert not any(z.any() for z in outside)


def test_third_derivatives_of_harmonics():
    vectors = np.random.default_rng(1).normal(size=(7, 3)) * 2
    own = harmonics_and_derivatives(vectors, 4, order=3)
    for l, (lower, parts) in enumerate(zip(harmonics_and_derivatives(vectors, 4), own, strict=True)):
        assert all(np.array_equal(a, b) for a, b in zip(lower, parts, strict=False))
        third = parts[3]
        for axis, along in enumerate(np.eye(3)):
            expected = sum(
                w
                * (
                    harmonics_and_derivatives(vectors + k * STEP * along, 4)[l][2]
                    - harmonics_and_derivatives(vectors - k * STEP * along, 4)[l][2]
                )
                for k, w in ORDER_6.items()
            )
            scale = max(np.abs(third).max(), 1)
            assert np.abs(third[:, axis] - expected / STEP).max() < 1e-7 * scale
        # Symmetric in all axes, and homogeneous of degree zero: r . d/dr of the second is -2 times it.
        assert third == pytest.approx(third.transpose(0, 3, 1, 2, 4), abs=1e-12 * max(1, np.abs(third).max()))
        radial = np.einsum("nx,nxyzm->nyzm", vectors, third)
        assert radial == pytest.approx(-2 * parts[2], abs=1e-11 * max(1, np.abs(third).max()))
