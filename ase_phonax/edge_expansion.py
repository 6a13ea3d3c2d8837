"""Exact D(q) from second derivatives formed once per edge: the fast linear response.

A convolution is linear in the senders' features h and local in its edge vector r. With the cotangent A
of its output it is a sum over edges of a scalar L(A, h, r), so that

    T = d²L/dA dh,   J = d²L/dA dr,   J2 = d²L/dh dr,   K = d²L/dr²

are all that linear response needs. For every displacement wave (q, u) the rest is dense contraction over
(receiver, neighbour slot) pairs, with the columns of many waves side by side: matrix products instead
of passes through the network. Phases enter only where a neighbour is read. The neighbour list holds
every edge both ways, so what the reverse pass would scatter to senders is *read* from them as well,
along the reverse edge, with the same phase.

One atom is treated at a time and the tensors of its edges are formed anew for each block of columns: memory
is that of one neighbourhood plus the columns, whatever the cell. `derivatives.lattice_columns` is the
independent reference; it is also the form to differentiate further.

Axes: n atoms, q neighbour slots, u channels of a block, i components of h, k components of a, d flat
features, x Cartesian, c waves, p = 2 real and imaginary part (1 where all phases are real). The prefix d
marks a response to the wave, the suffix _bar a cotangent. Layer functions are static arguments of jit:
they must be the same objects every time, as `networks` makes them.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .potential import NetworkParts

Blocks = tuple[Array, ...]


class Neighbours(NamedTuple):
    """Dense neighbour slots of the primitive cell; atoms and slots include padding.

    Attributes:
        n_atoms: number of real atoms.
        vectors: (n, q, 3) receiver to sender [Å]; a filler beyond the cutoff on padding.
        senders: (n, q).
        shifts: (n, q, 3) integer cell of the sender.
        mask: (n, q) 1 for real slots, else 0, in the floating dtype.
        reverse: (n, q) flat slot of the same edge seen from the sender.
        species: (n,).
    """

    n_atoms: Array
    vectors: Array
    senders: Array
    shifts: Array
    mask: Array
    reverse: Array
    species: Array


class LayerState(NamedTuple):
    """The primal values around one layer.

    Attributes:
        features: (n, d) entering the layer.
        mixed: h per block (n, u, i).
        aggregated: a per block (n, u, k).
        features_bar: (n, d') cotangent of the layer's output.
        aggregated_bar: cotangent of a, per block (n, u, k).
    """

    features: Array
    mixed: Blocks
    aggregated: Blocks
    features_bar: Array
    aggregated_bar: Blocks


def lattice_columns(
    parts: NetworkParts,
    parameters: Any,
    neighbours: Neighbours,
    states: list[LayerState],
    qpoints: Array,
    directions: Array,
    real: bool = False,
) -> Array:
    """Linear response of the gradient to waves u exp(2 pi i q.R).

    Args:
        states: of `expand`.
        qpoints: (c, 3) reduced wave vector of each column.
        directions: (c, n, 3) real displacements of the home cell [Å].
        real: every q has all components 0 or 1/2, so that phases are signs and the sine copy vanishes.

    Returns:
        (c, n, 3) complex change of the gradient in the home cell [eV/Å].
    """
    wave = _wave(neighbours, qpoints, directions, 1 if real else 2)
    df: Array | None = None
    tape: list[tuple[Array | None, Blocks, Blocks | None]] = []
    for layer, state in zip(parts.layers, states, strict=True):
        own = parameters[layer.name]
        entering = df
        df, da, dh = _forward(layer[1:], own, neighbours, state, wave, entering)
        tape.append((entering, da, dh))
    df_bar = _readout_response(
        parts.readout, parameters, _last_features(parts, parameters, states, neighbours), neighbours.species, df
    )
    dr_bar = jnp.zeros((*neighbours.vectors.shape, *wave.u.shape[2:]), neighbours.vectors.dtype)
    for layer, state, response in reversed(list(zip(parts.layers, states, tape, strict=True))):
        df_bar, dr_bar = _backward(layer[1:], parameters[layer.name], neighbours, state, wave, response, df_bar, dr_bar)
    return _collect_gradient(neighbours, wave, dr_bar)


def expand(parts: NetworkParts, parameters: Any, neighbours: Neighbours) -> list[LayerState]:
    """Primal values forward and back through the network, once per structure."""
    features = parts.embed(parameters, neighbours.species, neighbours.vectors.dtype)
    forward = []
    for layer in parts.layers:
        own = parameters[layer.name]
        mixed, aggregated, new = _primal_forward(layer[1:], own, neighbours, features)
        forward.append((features, mixed, aggregated))
        features = new
    bar = _readout_gradient(parts.readout, parameters, features, neighbours.species)
    states = []
    for layer, (features, mixed, aggregated) in reversed(list(zip(parts.layers, forward, strict=True))):
        a_bar, before = _primal_backward(layer[1:], parameters[layer.name], neighbours, features, aggregated, bar)
        states.append(LayerState(features, mixed, aggregated, bar, a_bar))
        bar = before
    return states[::-1]


class _Wave(NamedTuple):
    """Phases cos, sin (n, q, c) of every slot and displacements u (n, 3, p, c)."""

    cos: Array
    sin: Array
    u: Array


@partial(jax.jit, static_argnums=3)
def _wave(neighbours: Neighbours, qpoints: Array, directions: Array, copies: int) -> _Wave:
    phase = 2 * jnp.pi * jnp.einsum("nkx,cx->nkc", neighbours.shifts.astype(qpoints.dtype), qpoints)
    u = jnp.moveaxis(directions, 0, -1)
    return _Wave(jnp.cos(phase), jnp.sin(phase), jnp.stack([u, jnp.zeros_like(u)][:copies], 2))


def _turn(z: Array, cos: Array, sin: Array) -> Array:
    """z (..., q, m, p, c) read across the slots (q, c): multiplied by the phase of each."""
    c, s = cos[:, None], sin[:, None]
    if z.shape[-2] == 1:
        return c[..., None, :] * z
    return jnp.stack([c * z[..., 0, :] - s * z[..., 1, :], s * z[..., 0, :] + c * z[..., 1, :]], -2)


def _for_atoms(neighbours: Neighbours, body) -> Any:
    """body(x) stacked over the real atoms x, one at a time; zeros on padding."""
    n = neighbours.species.shape[0]
    zeros = jax.tree.map(lambda s: jnp.zeros((n, *s.shape), s.dtype), jax.eval_shape(body, 0))

    def step(x, out):
        return jax.tree.map(lambda o, v: lax.dynamic_update_index_in_dim(o, v, x, 0), out, body(x))

    return lax.fori_loop(0, neighbours.n_atoms, step, zeros)


def _maps(coefficients, own, r: Array, mask: Array) -> tuple:
    """Per block (angular (q, i, k), radial (q, u, k)) of the slots of one atom."""
    return tuple((a, w * mask[:, None, None]) for a, w in jax.vmap(coefficients, (None, 0))(own, r))


def _push(h: Blocks, maps) -> Blocks:
    """Messages of one edge: h (u, i) -> (u, k)."""
    return tuple((x @ a) * w for x, (a, w) in zip(h, maps, strict=True))


def _pull(a_bar: Blocks, maps) -> Blocks:
    """Transpose of `_push`: (u, k) -> (u, i)."""
    return tuple((x * w) @ a.T for x, (a, w) in zip(a_bar, maps, strict=True))


@partial(jax.jit, static_argnums=0)
def _primal_forward(layer, own, neighbours: Neighbours, features: Array):
    mix, coefficients, update = layer
    mixed = mix(own, features)

    def body(x):
        maps = _maps(coefficients, own, neighbours.vectors[x], neighbours.mask[x])
        return tuple(
            jnp.einsum("qui,qik,quk->uk", h[neighbours.senders[x]], a, w) for h, (a, w) in zip(mixed, maps, strict=True)
        )

    aggregated = _for_atoms(neighbours, body)
    return mixed, aggregated, update(own, aggregated, features, neighbours.species)


@partial(jax.jit, static_argnums=0)
def _primal_backward(layer, own, neighbours: Neighbours, features: Array, aggregated: Blocks, bar: Array):
    mix, coefficients, update = layer
    _, pull_back = jax.vjp(lambda a, f: update(own, a, f, neighbours.species), aggregated, features)
    a_bar, f_bar = pull_back(bar)

    def body(x):
        # Along the reverse edge this atom is the sender and its neighbour the receiver.
        maps = _maps(coefficients, own, -neighbours.vectors[x], neighbours.mask[x])
        return tuple(
            jnp.einsum("quk,qik,quk->ui", b[neighbours.senders[x]], a, w) for b, (a, w) in zip(a_bar, maps, strict=True)
        )

    _, unmix = jax.vjp(lambda f: mix(own, f), features)
    return a_bar, f_bar + unmix(_for_atoms(neighbours, body))[0]


@partial(jax.jit, static_argnums=0)
def _readout_gradient(readout, parameters, features, species):
    return jax.grad(lambda f: jnp.sum(readout(parameters, f, species)))(features)


@partial(jax.jit, static_argnums=0)
def _readout_response(readout, parameters, features, species, df):
    gradient = jax.grad(lambda f: jnp.sum(readout(parameters, f, species)))
    return jax.vmap(lambda t: jax.jvp(gradient, (features,), (t,))[1], -1, -1)(df)


@partial(jax.jit, static_argnums=0)
def _update(update, own, aggregated, features, species):
    return update(own, aggregated, features, species)


def _last_features(parts: NetworkParts, parameters, states, neighbours) -> Array:
    last, state = parts.layers[-1], states[-1]
    return _update(last.update, parameters[last.name], state.aggregated, state.features, neighbours.species)


def _columns(z: Array) -> Array:
    """(..., p, c) -> (..., pc)."""
    # The size is spelled out: a block without outputs has no elements to infer it from.
    return z.reshape(*z.shape[:-2], z.shape[-2] * z.shape[-1])


def _changes(neighbours: Neighbours, wave: _Wave, x) -> Array:
    """Change of the edge vectors of atom x: (q, 3, p, c)."""
    read = _turn(wave.u[neighbours.senders[x]], wave.cos[x], wave.sin[x])
    return (read - wave.u[x]) * neighbours.mask[x][:, None, None, None]


def _read(blocks: Blocks, neighbours: Neighbours, wave: _Wave, x) -> Blocks:
    """Columns (u, n, i, p, c) of the neighbours of x, turned: per block (u, q, i, pc)."""
    return tuple(_columns(_turn(z[:, neighbours.senders[x]], wave.cos[x], wave.sin[x])) for z in blocks)


def _channel_first(blocks: Blocks, wave: _Wave) -> Blocks:
    """Per block (n, u, i, pc) -> (u, n, i, p, c)."""
    return tuple(jnp.moveaxis(z, 1, 0).reshape(z.shape[1], z.shape[0], z.shape[2], *wave.u.shape[2:]) for z in blocks)


@partial(jax.jit, static_argnums=0)
def _forward(layer, own, neighbours: Neighbours, state: LayerState, wave: _Wave, df: Array | None):
    """Responses of the features leaving the layer (n, d', pc), of a, and of h.

    df (n, d, pc) is the response of those entering; None in the first layer, whose features depend on the
    species alone: then h has none either.
    """
    mix, coefficients, update = layer
    dh = None if df is None else _channel_first(jax.vmap(lambda f: mix(own, f), -1, -1)(df), wave)

    def body(x):
        r, mask, senders = neighbours.vectors[x], neighbours.mask[x], neighbours.senders[x]
        dr = _columns(_changes(neighbours, wave, x))
        hs = tuple(h[senders] for h in state.mixed)
        slope = jax.vmap(jax.jacfwd(lambda r, h: _push(h, coefficients(own, r))))(r, hs)
        da = [jnp.einsum("qukx,qxc->ukc", j * mask[:, None, None, None], dr) for j in slope]
        if dh is not None:
            maps, read = _maps(coefficients, own, r, mask), _read(dh, neighbours, wave, x)
            da = [d + _contract(m, z, "in") for d, m, z in zip(da, maps, read, strict=True)]
        return tuple(da)

    da = _for_atoms(neighbours, body)
    still = jnp.zeros((*state.features.shape, wave.u[0, 0].size), state.features.dtype)

    def move(a, f):
        primals = (state.aggregated, state.features)
        return jax.jvp(lambda *z: update(own, *z, neighbours.species), primals, (a, f))[1]

    return jax.vmap(move, -1, -1)(da, still if df is None else df), da, dh


def _contract(maps: tuple[Array, Array], z: Array, side: str) -> Array:
    """T z summed over slots, T = angular (x) radial, one matrix product per channel.

    side "in": z (u, q, i, c) -> (u, k, c); "out": z (u, q, k, c) -> (u, i, c).
    """
    angular, radial = maps
    t = angular[None] * radial.transpose(1, 0, 2)[:, :, None]
    if side == "in":
        return jnp.einsum("uqik,uqic->ukc", t, z)
    return jnp.einsum("uqik,uqkc->uic", t, z)


@partial(jax.jit, static_argnums=0)
def _backward(
    layer, own, neighbours: Neighbours, state: LayerState, wave: _Wave, response, df_bar: Array, dr_bar: Array
):
    """Responses of the cotangents of the features entering (n, d, pc) and of the edges (n, q, 3, p, c).

    df_bar (n, d', pc) belongs to the features leaving the layer; dr_bar collects the edges of all layers.
    """
    mix, coefficients, update = layer
    df, da, dh = response
    still = jnp.zeros((*state.features.shape, wave.u[0, 0].size), state.features.dtype)

    def pull_back(a, f, bar):
        return jax.vjp(lambda *z: update(own, *z, neighbours.species), a, f)[1](bar)

    def move(a, f, bar):
        primals = (state.aggregated, state.features, state.features_bar)
        return jax.jvp(pull_back, primals, (a, f, bar))[1]

    da_bar, df_skip = jax.vmap(move, -1, -1)(da, still if df is None else df, df_bar)
    da_bar_first = _channel_first(da_bar, wave)

    def scalar(r, h, a_bar):
        return sum(jnp.sum(b * m) for b, m in zip(a_bar, _push(h, coefficients(own, r)), strict=True))

    def body(x):
        r, mask, senders = neighbours.vectors[x], neighbours.mask[x], neighbours.senders[x]
        dr = _columns(_changes(neighbours, wave, x))
        hs, own_bar = tuple(h[senders] for h in state.mixed), tuple(b[x] for b in state.aggregated_bar)
        # J, K and J2 of the edges that end here, then J2 of those that start here: along the reverse edge
        # this atom is the sender and its neighbour the receiver.
        slope = jax.vmap(jax.jacfwd(lambda r, h: _push(h, coefficients(own, r))))(r, hs)
        curvature = jax.vmap(jax.jacfwd(jax.grad(scalar)), (0, 0, None))(r, hs, own_bar)
        edge = jnp.einsum("qxy,qyc->qxc", curvature, dr)
        edge += sum(jnp.einsum("qukx,ukc->qxc", j, b[x]) for j, b in zip(slope, da_bar, strict=True))
        if dh is None:
            return (edge * mask[:, None, None],)
        cross = jax.vmap(jax.jacfwd(lambda r: _pull(own_bar, coefficients(own, r))))(r)
        edge += sum(
            jnp.einsum("quix,uqic->qxc", j, z) for j, z in zip(cross, _read(dh, neighbours, wave, x), strict=True)
        )
        their_bar = tuple(b[senders] for b in state.aggregated_bar)
        back = jax.vmap(jax.jacfwd(lambda r, b: _pull(b, coefficients(own, r))))(-r, their_bar)
        maps, read = _maps(coefficients, own, -r, mask), _read(da_bar_first, neighbours, wave, x)
        dh_bar = tuple(
            _contract(m, z, "out") - jnp.einsum("quix,qxc->uic", j * mask[:, None, None, None], dr)
            for m, z, j in zip(maps, read, back, strict=True)
        )
        return (edge * mask[:, None, None], dh_bar)

    result = _for_atoms(neighbours, body)
    dr_bar = dr_bar + result[0].reshape(dr_bar.shape)
    if dh is None:
        return df_skip, dr_bar
    _, unmix = jax.vjp(lambda f: mix(own, f), state.features)
    return df_skip + jax.vmap(lambda z: unmix(z)[0], -1, -1)(result[1]), dr_bar


@jax.jit
def _collect_gradient(neighbours: Neighbours, wave: _Wave, dr_bar: Array) -> Array:
    flat = dr_bar.reshape(-1, *dr_bar.shape[2:])
    # The gradient returns to the sender along the reverse edge, turned by the same phase.
    back = jax.vmap(_turn)(flat[neighbours.reverse], wave.cos, wave.sin)
    mask = neighbours.mask[:, :, None, None, None]
    g = jnp.sum((back - dr_bar) * mask, 1)
    return jnp.moveaxis(g[:, :, 0] + (1j * g[:, :, 1] if g.shape[2] == 2 else 0j), -1, 0)
