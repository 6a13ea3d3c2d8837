"""Checks that every potential must pass, for the tests of whoever writes one.

    from ase_phonax.testing import check_potential

    def test_my_potential_keeps_the_contract():
        check_potential(my_potential)

Each check raises a `ContractError` that says what was measured, what would have passed and what usually causes it.
`check_potential` runs all of them on structures that it makes from the potential's elements and cutoff; each can be
asked alone, and most take structures of yours. They ask the calculator as users do, so that they stand above it; the
trials of the bare function, which the calculator itself makes, are those of `derivatives.compiled.contract`.
"""

from ..base.errors import ContractError
from .checks import (
    check_arrays,
    check_cutoff,
    check_dynamical_matrix,
    check_exchange,
    check_invariance,
    check_isolated_atoms,
    check_potential,
    check_repeatability,
    check_shape,
    check_stars,
)

__all__ = [
    "ContractError",
    "check_arrays",
    "check_cutoff",
    "check_dynamical_matrix",
    "check_exchange",
    "check_invariance",
    "check_isolated_atoms",
    "check_potential",
    "check_repeatability",
    "check_shape",
    "check_stars",
]
