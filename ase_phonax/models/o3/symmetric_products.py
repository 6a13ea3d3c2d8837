"""Symmetric products of one atom's features: the higher-order part of MACE, as polynomials.

Batatia et al., arXiv:2206.07697, eqs. 10 and 11: features A of one channel, irreps side by side, become

    B[m] = sum over degrees v, k of w_vk sum_(i1...iv) U_vk[m; i1...iv] A[i1]...A[iv],

with U_vk all equivariant tensors that are symmetric in i1...iv. A symmetric tensor is a polynomial: what is kept
here is its coefficient of every monomial. Derivatives of polynomials are polynomials, exact at every order.

The tensors of one degree and output are made orthogonal in a fixed order, so that stored weights w mean the same
everywhere; each has the square norm of its output's dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement, product
from math import factorial
from typing import Any

import numpy as np

from .irreps import Irrep
from .spherical import clebsch_gordan

# A coupling that is left with less of its norm than this depends on those before it: others keep more than 1e-3.
_DEPENDENT = 1e-8


@dataclass(frozen=True, eq=False)
class Monomials:
    """Products of `degree` out of `n_variables`, each one of the degree below times one variable.

    Attributes:
        factors: (n_monomials, degree) variables, ascending.
        heads: (n_monomials,) the monomial of the first degree - 1 factors.
        lasts: (n_monomials,) the last factor.
    """

    n_variables: int
    degree: int
    factors: np.ndarray
    heads: np.ndarray
    lasts: np.ndarray

    def __len__(self) -> int:
        return len(self.factors)

    def places(self, factors: np.ndarray) -> np.ndarray:
        """Where monomials with these factors (..., degree), in any order, are found."""
        return np.searchsorted(self._codes(self.factors), self._codes(np.sort(factors, axis=-1)))

    def multiplicities(self) -> np.ndarray:
        """In how many orders the factors of each can be written."""
        result = np.full(len(self), float(factorial(self.degree)))
        for variable in range(self.n_variables):
            counts = np.count_nonzero(self.factors == variable, axis=1)
            result /= np.array([factorial(n) for n in range(self.degree + 1)])[counts]
        return result

    def _codes(self, factors: np.ndarray) -> np.ndarray:
        return factors @ (self.n_variables ** np.arange(self.degree - 1, -1, -1))


@lru_cache
def monomials(n_variables: int, degree: int) -> Monomials:
    """All of one degree, in lexicographic order."""
    products = list(combinations_with_replacement(range(n_variables), degree))
    factors = np.array(products, int).reshape(len(products), degree)
    if degree < 2:
        return Monomials(n_variables, degree, factors, np.zeros(len(factors), int), factors.sum(axis=1))
    below = monomials(n_variables, degree - 1)
    # Short integers: JAX in single precision has no others, and does not convert all that index it.
    heads, lasts = below.places(factors[:, :-1]).astype(np.int32), factors[:, -1].astype(np.int32)
    return Monomials(n_variables, degree, factors, heads, lasts)


def powers(x: Any, degree: int, xp: Any = np) -> list[Any]:
    """Values of all monomials of degrees 0 to `degree`: (..., D, u) -> (..., n_monomials, u) each."""
    values = [xp.ones_like(x[..., :1, :])]
    for d in range(1, degree + 1):
        m = monomials(x.shape[-2], d)
        values.append(x if d == 1 else values[-1][..., m.heads, :] * x[..., m.lasts, :])
    return values


@lru_cache
def symmetric_couplings(irreps: tuple[Irrep, ...], out: Irrep, degree: int) -> np.ndarray:
    """All equivariant polynomials of one degree: coefficients (n_monomials, 2 l_out + 1, n_couplings).

    Args:
        irreps: of the variables, one channel of each, side by side.
    """
    starts = np.cumsum([0] + [ir.dim for ir in irreps])
    table = monomials(int(starts[-1]), degree)
    weights = np.sqrt(table.multiplicities())[:, None]
    couplings: list[np.ndarray] = []
    for content in combinations_with_replacement(range(len(irreps)), degree):
        if np.prod([irreps[b].p for b in content]) != out.p:
            continue
        axes = [np.arange(starts[b], starts[b + 1]) for b in content]
        places = table.places(np.stack(np.meshgrid(*axes, indexing="ij"), -1)).ravel()
        own: list[np.ndarray] = []
        for tensor in _coupled([irreps[b].l for b in content], out.l):
            coefficients = np.zeros((len(table), out.dim))
            np.add.at(coefficients, places, tensor.reshape(-1, out.dim))
            candidate = (coefficients / weights).ravel()  # of the symmetric tensor: its norm is that of the tensor
            for _ in range(2):  # once more, against rounding
                for other in own:
                    candidate = candidate - (other @ candidate) * other
            norm = np.linalg.norm(candidate)
            if norm > _DEPENDENT:
                own.append(candidate / norm)
        couplings += [(v.reshape(-1, out.dim) * weights) * out.dim**0.5 for v in own]
    result = np.stack(couplings, -1) if couplings else np.zeros((len(table), out.dim, 0))
    result[np.abs(result) < 1e-14] = 0.0
    result.setflags(write=False)
    return result


def _coupled(degrees: Sequence[int], l_out: int) -> list[np.ndarray]:
    """Tensors (2 l1 + 1, ..., 2 l_out + 1) of all ways to couple from left to right."""
    tensors = {degrees[0]: [np.eye(2 * degrees[0] + 1)]}
    for l in degrees[1:]:
        longer: dict[int, list[np.ndarray]] = {}
        for l_left, known in tensors.items():
            for l_next in range(abs(l_left - l), l_left + l + 1):
                coupling = clebsch_gordan(l_left, l, l_next)
                longer.setdefault(l_next, []).extend(np.tensordot(t, coupling, (-1, 0)) for t in known)
        tensors = longer
    return tensors.get(l_out, [])


def polynomials_of(tensors: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients (n_monomials, ...) of tensors (D, ..., D, ...) with `degree` axes of variables first."""
    n = tensors.shape[0]
    table = monomials(n, degree)
    factors = np.array(list(product(range(n), repeat=degree)))
    result = np.zeros((len(table), *tensors.shape[degree:]), tensors.dtype)
    np.add.at(result, table.places(factors), tensors.reshape(n**degree, *tensors.shape[degree:]))
    return result
