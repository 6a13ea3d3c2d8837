"""What a training configuration may hold: choices, bounds of numbers, what excludes what."""

import math
from typing import TYPE_CHECKING, Any

from ..base.errors import InputError
from ..models.architectures import ARCHITECTURES, Architecture
from .targets import TERMS

if TYPE_CHECKING:
    from .config import NetworkConfig, TrainingConfig

CHOICES = {
    ("loss", "penalty"): ("squared", "huber"),
    ("loss", "directions"): ("columns", "random", "thermal"),
    ("optimiser", "method"): ("adam", "muon"),
    ("optimiser", "schedule"): ("cosine", "linear", "exponential", "constant"),
    ("run", "precision"): ("float32", "float64"),
    ("run", "keep"): ("best", "last"),
    ("fine_tune", "energies"): ("keep", "shift"),
    ("fine_tune", "elements"): ("keep", "frames"),
}
# (least allowed, whether that itself is allowed)
LEAST = {
    ("network", "alike"): (0, True),
    **{("loss", term.name): (0, True) for term in TERMS},
    ("loss", "huber_delta"): (0, False),
    ("loss", "columns"): (1, True),
    ("optimiser", "epochs"): (1, True),
    ("optimiser", "batch_size"): (1, True),
    ("optimiser", "accumulate"): (1, True),
    ("optimiser", "learning_rate"): (0, False),
    ("optimiser", "warmup"): (0, True),
    ("optimiser", "final"): (0, True),
    ("optimiser", "weight_decay"): (0, True),
    ("optimiser", "clip"): (0, True),
    ("optimiser", "ema"): (0, True),
    ("optimiser", "patience"): (0, True),
    ("run", "seed"): (0, True),
    ("run", "n_shapes"): (1, True),
    ("run", "validate_every"): (1, True),
    ("run", "checkpoint_seconds"): (0, True),
    ("run", "dipole_width"): (0, True),
}


MOST_REPEATS = 100_000
# Above these a mistyped number would run for ever, or fill the memory.
MOST = {
    ("loss", "columns"): 10_000,
    ("optimiser", "epochs"): 10_000_000,
    ("optimiser", "batch_size"): 1_000_000,
    ("optimiser", "patience"): 10_000_000,
    ("run", "seed"): 2**32 - 1,
    ("run", "n_shapes"): 1000,
    ("run", "validate_every"): 10_000_000,
    ("run", "dipole_width"): 2.0,
}


def check_architecture(name: Any) -> Architecture:
    """The entry of `ARCHITECTURES` of a name.

    Raises:
        InputError: there is none.
    """
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise InputError(
            f"network.architecture is {name!r}", "there is no such network", f"known are {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]


def check_config(config: "TrainingConfig") -> None:
    """Refuse numbers and choices with which nothing can be trained.

    Raises:
        InputError: naming the setting.
    """
    for (section, name), choices in CHOICES.items():
        value = getattr(getattr(config, section), name)
        if value not in choices:
            raise InputError(
                f"{section}.{name} is {value!r}", "it chooses between a few ways", f"use one of {', '.join(choices)}"
            )
    for (section, name), (least, allowed) in LEAST.items():
        value = getattr(getattr(config, section), name)
        if name in ("learning_rate", "accumulate") and value == "auto":
            continue
        if isinstance(value, str) or not (math.isfinite(value) and (value > least or (allowed and value == least))):
            raise InputError(
                f"{section}.{name} is {value!r}",
                "nothing can be trained with that",
                f"give a number {'of at least' if allowed else 'above'} {least}",
            )
    for (section, name), most in MOST.items():
        value = getattr(getattr(config, section), name)
        if not isinstance(value, str) and value > most:
            raise InputError(
                f"{section}.{name} is {value:,}",
                "it would not end, or fit no memory",
                f"give {most:,} or less",
            )
    pieces = config.optimiser.accumulate
    if isinstance(pieces, int) and pieces > config.optimiser.batch_size:
        raise InputError(
            f"optimiser.accumulate is {pieces} and optimiser.batch_size {config.optimiser.batch_size}",
            "a batch cannot be cut into more pieces than it has frames",
            "give at most the batch size",
        )
    _check_network(config.network)
    for name, count in config.data.repeat.items():
        if not 1 <= count <= MOST_REPEATS:
            raise InputError(
                f"data.repeat.{name} is {count}",
                "it says how often the frames count in an epoch",
                f"give 1 to {MOST_REPEATS:,}, or leave the file out of data.train",
            )
    if not any(getattr(config.loss, term.name) for term in TERMS):
        raise InputError("every weight of the loss is 0", "there is nothing to learn", "give one a positive weight")
    if config.optimiser.ema >= 1 or config.optimiser.warmup > 1:
        raise InputError(
            f"optimiser.ema is {config.optimiser.ema}, warmup {config.optimiser.warmup}",
            "the first is a decay below 1, the second a part of all steps",
            "typical values are 0.99 and 0.02",
        )


def _check_network(network: "NetworkConfig") -> None:
    if network.alike >= 1:
        raise InputError(
            f"network.alike is {network.alike}",
            "elements in the same place of the periodic table would stay one and the same to the network",
            "give 0 to below 1, 0.9 for instance",
        )
    check_architecture(network.architecture)
    for name in ("average_neighbors", "scale"):
        value = getattr(network, name)
        if value != "auto" and not (isinstance(value, (int, float)) and 0 < value < math.inf):
            raise InputError(
                f"network.{name} is {value!r}", "the network is divided or multiplied by it", "give a number, or auto"
            )
