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

    With `rates`, two more copies for each component of q carry the derivatives of these changes:
    what is turned by the phase p is read as p x there, and its derivative as p x' + p' x.

    The rotation lives in `custom_jvp` rules whose primal part is the plain operation, called from
    a `custom_vjp`: a *further* derivative (parameters, strain) then sees plain operations and is
    right. With `stop_gradient` in their place D(q) would be right and its parameter gradient
    silently wrong. Only a gradient may be linearised; JAX refuses a plain jvp of the energy.

    Attributes:
        senders, receivers: (n_edges,) nodes of one copy.
        cos, sin: (n_edges,) of the phase 2 pi q.S, S the integer shift of the sender's cell.
        n_cell: nodes of one copy, padding included.
        recompute: as in `Exchange`.
        rates: (n_rates, n_edges) derivatives of the phases, 2 pi S_x along components of q; None for no copies of them.
    """

    senders: Array
    receivers: Array
    cos: Array
    sin: Array
    n_cell: int = field(metadata={"static": True})
    recompute: bool = field(default=False, metadata={"static": True})
    rates: Array | None = None

    @property
    def n_copies(self) -> int:
        """How many copies of the cell there are."""
        return 2 if self.rates is None else 2 + 2 * self.rates.shape[0]

    @property
    def n_nodes(self) -> int:
        """How many nodes all copies have together."""
        return self.n_copies * self.n_cell

    def gather(self, nodes: Array) -> Array:
        """(n_copies n_cell, ...) -> (n_copies n_edges, ...), twisted in its first-order change."""
        return _join(_gather(self._split(nodes), self.senders, self.cos, self.sin, self.rates))

    def at_receivers(self, nodes: Array) -> Array:
        """(n_copies n_cell, ...) -> (n_copies n_edges, ...): receivers lie in the home cell, no phase."""
        return _join(self._split(nodes)[:, self.receivers])

    def aggregate(self, edges: Array) -> Array:
        """(n_copies n_edges, ...) -> (n_copies n_cell, ...): sums inside the home cell, no phase."""
        return _join(_spread(self._split(edges), self.receivers, self.n_cell))

    def _split(self, x: Array) -> Array:
        return x.reshape((self.n_copies, x.shape[0] // self.n_copies) + x.shape[1:])


def twisted_exchange(
    senders: Array, receivers: Array, shifts: Array, q: Array, n_cell: int, *, with_slopes: bool = False
) -> TwistedExchange:
    """The exchange of one wave vector.

    Args:
        senders, receivers: (n_edges,) of the primitive graph.
        shifts: (n_edges, 3) integer cell of the sender relative to the receiver.
        q: (3,) wave vector in reduced coordinates of the primitive cell.
        n_cell: nodes of the primitive graph, padding included.
        with_slopes: carry derivatives along the three components of q as well: eight copies.
    """
    rates = 2 * jnp.pi * shifts.astype(q.dtype)
    phase = rates @ q
    return TwistedExchange(
        senders, receivers, jnp.cos(phase), jnp.sin(phase), n_cell, rates=rates.T if with_slopes else None
    )


def _join(x: Array) -> Array:
    return x.reshape((x.shape[0] * x.shape[1],) + x.shape[2:])


def _rotate(x: Array, cos: Array, sin: Array, rates: Array | None) -> Array:
    """Turn (cosine, sine) parts (n_copies, n_edges, ...) by the angle of each edge, whose derivatives are `rates`."""

    def along_edges(factors: Array) -> Array:
        return factors.reshape(factors.shape + (1,) * (x.ndim - 2)).astype(x.dtype)

    c, s, pairs = along_edges(cos), along_edges(sin), x.reshape((-1, 2) + x.shape[1:])
    turned = jnp.stack([c * pairs[:, 0] - s * pairs[:, 1], s * pairs[:, 0] + c * pairs[:, 1]], 1)
    if rates is not None:
        times_i = jnp.stack([-turned[0, 1], turned[0, 0]])
        turned = jnp.concatenate([turned[:1], turned[1:] + along_edges(rates)[:, None] * times_i])
    return turned.reshape(x.shape)


def _spread(edges: Array, index: Array, n: int) -> Array:
    return jnp.zeros((edges.shape[0], n) + edges.shape[2:], edges.dtype).at[:, index].add(edges)


@jax.custom_jvp
def _twisted_lookup(nodes, senders, cos, sin, rates):
    return nodes[:, senders]


@_twisted_lookup.defjvp
def _twisted_lookup_jvp(primals, tangents):
    nodes, senders, cos, sin, rates = primals
    return nodes[:, senders], _rotate(tangents[0][:, senders], cos, sin, rates)


def _twisted_spread(edges, senders, cos, sin, rates, n):
    @jax.custom_jvp
    def spread(edges, senders, cos, sin, rates):
        return _spread(edges, senders, n)

    @spread.defjvp
    def spread_jvp(primals, tangents):
        edges, senders, cos, sin, rates = primals
        back = None if rates is None else -rates
        return _spread(edges, senders, n), _spread(_rotate(tangents[0], cos, -sin, back), senders, n)

    return spread(edges, senders, cos, sin, rates)


@jax.custom_vjp
def _gather(nodes, senders, cos, sin, rates):
    return nodes[:, senders]


def _gather_forward(nodes, senders, cos, sin, rates):
    return _twisted_lookup(nodes, senders, cos, sin, rates), (senders, cos, sin, rates, nodes.shape[1])


def _gather_backward(residuals, cotangent):
    senders, cos, sin, rates, n = residuals
    # The value does not depend on the phase: its cotangents vanish.
    back = _twisted_spread(cotangent, senders, cos, sin, rates, n)
    return back, None, jnp.zeros_like(cos), jnp.zeros_like(sin), None if rates is None else jnp.zeros_like(rates)


_gather.defvjp(_gather_forward, _gather_backward)
