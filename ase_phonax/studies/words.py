"""Numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base.units import FREQUENCY_UNITS

_DEGENERATE_THZ = 5e-4
_COARSE = 0.2  # of the highest frequency: a tolerance beyond it says little
_ROTATIONS_FELT = 1e-7  # relative: graphene's bending modes of 4 x 4 cells have 3e-4, of 9 x 9 cells 1e-9
LARGEST_ERROR = 4.0  # times the tolerance: of a hundred errors the largest is about three times their RMS


def frequency(value_thz: float, unit: str = "THz") -> str:
    """A frequency in a unit of `units.FREQUENCY_UNITS`, without the sign of a rounding error."""
    factor = FREQUENCY_UNITS[unit][0]
    digits = 3 if factor < 10 else 1  # 0.03 of the last place of 1/cm is 0.001 THz
    value = factor * value_thz
    return f"{value if abs(value) >= 0.5 * 10.0**-digits else 0.0:.{digits}f}"


def frequencies_in_words(values_thz: Sequence[float], unit: str = "THz") -> str:
    """Ascending frequencies, degenerate ones once: "0.000 (3)  4.933 (2)  7.840"."""
    groups: list[list[float]] = []
    for value in values_thz:
        if groups and value - groups[-1][-1] < _DEGENERATE_THZ:
            groups[-1].append(value)
        else:
            groups.append([value])
    return "  ".join(
        frequency(sum(group) / len(group), unit) + (f" ({len(group)})" if len(group) > 1 else "") for group in groups
    )


def vector_in_words(vector: Sequence[float]) -> str:
    """A q-point: "(0, 0.5, 0.5)"."""
    return "(" + ", ".join(f"{round(float(x), 4) + 0.0:g}" for x in vector) + ")"


def matrix_in_words(matrix: Sequence[Sequence[int]]) -> str:
    """A supercell matrix: "3 × 3 × 2", or its rows where it is not diagonal."""
    rows = [[int(n) for n in row] for row in matrix]
    if all(rows[i][j] == 0 for i in range(3) for j in range(3) if i != j):
        return " × ".join(str(rows[i][i]) for i in range(3))
    return ", ".join(" ".join(map(str, row)) for row in rows)


def noise_in_words(value: float, exact: bool = True) -> str:
    """What a violation of an exact invariance, relative to the largest constant, means.

    Args:
        exact: derivatives are; differences have errors that grow with their steps.
    """
    if value < 1e-9:
        return "rounding"
    if not exact and value < 1e-2:
        return "of differences"
    return "noise of single precision" if value < 1e-4 else "LARGE: the constants should not be used"


def symmetry_in_words(value: float, rotations_alone: bool = False) -> str:
    """What a space-group residual, relative to the largest constant, means.

    Args:
        rotations_alone: the model tells mirror images apart.
    """
    if value < 1e-9:
        return "rounding"
    if rotations_alone and value < 1e-2:
        return "the model's: it knows rotations alone, and reflections hold as well as this"
    if value < 1e-4:
        return "small: noise, or a structure not quite symmetric"
    return "LARGE: structure or supercell do not have the symmetry found"


def rotations_in_words(checks: Mapping[str, float], imposed: bool, stressed: bool) -> str:
    """Violations of rotational invariance, and what was done about them."""
    said = f"{checks['rotations_born_huang']:.1e} Born and Huang, {checks['rotations_huang']:.1e} Huang"
    if imposed:
        return f"{said}, and then imposed: constants changed by {checks['rotations_changed_constants_by']:.1e} eV/Å²"
    if checks["rotations_huang"] < _ROTATIONS_FELT:
        return said
    if stressed:
        return f"{said}   as the layer is under stress: bending modes feel it, in exact D(q) as well"
    return f"{said}   low bending modes of the supercell feel it: `impose_rotations`, or `exact`"


def interpolation_in_words(
    error_thz: float,
    largest_thz: float,
    tolerance_thz: float,
    highest_thz: float,
    where: str,
    may_be_exact: bool = True,
) -> tuple[str, bool]:
    """What the error of interpolating between the supercell's q-points means for its size, and whether it is too large.

    Args:
        error_thz, largest_thz: RMS and largest over branches and q-points [THz].
        tolerance_thz: of the RMS; `LARGEST_ERROR` times that, of the largest.
        highest_thz: frequency of the crystal.
        where: the q-point of the largest error.
        may_be_exact: whether the run could have taken everything from exact D(q).
    """
    if error_thz > tolerance_thz:
        return "visible in the bands: take a larger supercell" + (" (much larger)" if error_thz > 0.3 else ""), True
    if tolerance_thz > _COARSE * highest_thz:
        share = f"{100 * tolerance_thz / highest_thz:.0f} % of the highest frequency" if highest_thz > 0 else "large"
        return f"within the tolerance of {tolerance_thz:g} THz, but that is {share}: give a smaller `tolerance`", True
    limit = LARGEST_ERROR * tolerance_thz
    if largest_thz > limit:
        words = (
            f"large enough by RMS (up to {tolerance_thz:g} THz), but one mode is off by {largest_thz:.2g} THz at"
            f" q = {where}, more than {limit:g} THz: {'`exact=True`, or ' * may_be_exact}a smaller `tolerance`"
        )
        return words, True
    return f"the supercell is large enough (RMS up to {tolerance_thz:g}, largest up to {limit:g} THz)", False
