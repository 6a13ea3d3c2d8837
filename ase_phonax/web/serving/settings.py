"""What the local application can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...studies.options import Settings, Unfit, flag, integer, option, path, positive, positive_integer, text

_ADDRESS, _LIMITS, _CONTENT = "address", "limits", "content"


def port_number(value: Any) -> int:
    """A port; 0 is any that is free."""
    port = integer(value)
    if not 0 <= port < 65536:
        raise Unfit(f"{port} is no port: they go from 0, any that is free, to 65535")
    return port


@dataclass(frozen=True)
class ServingSettings(Settings):
    """What `ase-phonax serve` is told; names and values are those of its help."""

    model: tuple[str, ...] = option(
        (),
        text,
        _CONTENT,
        "model files offered besides those that have names and are on this machine",
        metavar="FILE",
        n_values="*",
    )
    screening: Path | None = option(
        None, path, _CONTENT, "folder of `ase-phonax screen`, shown as a table to sort and select", metavar="FOLDER"
    )
    folder: Path = option(
        Path("phonax-runs"),
        path,
        _CONTENT,
        "where structures and results are kept; those of before are shown again (default: %(default)s)",
        metavar="FOLDER",
    )
    port: int = option(8765, port_number, _ADDRESS, "of 127.0.0.1 (default: %(default)d; 0: any that is free)")
    open: bool = flag(_ADDRESS, "open the page in the browser of this machine")
    longest: float = option(
        1800.0, positive, _LIMITS, "a run that takes longer is stopped (default: %(default)g)", metavar="SECONDS"
    )
    largest: float = option(
        10.0, positive, _LIMITS, "a larger structure file is refused (default: %(default)g)", metavar="MB"
    )
    most_waiting: int = option(
        100, positive_integer, _LIMITS, "runs that wait for their turn (default: %(default)d)", metavar="N"
    )
