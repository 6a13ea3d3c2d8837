"""Sites that several elements share, as files state them: ASE keeps what the file said beside the atoms."""

import reprlib
from typing import NamedTuple

import numpy as np
from ase import Atoms

FULL_OCCUPANCY = 1e-3  # of one atom: files round to about this


class MixedSite(NamedTuple):
    """A site that no single element fills.

    Attributes:
        name: what the file calls it.
        atoms: their numbers; None where nobody can say which they are.
        elements: symbol -> share.
    """

    name: str
    atoms: list[int] | None
    elements: dict[str, float]


def is_full(site: dict[str, float]) -> bool:
    """Whether one element fills a site, of which ASE's CIF reader says how much each has."""
    return len(site) == 1 and abs(sum(site.values()) - 1) <= FULL_OCCUPANCY


def amount(occupancy: float) -> str:
    """How much of a site is stated, in print; whole numbers of any length come out of damaged files."""
    return f"{occupancy:g}" if abs(occupancy) < 1e15 else reprlib.repr(occupancy)


def mixed_sites(atoms: Atoms) -> list[MixedSite]:
    """Sites with several elements, or with one that fills them in part.

    Of such a site ASE makes an atom of the most frequent element, and keeps what the file said in
    `atoms.info["occupancy"]`.
    """
    stated = atoms.info.get("occupancy")
    if not isinstance(stated, dict):
        return []
    kinds = atoms.arrays.get("spacegroup_kinds")
    mixed = []
    for kind, site in stated.items():
        if not isinstance(site, dict) or is_full(site):
            continue
        members = None if kinds is None else np.flatnonzero(kinds.astype(str) == str(kind)).tolist()
        if members != []:  # a mixed site is listed once for each of its elements, and has its atoms once
            mixed.append(MixedSite(str(kind), members, site))
    return mixed
