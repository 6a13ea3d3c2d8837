"""A trainable potential of two hops that compiles in a second, registered as an architecture like any other.

Radial and angular, with a row of numbers for each element: D(q) of a crystal without inversion is complex, and
nothing vanishes by symmetry that would not vanish in a real network.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType, SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from ase_phonax import Potential
from ase_phonax.derivatives.compiled.exchange import Exchange
from ase_phonax.models import architectures
from ase_phonax.models.architectures import Architecture, make_potential

WIDTH, POWERS = 3, 3
# For functions that run a few times: what they compute is the same, and compiling takes half as long.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@dataclass(frozen=True)
class ToyConfig:
    n_species: int
    cutoff: float
    n_layers: int = 2
    average_neighbors: float = 4.0
    scale: float = 1.0


@lru_cache
def toy_network(config: ToyConfig) -> SimpleNamespace:
    """The functions `init` and `node_energies` of a configuration."""

    def init(key, vectors, species, exchange):
        keys = iter(jax.random.split(key, 8))

        def draw(*shape):
            return jax.random.normal(next(keys), shape) * 0.7

        shapes = {"radial_0": (POWERS, WIDTH), "radial_1": (POWERS, WIDTH), "radial_2": (POWERS, WIDTH)}
        layer = {name: draw(*shape) for name, shape in shapes.items()} | {"bend": draw(POWERS, WIDTH)}
        top = {"embedding": 1 + draw(config.n_species, WIDTH), "readout": draw(3, WIDTH)}
        return {"layer_0": layer, "~": top | {"atom_energies": jnp.zeros(config.n_species)}}

    def node_energies(parameters, vectors, species, exchange):
        p, top = parameters["layer_0"], parameters["~"]
        x = jnp.sum(vectors**2, -1) / config.cutoff**2
        closed = jnp.where(x < 1, 1 - jnp.where(x < 1, x, 1.0), 0.0) ** 4
        basis = closed[:, None] * jnp.stack([x**0, x, x**2], -1)
        few, along = config.average_neighbors**-0.5, vectors[:, None] / config.cutoff
        first = top["embedding"][species]
        senders = exchange.gather(first)
        second = first + jnp.tanh(few * exchange.aggregate(basis @ p["radial_0"] * senders))
        bent = few * exchange.aggregate((basis @ p["bend"] * senders)[..., None] * along)
        third = jnp.tanh(few * exchange.aggregate(basis @ p["radial_1"] * exchange.gather(second)))
        turned = jnp.sum(exchange.gather(bent.reshape(len(first), -1)).reshape(-1, WIDTH, 3) * along, -1)
        fourth = few * exchange.aggregate(basis @ p["radial_2"] * turned)
        energy = third * top["readout"][0] + fourth * top["readout"][1] + jnp.sum(bent**2, -1) * top["readout"][2]
        return config.scale * jnp.sum(energy, -1) + top["atom_energies"][species]

    return SimpleNamespace(init=init, node_energies=node_energies)


def toy_shapes(config: ToyConfig) -> dict:
    """Of the parameters that `init` makes."""
    top = {"embedding": (config.n_species, WIDTH), "readout": (3, WIDTH), "atom_energies": (config.n_species,)}
    return {"layer_0": dict.fromkeys(("radial_0", "radial_1", "radial_2", "bend"), (POWERS, WIDTH)), "~": top}


def register() -> None:
    """Make "toy" an architecture of this process."""
    module = ModuleType("ase_phonax.models.toy")
    module.toy_network = toy_network
    sys.modules[module.__name__] = module
    architectures.ARCHITECTURES["toy"] = Architecture(
        ToyConfig, lambda *_: None, ("toy", "toy_network"), toy_shapes, lambda _: ("embedding",)
    )


register()


def toy_potential(numbers: tuple[int, ...], cutoff: float = 3.2, seed: int = 0) -> Potential:
    """Random weights in float64."""
    config = ToyConfig(len(numbers), cutoff)
    with jax.enable_x64(True):
        exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
        parameters = toy_network(config).init(jax.random.PRNGKey(seed), jnp.ones((1, 3)), jnp.zeros(1, int), exchange)
        return make_potential("toy", config, jax.tree.map(np.asarray, parameters), numbers, "toy")
