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
    from ...phonons.polar import GammaSplitting, NonAnalyticCorrection
    from ..report import Report
    from ..settings import PhononSettings

_GROUP = "polar crystals"
_ROUNDED = 1e-5  # e: what symmetry changes below is rounding


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
    from ..charges import usable

    if settings.nac_direction is not None:
        checked_directions([list(row) for row in settings.nac_direction])
    if settings.dipole_width is not None:
        checked_width(settings.dipole_width)
    charges, _ = usable(settings, atoms)
    if charges is not None and settings.nac_direction is not None and vacuum_axis(atoms) is not None:
        raise InputError(
            "`nac_direction` is given for a layer",
            "modes of a layer do not split at Γ, along any direction",
            "leave it out",
        )


def compute(context: Context) -> PolarPart | NoChargesPart:
    """Frequencies at Gamma by direction, or why the crystal has no charges."""
    from ...phonons.polar import PolarCalculator, PolarLayerCalculator, get_gamma_splitting
    from ...phonons.supercell.constants import crystal_atoms
    from ..charges import GIVEN, doubt_of_given

    settings, phonopy, calc = context.settings, context.phonopy, cast(Any, context.calc)
    reason = context.charges_because
    if not isinstance(calc, PolarCalculator | PolarLayerCalculator):
        return NoChargesPart(reason)
    splits = isinstance(calc, PolarCalculator)
    screening = calc.screening_lengths if isinstance(calc, PolarLayerCalculator) else ()
    return PolarPart(
        charges_from=calc.charges_from,
        because=reason,
        doubt=doubt_of_given(crystal_atoms(phonopy.primitive), calc.correction)
        if reason == GIVEN and splits
        else calc.doubt,
        screening=screening,
        expected_error=calc.expected_error,
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
        doubt: why the crystal may have none, or others; None where nothing speaks for it.
        correction: charges and dielectric tensor as used.
        width: of the dipoles' window [1/Å].
        splitting: at Gamma; None of a layer, where nothing splits.
        symbols: of the atoms of the primitive cell.
        supercell: matrix, in whose wave vectors phonopy's D(q) is exact.
        expected_error: of predicted charges [e], and of the dielectric tensor; None of given ones.
        screening: lengths in the plane of a layer, smaller first [Å].
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
    screening: tuple[float, ...] = ()
    expected_error: tuple[float, float] | None = None

    def calculator(self, calc: PhonaxCalculator, atoms: Atoms) -> PhonaxCalculator:
        """A calculator with these charges, for the relaxed crystal."""
        from ...phonons.polar import PolarCalculator, PolarLayerCalculator

        polar = PolarLayerCalculator if self.splitting is None else PolarCalculator
        born = dict(self.correction.params)
        return cast("PhonaxCalculator", polar(calc, atoms, born, self.width))

    def files(self) -> tuple[str, ...]:
        """No files of its own: phonopy_params.yaml carries charges and method."""
        return ()

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        used, splitting = self.correction, self.splitting
        return {
            "charges_from": self.charges_from,
            "charges_because": self.because,
            "charges_doubted": self.doubt,
            "charges_expected_error_e": None if self.expected_error is None else self.expected_error[0],
            "dielectric_expected_error": None if self.expected_error is None else self.expected_error[1],
            "born_charges": used.charges.tolist(),
            "dielectric_tensor": used.dielectric.tolist(),
            "gamma_directions": [] if splitting is None else _by_direction(splitting),
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
        from ..charges import AS_ASKED, GIVEN

        if self.because not in (GIVEN, AS_ASKED):
            text.row("predicted, because", f"{self.because}; `born` gives others, or none")
        by_element = charges_by_element(used, self.symbols)
        changed = max(used.charges_changed_by, used.sum_rule_violation)
        text.row(
            "Born charges (e)",
            "  ".join(
                f"{symbol} {low:+.3f}" + (f" to {high:+.3f}" if high - low > 5e-4 else "")
                for symbol, (low, high) in by_element.items()
            )
            + "  (thirds of traces)"
            + (f", changed by {changed:.1g} by symmetry and sum rule" if changed > _ROUNDED else ""),
        )
        if self.doubt is not None:
            text.row("", f"are they right? {self.doubt}", doubt=True)
        text.row("dielectric tensor", ", ".join(f"{x:.3f}" for x in used.dielectric.diagonal()) + " on its diagonal")
        if self.expected_error is not None:
            charges, tensor = self.expected_error
            text.row("expected error", f"{charges:.2g} e and {tensor:.2g}, by how far the networks differ")
        if self.screening:
            text.row("screening length", ", ".join(f"{x:.2f}" for x in self.screening) + " Å in the plane")
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
