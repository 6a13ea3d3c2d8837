"""Which compositions can be salts."""

import pytest
from ase.formula import Formula

from ase_phonax.structures.oxidation import STATES, is_balanced, why_not_an_insulator


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


@pytest.mark.parametrize(
    "insulator", ["NaCl", "BaTiO3", "TiO2", "MoS2", "Al2O3", "LaAlO3", "PtO2", "K2PtCl6", "ZnO", "Mg2Si", "Na2Co2O4"]
)
def test_nothing_speaks_against_insulators(insulator):
    assert why_not_an_insulator(numbers(insulator)) is None


@pytest.mark.parametrize(
    ("metal", "sign"),
    [
        ("Al", "13 electrons"),
        ("TiN", "29 electrons"),
        ("ReO3", "99 electrons"),
        ("LaB6", "87 electrons"),
        ("NbS2", "73 electrons"),
        ("MgB2", "do not balance"),
        ("Nb6Sn2", "do not balance"),
        ("VN", "partly filled"),
        ("TiO", "partly filled"),
        ("CrO2", "partly filled"),
    ],
)
def test_signs_of_metals(metal, sign):
    assert sign in why_not_an_insulator(numbers(metal))


def test_the_table_is_sane():
    assert STATES[8] == (-2, -1)
    assert STATES[26] == (3, 2)
    assert len(STATES) > 80
    assert all(-4 <= state <= 8 and state for states in STATES.values() for state in states)
