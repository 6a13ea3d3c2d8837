"""Polar crystals: charges given, modes split at Gamma, and the interaction of dipoles in every D(q)."""

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
PREDICT = "predict"  # in the place of a file


@dataclass(frozen=True)
class PolarSettings(Settings):
    """Charges, and directions in which Gamma is approached."""

    born: Path | None = option(
        None,
        path,
        _GROUP,
        "Born charges and dielectric tensor in phonopy's format: LO and TO modes split at Γ, and D(q) holds the"
        " interaction of dipoles at any distance; `predict` has them predicted from the structure by a network that"
        " learned DFT's (default: none)",
        metavar="BORN",
    )
    dipole_width: float | None = option(
        None,
        number,
        _GROUP,
        "where charges are given: L of the Gaussian that ends the model's reach, in 1/Å; the interaction of dipoles in"
        " waves longer than about 1/L is added to what the model knows (default: as measured for the model, or 0.1)",
        metavar="L",
    )
    nac_direction: tuple[tuple[float, float, float], ...] | None = option(
        None,
        number,
        _GROUP,
        "where charges are given: frequencies at Γ approached along this direction, in reduced coordinates of the"
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
    from ...phonons.polar import checked_directions, checked_width, read_correction
    from ...structures.layers import vacuum_axis

    if settings.nac_direction is not None:
        checked_directions([list(row) for row in settings.nac_direction])
    if settings.dipole_width is not None:
        checked_width(settings.dipole_width)
    for name in ("nac_direction", "dipole_width"):
        if getattr(settings, name) is not None and settings.born is None:
            raise InputError(
                f"`{name}` is given without `born`",
                "without charges there are no dipoles, and frequencies at Γ do not depend on the direction",
                "give the charges as well, or leave it out",
            )
    if str(settings.born) == PREDICT and Path(PREDICT).exists():
        raise InputError(
            f"`born` is {PREDICT!r}, and a file of that name is here",
            "it is not clear whether the file is meant, or charges predicted from the structure",
            "rename the file, or move it",
        )
    if settings.born is not None:
        is_layer = vacuum_axis(atoms) is not None
        read_correction(_charges(settings, atoms), atoms, settings.symprec, layer=is_layer)
        if is_layer and settings.nac_direction is not None:
            raise InputError(
                "`nac_direction` is given for a layer",
                "modes of a layer do not split at Γ, along any direction",
                "leave it out",
            )


def _charges(settings: PhononSettings, atoms: Atoms) -> Any:
    """Those of the file, or predicted ones."""
    from ...phonons.polar import predict_charges

    return predict_charges(atoms) if str(settings.born) == PREDICT else settings.born


def with_charges(calc: PhonaxCalculator, atoms: Atoms, settings: PhononSettings) -> PhonaxCalculator:
    """The calculator of a relaxed crystal, which knows the charges where there are any."""
    from ...phonons.polar import PolarCalculator, PolarLayerCalculator
    from ...structures.layers import vacuum_axis

    if settings.born is None:
        return calc
    polar = PolarCalculator if vacuum_axis(atoms) is None else PolarLayerCalculator
    charges = _charges(settings, atoms)
    return cast("PhonaxCalculator", polar(calc, atoms, charges, settings.dipole_width, settings.symprec))


def compute(context: Context) -> PolarPart | None:
    """Frequencies at Gamma by direction; None without charges."""
    from ...phonons.polar import PolarCalculator, PolarLayerCalculator, get_gamma_splitting

    settings, phonopy, calc = context.settings, context.phonopy, cast(object, context.calc)
    if not isinstance(calc, PolarCalculator | PolarLayerCalculator):
        return None
    splits = isinstance(calc, PolarCalculator)
    return PolarPart(
        charges_from=calc.charges_from,
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
        doubt: why the crystal may have none; None where nothing speaks for it.
        width: of the dipoles' window [1/Å].
        splitting: at Gamma; None of a layer, where nothing splits.
        unit: of printed frequencies.
    """

    charges_from: str
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
        return {
            "non_analytic_correction": {
                "charges_from": self.charges_from,
                "charges_doubted": self.doubt,
                "method": used.method,
                "dipole_width_per_angstrom": self.width,
                "supercell_matrix": [list(row) for row in self.supercell],
                "born_charges_e": used.charges.tolist(),
                "dielectric_tensor": used.dielectric.tolist(),
                "sum_rule_violation_e": used.sum_rule_violation,
                "charges_changed_by_e": used.charges_changed_by,
                "dielectric_changed_by": used.dielectric_changed_by,
                "gamma_without_thz": None if splitting is None else splitting.without_thz.tolist(),
                "gamma_directions": [] if splitting is None else _by_direction(splitting),
            }
        }

    def describe(self, text: Report) -> None:
        """Charges, what was changed in them, and a row for each direction."""
        from ...phonons.polar import charges_by_element
        from ..words import frequencies_in_words, matrix_in_words

        used = self.correction
        what = "polar crystal" if self.splitting is not None else "polar layer"
        text.group(f"{what}, charges of {self.charges_from} ({FREQUENCY_UNITS[self.unit][1]})")
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


def _by_direction(splitting: GammaSplitting) -> list[Summary]:
    """Frequencies at Gamma for each direction."""
    columns = (splitting.names, splitting.directions.tolist(), splitting.frequencies_thz.tolist())
    return [{"name": a, "direction": b, "frequencies_thz": c} for a, b, c in zip(*columns, strict=True)]


SECTION = Section(check, compute)
