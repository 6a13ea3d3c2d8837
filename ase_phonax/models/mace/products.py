"""Values, slopes and curvatures of the symmetric products of features, in NumPy.

Coefficients of the derivatives of a polynomial are formed once for each element that occurs; monomials do the rest.
Axes: u channels, n atoms, D variables (components of all factors), M components of all outputs, P monomials.
"""

from dataclasses import dataclass, field

import numpy as np

from ..o3.irreps import Irrep
from ..o3.symmetric_products import monomials, powers, symmetric_couplings


@dataclass(frozen=True, eq=False)
class Products:
    """The polynomials of one layer.

    Attributes:
        factors: irreps of the variables, one after the other.
        outputs: (channels, irrep) of what they give.
        weights: by (output irrep, degree): (n_species, n_couplings, u).
    """

    factors: tuple[Irrep, ...]
    outputs: tuple[tuple[int, Irrep], ...]
    weights: dict[tuple[Irrep, int], np.ndarray]
    _tables: dict[tuple[int, int, int], np.ndarray] = field(default_factory=dict)

    @property
    def degrees(self) -> list[int]:
        """Degrees for which there is any polynomial."""
        return sorted({degree for _, degree in self.weights})

    def values_and_slopes(self, x: np.ndarray, species: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """B (u, n, M) and J (u, n, M, D) at x (u, n, D)."""
        slopes = np.zeros((*x.shape[:2], sum(ir.dim for _, ir in self.outputs), x.shape[2]), x.dtype)
        values = np.zeros(slopes.shape[:-1], x.dtype)
        for kind in np.unique(species):
            here = species == kind
            own = x[:, here]
            below = powers(own[..., None], max(self.degrees) - 1)
            for degree in self.degrees:
                # Euler: a homogeneous polynomial is its slope along its argument, over its degree.
                j = _at(below[degree - 1], self._table(int(kind), degree, 1)).reshape(*own.shape[:2], -1, x.shape[2])
                slopes[:, here] += j
                values[:, here] += (j @ own[..., None])[..., 0] / degree
        return values, slopes

    def curvatures(self, x: np.ndarray, bar: np.ndarray, species: np.ndarray) -> np.ndarray:
        """H (u, n, D, D) at x, contracted with cotangents (u, n, M) of the values."""
        n_d = x.shape[2]
        result = np.zeros((*x.shape, n_d), x.dtype)
        for kind in np.unique(species):
            here = species == kind
            own = bar[:, here]
            below = powers(x[:, here][..., None], max(0, max(self.degrees) - 2))
            for degree in self.degrees:
                if degree < 2:
                    continue
                table = self._table(int(kind), degree, 2)  # (u, P, M D D)
                for m in range(own.shape[2]):
                    h = _at(below[degree - 2], table[..., m * n_d**2 : (m + 1) * n_d**2])
                    result[:, here] += own[:, :, m, None, None] * h.reshape(*h.shape[:2], n_d, n_d)
        return result

    def curvature_tensors(self, x: np.ndarray, species: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Second and third derivatives at x, (u, n, M, D, D) and (u, n, M, D, D, D); None where all vanish."""
        n_m, n_d = sum(ir.dim for _, ir in self.outputs), x.shape[2]
        result: list[np.ndarray | None] = []
        for order in (2, 3):
            if max(self.degrees) < order:
                result.append(None)
                continue
            tensors = np.zeros((*x.shape[:2], n_m, *[n_d] * order), x.dtype)
            for kind in np.unique(species):
                here = species == kind
                below = powers(x[:, here][..., None], max(self.degrees) - order)
                for degree in self.degrees:
                    if degree >= order:
                        own = _at(below[degree - order], self._table(int(kind), degree, order))
                        tensors[:, here] += own.reshape(*own.shape[:2], n_m, *[n_d] * order)
            result.append(tensors)
        return result[0], result[1]

    def _table(self, kind: int, degree: int, order: int) -> np.ndarray:
        """Coefficients (u, monomials of degree - order, M D^order) of the derivatives, for one species."""
        key = kind, degree, order
        if key not in self._tables:
            if order == 0:
                self._tables[key] = self._coefficients(kind, degree)
            else:
                lower = self._table(kind, degree, order - 1)
                self._tables[key] = _differentiated(lower, sum(ir.dim for ir in self.factors), degree - order + 1)
        return self._tables[key]

    def _coefficients(self, kind: int, degree: int) -> np.ndarray:
        n = len(monomials(sum(ir.dim for ir in self.factors), degree))
        result = []
        for mul, ir in self.outputs:
            weights = self.weights.get((ir, degree))
            if weights is None:
                result.append(np.zeros((mul, n, ir.dim)))
            else:
                couplings = symmetric_couplings(self.factors, ir, degree)
                result.append(np.einsum("pmk,ku->upm", couplings, weights[kind].astype(float), optimize=True))
        dtype = next(iter(self.weights.values())).dtype
        return np.concatenate(result, -1).astype(dtype)


def _at(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Monomials (u, n, P, 1) times coefficients (u, P, z): (u, n, z)."""
    return values[..., 0] @ table


def _differentiated(table: np.ndarray, n_variables: int, degree: int) -> np.ndarray:
    """Coefficients (u, P, z) of polynomials of one degree -> (u, P', z D) of their slopes."""
    above, below = monomials(n_variables, degree), monomials(n_variables, degree - 1)
    result = np.zeros((len(table), len(below), table.shape[-1], n_variables), table.dtype)
    rows = np.arange(len(above))
    used = np.flatnonzero(np.abs(table).max(axis=(0, 2)))
    for place in range(degree):
        # One factor after the other is taken out: equal factors add up to their number.
        rest = below.places(np.delete(above.factors, place, 1)) if degree > 1 else np.zeros_like(rows)
        for row in used:
            result[:, rest[row], :, above.factors[row, place]] += table[:, row]
    return result.reshape(*result.shape[:2], -1)
