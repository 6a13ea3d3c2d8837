"""NequIP: settings, the network as arrays, the network as a JAX function."""

from ..architecture import Architecture
from .arrays import nequip_parts
from .config import NequIPConfig, layer_irreps, nequip_shapes, output_irreps


def _of_elements(config: NequIPConfig) -> tuple[str, ...]:
    skip = ["skip_*"] if config.self_connection == "species" else []
    return "embedding", "radial_elements", "atom_scales", *skip


ARCHITECTURE = Architecture(
    NequIPConfig,
    nequip_parts,
    ("nequip.function", "nequip_network"),
    nequip_shapes,
    _of_elements,
    layers=layer_irreps,
    layer_of_outputs=output_irreps,
)
