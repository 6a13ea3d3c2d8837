"""Responses of single atoms: derivatives of the network's own functions, for many columns at once.

Everything between two sums over edges belongs to single atoms. JAX differentiates it: once on the way
forward, twice on the way back (the change of a pull-back). Columns are (c, n, flat features).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Columns per compiled call.
COLUMNS = 32


def in_chunks(function: Any, context: Any, *columns: np.ndarray) -> Any:
    """function(context, *columns) in chunks of COLUMNS, so that one shape is compiled."""
    count, results = len(columns[0]), []
    for start in range(0, count, COLUMNS):
        chunk = [c[start : start + COLUMNS] for c in columns]
        if (missing := COLUMNS - len(chunk[0])) > 0:
            chunk = [np.concatenate([c, np.zeros((missing, *c.shape[1:]), c.dtype)]) for c in chunk]
        results.append(function(context, *chunk))
    joined = jax.tree.map(lambda *parts: np.concatenate([np.asarray(p) for p in parts])[:count], *results)
    return joined


def _to_blocks(flat: Array, like: tuple[Array, ...]) -> tuple[Array, ...]:
    """(n, D) -> per block the shape of `like`."""
    blocks, start = [], 0
    for block in like:
        stop = start + block.shape[1] * block.shape[2]
        blocks.append(flat[:, start:stop].reshape(block.shape))
        start = stop
    return tuple(blocks)


def _flat(blocks: tuple[Array, ...]) -> Array:
    return jnp.concatenate([b.reshape(b.shape[0], -1) for b in blocks], -1)


@partial(jax.jit, static_argnums=0)
def mix_response(mix, own, features, df):
    """Responses of h (c, n, H) from those of the features entering (c, n, d)."""
    return jax.vmap(lambda t: _flat(jax.jvp(lambda f: mix(own, f), (features,), (t,))[1]))(df)


@partial(jax.jit, static_argnums=0)
def unmix_response(mix, own, features, dh_bar):
    """Cotangents of the features entering (c, n, d) from those of h (c, n, H)."""
    blocks, pull = jax.vjp(lambda f: mix(own, f), features)
    return jax.vmap(lambda z: pull(_to_blocks(z, blocks))[0])(dh_bar)


@partial(jax.jit, static_argnums=0)
def update_response(update, own, context, da, df=None):
    """Responses of the features leaving (c, n, d') from those of a (c, n, D) and of the features entering, if any.

    context: aggregated blocks, features and species, the primal values.
    """
    aggregated, features, species = context

    def move(a, f):
        tangents = (_to_blocks(a, aggregated), jnp.zeros_like(features) if f is None else f)
        return jax.jvp(lambda *z: update(own, *z, species), (aggregated, features), tangents)[1]

    return jax.vmap(move, (0, None if df is None else 0))(da, df)


@partial(jax.jit, static_argnums=0)
def update_back_response(update, own, context, da, df_bar, df=None):
    """Responses of the cotangents of a (c, n, D) and of the features entering (c, n, d).

    The pull-back changes with its cotangent df_bar (c, n, d') and with the values it is taken at, da and df.
    """
    aggregated, features, species, features_bar = context

    def pull_back(a, f, bar):
        return jax.vjp(lambda *z: update(own, *z, species), a, f)[1](bar)

    def move(a, f, bar):
        tangents = (_to_blocks(a, aggregated), jnp.zeros_like(features) if f is None else f, bar)
        a_bar, f_bar = jax.jvp(pull_back, (aggregated, features, features_bar), tangents)[1]
        return _flat(a_bar), f_bar

    return jax.vmap(move, (0, None if df is None else 0, 0))(da, df, df_bar)


@partial(jax.jit, static_argnums=0)
def readout_response(readout, parameters, context, df):
    """Responses of the readout's gradient (c, n, d) from those of the features read."""
    features, species = context
    gradient = jax.grad(lambda f: jnp.sum(readout(parameters, f, species)))
    return jax.vmap(lambda t: jax.jvp(gradient, (features,), (t,))[1])(df)
