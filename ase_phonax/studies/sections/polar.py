"""Polar crystals: charges given or predicted, modes split at Gamma, and the interaction of dipoles in every D(q)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...base.units import FREQUENCY_UNITS
from ..options import Settings, number, option, path
from ..section import Context, Section
from ..summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms

    from ...calculator import PhonaxCalculator
    from ...models.potential import Potential
    from ...phonons.polar import GammaSplitting, NonAnalyticCorrection
    from ..report import Report
    from ..settings import PhononSettings

_GROUP = "polar crystals"
PREDICT, NONE = WORDS = ("predict", "none")  # in the place of a file
AS_ASKED, GIVEN = "as asked", "given"


@dataclass(frozen=True)
class PolarSettings(Settings):
    """Charges, and directions in which Gamma is approached."""

    born: Path | None = option(
        None,
        path,
        _GROUP,
        "Born charges and dielectric tensor in phonopy's format: LO and TO modes split at Γ, and D(q) holds the"
        " interaction of dipoles at any distance; `predict` has them predicted from the structure by a network that"
        " learned DFT's, `none` leaves them out (default: predicted for models whose reach is measured, unless"
        " something speaks for a metal)",
        metavar="BORN",
    )
    dipole_width: float | None = option(
        None,
        number,
        _GROUP,
        "where there are charges: L of the Gaussian that ends the model's reach, in 1/Å; the interaction of dipoles in"
        " waves longer than about 1/L is added to what the model knows (default: as measured for the model, or 0.1)",
        metavar="L",
    )
    nac_direction: tuple[tuple[float, float, float], ...] | None = option(
        None,
        number,
        _GROUP,
        "where there are charges: frequencies at Γ approached along this direction, in reduced coordinates of the"
        " reciprocal primitive cell; may be given several times (default: the directions in which the band path"
        " leaves Γ)",
        metavar=("QA", "QB", "QC"),
        n_values=3,
        repeated=True,
    )


def check(settings: PhononSettings, atoms: Atoms) -> None:
    """Read the file against the primitive cell, and refuse what cannot be combined.

    Raises:
        InputError: a direction or a width that is none, or without charges; a bad file.
    """
    from ...base.errors import InputError
    from ...phonons.polar import checked_directions, checked_width
    from ...structures.layers import vacuum_axis

    if settings.nac_direction is not None:
        checked_directions([list(row) for row in settings.nac_direction])
    if settings.dipole_width is not None:
        checked_width(settings.dipole_width)
    if str(settings.born) in WORDS and Path(str(settings.born)).exists():
        raise InputError(
            f"`born` is {str(settings.born)!r}, and a file of that name is here",
            "it is not clear whether the file is meant, or charges that are predicted from the structure or left out",
            "rename the file, or move it",
        )
    charges, _ = _usable(settings, atoms)
    if charges is not None and settings.impose_rotations:
        raise InputError(
            "`impose_rotations` is given for a crystal with charges",
            "moments of the interaction of dipoles depend on how far one sums, and conditions on macroscopic fields",
            "leave charges out (`born=none`), or do not impose it",
        )
    if charges is not None and settings.nac_direction is not None and vacuum_axis(atoms) is not None:
        raise InputError(
            "`nac_direction` is given for a layer",
            "modes of a layer do not split at Γ, along any direction",
            "leave it out",
        )


def _usable(settings: PhononSettings, atoms: Atoms, potential: Potential | None = None) -> tuple[Any, str]:
    """Charges and why they are taken, or None and why there are none.

    Before anything is computed the potential does not count: what it decides is no reason to refuse a setting.

    Raises:
        InputError: charges that do not fit the crystal, or none where another setting needs some.
    """
    from ...base.errors import InputError
    from ...phonons.polar import read_correction
    from ...structures.layers import vacuum_axis

    charges, reason = _decided(settings, atoms, potential)
    if charges is not None:
        read_correction(charges, atoms, settings.symprec, layer=vacuum_axis(atoms) is not None)
        return charges, reason
    if names := _needing(settings):
        raise InputError(
            f"`{names[0]}` is given for a crystal without charges ({reason})",
            "without charges there are no dipoles: nothing depends on directions at Γ, and light moves nothing",
            "give the charges as well (`born`), or leave it out",
        )
    return None, reason


def _needing(settings: PhononSettings) -> list[str]:
    """Settings that make sense with charges only."""
    names = ("nac_direction", "dipole_width", "infrared_damping")
    return [name for name in names if getattr(settings, name) is not None]


def _decided(settings: PhononSettings, atoms: Atoms, potential: Potential | None) -> tuple[Any, str]:
    """Charges as asked for; predicted ones unless something speaks against them."""
    from ...base.errors import InputError
    from ...phonons.polar import predict_charges, width_of

    if str(settings.born) == NONE:
        return None, AS_ASKED
    if str(settings.born) == PREDICT:
        return predict_charges(atoms), AS_ASKED
    if settings.born is not None:
        return settings.born, GIVEN
    if potential is not None and width_of(potential) is None and not _needing(settings):
        return None, f"where the reach of {potential.name!r} ends was not measured (`born=predict` takes L = 0.1 1/Å)"
    try:
        found = predict_charges(atoms)
    except InputError as error:  # a layer, a box, an element that the network does not know
        return None, error.what
    return (found, "nothing speaks for a metal") if found.doubt is None else (None, found.doubt)


def with_charges(calc: PhonaxCalculator, atoms: Atoms, settings: PhononSettings) -> PhonaxCalculator:
    """The calculator of a relaxed crystal, which knows the charges where there are any."""
    from ...phonons.polar import PolarCalculator, PolarLayerCalculator
    from ...structures.layers import vacuum_axis

    charges, _ = _usable(settings, atoms, calc.potential)
    if charges is None:
        return calc
    polar = PolarCalculator if vacuum_axis(atoms) is None else PolarLayerCalculator
    return cast("PhonaxCalculator", polar(calc, atoms, charges, settings.dipole_width, settings.symprec))


def compute(context: Context) -> PolarPart | NoChargesPart:
    """Frequencies at Gamma by direction, or why the crystal has no charges."""
    from ...phonons.polar import PolarCalculator, PolarLayerCalculator, get_gamma_splitting
    from ...phonons.supercell.constants import crystal_atoms

    settings, phonopy, calc = context.settings, context.phonopy, cast(Any, context.calc)
    _, reason = _decided(settings, crystal_atoms(phonopy.primitive), calc.potential)
    if not isinstance(calc, PolarCalculator | PolarLayerCalculator):
        return NoChargesPart(reason)
    splits = isinstance(calc, PolarCalculator)
    return PolarPart(
        charges_from=calc.charges_from,
        because=reason,
        doubt=calc.doubt,
        correction=calc.correction,
        width=calc.width,
        splitting=get_gamma_splitting(phonopy, settings.nac_direction, path=settings.path) if splits else None,
        symbols=tuple(phonopy.primitive.symbols),
        supercell=tuple(tuple(int(n) for n in row) for row in phonopy.supercell_matrix),
        unit=settings.unit,
    )


@dataclass(frozen=True)
class PolarPart:
    """Charges as used, and what they do at Gamma.

    Attributes:
        charges_from: name of a file or of a network.
        because: why they are taken.
        doubt: why the crystal may have none; None where nothing speaks for it.
        width: of the dipoles' window [1/Å].
        splitting: at Gamma; None of a layer, where nothing splits.
        unit: of printed frequencies.
    """

    charges_from: str
    because: str
    doubt: str | None
    correction: NonAnalyticCorrection
    width: float
    splitting: GammaSplitting | None
    symbols: tuple[str, ...]
    supercell: tuple[tuple[int, ...], ...]
    unit: str = "THz"

    def files(self) -> tuple[str, ...]:
        """No files of its own: phonopy_params.yaml carries charges and method."""
        return ()

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        used, splitting = self.correction, self.splitting
        gamma: Summary | None = None
        if splitting is not None:
            gamma = {"without_charges_thz": splitting.without_thz.tolist(), "directions": _by_direction(splitting)}
        return {
            "charges_from": self.charges_from,
            "charges_because": self.because,
            "charges_doubted": self.doubt,
            "born_charges": used.charges.tolist(),
            "dielectric_tensor": used.dielectric.tolist(),
            "gamma_frequencies_thz": gamma,
            "non_analytic_correction": {
                "method": used.method,
                "dipole_width_per_angstrom": self.width,
                "supercell_matrix": [list(row) for row in self.supercell],
                "sum_rule_violation_e": used.sum_rule_violation,
                "charges_changed_by_e": used.charges_changed_by,
                "dielectric_changed_by": used.dielectric_changed_by,
            },
        }

    def describe(self, text: Report) -> None:
        """Charges, what was changed in them, and a row for each direction."""
        from ...phonons.polar import charges_by_element
        from ..words import frequencies_in_words, matrix_in_words

        used = self.correction
        what = "polar crystal" if self.splitting is not None else "polar layer"
        text.group(f"{what}, charges of {self.charges_from} ({FREQUENCY_UNITS[self.unit][1]})")
        if self.because not in (GIVEN, AS_ASKED):
            text.row("predicted, because", f"{self.because}; `born` gives others, or none")
        by_element = charges_by_element(used, self.symbols)
        text.row(
            "Born charges (e)",
            "  ".join(
                f"{symbol} {low:+.3f}" + (f" to {high:+.3f}" if high - low > 5e-4 else "")
                for symbol, (low, high) in by_element.items()
            )
            + f"  (changed by {used.charges_changed_by:.1g} by symmetry, their sum was {used.sum_rule_violation:.1g})",
        )
        if self.doubt is not None:
            text.row("", f"does it have charges? {self.doubt}", doubt=True)
        text.row("dielectric tensor", ", ".join(f"{x:.3f}" for x in used.dielectric.diagonal()) + " on its diagonal")
        matrix = matrix_in_words(self.supercell)
        text.row(
            "correction",
            f"the interaction of dipoles beyond the reach of the model, L = {self.width:g} 1/Å: exact at Γ and where"
            f" wave vectors fit the supercell {matrix}, interpolated"
            + (" without the kink at Γ" if self.splitting is None else " by Gonze and Lee's method")
            + " in between",
        )
        if self.splitting is None:
            text.row("at Γ", "nothing splits in two dimensions: LO branches leave Γ with a slope")
            return
        text.row("at Γ without it", frequencies_in_words(self.splitting.without_thz.tolist(), self.unit))
        for name, frequencies in zip(self.splitting.names, self.splitting.frequencies_thz.tolist(), strict=True):
            text.row(f"at Γ, {name}", frequencies_in_words(frequencies, self.unit))

    def write(self, folder: Path) -> None:
        """Write nothing: there are no files of its own."""


@dataclass(frozen=True)
class NoChargesPart:
    """Why D(q) holds no interaction of dipoles."""

    because: str

    def files(self) -> tuple[str, ...]:
        """No files."""
        return ()

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        return {"charges_from": None, "charges_because": self.because}

    def describe(self, text: Report) -> None:
        """One row."""
        text.group("charges")
        text.row("none", self.because)

    def write(self, folder: Path) -> None:
        """Write nothing."""


def _by_direction(splitting: GammaSplitting) -> list[Summary]:
    """Frequencies at Gamma for each direction."""
    columns = (splitting.names, splitting.directions.tolist(), splitting.frequencies_thz.tolist())
    return [{"name": a, "direction": b, "frequencies_thz": c} for a, b, c in zip(*columns, strict=True)]


SECTION = Section(check, compute)
