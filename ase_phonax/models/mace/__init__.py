"""MACE: settings, the network as arrays, the network as a JAX function."""

from ..architecture import Architecture
from .arrays import mace_parts
from .config import MACEConfig, mace_shapes

ARCHITECTURE = Architecture(
    MACEConfig,
    mace_parts,
    ("mace.function", "mace_network"),
    mace_shapes,
    lambda config: ("embedding", "skip_*", "select_*", "product_*"),
)
