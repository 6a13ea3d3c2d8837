"""The error of interpolating from a supercell, measured against exact D(q): for programs and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .summary_units import Summary

if TYPE_CHECKING:
    from phonopy import Phonopy

    from .report import Report


def supercell_error(calc: Any, phonopy: Phonopy, tolerance_thz: float) -> Summary:
    """How far frequencies interpolated from the supercell of a crystal are from exact ones."""
    import numpy as np

    from ..phonons.calculators import knows_matrices
    from ..phonons.supercell import checks, constants
    from ..phonons.supercell.comparison import errors_by_comparison

    qpoints, against, noise = checks.probes_for(calc), 0, {}
    if knows_matrices(calc):
        exact = calc.get_dynamical_matrix(constants.crystal_atoms(phonopy.primitive), qpoints)
        errors = constants.interpolation_errors(phonopy, exact, qpoints)
    else:
        errors, against = errors_by_comparison(phonopy, calc)
        noise = {"displacement_noise_thz": calc.noise(phonopy, qpoints)}
    rms = float(np.sqrt(np.mean(errors**2)))
    return {
        "supercell_meets_tolerance": rms <= tolerance_thz,
        "supercell_tolerance_thz": tolerance_thz,
        "interpolation_error_thz": rms,
        "interpolation_error_max_thz": float(np.abs(errors).max()),
        "interpolation_error_against": compared_with(against),
        "interpolation_error_max_qpoint": qpoints[np.abs(errors).max(axis=1).argmax()].tolist(),
        **noise,
    }


def describe_supercell_error(text: Report, found: Summary, highest_thz: float, name: str = "its error") -> None:
    """Add the error, and what it means, to a report.

    Args:
        found: of `supercell_error`, or what has its entries.
        highest_thz: frequency of the crystal.
        name: of the row.
    """
    from .words import interpolation_in_words, vector_in_words

    error, worst = found["interpolation_error_thz"], found["interpolation_error_max_thz"]
    words, too_large = interpolation_in_words(
        error,
        worst,
        found["supercell_tolerance_thz"],
        highest_thz,
        vector_in_words(found["interpolation_error_max_qpoint"]),
        may_be_exact=False,
    )
    against = found["interpolation_error_against"]
    text.row(name, f"{error:.2g} THz RMS, {worst:.2g} THz at most, against {against}   {words}", doubt=too_large)
    if noise := found.get("displacement_noise_thz"):
        words = f"{noise:.1g} THz RMS, which is what steps twice as long change"
        text.row("noise", words, doubt=noise > found["supercell_tolerance_thz"])


def compared_with(n_atoms: int, exact: str = "exact D(q)") -> str:
    """What numbers of a supercell were compared with, in words; 0 for exact ones."""
    return f"a supercell of {n_atoms} atoms" if n_atoms else exact
