"""Character tables of point groups, spread over operations as they come, and names found in them.

The tables are phonopy's. What is added: every setting of a point group is led to a table, origins are
moved to where a little co-group has ordinary representations, and representations that are not
irreducible are named by their parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray
from phonopy.phonon.character_table import character_table

from ...structures.space_groups import SPGLIB_ERROR

NO_GROUP = "(no group)"
_CHARACTER_TOLERANCE = 1e-3  # characters are sums of a few roots of unity; phonopy's close to 1e-8
# To hexagonal axes turned by 30 degrees: phonopy's table of 32 holds 321, and 312 is the same group there.
_TURNED = np.linalg.inv([[1, 1, 0], [-1, 2, 0], [0, 0, 1]])
# Which axis is called z: phonopy's table of mm2 knows one of three, and spglib's standard is not always it.
_AXES = [np.roll(np.eye(3), turn, axis=0) for turn in range(3)]
# Reduced coordinates at which the origin of a standard setting may lie from another special position.
_ORIGINS = (0, 1 / 2, 1 / 4, 3 / 4, 1 / 3, 2 / 3, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1 / 6, 5 / 6)


@dataclass(frozen=True)
class CharacterTable:
    """The character table of a group of rotations.

    Attributes:
        symbol: international symbol of the point group; NO_GROUP where the operations form none.
        rotations: (n_operations, 3, 3) in the setting of the table; as given where there is none.
        transformation: (3, 3) P, rotations = P R P^-1 for R as given.
        rotation_symbols: name of each rotation; None where there is no table.
        rows: label -> (n_operations,) characters; empty where there is no table. phonopy's tables hold
            complex conjugate pairs as one row.
    """

    symbol: str
    rotations: NDArray[np.int64]
    transformation: NDArray[np.float64]
    rotation_symbols: tuple[str, ...] | None
    rows: dict[str, NDArray[np.float64]]


def find_table(standard: NDArray[np.float64], rotations: NDArray[np.int64]) -> CharacterTable:
    """The character table of the group that rotations form.

    The crystal's standard axes come first, as in phonopy; where its table has other axes for the same
    group (a little co-group about another axis, or 312), those of spglib's standard for the point group, then both
    with other names of the three axes.

    Args:
        standard: (3, 3) P of the standard setting of the crystal, x_standard = P x + p.
        rotations: (n_operations, 3, 3) in reduced coordinates of the primitive cell, a group.
    """
    try:
        point_group = spglib.get_pointgroup(np.unique(rotations, axis=0))
    except SPGLIB_ERROR:
        point_group = None
    if point_group is None:
        # At the edge of a tolerance some operations are found and others are not.
        return CharacterTable(NO_GROUP, rotations, np.eye(3), None, {})
    symbol, _, back = point_group
    symbol = symbol.strip()
    settings = [standard]
    # spglib (2.8) returns a singular matrix for strongly skewed cells.
    if abs(np.linalg.det(back)) > 0.5:
        settings.append(np.linalg.inv(back))
    settings += [_TURNED @ setting for setting in settings]
    for transformation in [axes @ setting for axes in _AXES for setting in settings]:
        turned = transformation @ rotations @ np.linalg.inv(transformation)
        settled = np.rint(turned).astype(int)
        entries: Any = character_table.get(symbol) if np.abs(turned - settled).max() < 1e-3 else None
        for entry in entries or ():
            names = {matrix: name for name, matrices in entry["mapping_table"].items() for matrix in matrices}
            symbols = [names.get(tuple(map(tuple, rotation))) for rotation in settled.tolist()]
            if None not in symbols:
                columns = [entry["rotation_list"].index(name) for name in symbols]
                rows = {name: np.atleast_1d(row)[columns] for name, row in entry["character_table"].items()}
                return CharacterTable(symbol, settled, transformation, tuple(map(str, symbols)), rows)
    return CharacterTable(symbol, rotations, np.eye(3), None, {})


def name_representation(characters: NDArray[np.complex128], rows: dict[str, NDArray[np.float64]]) -> str | None:
    """The irreducible representations in a character, "A1+E"; None where the table does not exhaust it.

    phonopy's tables hold complex conjugate pairs as one row. Away from Gamma one of a pair may stand
    alone, and is named as half of it.
    """
    names, rest = [], characters.real.copy()
    for name, row in rows.items():
        count = float(row @ characters.real / (row @ row))
        if count > 0.1:
            rest -= count * row
            names.append({1.0: name, 0.5: f"half of {name}"}.get(round(count, 3), f"{count:.2g}{name}"))
    return "+".join(names) if names and np.abs(rest).max() < _CHARACTER_TOLERANCE else None


def translations_about_best_origin(
    standard: NDArray[np.float64],
    origin: NDArray[np.float64],
    q: NDArray[np.float64],
    rotations: NDArray[np.int64],
    translations: NDArray[np.float64],
) -> tuple[NDArray[np.float64], bool]:
    """Translations about an origin for which the co-group is represented ordinarily; True where there is none.

    T(S1) T(S2) = exp(-2 pi i G1.t2) T(S1 S2) with G1 = q R1^-1 - q once exp(2 pi i q.t) is taken out. Moving
    the origin by s makes t into t + R s - s. The standard origin comes first, so that labels do not
    depend on where the user put the atoms.

    Args:
        standard, origin: (3, 3) P and (3,) p of the standard setting, x_standard = P x + p.
        q: (3,) reduced coordinates.
        rotations, translations: (n, 3, 3) and (n, 3) of the little group of q, reduced.
    """
    back = np.linalg.inv(standard)
    grid = np.array(list(product(_ORIGINS, repeat=3)))
    reciprocal = np.unique(np.rint(q @ np.linalg.inv(rotations) - q), axis=0)
    shifts = (grid - origin) @ back.T
    moved = [translations + (rotations - np.eye(3)) @ shift for shift in shifts]
    for translations in moved:
        phases = reciprocal @ translations.T
        if np.abs(phases - np.rint(phases)).max() < 1e-3:
            return translations, False
    return moved[0], True
