"""What a network gives: named quantities of atoms or of structures, each with its irreps. The energy is one of them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..base.errors import InputError
from .o3.irreps import Irrep, Irreps, parse_irreps

PER = ("atom", "structure")
POOLING = ("sum", "mean")


@dataclass(frozen=True)
class Output:
    """A quantity that a network gives.

    Attributes:
        name: small letters, digits and underscores.
        irreps: of its components, each irrep once: "1o" for a vector, "0e + 2e" for a symmetric tensor. Components are
            in this order, channel by channel, in e3nn's real basis (`o3.spherical`): of 1o they are x, y, z.
        per: whether each "atom" has one, or a "structure".
        unit: of its values; it is shown and stored, and converts nothing.
        pooling: the value of a structure is the "sum" or the "mean" of what its atoms contribute.
        scale: the size of its values in that unit: the network's numbers, which are near 1, are multiplied by it.
        neutral: what the atoms of a structure have adds up to zero: their mean is taken off.
    """

    name: str
    irreps: str
    per: str = "atom"
    unit: str = ""
    pooling: str = "sum"
    scale: float = 1.0
    neutral: bool = False

    def __post_init__(self):
        if not isinstance(self.name, str) or not re.fullmatch("[a-z][a-z0-9_]*", self.name):
            raise InputError(
                f"an output is named {self.name!r}",
                "parameters, labels and results are found by that name",
                "use small letters, digits and underscores, a letter first",
            )
        for setting, choices in (("per", PER), ("pooling", POOLING)):
            if getattr(self, setting) not in choices:
                raise InputError(
                    f"the output {self.name!r} has {setting}={getattr(self, setting)!r}",
                    "it decides how the contributions of atoms are joined",
                    f"use {' or '.join(map(repr, choices))}",
                )
        if self.neutral and self.per != "atom":
            raise InputError(
                f"the output {self.name!r} is neutral and per structure",
                "it is the sum over atoms that is zero",
                'use per="atom", or leave neutral out',
            )
        kinds = [ir for _, ir in self.blocks]
        if len(set(kinds)) < len(kinds):
            raise InputError(
                f"the output {self.name!r} has the irreps {self.irreps!r}",
                "parameters are stored under the names of irreps, and one of two equal ones would be lost",
                "name each irrep once, with all its channels: 2x1o in place of 1o + 1o",
            )
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise InputError(
                f"the output {self.name!r} has scale={self.scale!r}",
                "the network's numbers are multiplied by it",
                "give a positive number, about the size of the values",
            )

    def __str__(self) -> str:
        return f"{self.name} {self.irreps} per {self.per}" + (f" [{self.unit}]" if self.unit else "")

    @property
    def blocks(self) -> Irreps:
        """The irreps, parsed."""
        return parse_irreps(self.irreps)

    @property
    def dim(self) -> int:
        """Number of components."""
        return sum(mul * ir.dim for mul, ir in self.blocks)

    def given(self, values: Any) -> Any:
        """What a structure is said to have, of what the network gives its atoms (n, components).

        Returns:
            (components,) of the structure, or (n, components).
        """
        if self.per == "structure":
            return values.sum(0) if self.pooling == "sum" else values.mean(0)
        return values - values.mean(0) if self.neutral else values


ENERGY = Output("energy", "0e", per="structure", unit="eV")


def check_outputs(outputs: Sequence[Output]) -> None:
    """Refuse what is no list of outputs beside the energy.

    Raises:
        InputError: something that is no Output, a name given twice, or another energy.
    """
    others = [output for output in outputs if not isinstance(output, Output)]
    if others or not isinstance(outputs, tuple):
        raise InputError(
            f"the outputs are {outputs!r}"[:200],
            "their irreps decide the shape of the parameters",
            'give a tuple of them: outputs=(Output("dipole", "1o", per="structure", unit="eÅ"),)',
        )
    names = [ENERGY.name, *(output.name for output in outputs)]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"the outputs are {', '.join(names)}",
                f"{name!r} is there twice, and only one of the two could be found"
                + (": every network has an energy" if name == ENERGY.name else ""),
                "give each another name",
            )


def unreachable(output: Output, irrep: Irrep, remedy: str) -> InputError:
    """What to say of an irrep that would be zero for every structure."""
    return InputError(
        f"the output {output.name!r} needs {irrep}, which nothing in this network has",
        "it would be zero for every structure",
        remedy,
    )
