"""What can be asked of a study of thermal expansion."""

from __future__ import annotations

from dataclasses import dataclass

from ..phonons.defaults import T_MAX, VOLUME_MESH_LENGTH
from .options import option, positive
from .settings import CellSettings, SupercellSettings

_GROUP = "thermal expansion"


@dataclass(frozen=True)
class ExpansionSettings(SupercellSettings, CellSettings):
    """Everything that `expansion_study` can be told; names and values are those of `ase-phonax expansion --help`."""

    max_temperature: float = option(T_MAX, positive, _GROUP, "from 0 to this (default: %(default)g)", metavar="K")
    mesh_length: float = option(
        VOLUME_MESH_LENGTH,
        positive,
        _GROUP,
        "q-points along each reciprocal vector b: this times |b| / 2π (default: %(default)g)",
        metavar="Å",
    )
