"""Which symmetry operations a CIF file means: those that it lists, else those of the space group that it names.

ASE's reader goes wrong without a word where a file is not in the first setting of its tables: it adds an inversion at
the origin to operations that are listed, and it takes the number of a group for more than its symbol, so that `P b n m`
is computed as `P n m a`. So its operations are compared with those listed, or with spglib's tables of all settings.
"""

import re
import warnings
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray

from ..base.errors import StructureError, UnstableWarning
from ..base.sharing import ignored_warnings

OPERATIONS = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz")
NUMBERS = ("_space_group_it_number", "_space_group.it_number", "_symmetry_int_tables_number")
SYMBOLS = ("_space_group_name_h-m_alt", "_space_group.name_h-m_alt", "_symmetry_space_group_name_h-m")
HALL = ("_space_group_name_hall", "_space_group.name_hall", "_symmetry_space_group_name_hall")
SAME_CELL = 0.05  # of the product of two lengths: cells of measurements or computations are less distorted
ROUNDED_SHIFT = 5e-4  # thirds and sixths are written 0.333 and 0.167
TOLERANCE = 1e-2  # [Å] of the crystal's own symmetry
_GRID = 48  # translations in listed operations are multiples of 1/24 of a vector, but for a free origin
_MONOCLINIC, _CUBIC = range(3, 16), range(195, 231)
_CHOICES = {"s": "1", "z": "2", "hr": "H"}  # in other spellings

Operation = tuple[NDArray[np.float64], NDArray[np.float64]]


def first_stated(block: Any, names: Sequence[str]) -> Any:
    """The first of several items that a data block states; None where it states none."""
    return next((block[name] for name in names if block.get(name) not in (None, "?", ".", [])), None)


def parse_operation(text: str) -> Operation:
    """Matrix W (3, 3) and translation t (3,) of an operation such as "-y,x-y,z+1/3", in reduced coordinates: W x + t.

    Raises:
        ValueError: it is none.
    """
    rows = text.strip("'\" ").lower().replace(" ", "").split(",")
    matrix, shift = np.zeros((3, 3)), np.zeros(3)
    for i, row in enumerate(rows):
        terms = re.findall(r"([+-]?)(\d+(?:\.\d*)?(?:/\d+)?|\.\d+)?\*?([xyz])?", row)
        if len(rows) != 3 or not row or "".join("".join(term) for term in terms) != row.replace("*", ""):
            raise ValueError(f"{text!r} is no symmetry operation")
        for sign, number, axis in terms:
            if not number and not axis:
                if sign:
                    raise ValueError(f"{text!r} is no symmetry operation")
                continue
            value = float(Fraction(number or "1")) * (-1 if sign == "-" else 1)
            if axis:
                matrix[i, "xyz".index(axis)] += value
            else:
                simple = float(Fraction(value).limit_denominator(24))
                shift[i] += simple if abs(simple - value) < ROUNDED_SHIFT else value
    if abs(abs(np.linalg.det(matrix)) - 1) > 1e-6:
        raise ValueError(f"{text!r} is no symmetry operation")
    return matrix, shift


def listed_operations(block: Any) -> list[Operation]:
    """The symmetry operations that a data block lists; empty where it lists none.

    Raises:
        ValueError, ZeroDivisionError: something else is listed.
    """
    listed = first_stated(block, OPERATIONS)
    return [parse_operation(str(text)) for text in ([listed] if isinstance(listed, str) else listed or [])]


def operations_of(block: Any, name: str, of_ase: list[Operation] | None) -> list[Operation]:
    """The operations that make the crystal of the sites listed.

    Args:
        block: of `cif_files.read_blocks`, with a cell.
        name: of the file, for messages.
        of_ase: those that ASE took; None where it did not know the space group.

    Returns:
        `of_ase` itself where these are right; empty where nothing is known.

    Raises:
        StructureError: the cell does not have that symmetry, symbol and number are of two groups, or several settings
            may be meant.
        ValueError, ZeroDivisionError: something else is listed than operations.
    """
    cell = block.get_cell().array
    if listed := listed_operations(block):
        _check_cell(cell, listed, block, name)
        return of_ase if of_ase and _are_same(of_ase, listed) else listed
    settings, by_name = _stated_settings(block, name)
    if not settings:
        if of_ase and first_stated(block, HALL) is not None and not first_stated(block, (*SYMBOLS, *NUMBERS)):
            return []  # ASE takes a file without a name of Hermann and Mauguin for one without symmetry
        if of_ase:
            _check_cell(cell, of_ase, block, name)
        return of_ase or []
    fitting = [hall for hall in settings if _fit(cell, _tabulated(hall))]
    if not fitting:
        _check_cell(cell, _tabulated(settings[0]), block, name)
    if not by_name and settings[0] not in fitting and len(fitting) > 1:
        raise StructureError(
            f"{name} states the space group number {_settings()[settings[0]][0]} alone, and in its cell {len(fitting)} "
            "settings of it are possible",
            "they make different crystals of the sites that are listed",
            "add the operations, or the symbol of the setting (_space_group_name_H-M_alt)",
        )
    right = next((hall for hall in fitting if of_ase and _are_same(of_ase, _tabulated(hall))), fitting[0])
    _say_origin(block, name, right, fitting)
    return of_ase if of_ase and _are_same(of_ase, _tabulated(right)) else _tabulated(right)


def say_contradiction(block: Any, name: str, atoms: Atoms) -> None:
    """Warn where a file names one space group and lists operations of another, unless its crystal has the first."""
    listed = listed_operations(block)
    stated = {_settings()[hall][0] for hall in _stated_settings(block, name)[0]} if listed else set()
    if not stated or _number_of(listed, atoms) in stated:
        return
    crystal = _quietly(
        spglib.get_symmetry_dataset, (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), TOLERANCE
    )
    if crystal is None or crystal.number not in stated:
        warnings.warn(
            f"{name} states the space group number {min(stated)}, and the {len(listed)} operations that it lists are "
            f"those of another{'' if crystal is None else f': its crystal has number {crystal.number}'}. They were"
            " taken as they are; some may be missing.",
            UnstableWarning,
            stacklevel=3,
        )


def _number_of(operations: Sequence[Operation], atoms: Atoms) -> int | None:
    rotations, translations = (np.array(parts) for parts in zip(*operations, strict=True))
    group = _quietly(
        spglib.get_spacegroup_type_from_symmetry, rotations.astype(np.intc), translations, atoms.cell.array
    )
    return None if group is None else group.number


def _quietly(function: Any, *arguments: Any) -> Any:
    """What spglib answers; None where it fails, by whatever its version does then."""
    with ignored_warnings("Set OLD_ERROR_HANDLING", DeprecationWarning):
        try:
            return function(*arguments)
        except Exception:
            return None


# ---- operations ------------------------------------------------------------------------------------


def _are_same(one: Sequence[Operation], other: Sequence[Operation]) -> bool:
    """Whether two sets are equal but for translations of the lattice, in any order."""

    def keys(operations: Sequence[Operation]) -> set[tuple[int, ...]]:
        return {(*np.rint(w).astype(int).ravel(), *np.rint(_GRID * t).astype(int) % _GRID) for w, t in operations}

    return keys(one) == keys(other)


def _fit(cell: NDArray[np.float64], operations: Sequence[Operation]) -> bool:
    """Whether operations keep all distances in a cell."""
    metric = cell @ cell.T
    lengths = np.sqrt(np.diag(metric))
    scale = SAME_CELL * np.outer(lengths, lengths)
    return all((np.abs(w.T @ metric @ w - metric) <= scale).all() for w, _ in operations)


def _check_cell(cell: NDArray[np.float64], operations: Sequence[Operation], block: Any, name: str) -> None:
    if _fit(cell, operations):
        return
    group = first_stated(block, (*SYMBOLS, *HALL)) or first_stated(block, NUMBERS)
    parameters = " ".join(f"{block[key]:g}" for key in block if key.startswith(("_cell_length_", "_cell_angle_")))
    raise StructureError(
        f"{name}: the cell {parameters} does not have the symmetry of its operations (space group {group})",
        "they would make another crystal of the sites that are listed",
        "correct the cell, or the space group and its setting: axes of hexagons or rhombohedra, the unique axis",
    )


# ---- space groups by name --------------------------------------------------------------------------


@cache
def _tabulated(hall: int) -> list[Operation]:
    table = _quietly(spglib.get_symmetry_from_database, hall)
    return list(zip(table["rotations"].astype(float), table["translations"], strict=True))


@cache
def _settings() -> dict[int, tuple[int, str, str, frozenset[str]]]:
    """Hall number -> number, choice, Hall symbol, and symbols of Hermann and Mauguin of one setting, simplified."""
    result = {}
    for hall in range(1, 531):
        t = _quietly(spglib.get_spacegroup_type, hall)
        if t.number in _MONOCLINIC:
            names = {t.international_full, " ".join(part for part in t.international_full.split() if part != "1")}
        else:
            names = {t.international_full, t.international_short, *t.international.split("=")}
        if t.number in _CUBIC:
            names |= {symbol.replace("-", "") for symbol in names}  # F d 3 m, as it was written until 1983
        result[hall] = t.number, t.choice, _simple(t.hall_symbol), frozenset(map(_simple, names))
    return result


def _simple(symbol: str) -> str:
    return re.sub(r"[\s_'\"()~]", "", symbol).lower()


def _stated_settings(block: Any, name: str) -> tuple[list[int], bool]:
    """Hall numbers that are meant, the usual setting first; and whether by a name, as opposed to a number alone.

    Raises:
        StructureError: number and symbol are of two groups.
    """
    number, symbol, hall = (first_stated(block, names) for names in (NUMBERS, SYMBOLS, HALL))
    table = _settings()
    stated = int(number) if str(number).strip().isdigit() else None
    words, _, choice = str(symbol or "").partition(":")
    if not choice and (end := re.fullmatch(r"(.+) (S|Z|H|HR|R)", words.strip(" '\""), re.IGNORECASE)):
        words, choice = end.groups()
    choice = _CHOICES.get(_simple(choice), _simple(choice))
    of_hall = [h for h, entry in table.items() if hall and entry[2] == _simple(str(hall))]
    of_symbol = [h for h, entry in table.items() if symbol and _simple(words) in entry[3]]
    of_choice = [h for h in of_symbol if not choice or table[h][1].lower() == choice.lower()]
    of_number = [h for h, entry in table.items() if entry[0] == stated]
    chosen = of_hall or of_choice or of_symbol
    if chosen and of_number and not set(chosen) & set(of_number):
        if listed_operations(block):
            return of_number, False
        raise StructureError(
            f"{name} states the space group {symbol or hall}, number {table[chosen[0]][0]}, and the number {stated}",
            "they are two groups, and make different crystals of the sites that are listed",
            "correct one of the two, or add the operations",
        )
    return (chosen, True) if chosen else (of_number, False)


def _say_origin(block: Any, name: str, right: int, fitting: Sequence[int]) -> None:
    """Warn where a group has two origins and the file does not say which one it means."""
    number, choice, *_ = _settings()[right]
    others = [h for h in fitting if h != right and _settings()[h][0] == number and _settings()[h][1][:1] in ("1", "2")]
    if choice[:1] in ("1", "2") and others and "_symmetry_space_group_setting" not in block:
        warnings.warn(
            f"{name} does not say which of two origins of the space group number {number} it means, and lists no "
            f"operations: choice {choice[:1]} was taken. If the distances between atoms are wrong, add the operations, "
            "or :1 or :2 to the symbol.",
            UnstableWarning,
            stacklevel=4,
        )
