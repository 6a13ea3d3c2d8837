"""Parameters before training: of a whole network, and of outputs that one with trained energies is given besides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..base.errors import InputError
from ..models.architectures import ARCHITECTURES, get_network, make_potential
from ..models.outputs import Output
from ..models.potential import Potential

Parameters = dict[str, dict[str, np.ndarray]]


def first_parameters(architecture: str, config: Any, seed: int) -> Parameters:
    """Random parameters of a network: module -> name -> array.

    They are drawn in single precision always: one seed, one network, whatever it is trained in.
    """
    import jax
    import jax.numpy as jnp

    from ..derivatives.compiled.exchange import Exchange

    with jax.enable_x64(False):
        exchange = Exchange(jnp.zeros(1, int), jnp.zeros(1, int), 1)
        init = jax.jit(get_network(architecture, config).init)
        parameters: Any = init(jax.random.PRNGKey(seed), jnp.ones((1, 3)), jnp.zeros(1, int), exchange)
    return jax.tree.map(np.asarray, parameters)


def with_outputs(potential: Potential, outputs: Sequence[Output], seed: int = 0) -> Potential:
    """A network that gives more outputs, with random parameters for these; what it gave before stays as it was.

    Frozen or trained further, what it has learned of energies serves the new outputs as well.

    Raises:
        InputError: a plain function, or outputs that its network cannot have.
    """
    if potential.architecture is None or not hasattr(potential.config, "outputs"):
        raise InputError(
            f"the potential {potential.name!r} is no network that can be given outputs",
            "they are read from the features of its layers",
            "take a NequIP or MACE network",
        )
    config = replace(potential.config, outputs=(*potential.config.outputs, *outputs))
    drawn = first_parameters(potential.architecture, config, seed)
    module, name = ARCHITECTURES[potential.architecture].references
    dtype = potential.parameters[module][name].dtype
    parameters = {
        module: {name: potential.parameters.get(module, {}).get(name, x.astype(dtype)) for name, x in own.items()}
        for module, own in drawn.items()
    }
    return make_potential(
        potential.architecture, config, parameters, potential.numbers, potential.name, potential.provenance
    )
