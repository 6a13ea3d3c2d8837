"""Which compositions can be salts."""

import pytest
from ase.formula import Formula

from ase_phonax.structures.oxidation import STATES, is_always_positive, why_not_an_insulator


def numbers(formula: str) -> list[int]:
    from ase.data import atomic_numbers

    return [atomic_numbers[symbol] for symbol, n in Formula(formula).count().items() for _ in range(n)]


@pytest.mark.parametrize(
    "salt", ["NaCl", "MgO", "Al2O3", "BaTiO3", "Mg2Si", "GaAs", "K2Cl2O8", "CsPbBr3", "Na2O2", "LiH", "Cu2O", "Ba2O4"]
)
def test_salts_balance(salt):
    assert why_not_an_insulator(numbers(salt)) is None


@pytest.mark.parametrize("metal", ["Si", "Si2", "Ni2Al2", "Cu6Au2", "Li2Al2", "Nb6Sn2", "O2", "Ca2F2", "Mg3O", "K2O4"])
def test_metals_elements_and_impossible_salts_do_not(metal):
    assert "do not balance" in why_not_an_insulator(numbers(metal))


@pytest.mark.parametrize(
    "insulator", ["TiO2", "MoS2", "LaAlO3", "PtO2", "K2PtCl6", "ZnO", "Na2Co2O4", "FeS2", "Fe2P4", "PdO", "WO3"]
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
        ("FeO", "partly filled"),
        ("NiO", "partly filled"),
        ("Fe3O4", "partly filled"),
        ("Fe2O3", "partly filled"),
        ("SrRuO3", "partly filled"),
        ("SrMoO3", "partly filled"),
        ("RuO2", "partly filled"),
        ("Co2S4", "partly filled"),
    ],
)
def test_signs_of_metals(metal, sign):
    assert sign in why_not_an_insulator(numbers(metal))


def test_the_table_is_sane():
    assert STATES[8] == (-2, -1)
    assert STATES[26] == (3, 2)
    assert len(STATES) > 80
    assert all(-4 <= state <= 8 and state for states in STATES.values() for state in states)
    assert is_always_positive(26)
    assert not is_always_positive(16)
    assert not is_always_positive(119)
