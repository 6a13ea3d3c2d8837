"""The twisted exchange (`exchange`) for derivatives along several waves, one after the other.

Each wave is a level of differentiation with a phase of its own: the first, innermost derivative is turned by the first
phase, the next one by the second, and the derivative along both by the two together. Complex numbers of the levels are
apart, so that 2 to the number of levels copies of the cell lie one after the other: cosine and sine parts of the first
level along the first axis, of the second along the next. Values are the same in all copies.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NestedExchange:
    """Traffic on the primitive graph when derivatives are waves, to as many orders as there are levels.

    Attributes:
        senders, receivers: (n_edges,) nodes of one copy.
        cos, sin: (levels, n_edges) of the phases 2 pi q.S.
        n_cell: nodes of one copy, padding included.
        recompute: as in `Exchange`.
    """

    senders: Array
    receivers: Array
    cos: Array
    sin: Array
    n_cell: int = field(metadata={"static": True})
    recompute: bool = field(default=False, metadata={"static": True})

    @property
    def n_copies(self) -> int:
        """How many copies of the cell there are."""
        return 2 ** self.cos.shape[0]

    @property
    def n_nodes(self) -> int:
        """How many nodes all copies have together."""
        return self.n_copies * self.n_cell

    def gather(self, nodes: Array) -> Array:
        """(n_copies n_cell, ...) -> (n_copies n_edges, ...), twisted in its changes."""
        return _join(_gather(self._split(nodes), self.senders, self.cos, self.sin))

    def at_receivers(self, nodes: Array) -> Array:
        """(n_copies n_cell, ...) -> (n_copies n_edges, ...): receivers lie in the home cell, no phase."""
        return _join(self._split(nodes)[:, self.receivers])

    def aggregate(self, edges: Array) -> Array:
        """(n_copies n_edges, ...) -> (n_copies n_cell, ...): sums inside the home cell, no phase."""
        return _join(_spread(self._split(edges), self.receivers, self.n_cell))

    def _split(self, x: Array) -> Array:
        return x.reshape((self.n_copies, x.shape[0] // self.n_copies) + x.shape[1:])


def _join(x: Array) -> Array:
    return x.reshape((x.shape[0] * x.shape[1],) + x.shape[2:])


def _spread(edges: Array, index: Array, n: int) -> Array:
    return jnp.zeros((edges.shape[0], n) + edges.shape[2:], edges.dtype).at[:, index].add(edges)


def _rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Turn edges (n_copies, n_edges, ...) by the phase of the first of the levels (levels, n_edges) that are left."""
    inner = 2 ** (cos.shape[0] - 1)
    parts = x.reshape((-1, 2, inner) + x.shape[1:])
    c, s = (z[0].reshape((-1,) + (1,) * (x.ndim - 2)).astype(x.dtype) for z in (cos, sin))
    real, imaginary = parts[:, 0], parts[:, 1]
    return jnp.stack([c * real - s * imaginary, s * real + c * imaginary], 1).reshape(x.shape)


def _lookup(nodes: Array, senders: Array, cos: Array, sin: Array) -> Array:
    """Values at senders, whose derivatives are turned by one phase after the other."""
    return _twisted_lookup(nodes, senders, cos, sin) if cos.shape[0] else nodes[:, senders]


@jax.custom_jvp
def _twisted_lookup(nodes, senders, cos, sin):
    return nodes[:, senders]


@_twisted_lookup.defjvp
def _twisted_lookup_jvp(primals, tangents):
    nodes, senders, cos, sin = primals
    value, change = (_lookup(z, senders, cos[1:], sin[1:]) for z in (nodes, tangents[0]))
    return value, _rotate(change, cos, sin)


def _put_back(edges: Array, senders: Array, cos: Array, sin: Array, n: int) -> Array:
    """Sums onto senders, the reverse of `_lookup`."""
    if not cos.shape[0]:
        return _spread(edges, senders, n)

    @jax.custom_jvp
    def spread(edges, senders, cos, sin):
        return _spread(edges, senders, n)

    @spread.defjvp
    def spread_jvp(primals, tangents):
        edges, senders, cos, sin = primals
        turned = _rotate(tangents[0], cos, -sin)
        value, change = (_put_back(z, senders, cos[1:], sin[1:], n) for z in (edges, turned))
        return value, change

    return spread(edges, senders, cos, sin)


@jax.custom_vjp
def _gather(nodes, senders, cos, sin):
    return nodes[:, senders]


def _gather_forward(nodes, senders, cos, sin):
    return _lookup(nodes, senders, cos, sin), (senders, cos, sin, nodes.shape[1])


def _gather_backward(residuals, cotangent):
    senders, cos, sin, n = residuals
    return _put_back(cotangent, senders, cos, sin, n), None, jnp.zeros_like(cos), jnp.zeros_like(sin)


_gather.defvjp(_gather_forward, _gather_backward)
