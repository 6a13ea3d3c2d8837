"""Can a composition be an insulator? Electrons, common oxidation states of the elements, and d shells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ase.data import atomic_numbers

# N. N. Greenwood and A. Earnshaw, Chemistry of the Elements, 2nd ed. (1997): states that are common in solids.
_STATES = """
H 1 -1; Li 1; Be 2; B 3 -3; C 4 2 -4 -1; N 5 3 -3 -1; O -2 -1; F -1; Na 1; Mg 2; Al 3; Si 4 -4; P 5 3 4 -3 -1
S 6 4 -2 -1; Cl 7 5 -1; K 1; Ca 2; Sc 3; Ti 4 3 2; V 5 4 3 2; Cr 6 3 2; Mn 7 4 3 2; Fe 3 2; Co 3 2; Ni 2 3; Cu 2 1
Zn 2; Ga 3 1; Ge 4 2 -4; As 5 3 -3 -1; Se 6 4 -2 -1; Br 7 5 -1; Rb 1; Sr 2; Y 3; Zr 4; Nb 5 4; Mo 6 4; Tc 7 4
Ru 4 3 2; Rh 3; Pd 2 4; Ag 1 3; Cd 2; In 3 1; Sn 4 2 -4; Sb 5 3 -3 -1; Te 6 4 -2 -1; I 7 5 -1; Xe 2 4 6; Cs 1; Ba 2
La 3; Ce 3 4; Pr 3 4; Nd 3; Pm 3; Sm 3 2; Eu 3 2; Gd 3; Tb 3 4; Dy 3; Ho 3; Er 3; Tm 3 2; Yb 3 2; Lu 3; Hf 4; Ta 5
W 6 4; Re 7 4; Os 4 8 2; Ir 3 4; Pt 2 4; Au 1 3 -1; Hg 2 1; Tl 1 3; Pb 2 4; Bi 3 5 -3; Th 4; Pa 5 4; U 6 4; Np 5 4
Pu 4 3
"""
STATES = {
    atomic_numbers[name]: tuple(map(int, states))
    for name, *states in (entry.split() for entry in _STATES.replace("\n", ";").split(";") if entry.strip())
}


# Electrons in a d shell that leave a gap: none, all, and the low-spin octahedron and the square plane.
_CLOSED = (0, 6, 8, 10)
_PRISMS = (42, 74)  # Mo and W, whose two electrons of M(IV) pair in trigonal prisms of heavier anions: MoS2
# Iron(II), nickel(II) and copper(III) are magnets where these are around them: their spins are high.
_HIGH_SPIN, _WEAK = ((26, 2), (28, 2), (29, 3)), (7, 8, 9, 17, 35, 53)
_PEROXIDE = (8, -1)  # not with metals that have d electrons to give
_FIRST_OF_A_ROW = (21, 39, 71)  # group 3 of the d block; the others follow by number
_OF_A_ROW = 10


def why_not_an_insulator(numbers: Iterable[int]) -> str | None:
    """What speaks against a gap between occupied and empty bands, from the composition alone; None where nothing does.

    Three signs: an odd number of electrons in the primitive cell, which no number of filled bands can hold; oxidation
    states that do not balance; and states that balance only with d shells which are open in any surrounding. A magnet
    may have a gap all the same.

    Args:
        numbers: atomic numbers of the atoms of a primitive cell.
    """
    atoms = list(numbers)
    if sum(atoms) % 2:
        return f"{sum(atoms)} electrons in the primitive cell, an odd number, cannot fill bands: a metal, or a magnet"
    shells = _open_shells(atoms)
    if shells is None:
        return "common oxidation states of its elements do not balance: a metal, or bonds that share electrons evenly"
    if shells:
        return "oxidation states balance only with d shells that are partly filled: a metal, or a magnet"
    return None


def is_always_positive(number: int) -> bool:
    """Whether an element has none but positive oxidation states: metals have."""
    return min(STATES.get(number, (-1,))) > 0


def _open_shells(numbers: Sequence[int]) -> int | None:
    """Fewest atoms with an open d shell in states that balance; None where none balance.

    Atoms of an element may be in several positive states; negative ones are the same for all of them.
    """
    weak = any(number in _WEAK for number in numbers)
    no_peroxide = any(_row(number) is not None for number in numbers)
    # What has been given so far, and whether both signs occur.
    sums: dict[tuple[int, bool, bool], int] = {(0, False, False): 0}
    for number, count in Counter(numbers).items():
        states = STATES.get(number, ())
        positive = {state: _is_open(number, state, weak) for state in states if state > 0}
        choices = [(total, shells, True) for total, shells in _totals(positive, count).items() if positive]
        choices += [
            (count * state, 0, False)
            for state in states
            if state < 0 and not (no_peroxide and (number, state) == _PEROXIDE)
        ]
        fewest: dict[tuple[int, bool, bool], int] = {}
        for (given, plus, minus), before in sums.items():
            for total, shells, gives in choices:
                key = (given + total, plus or gives, minus or not gives)
                fewest[key] = min(fewest.get(key, before + shells), before + shells)
        sums = fewest
    return sums.get((0, True, True))


def _is_open(number: int, state: int, weak: bool) -> bool:
    """Whether an ion has a d shell that is open in any surrounding, or among these `weak` neighbours."""
    first = _row(number)
    if first is None:
        return False
    if weak and (number, state) in _HIGH_SPIN:
        return True
    left = number - first + 3 - state
    return left not in _CLOSED and not (left == 2 and number in _PRISMS and not weak)


def _row(number: int) -> int | None:
    """The first element of its row of the d block; None of others."""
    return next((first for first in _FIRST_OF_A_ROW if first <= number < first + _OF_A_ROW), None)


def _totals(states: dict[int, bool], count: int) -> dict[int, int]:
    """What `count` atoms can have together, each in any of the states -> the fewest open shells of it."""
    totals = {0: 0}
    for _ in range(count):
        fewest: dict[int, int] = {}
        for total, before in totals.items():
            for state, is_open in states.items():
                shells = before + is_open
                fewest[total + state] = min(fewest.get(total + state, shells), shells)
        totals = fewest
    return totals
