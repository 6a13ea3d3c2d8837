"""Which charges a study of phonons takes: those of a file, predicted ones, or none, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..models.potential import Potential
    from ..phonons.polar import NonAnalyticCorrection
    from .conductivity_settings import ConductivitySettings
    from .settings import PhononSettings

PREDICT, NONE = WORDS = ("predict", "none")  # in the place of a file
AS_ASKED, GIVEN = "as asked", "given"
_NEED_CHARGES = ("nac_direction", "dipole_width", "infrared_damping")
_ELSEWHERE = 0.5  # of a predicted charge, and e: given ones that are further from it may be another crystal's


def usable(
    settings: PhononSettings | ConductivitySettings, atoms: Atoms, potential: Potential | None = None
) -> tuple[Any, str]:
    """Charges and why they are taken, or None and why there are none.

    Before anything is computed the potential does not count: what it decides is no reason to refuse a setting.

    Raises:
        InputError: charges that do not fit the crystal, or none where another setting needs some.
    """
    from ..base.errors import InputError
    from ..phonons.polar import read_correction
    from ..structures.layers import vacuum_axis

    if str(settings.born) in WORDS and Path(str(settings.born)).exists():
        raise InputError(
            f"`born` is {str(settings.born)!r}, and a file of that name is here",
            "it is not clear whether the file is meant, or charges that are predicted from the structure or left out",
            "rename the file, or move it",
        )
    charges, reason = _decided(settings, atoms, potential)
    if charges is None:
        if needing := _needing(settings):
            raise InputError(
                f"`{needing[0]}` is given for a crystal without charges ({reason})",
                "without charges there are no dipoles: nothing depends on directions at Γ, and light moves nothing",
                "give the charges as well (`born`), or leave it out",
            )
        return None, reason
    if potential is None:  # afterwards the calculator with charges reads them
        read_correction(charges, atoms, settings.symprec, layer=vacuum_axis(atoms) is not None)
    if getattr(settings, "impose_rotations", False) and (potential is not None or settings.born is not None):
        raise InputError(
            "`impose_rotations` is given for a crystal with charges",
            "moments of the interaction of dipoles depend on how far one sums, and conditions on macroscopic fields",
            "leave charges out (`born=none`), or do not impose it",
        )
    return charges, reason


def _decided(
    settings: PhononSettings | ConductivitySettings, atoms: Atoms, potential: Potential | None
) -> tuple[Any, str]:
    """Charges as asked for; predicted ones unless something speaks against them."""
    from ..base.errors import InputError
    from ..phonons.polar import predict_charges, width_of
    from ..structures.layers import vacuum_axis

    if str(settings.born) == NONE:
        return None, AS_ASKED
    if str(settings.born) == PREDICT:
        return predict_charges(atoms), AS_ASKED
    if settings.born is not None:
        return settings.born, GIVEN
    if vacuum_axis(atoms) is not None:
        return None, "a layer: they are predicted of crystals in three dimensions alone (`born` gives others)"
    if potential is not None and width_of(potential) is None and not _needing(settings):
        return None, f"where the reach of {potential.name!r} ends was not measured (`born=predict` takes L = 0.1 1/Å)"
    try:
        found = predict_charges(atoms)
    except InputError as error:  # a box, an element that the network does not know
        return None, error.what
    return (found, "nothing speaks for a metal") if found.doubt is None else (None, found.doubt)


def _needing(settings: PhononSettings | ConductivitySettings) -> list[str]:
    """Settings that make sense with charges only."""
    return [name for name in _NEED_CHARGES if getattr(settings, name, None) is not None]


def with_charges(
    calc: PhonaxCalculator, atoms: Atoms, settings: PhononSettings | ConductivitySettings
) -> tuple[PhonaxCalculator, str]:
    """The calculator of a relaxed crystal, which knows the charges where there are any, and why it does or not."""
    from ..base.errors import InputError
    from ..phonons.calculators import knows_matrices
    from ..phonons.polar import PolarCalculator, PolarLayerCalculator
    from ..structures.layers import vacuum_axis

    if not knows_matrices(calc):
        if settings.born is not None and str(settings.born) != NONE:
            raise InputError(
                "charges are given for second derivatives by displacements",
                "what the interaction of dipoles adds to them depends on what the calculator has of it already",
                "leave `born` out; `results.phonopy.nac_params` takes phonopy's own correction",
                on_command_line="leave --born out; phonopy-load --nac applies phonopy's own correction to the files",
            )
        return calc, "they are not combined with displacements here"
    charges, reason = usable(settings, atoms, calc.potential)
    if charges is None:
        return calc, reason
    polar = PolarCalculator if vacuum_axis(atoms) is None else PolarLayerCalculator
    charged = polar(calc, atoms, charges, settings.dipole_width, settings.symprec)
    return cast("PhonaxCalculator", charged), reason


def doubt_of_given(atoms: Atoms, correction: NonAnalyticCorrection) -> str | None:
    """What speaks against charges of a file: a metal, or predicted ones that are far; None where nothing does."""
    import numpy as np

    from ..base.errors import InputError
    from ..phonons.polar import predict_charges
    from ..structures.oxidation import why_not_an_insulator

    if (reason := why_not_an_insulator(atoms.numbers.tolist())) is not None:
        return reason
    try:
        predicted = predict_charges(atoms).charges
    except InputError:
        return None  # nothing to compare with
    for symbol in dict.fromkeys(atoms.symbols):
        rows = atoms.symbols == symbol
        own, other = (np.trace(z[rows], axis1=1, axis2=2).mean() / 3 for z in (correction.charges, predicted))
        if abs(own - other) > _ELSEWHERE * (1 + abs(other)):
            return f"{symbol} has {own:+.2f} e, where {other:+.2f} is predicted"
    return None
