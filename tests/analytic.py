"""Node energies whose derivatives are known from elsewhere, as plain JAX functions of edge vectors.

Each follows the contract of `Potential.node_energies`: (parameters, edge_vectors, species, exchange) ->
(n_nodes,) [eV]. Padding edges are longer than the cutoff, so every function is zero there with all its
derivatives; none divides by a length that could vanish.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from ase_phonax import Potential

# Two kinds of springs: rest length [Å] -> stiffness [eV/Å²]. With two masses, the chain that alternates
# them has no inversion centre, so D(q) and its conjugate differ.
SPRINGS = {1.2: 7.0, 1.6: 3.0}
SPRING_CUTOFF = 2.5
# How far from its rest length a spring is exactly harmonic, and where it has let go [Å].
HARMONIC, RELEASED = 0.1, 0.2


def springs(parameters, vectors, species, exchange):
    """1/4 k (r - r0)² for each directed edge of about a rest length: 1/2 k (r - r0)² for each bond.

    A spring lets go smoothly (two derivatives) between HARMONIC and RELEASED from its rest length.
    """
    r = jnp.sqrt(jnp.sum(vectors**2, -1))
    energy = jnp.zeros_like(r)
    for stiffness, length in zip(parameters["stiffness"], parameters["length"], strict=True):
        t = jnp.clip((jnp.abs(r - length) - HARMONIC) / (RELEASED - HARMONIC), 0, 1)
        energy += stiffness / 4 * (r - length) ** 2 * (1 - t**3 * (10 - 15 * t + 6 * t**2))
    return exchange.aggregate(energy)


def spring_potential(numbers: tuple[int, ...], springs_of=SPRINGS) -> Potential:
    """Atoms joined by springs: rest length [Å] -> stiffness [eV/Å²] in `springs_of`."""
    parameters = {"length": np.array(list(springs_of)), "stiffness": np.array(list(springs_of.values()))}
    return Potential.from_function(
        springs, cutoff=SPRING_CUTOFF, n_layers=1, numbers=numbers, parameters=parameters, name="springs"
    )


# Stillinger and Weber, Phys. Rev. B 31, 5262 (1985), in eV and Å; digits as matscipy has them.
SILICON = {"epsilon": 2.1683, "sigma": 2.0951, "cos0": 0.333333333333, "A": 7.049556277, "B": 0.6022245584}
SILICON |= {"p": 4.0, "a": 1.8, "lambda": 21.0, "gamma": 1.2}


def stillinger_weber(parameters, vectors, species, exchange):
    """Stillinger-Weber energy per atom, its three-body sum from moments of single edges.

    With g_j = exp[gamma / (r_ij/sigma - a)] and unit vectors n_j, the sum over ordered pairs j != k is
    sum_jk g_j g_k (n_j.n_k + c)² = |T|² + 2 c |v|² + c² s² - (1 + c)² sum_j g_j², where s = sum g,
    v = sum g n, T = sum g n n: an exchange that can only sum edges onto atoms is enough.
    """
    p = parameters
    r = jnp.sqrt(jnp.sum(vectors**2, -1))
    x = r / p["sigma"] - p["a"]
    # The exponentials and all their derivatives vanish at x = 0, but 0 * inf is not a number: both
    # the argument and the result are masked. At x = -0.02 they are below 1e-21 already.
    inside = x < -0.02
    x = jnp.where(inside, x, -1.0)
    decay = jnp.where(inside, jnp.exp(1 / x), 0.0)
    g = jnp.where(inside, jnp.exp(p["gamma"] / x), 0.0)
    n = vectors / r[:, None]
    pair = p["A"] * p["epsilon"] * (p["B"] * (p["sigma"] / r) ** p["p"] - 1) * decay
    s, v = exchange.aggregate(g), exchange.aggregate(g[:, None] * n)
    tensor = exchange.aggregate(g[:, None, None] * n[:, :, None] * n[:, None, :])
    c = p["cos0"]
    triples = jnp.sum(tensor**2, (1, 2)) + 2 * c * jnp.sum(v**2, 1) + (c * s) ** 2
    triples -= (1 + c) ** 2 * exchange.aggregate(g**2)
    return (exchange.aggregate(pair) + p["lambda"] * p["epsilon"] * triples) / 2


def silicon_potential() -> Potential:
    """Stillinger-Weber silicon: one hop, three-body."""
    return Potential.from_function(
        stillinger_weber,
        cutoff=SILICON["a"] * SILICON["sigma"],
        n_layers=1,
        numbers=(14,),
        parameters={key: np.array(value) for key, value in SILICON.items()},
        name="Stillinger-Weber silicon",
    )


def two_hops(parameters, vectors, species, exchange):
    """A node energy that sees two hops: neighbours weighted by how crowded they are themselves."""
    x = jnp.sqrt(jnp.sum(vectors**2, -1)) / parameters["cutoff"]
    inside = x < 1
    w = jnp.where(inside, (1 - jnp.where(inside, x, 0.0) ** 2) ** 4, 0.0)
    crowd = exchange.aggregate(w)
    return jnp.tanh(exchange.aggregate(w * exchange.gather(crowd)))


def two_hop_potential(cutoff: float) -> Potential:
    """The cheapest message passing: two layers, no network."""
    return Potential.from_function(
        two_hops,
        cutoff=cutoff,
        n_layers=2,
        numbers=(1, 6, 8, 14),
        parameters={"cutoff": np.array(cutoff)},
        name="two hops",
    )


def fresh(potential: Potential) -> Potential:
    """The same potential as a function that nothing has been compiled for yet."""
    return dataclasses.replace(potential, node_energies=lambda *inputs: potential.node_energies(*inputs))
