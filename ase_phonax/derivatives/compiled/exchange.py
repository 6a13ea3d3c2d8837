"""How information crosses edges. A network sees atoms only through one of these objects.

`gather` reads the senders of edges, `at_receivers` reads their receivers, `aggregate` sums edge
values onto receivers. A network written against the three gives, unchanged:

- energies and supercell Hessians with `Exchange` on a periodic or molecular graph;
- the explicit extended graph with `Exchange` on that larger graph;
- exact D(q) from the primitive graph with `TwistedExchange`.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Exchange:
    """Traffic on an ordinary graph.

    Attributes:
        senders: (n_edges,) node at the far end of each edge.
        receivers: (n_edges,) node that collects each edge.
        n_nodes: number of nodes, padding included.
        mirrored: the second half of the edges are those of the first half seen from their other ends, in the
            same order: whatever depends on lengths alone needs computing for one half.
        recompute: reverse passes compute the radial functions again instead of keeping them: less memory.
    """

    senders: Array
    receivers: Array
    n_nodes: int = field(metadata={"static": True})
    mirrored: bool = field(default=False, metadata={"static": True})
    recompute: bool = field(default=False, metadata={"static": True})

    def gather(self, nodes: Array) -> Array:
        """(n_nodes, ...) -> (n_edges, ...): the value at each edge's sender."""
        return nodes[self.senders]

    def at_receivers(self, nodes: Array) -> Array:
        """(n_nodes, ...) -> (n_edges, ...): the value at each edge's receiver."""
        return nodes[self.receivers]

    def aggregate(self, edges: Array) -> Array:
        """(n_edges, ...) -> (n_nodes, ...): sum over the edges of each receiver."""
        return jax.ops.segment_sum(edges, self.receivers, self.n_nodes)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TwistedExchange:
    """Traffic on the primitive graph when the linear response is a wave exp(2 pi i q.R).

    Two copies of the cell lie one after the other along axis 0 of every node and edge array and
    carry the cosine and sine parts. Values never change. First-order changes are turned by the
    phase of the edge, 2 pi q.S, when they are read from the sender in the cell S, and turned back
    when the reverse pass returns them to it (docs/conventions.md, "The twisted graph").

    The rotation lives in `custom_jvp` rules whose primal part is the plain operation, called from
    a `custom_vjp`: a *further* derivative (parameters, strain) then sees plain operations and is
    right. With `stop_gradient` in their place D(q) would be right and its parameter gradient
    silently wrong. Only a gradient may be linearised; JAX refuses a plain jvp of the energy.

    Attributes:
        senders, receivers: (n_edges,) nodes of one copy.
        cos, sin: (n_edges,) of the phase 2 pi q.S, S the integer shift of the sender's cell.
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
    def n_nodes(self) -> int:
        """Nodes of both copies."""
        return 2 * self.n_cell

    def gather(self, nodes: Array) -> Array:
        """(2 n_cell, ...) -> (2 n_edges, ...), twisted in its first-order change."""
        return _join(_gather(_split(nodes), self.senders, self.cos, self.sin))

    def at_receivers(self, nodes: Array) -> Array:
        """(2 n_cell, ...) -> (2 n_edges, ...): receivers lie in the home cell, no phase."""
        return _join(_split(nodes)[:, self.receivers])

    def aggregate(self, edges: Array) -> Array:
        """(2 n_edges, ...) -> (2 n_cell, ...): sums inside the home cell, no phase."""
        return _join(_spread(_split(edges), self.receivers, self.n_cell))


def twisted_exchange(senders: Array, receivers: Array, shifts: Array, q: Array, n_cell: int) -> TwistedExchange:
    """The exchange of one wave vector.

    Args:
        senders, receivers: (n_edges,) of the primitive graph.
        shifts: (n_edges, 3) integer cell of the sender relative to the receiver.
        q: (3,) wave vector in reduced coordinates of the primitive cell.
        n_cell: nodes of the primitive graph, padding included.
    """
    phase = 2 * jnp.pi * (shifts.astype(q.dtype) @ q)
    return TwistedExchange(senders, receivers, jnp.cos(phase), jnp.sin(phase), n_cell)


def _split(x: Array) -> Array:
    return x.reshape((2, x.shape[0] // 2) + x.shape[1:])


def _join(x: Array) -> Array:
    return x.reshape((2 * x.shape[1],) + x.shape[2:])


def _rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Turn (cosine, sine) parts (2, n_edges, ...) by the angle of each edge."""
    shape = (-1,) + (1,) * (x.ndim - 2)
    c, s = cos.reshape(shape).astype(x.dtype), sin.reshape(shape).astype(x.dtype)
    return jnp.stack([c * x[0] - s * x[1], s * x[0] + c * x[1]])


def _spread(edges: Array, index: Array, n: int) -> Array:
    return jnp.zeros((2, n) + edges.shape[2:], edges.dtype).at[:, index].add(edges)


@jax.custom_jvp
def _twisted_lookup(nodes, senders, cos, sin):
    return nodes[:, senders]


@_twisted_lookup.defjvp
def _twisted_lookup_jvp(primals, tangents):
    nodes, senders, cos, sin = primals
    return nodes[:, senders], _rotate(tangents[0][:, senders], cos, sin)


def _twisted_spread(edges, senders, cos, sin, n):
    @jax.custom_jvp
    def spread(edges, senders, cos, sin):
        return _spread(edges, senders, n)

    @spread.defjvp
    def spread_jvp(primals, tangents):
        edges, senders, cos, sin = primals
        return _spread(edges, senders, n), _spread(_rotate(tangents[0], cos, -sin), senders, n)

    return spread(edges, senders, cos, sin)


@jax.custom_vjp
def _gather(nodes, senders, cos, sin):
    return nodes[:, senders]


def _gather_forward(nodes, senders, cos, sin):
    return _twisted_lookup(nodes, senders, cos, sin), (senders, cos, sin, nodes.shape[1])


def _gather_backward(residuals, cotangent):
    senders, cos, sin, n = residuals
    # The value does not depend on the phase: its cotangents vanish.
    return _twisted_spread(cotangent, senders, cos, sin, n), None, jnp.zeros_like(cos), jnp.zeros_like(sin)


_gather.defvjp(_gather_forward, _gather_backward)
