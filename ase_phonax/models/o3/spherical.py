"""Real spherical harmonics, their derivatives, and the Clebsch-Gordan coefficients that couple them.

Axes: components of degree l are ordered and signed so that l = 1 is (x, y, z) and rotations act as real
orthogonal matrices; the basis of e3nn (Geiger, Smidt, arXiv:2207.09453), in which public weights are stored.
Normalisation "component": the squares of the 2l + 1 harmonics of degree l add up to 2l + 1.
"""

from functools import cache
from math import factorial, sqrt

import numpy as np


@cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> np.ndarray:
    """Real coupling of degrees l1 and l2 to l3: (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), squares adding up to 2 l3 + 1."""
    complex_coupling = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1), complex)
    for m1 in range(-l1, l1 + 1):
        for m2 in range(-l2, l2 + 1):
            if abs(m1 + m2) <= l3:
                value = _racah(l1, m1, l2, m2, l3, m1 + m2)
                complex_coupling[l1 + m1, l2 + m2, l3 + m1 + m2] = value
    first, second, third = (_to_complex(l) for l in (l1, l2, l3))
    real = np.einsum("ai,bj,ck,abc->ijk", first, second, third.conj(), complex_coupling)
    # Degrees whose sum is odd would couple with a factor i: the phase of `_to_complex` has taken it out.
    result = np.ascontiguousarray(real.real)
    result.setflags(write=False)
    return result


def _racah(j1: int, m1: int, j2: int, m2: int, j3: int, m3: int) -> float:
    """<j1 m1 j2 m2 | j3 m3> with Condon and Shortley's phases, by Racah's formula."""
    if not abs(j1 - j2) <= j3 <= j1 + j2:
        return 0.0
    f = factorial
    head = sqrt((2 * j3 + 1) * f(j3 + j1 - j2) * f(j3 - j1 + j2) * f(j1 + j2 - j3) / f(j1 + j2 + j3 + 1))
    head *= sqrt(f(j3 + m3) * f(j3 - m3) * f(j1 - m1) * f(j1 + m1) * f(j2 - m2) * f(j2 + m2))
    total = 0.0
    for k in range(max(0, j2 - j3 - m1, j1 - j3 + m2), min(j1 + j2 - j3, j1 - m1, j2 + m2) + 1):
        below = f(k) * f(j1 + j2 - j3 - k) * f(j1 - m1 - k) * f(j2 + m2 - k)
        total += (-1) ** k / (below * f(j3 - j2 + m1 + k) * f(j3 - j1 - m2 + k))
    return head * total


def _to_complex(l: int) -> np.ndarray:
    """(2l + 1, 2l + 1): rows m = -l...l of the complex basis, columns of the real one."""
    matrix = np.zeros((2 * l + 1, 2 * l + 1), complex)
    matrix[l, l] = 1
    for m in range(1, l + 1):
        matrix[l - m, l + m], matrix[l - m, l - m] = sqrt(0.5), -1j * sqrt(0.5)
        matrix[l + m, l + m], matrix[l + m, l - m] = (-1) ** m * sqrt(0.5), 1j * (-1) ** m * sqrt(0.5)
    return (-1j) ** l * matrix


@cache
def _step(l: int) -> np.ndarray:
    """(2l + 1, 3, 2l + 3): solid harmonics of degree l + 1 from those of degree l and the vector."""
    coupling = clebsch_gordan(l, 1, l + 1)
    pole = np.zeros(3)
    pole[1] = 1.0  # the axis of this basis
    value = np.ones(1)
    for degree in range(l):
        value = np.einsum("i,ijk,j->k", value, _step(degree), pole)
    return coupling / np.linalg.norm(np.einsum("i,ijk,j->k", value, coupling, pole)) * np.linalg.norm(value)


def harmonics(directions: np.ndarray, l_max: int) -> np.ndarray:
    """(..., 3) unit vectors -> (..., (l_max + 1)²), degree by degree."""
    solid = np.ones_like(directions[..., :1])
    degrees = [solid]
    for l in range(l_max):
        step = _step(l).astype(directions.dtype)
        solid = np.einsum("...i,ijk,...j->...k", solid, step, directions)
        degrees.append(sqrt(2 * l + 3) * solid)
    return np.concatenate(degrees, -1)


def harmonics_and_derivatives(vectors: np.ndarray, l_max: int, order: int = 2) -> list[tuple[np.ndarray, ...]]:
    """Harmonics of the directions of vectors and their derivatives with respect to the vectors.

    Args:
        vectors: (n, 3), none of them zero.
        order: 1 to 3 derivatives.

    Returns:
        for each degree l: (n, 2l + 1), (n, 3, 2l + 1), (n, 3, 3, 2l + 1) and (n, 3, 3, 3, 2l + 1).
    """
    length = np.linalg.norm(vectors, axis=1)[:, None]
    n = vectors / length
    # Solid harmonics R(n), homogeneous of degree l, with R_x, R_xy and R_xyz from the product rule of the recursion.
    value = np.ones((len(n), 1), n.dtype)
    first = np.zeros((len(n), 3, 1), n.dtype)
    second = np.zeros((len(n), 3, 3, 1), n.dtype)
    third = np.zeros((len(n), 3, 3, 3, 1), n.dtype)
    result: list[tuple[np.ndarray, ...]] = []
    for l in range(l_max + 1):
        norm = sqrt(2 * l + 1)
        # Y(r) = R(r) / |r|^l, differentiated; one power of 1/|r| for each derivative.
        along = n[:, :, None] * value[:, None]
        slope = first - l * along
        result.append((norm * value, norm * slope / length[:, None]))
        if order >= 2:
            bend = second - l * (n[:, :, None, None] * first[:, None] + n[:, None, :, None] * first[:, :, None])
            bend += value[:, None, None] * (
                l * (l + 2) * n[:, :, None, None] * n[:, None, :, None] - l * np.eye(3, dtype=n.dtype)[:, :, None]
            )
            result[-1] += (norm * bend / length[:, None, None] ** 2,)
        if order >= 3:
            twist = _third_over_power(l, n, value, first, second, third)
            result[-1] += (norm * twist / length[:, None, None, None] ** 3,)
        if l == l_max:
            break
        step = _step(l).astype(n.dtype)
        by_vector = np.einsum("ijk,nj->nik", step, n)  # (n, 2l + 1, 2l + 3)
        turned = step.transpose(1, 0, 2)  # (3, 2l + 1, 2l + 3)
        if order >= 3:
            from_second = np.einsum("nxyi,zik->nxyzk", second, turned)
            third = third @ by_vector[:, None, None] + _on_each_axis(from_second)
        if order >= 2:
            from_first = np.einsum("nxi,yik->nxyk", first, turned)
            second = second @ by_vector[:, None] + from_first + from_first.transpose(0, 2, 1, 3)
        first = first @ by_vector + np.einsum("ni,xik->nxk", value, turned)
        value = np.einsum("ni,nik->nk", value, by_vector)
    return result


def _on_each_axis(z: np.ndarray) -> np.ndarray:
    """(n, x, y, z, m), symmetric in x and y, plus the same with the last axis in place of the other two."""
    return z + z.transpose(0, 1, 3, 2, 4) + z.transpose(0, 3, 2, 1, 4)


def _third_over_power(
    l: int, n: np.ndarray, value: np.ndarray, first: np.ndarray, second: np.ndarray, third: np.ndarray
) -> np.ndarray:
    """d³/dr³ of R(r) / |r|^l at unit vectors, from R and its derivatives there: (n, 3, 3, 3, 2l + 1)."""
    eye = np.eye(3, dtype=n.dtype)
    nn = n[:, :, None] * n[:, None, :]
    power_2 = l * (l + 2) * nn - l * eye  # of |r|^-l; the first derivative is -l n
    power_3 = -l * (l + 2) * (l + 4) * nn[..., None] * n[:, None, None, :]
    power_3 = power_3 + l * (l + 2) * _on_each_axis((eye[None, :, :, None] * n[:, None, None, :])[..., None])[..., 0]
    mixed = _on_each_axis(second[:, :, :, None] * (-l * n)[:, None, None, :, None])
    mixed += _on_each_axis(power_2[:, :, :, None, None] * first[:, None, None])
    return np.asarray(third + mixed + power_3[..., None] * value[:, None, None, None])
