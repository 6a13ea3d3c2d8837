"""Crystals from CIF files: by ASE where it takes the operations that the file means, else by these (`cif_symmetry`).

ASE's parser reads the file in both cases. What a file states of its own content (the formula, the number of formula
units, complete rows) is compared with what was read.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ..base.errors import StructureError, UnstableWarning, why_unread
from .checks import check_cell, check_repeats
from .cif_symmetry import HALL, NUMBERS, OPERATIONS, SYMBOLS, Operation, first_stated, operations_of, say_contradiction
from .lattices import with_short_vectors
from .occupancies import FULL_OCCUPANCY, amount, is_full
from .species import HYDROGEN_ISOTOPES

CELL = tuple(
    f"_cell_{name}" for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
)
SITE_TOLERANCE = 1e-3  # [Å] between images of a site that are one atom
ROUNDED = 0.3  # [Å] images of one site nearer than this are taken for one position, rounded
SAME_FORMULA = 0.01  # relative


def read_blocks(path: str | Path) -> list[Any]:
    """The data blocks of a CIF file that hold atoms, as ASE parses them.

    Raises:
        StructureError: it cannot be parsed, or rows of a table are incomplete.
    """
    from ase.io.cif import parse_cif

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            blocks = list(parse_cif(str(path)))
        except Exception as error:  # the parser raises whatever it runs into
            raise _damaged(path, why_unread(error)) from error
    for warning in caught:
        if "tokens" in str(warning.message):  # ASE leaves the row out
            raise _damaged(path, f"a row of a table is not complete ({' '.join(str(warning.message).split())})")
    try:
        return [block for block in blocks if block.has_structure()]
    except Exception as error:  # ASE raises whatever it runs into
        raise _damaged(path, f"a symbol or coordinate is none: {why_unread(error)}") from error


def _damaged(path: str | Path, what: str) -> StructureError:
    return StructureError(
        f"{path} cannot be read: {what}",
        "the file is damaged, cut, or not of the format its name suggests",
        "open it in an editor, or write it again",
    )


def crystal_of(block: Any, name: str, site_tolerance: float | None = None) -> Atoms:
    """The crystal of a data block.

    Args:
        block: of `read_blocks`.
        name: of the file, for messages.
        site_tolerance: images of a site nearer than this are one atom, between them [Å]; unless given, SITE_TOLERANCE,
            and files that need more are refused.

    Raises:
        StructureError: cell, coordinates or symmetry are missing or contradict what the file states of itself;
            special positions are rounded.
    """
    _check_cell(block, name)
    atoms, of_ase, refusal = None, None, None
    try:
        atoms = block.get_atoms()
        of_ase = atoms.info["spacegroup"].get_symop()
    except Exception as error:  # ASE's tables, parsers and assertions raise whatever they meet
        refusal = error
    try:
        operations = operations_of(block, name, of_ase)
    except StructureError:
        raise
    except (ValueError, ZeroDivisionError) as error:
        raise _damaged(name, why_unread(error)) from error
    if not operations:
        raise _without_symmetry(block, name, refusal)
    if atoms is None or operations is not of_ase or site_tolerance is not None:
        atoms = _expanded(block, operations, name, site_tolerance or SITE_TOLERANCE)
    check_cell(atoms)
    check_repeats(atoms)
    _check_rounding(block, atoms, name)
    _check_formula(block, atoms, name)
    say_contradiction(block, name, atoms)
    if not first_stated(block, (*NUMBERS, *SYMBOLS, *HALL, *OPERATIONS)):
        warnings.warn(
            f"{name} states no symmetry: the atoms it lists were taken for all of the cell",
            UnstableWarning,
            stacklevel=2,
        )
    return atoms


def _check_cell(block: Any, name: str) -> None:
    wrong = [tag for tag in CELL if not isinstance(block.get(tag), (int, float)) or not block[tag] > 0]
    if wrong:
        raise StructureError(
            f"{name} states no cell: {wrong[0]} is {block.get(wrong[0], 'missing')!s:.40}",
            "the atoms of a crystal are given relative to it",
            "get the whole file, or write the six parameters _cell_length_a ... _cell_angle_gamma",
        )


def _without_symmetry(block: Any, name: str, error: Exception | None) -> StructureError:
    symbol, number = first_stated(block, (*SYMBOLS, *HALL)), first_stated(block, NUMBERS)
    stated = f"the space group {symbol or number!r}" if symbol or number else "no space group"
    return StructureError(
        f"{name} cannot be read: it states {stated}, lists no symmetry operations, and ASE says "
        f"{why_unread(error) if error else 'that it does not know it'}",
        "the operations make the crystal of the sites that are listed",
        "add the number of the space group, `_space_group_IT_number 227` for instance, or the operations",
    )


# ---- operations and sites --------------------------------------------------------------------------


def _expanded(block: Any, operations: Sequence[Operation], name: str, tolerance: float) -> Atoms:
    """All images of the sites, those nearer than a tolerance joined at their mean."""
    occupancies = block.get("_atom_site_occupancy") or []
    for number, value in enumerate(occupancies):
        if isinstance(value, (int, float)) and abs(value - 1) > FULL_OCCUPANCY:
            raise StructureError(
                f"{name}: site {number}, counted from 0, is occupied in part: {amount(value)}",
                "a potential takes whole atoms: it would be computed as if the site were full",
                "give an ordered structure, such as a supercell with the atoms distributed",
            )
    try:
        sites = block.get_unsymmetrized_structure()
        cell, scaled = sites.cell.array, sites.get_scaled_positions(wrap=False)
    except Exception as error:  # ASE raises whatever it runs into
        if isinstance(error, KeyError) and error.args[0] in HYDROGEN_ISOTOPES:
            raise  # `stated_atoms` reads the file again, and knows them
        raise _damaged(name, f"a symbol or coordinate is none: {why_unread(error)}") from error
    images: list[NDArray[np.float64]] = []
    origins: list[int] = []
    for k, site in enumerate(scaled):
        own = np.array([w @ site + t for w, t in operations])
        earlier = [image for image, j in zip(images, origins, strict=True) if sites.numbers[j] == sites.numbers[k]]
        if earlier and _distances(np.array(earlier), site, cell).min() < tolerance:
            warnings.warn(f"{name}: site {k}, counted from 0, is an image of another", UnstableWarning, stacklevel=3)
            continue
        while len(own):
            same = _distances(own, own[0], cell) < tolerance
            apart = own[same] - own[0]
            images.append(own[0] + (apart - np.rint(apart)).mean(axis=0))
            origins.append(k)
            own = own[~same]
    return Atoms(
        numbers=sites.numbers[origins],
        scaled_positions=np.array(images) % 1.0,
        cell=cell,
        pbc=True,
        masses=sites.get_masses()[origins] if sites.has("masses") else None,
    )


def _distances(
    scaled: NDArray[np.float64], point: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) [Å] from a point to the nearest images, where these are near."""
    apart = scaled - point
    return np.linalg.norm((apart - np.rint(apart)) @ cell, axis=1)


# ---- what the file states of itself ----------------------------------------------------------------


def _check_rounding(block: Any, atoms: Atoms, name: str) -> None:
    """Refuse images of one site that lie almost on each other: 0.333 was written for 1/3."""
    from ase.neighborlist import neighbor_list

    compact = with_short_vectors(atoms)  # a skewed cell would take hours
    first, second, distances = neighbor_list("ijd", compact, ROUNDED)
    near = (atoms.numbers[first] == atoms.numbers[second]) & (distances > 0)
    n_sites = len(block.get_symbols())
    if not near.any() or len(atoms) <= n_sites:
        return
    symbol, widest = atoms.symbols[int(first[near][0])], float(distances[near].max())
    needed = next(x for x in (float(f"{k * widest:.1g}") for k in (1.2, 1.5, 2)) if x > widest)
    raise StructureError(
        f"{name}: special positions are rounded: symmetry makes several {symbol} up to {widest:.3g} Å apart of"
        f" one site (0.333 or 0.667 written for 1/3 or 2/3?)",
        "they are one atom, and the cell would hold several in its place",
        f"write more digits; or join them with `site_tolerance={needed:g}`, and each goes to the middle of its images",
    )


def _counts(text: Any) -> dict[str, float] | None:
    """Atoms of each element in a stated formula such as "C2 H6 O"; None where it is not written in that way."""
    if not isinstance(text, str):
        return None
    counts: dict[str, float] = {}
    for part in text.strip("'\" ").split():
        symbol_and_count = re.fullmatch(r"([A-Z][a-z]?)(\d+(?:\.\d*)?|\.\d+)?", part)
        if symbol_and_count is None:
            return None
        symbol = "H" if symbol_and_count[1] in ("D", "T") else symbol_and_count[1]
        counts[symbol] = counts.get(symbol, 0.0) + float(symbol_and_count[2] or 1)
    return counts if counts and min(counts.values()) > 0 else None


def _check_formula(block: Any, atoms: Atoms, name: str) -> None:
    stated = _counts(block.get("_chemical_formula_sum"))
    if stated is None or _is_partial(atoms):  # which `check_structure` refuses, with its sites
        return
    read = {symbol: float(n) for symbol, n in atoms.symbols.formula.count().items()}
    formula = " ".join(f"{symbol}{n:g}" for symbol, n in stated.items())
    ratios = [read.get(symbol, 0.0) / stated.get(symbol, np.inf) for symbol in {*read, *stated}]
    if max(ratios) > (1 + SAME_FORMULA) * min(ratios):
        raise StructureError(
            f"{name} states the formula {formula}, and its atoms are {atoms.get_chemical_formula('reduce')}",
            "the file is cut, or sites or symmetry operations are missing: it would be another crystal",
            "get the whole file; if its atoms are right, correct _chemical_formula_sum or delete that line",
        )
    units = block.get("_cell_formula_units_z")
    if not isinstance(units, (int, float)) or units <= 0:
        return
    whole = all(n == int(n) for n in stated.values())
    divisor = int(np.gcd.reduce([int(n) for n in stated.values()])) if whole else 1
    # Some write the content of the cell as the formula, with the number of reduced units beside it.
    if not any(abs(min(ratios) / n - 1) < SAME_FORMULA for n in (units, units / divisor)):
        raise StructureError(
            f"{name} states {units:g} units of {formula} in the cell, and {min(ratios):g} were read",
            "symmetry operations are missing or too many, or the cell is another one",
            "get the whole file; if its atoms are right, correct _cell_formula_units_Z or delete that line",
        )


def _is_partial(atoms: Atoms) -> bool:
    stated = atoms.info.get("occupancy")
    sites = stated.values() if isinstance(stated, dict) else []
    return not all(map(is_full, sites))
