"""What can be asked of a study of elastic constants."""

from __future__ import annotations

from dataclasses import dataclass

from .options import flag
from .settings import CellSettings


@dataclass(frozen=True)
class ElasticSettings(CellSettings):
    """Everything that `elastic_study` can be told; names and values are those of `ase-phonax elastic --help`."""

    no_relax: bool = flag("structure", "take the structure as it is; one that is not at rest is refused")
