"""What the function forms of all networks share, in the types of e3nn-jax.

Features of nodes are `e3nn.IrrepsArray`s. Names, shapes and normalisations of parameters are those of model files, the
same for the arrays form; hence linear maps and the convolution are written here, by e3nn's rules. The array form has
harmonics and couplings of its own, since it must not import JAX; tests hold the two equal.

Inside, channels lie behind the components, (n, i, u) instead of e3nn's (n, u, i): linear maps are then one matrix
product, and radial weights multiply long rows. Chunks remember the transposed array, and XLA drops what is transposed
twice.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import e3nn_jax as e3nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..architecture import Network
from ..o3.irreps import Irreps, harmonics
from ..outputs import Output
from .activations import SILU_NORM, TANH_NORM
from .gates import pre_gate_irreps

_EVEN = e3nn.Irrep("0e")


def network_of(model: type, config: Any) -> Network:
    """The pure functions of a configuration.

    Args:
        model: made of a configuration inside a Haiku transform; its methods `node_energies`, `outputs` and, where it
            tells, `inside` take (edge_vectors, species, exchange). Without `outputs` it has the energy alone.
    """
    names = [name for name in ("node_energies", "inside", "outputs") if hasattr(model, name)]

    def build() -> Any:
        made = model(config)
        functions = {name: getattr(made, name) for name in names}
        return functions.get("outputs", made.node_energies), functions  # the first asks for every parameter

    init, apply = hk.multi_transform(build)

    def without_key(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda parameters, *inputs: function(parameters, None, *inputs)

    return Network(init, **{name: without_key(function) for name, function in apply.items()})


# Irreps, and the two orders of channels and components.


def to_e3nn(irreps: Irreps) -> e3nn.Irreps:
    """Irreps of a configuration as e3nn's; nothing is sorted or merged."""
    return e3nn.Irreps([(mul, (ir.l, ir.p)) for mul, ir in irreps])


def components_first(features: e3nn.IrrepsArray) -> list[Array]:
    """Blocks (n, i, u) of features; those known to vanish are zeros."""
    return [
        jnp.zeros((*features.shape[:-1], ir.dim, mul), features.dtype) if chunk is None else jnp.swapaxes(chunk, -1, -2)
        for (mul, ir), chunk in zip(features.irreps, features.chunks, strict=True)
    ]


def from_components_first(irreps: e3nn.Irreps, blocks: Sequence[Array]) -> e3nn.IrrepsArray:
    """Features from blocks (n, i, u)."""
    return e3nn.from_chunks(irreps, [jnp.swapaxes(x, -1, -2) for x in blocks], blocks[0].shape[:-2])


def flat(features: e3nn.IrrepsArray) -> Array:
    """Features as arrays (n, d), block by block, components before channels."""
    return _join(components_first(features))


def _join(blocks: Sequence[Array]) -> Array:
    return jnp.concatenate([x.reshape((len(x), -1)) for x in blocks], axis=-1)


def _split(irreps: e3nn.Irreps, features: Array) -> list[Array]:
    places = zip(irreps, irreps.slices(), strict=True)
    return [features[:, place].reshape((len(features), ir.dim, mul)) for (mul, ir), place in places]


# Edges.


class AnyExchange(Protocol):
    """All that a network sees of other atoms; the compiled route has several (`derivatives.compiled.exchange`).

    One that has the attribute `mirrored` holds every edge twice, its second half from the other ends; one that has
    `recompute` asks for little memory. `look_along` and `EdgeGeometry` take care of the first.
    """

    def gather(self, nodes: Array) -> Array:
        """(n_nodes, ...) -> (n_edges, ...): the value at each edge's sender."""

    def at_receivers(self, nodes: Array) -> Array:
        """(n_nodes, ...) -> (n_edges, ...): the value at each edge's receiver."""

    def aggregate(self, edges: Array) -> Array:
        """(n_edges, ...) -> (n_nodes, ...): sum over the edges of each receiver."""


class EdgeGeometry(NamedTuple):
    """What a network sees of edge vectors.

    Attributes:
        harmonics: of all edges, one channel of each degree from 0 to l_max.
        lengths: (n,) [Å]; of the first half where the second half are the same edges from their other ends.
        exchange: that they belong to.
    """

    harmonics: e3nn.IrrepsArray
    lengths: Array
    exchange: AnyExchange

    def at_ends(self, nodes: Array) -> tuple[Array, Array]:
        """Values (n_nodes, ...) at senders and receivers, as many as lengths; floating numbers only are exchanged."""
        n = len(self.lengths)
        return self.exchange.gather(nodes)[:n], self.exchange.at_receivers(nodes)[:n]

    def total(self, values: Array) -> Array:
        """Sum onto receivers (n_nodes, ...) of values (n, ...) that do not depend on which end an edge is seen from."""
        whole = values if len(values) == len(self.harmonics) else jnp.concatenate([values, values])
        return self.exchange.aggregate(whole)


def look_along(vectors: Array, l_max: int, exchange: AnyExchange) -> EdgeGeometry:
    """Edges from their vectors (n_edges, 3) [Å], none of them zero."""
    mirrored = getattr(exchange, "mirrored", False)
    half = vectors[: len(vectors) // 2] if mirrored else vectors
    harmonics = e3nn.spherical_harmonics(
        e3nn.Irreps.spherical_harmonics(l_max),
        e3nn.IrrepsArray("1o", half),
        normalize=True,
        normalization="component",
        # Without e3nn's own rule for the derivative, which takes longer to trace and to run at second order.
        algorithm=("recursive", "dense"),
    )
    if mirrored:
        parity = np.concatenate([np.full(2 * l + 1, (-1) ** l, half.dtype) for l in range(l_max + 1)])
        both = jnp.concatenate([harmonics.array, harmonics.array * parity])
        harmonics = e3nn.IrrepsArray(harmonics.irreps, both)
    return EdgeGeometry(harmonics, jnp.sqrt(jnp.sum(half**2, -1)), exchange)


class _Path(NamedTuple):
    """One product of an input block with harmonics: where its parts lie."""

    block: int
    columns: slice  # its components k among all those that come from its block
    weights: slice  # its channels among the radial weights
    irrep: e3nn.Irrep


class Convolution:
    """Messages of neighbours, summed: features (x) harmonics, every path and channel weighted by the distance.

    The same as, with `senders` the features at the senders of edges,

        messages = e3nn.tensor_product(senders, harmonics, filter_ir_out=wanted) * weights
        exchange.aggregate(messages.array)

    but all paths of one input block are one contraction with their couplings side by side,
    a[k, u] = sum_i h[i, u] (Y . C)[i, k] w[k, u]: fewer and larger operations. The gradient with respect to all that
    enters takes 19 ms of a core instead of 58 (850 edges, 64x0e + 32x1o + 16x2e, l_max 2, single precision).

    Attributes:
        irreps_in: of the features, in this order.
        irreps_out: what comes out, sorted, the channels of all paths into an irrep side by side.
        n_weights: per edge; in the order of the channels that come out.
    """

    def __init__(self, irreps_in: e3nn.Irreps, l_max: int, wanted: tuple[e3nn.Irrep, ...], parity: bool = True):
        products, couplings = [], []
        for block, (mul, ir_in) in enumerate(irreps_in):
            start, columns = 0, [np.zeros((ir_in.dim, (l_max + 1) ** 2, 0))]
            for l, p in harmonics(l_max, parity):
                place = slice(l**2, (l + 1) ** 2)
                for ir_out in ir_in * e3nn.Irrep(l, p):
                    if ir_out in wanted:
                        c = np.zeros((ir_in.dim, (l_max + 1) ** 2, ir_out.dim))
                        # Components of a product have unit mean square, as those of its factors.
                        c[:, place] = e3nn.clebsch_gordan(ir_in.l, l, ir_out.l) * ir_out.dim**0.5
                        columns.append(c)
                        products.append((ir_out, block, slice(start, start + ir_out.dim), mul))
                        start += ir_out.dim
            couplings.append(np.concatenate(columns, -1))
        self.irreps_in, self.couplings, self.paths, first = irreps_in, tuple(couplings), [], 0
        for ir_out, block, own, mul in sorted(products, key=lambda product: product[0]):
            self.paths.append(_Path(block, own, slice(first, first + mul), ir_out))
            first += mul
        self.n_weights = first
        self.irreps_out = e3nn.Irreps([(p.weights.stop - p.weights.start, p.irrep) for p in self.paths]).simplify()

    def spread(self, weights: Array) -> list[Array]:
        """Radial weights (n, n_weights) -> for each input block (n, k, u)."""
        result = []
        for block, (mul, _) in enumerate(self.irreps_in):
            own = sorted((p for p in self.paths if p.block == block), key=lambda p: p.columns.start)
            columns = [jnp.broadcast_to(weights[:, None, p.weights], (len(weights), p.irrep.dim, mul)) for p in own]
            result.append(jnp.concatenate([jnp.zeros((len(weights), 0, mul), weights.dtype), *columns], -2))
        return result

    def __call__(self, features: e3nn.IrrepsArray, edges: EdgeGeometry, weights: Sequence[Array]) -> e3nn.IrrepsArray:
        """Messages of all senders, summed onto receivers.

        Args:
            features: of nodes, (n_nodes, d).
            weights: spread; of the first half of mirrored edges.
        """
        y = edges.harmonics.array
        senders = _split(self.irreps_in, edges.exchange.gather(flat(features)))
        sums = []
        for h, coupling, w in zip(senders, self.couplings, weights, strict=True):
            angular = jnp.einsum("es,isk->eik", y, jnp.asarray(coupling, y.dtype))
            messages = jnp.einsum("eiu,eik->eku", h, angular)
            # Joined rather than read twice through a longer shape, which XLA makes into loops half as fast.
            whole = w if len(w) == len(messages) else jnp.concatenate([w, w])
            sums.append(edges.exchange.aggregate(messages * whole))
        return from_components_first(
            self.irreps_out,
            [
                jnp.concatenate([sums[p.block][:, p.columns] for p in self.paths if p.irrep == ir], axis=-1)
                for _, ir in self.irreps_out
            ],
        )


@lru_cache
def convolution(irreps_in: Irreps, l_max: int, wanted: Irreps, parity: bool = True) -> Convolution:
    """The convolution from irreps through harmonics up to l_max into the wanted ones, whose channels do not matter."""
    return Convolution(to_e3nn(irreps_in), l_max, tuple(ir for _, ir in to_e3nn(wanted)), parity)


# Nodes.


def parameter(name: str, shape: tuple[int, ...], dtype: Any, deviation: float) -> Array:
    """A trained array of the module that is asked, normal at first, with this standard deviation."""
    return hk.get_parameter(name, shape, dtype, hk.initializers.RandomNormal(deviation)).astype(dtype)


def matrix(name: str, shape: tuple[int, int], dtype: Any) -> Array:
    """Weights that keep the mean square of what they multiply."""
    return parameter(name, shape, dtype, shape[0] ** -0.5)


def linear(
    name: str, features: e3nn.IrrepsArray, irreps_out: e3nn.Irreps, species: tuple[Array, int] | None = None
) -> e3nn.IrrepsArray:
    """`e3nn.haiku.Linear` with parameters as model files name them, `<name>_<irrep>`; zero where nothing has the irrep.

    Weights are standard normal at first and divided by the root of the fan-in when used (path normalisation "element",
    gradient normalisation "path"). No irrep occurs twice in what enters, nor in what leaves.

    Args:
        species: of the nodes (n,), and how many there are, for a matrix of each: weights get a leading axis.
    """
    entering = {ir: (mul, x) for (mul, ir), x in zip(features.irreps, components_first(features), strict=True)}
    chunks: list[Array | None] = []
    for mul_out, ir in irreps_out:
        if ir not in entering:
            chunks.append(None)  # which e3nn knows to be zero
            continue
        mul, x = entering[ir]
        shape = (mul, mul_out) if species is None else (species[1], mul, mul_out)
        weights = hk.get_parameter(f"{name}_{ir}", shape, x.dtype, hk.initializers.RandomNormal()).astype(x.dtype)
        y = x @ weights if species is None else jnp.einsum("niu,nuw->niw", x, weights[species[0]])
        chunks.append(jnp.swapaxes(y / mul**0.5, -1, -2))
    return e3nn.from_chunks(irreps_out, chunks, features.shape[:-1], features.dtype)


def read_outputs(outputs: Sequence[Output], features: e3nn.IrrepsArray) -> dict[str, Array]:
    """Linear readouts of features: name -> (n, components)."""
    return {o.name: o.scale * linear(f"output_{o.name}", features, to_e3nn(o.blocks)).array for o in outputs}


def silu(x: Array) -> Array:
    """The activation with unit mean square under a unit normal, where e3nn finds the norm anew in each precision."""
    return jax.nn.silu(x) / SILU_NORM


def tanh(x: Array) -> Array:
    """The activation with unit mean square under a unit normal."""
    return jnp.tanh(x) / TANH_NORM


def value_only(activation: Callable[[Array], Array]) -> Callable[..., list[Array]]:
    """An activation as `radial.perceptron` takes it, for JAX, which differentiates by itself."""
    return lambda x, order: [activation(x)]


def gate(features: e3nn.IrrepsArray, irreps_out: Irreps) -> e3nn.IrrepsArray:
    """`e3nn.gate`, which takes its gates from the last scalars.

    Args:
        features: with the irreps of `pre_gate_irreps`, the gates behind the other even scalars. They are moved behind
            all scalars here: odd ones, which may lie in between, must not gate.
        irreps_out: of what leaves, in this order.
    """
    wanted = to_e3nn(irreps_out)
    chunks: dict[Any, Any] = {ir: chunk for (_, ir), chunk in zip(features.irreps, features.chunks, strict=True)}
    n_gates = sum(mul for mul, ir in wanted if ir.l > 0)
    gates = []
    if n_gates:
        even = chunks[_EVEN]
        chunks[_EVEN] = even[:, :-n_gates]
        gates = [((n_gates, _EVEN), even[:, -n_gates:])]
    scalars, others = ([((mul, ir), chunks[ir]) for mul, ir in wanted if (ir.l > 0) == high] for high in (False, True))
    irreps, entering = zip(*scalars, *gates, *others, strict=True)
    gated = e3nn.gate(
        e3nn.from_chunks(e3nn.Irreps(irreps), list(entering), features.shape[:-1], features.dtype),
        even_act=silu,
        odd_act=tanh,
        even_gate_act=silu,
        normalize_act=False,
    )
    chunks = {ir: chunk for (_, ir), chunk in zip(gated.irreps, gated.chunks, strict=True)}
    return e3nn.from_chunks(wanted, [chunks[ir] for _, ir in wanted], gated.shape[:-1], gated.dtype)


def gate_irreps(irreps_out: Irreps) -> e3nn.Irreps:
    """Irreps of what enters `gate`, for those that leave it."""
    return to_e3nn(pre_gate_irreps(irreps_out))
