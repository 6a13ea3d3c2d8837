"""Which compositions can be salts."""

import pytest
from ase.formula import Formula

from ase_phonax.structures.oxidation import STATES, is_balanced


def numbers(formula: str) -> list[int]:
    from ase.data import atomic_numbers

    return [atomic_numbers[symbol] for symbol, n in Formula(formula).count().items() for _ in range(n)]


@pytest.mark.parametrize(
    "salt", ["NaCl", "MgO", "Al2O3", "Fe3O4", "BaTiO3", "Mg2Si", "GaAs", "KClO4", "CsPbBr3", "Na2O2", "LiH"]
)
def test_salts_balance(salt):
    assert is_balanced(numbers(salt))


@pytest.mark.parametrize("metal", ["Al", "Si", "NiAl", "Cu3Au", "LiAl", "Nb3Sn", "O2", "CaF", "Mg3O"])
def test_metals_elements_and_impossible_salts_do_not(metal):
    assert not is_balanced(numbers(metal))


def test_the_table_is_sane():
    assert STATES[8] == (-2, -1)
    assert STATES[26] == (3, 2)
    assert len(STATES) > 80
    assert all(-4 <= state <= 8 and state for states in STATES.values() for state in states)
