"""Can a composition be a salt? Common oxidation states of the elements, and whether they balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

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


def is_balanced(numbers: Iterable[int]) -> bool:
    """Whether common oxidation states of the elements add up to zero, each element positive or negative throughout.

    Args:
        numbers: atomic numbers of all atoms. An element that is not in the table balances nothing.
    """
    sums: set[tuple[int, bool, bool]] = {(0, False, False)}  # what has been given, and whether both signs occur
    for number, count in Counter(numbers).items():
        choices = set()
        for sign in (1, -1):
            states = [state for state in STATES.get(number, ()) if state * sign > 0]
            if states:
                choices |= {(total, sign > 0, sign < 0) for total in _totals(states, count)}
        sums = {(a + b, p or q, m or n) for a, p, m in sums for b, q, n in choices}
    return (0, True, True) in sums


def _totals(states: list[int], count: int) -> set[int]:
    """What `count` atoms can have together, each in any of the states."""
    totals = {0}
    for _ in range(count):
        totals = {total + state for total in totals for state in states}
    return totals
