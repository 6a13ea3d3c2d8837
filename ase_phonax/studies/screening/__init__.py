"""One study of many crystals, on all cores of a machine or on a cluster, into a database."""

from .run import Screening as Screening
from .run import screen as screen
