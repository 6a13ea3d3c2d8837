"""What a structure file says of its atoms that ASE's readers do not take: hydrogen's isotopes, magnetic moments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ase import Atoms

from ..base.sharing import Lock
from .species import HYDROGEN_ISOTOPES, say_moments_are_ignored

Images = Atoms | list[Atoms]  # of a file: one, or several where an index selects them
# Elements that stand for D and T while ASE reads: no potential knows them, and files that hold them are left alone.
_STAND_INS = {"D": 117, "T": 118}
_DEUTERON = 2.01355  # [amu] what ASE's CIF reader gives an atom of deuterium, which has an electron as well
_MOMENTS_OF_CIF = b"_atom_site_moment"
_READING = Lock()  # nobody reads while the table has stand-ins for somebody else


def read_stated(path: Path, read: Callable[[], Images]) -> Images:
    """What `read` makes of a file: D and T are hydrogen with their masses, magnetic moments of a CIF are warned of.

    Args:
        path: of the file.
        read: reads it through ASE; called again where ASE does not know D or T.

    Returns:
        its result, Atoms or a list of them.
    """
    stand_ins: Mapping[str, int] = {}
    with _READING:
        try:
            result = read()
        except KeyError as error:
            if not names_isotopes(error) or re.search(rb"\b(Ts|Og)\b", path.read_bytes()):
                raise
            result, stand_ins = _with_stand_ins(read), _STAND_INS
    for atoms in result if isinstance(result, list) else [result]:
        _set_masses(atoms, stand_ins)
    if path.suffix.lower() in (".cif", ".mcif") and _MOMENTS_OF_CIF in path.read_bytes():
        say_moments_are_ignored()
    return result


def names_isotopes(error: KeyError) -> bool:
    """Whether ASE did not find the element D or T."""
    return re.search(r"\b[DT]\b", str(error)) is not None


def _with_stand_ins(read: Callable[[], Images]) -> Images:
    """ASE's readers look elements up in one table, and know D in CIF files alone (until ASE 3.29 at least)."""
    from ase.data import atomic_numbers

    try:
        atomic_numbers.update(_STAND_INS)
        return read()
    finally:
        for symbol in _STAND_INS:
            atomic_numbers.pop(symbol, None)


def _set_masses(atoms: Atoms, stand_ins: Mapping[str, int]) -> None:
    masses, numbers, changed = atoms.get_masses(), atoms.numbers, False
    for symbol in _STAND_INS:
        mine = numbers == stand_ins.get(symbol, -1)
        if symbol == "D":
            mine |= (numbers == 1) & (abs(masses - _DEUTERON) < 1e-6)
        if mine.any():
            masses[mine], numbers[mine], changed = HYDROGEN_ISOTOPES[symbol], 1, True
    if changed:
        atoms.numbers = numbers
        atoms.set_masses(masses)
