"""Where batches are computed: on how many devices, and in how many pieces one after the other."""

from collections.abc import Callable

import numpy as np

from ..base.errors import InputError
from ..derivatives.compiled.responses import Tree
from .batches import Item
from .config import OptimiserConfig

# Of one piece, on processors: its arrays fit the cache of a core. A large batch then takes two thirds of the time and a
# fraction of the memory; smaller pieces cost more than they save (benchmarks/training_step.py --accumulate).
EDGES_AT_ONCE = 400


def n_devices(wanted: int | str) -> int:
    """How many devices share a batch.

    Raises:
        InputError: JAX finds fewer.
    """
    import jax

    there = len(jax.devices())
    if wanted == "all":
        return there
    if not isinstance(wanted, int) or not 1 <= wanted <= there:
        raise InputError(
            f"run.devices is {wanted!r}", f"JAX finds {there} here", f"give a number from 1 to {there}, or all"
        )
    return wanted


def n_pieces(optimiser: OptimiserConfig, items: list[Item], n_devices: int) -> int:
    """Into how many pieces, taken one after the other, each device cuts its part of a batch.

    Args:
        items: training frames; their `n_edges` count each pair of neighbours once.
    """
    import jax

    if isinstance(optimiser.accumulate, int):
        return optimiser.accumulate
    if jax.default_backend() != "cpu":
        return 1
    edges = 2 * np.mean([item.n_edges for item in items]) * optimiser.batch_size / n_devices
    return int(np.clip(round(edges / EDGES_AT_ONCE), 1, max(1, optimiser.batch_size // n_devices)))


def places(n_devices: int) -> tuple[Callable[[Tree], Tree], Callable[[Tree], Tree]]:
    """How a batch and the state are laid on the devices: as they are, or one part and one copy on each."""
    if n_devices == 1:
        return lambda batch: batch, lambda state: state
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    # Not jax.make_mesh, whose axes are explicit: each operation would have to say how its result is laid.
    mesh = Mesh(np.array(jax.devices()[:n_devices]), ("frames",))
    parts, copies = NamedSharding(mesh, PartitionSpec("frames")), NamedSharding(mesh, PartitionSpec())
    return lambda batch: jax.device_put(batch, parts), lambda state: jax.device_put(state, copies)
