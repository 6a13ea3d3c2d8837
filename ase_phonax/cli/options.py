"""Kinds of values as argparse takes them, for commands whose options are not made from settings."""

from ..studies import options as kinds
from .arguments import argument_type

positive = argument_type(kinds.positive)
positive_integer = argument_type(kinds.positive_integer)
