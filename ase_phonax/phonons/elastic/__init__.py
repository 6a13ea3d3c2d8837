"""Elastic constants of crystals by exact second derivatives, and what follows from them."""

from .constants import ElasticConstants, elastic_constants
from .moduli import Moduli

__all__ = ["ElasticConstants", "Moduli", "elastic_constants"]
