"""What every network refuses of its settings."""

from collections.abc import Mapping
from typing import Any

from ...base.errors import InputError
from ..o3.irreps import HIGHEST_DEGREE, MOST_CHANNELS

LONGEST_CUTOFF = 30.0  # Å: ten thousand neighbours of an atom
# Of what counts something in a network; what is not named has as many as there may be channels.
MOST = {"n_layers": 100, "l_max": HIGHEST_DEGREE, "n_basis": 1000, "envelope_p": 100, "correlation": 4}


def check_envelope(envelope: str, switch_on: float, cutoff: float) -> None:
    """Refuse another envelope than there are, and a switch that begins nowhere within the cutoff [Å].

    Raises:
        InputError: what is wrong.
    """
    if envelope not in ("polynomial", "switch"):
        raise InputError(f"envelope is {envelope!r}", "there are two", 'use "polynomial" or "switch"')
    if envelope == "switch" and not 0 <= switch_on < cutoff:
        raise InputError(
            f"switch_on is {switch_on!r} Å, and the cutoff {cutoff:g} Å",
            "the envelope falls from 1 to 0 in between",
            "give a distance below the cutoff",
        )


def check_sizes(config: Any, least: Mapping[str, int]) -> None:
    """Refuse settings with which nothing interacts, nothing is counted, or nothing fits a memory.

    Args:
        config: of a network, with a cutoff [Å] and average_neighbors.
        least: name of each setting that counts something -> its smallest value; of a tuple, that of all in it.

    Raises:
        InputError: the first of them that is out of its range.
    """
    if not 0 < config.cutoff <= LONGEST_CUTOFF:
        raise InputError(
            f"cutoff is {config.cutoff!r}",
            "without neighbours nothing interacts, and thousands of them fit no memory",
            f"give some Å, 4 to 6 usually, and no more than {LONGEST_CUTOFF:g}",
        )
    if not 0 < config.average_neighbors < float("inf"):
        raise InputError(
            f"average_neighbors is {config.average_neighbors!r}",
            "sums over neighbours are divided by it, or by its root",
            "give the number of neighbours within the cutoff, on average",
        )
    for name, low in least.items():
        setting, most = getattr(config, name), MOST.get(name, MOST_CHANNELS)
        is_list = isinstance(setting, tuple)
        if not all(low <= value <= most for value in (setting if is_list else (setting,))):
            raise InputError(
                f"{name} is {setting!r}",
                "it counts something in the network",
                f"give {low} to {most}" + (" for each layer" if is_list else ""),
            )
