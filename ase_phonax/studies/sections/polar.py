"""Polar crystals: charges given, modes split at Gamma."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...base.units import FREQUENCY_UNITS
from ..options import Settings, number, option, path
from ..section import Context, Section
from ..summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy

    from ...phonons.polar import GammaSplitting, NonAnalyticCorrection
    from ..report import Report
    from ..settings import PhononSettings

_GROUP = "polar crystals"


@dataclass(frozen=True)
class PolarSettings(Settings):
    """Charges, and directions in which Gamma is approached."""

    born: Path | None = option(
        None,
        path,
        _GROUP,
        "Born charges and dielectric tensor in phonopy's format: LO and TO modes split at Γ, in bands and"
        " densities of states (default: none, and they do not)",
        metavar="BORN",
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
        InputError: a direction that is none, or without charges; exact matrices with charges; a bad file.
    """
    from ...base.errors import InputError
    from ...phonons.polar import checked_directions, read_correction

    if settings.nac_direction is not None:
        checked_directions([list(row) for row in settings.nac_direction])
        if settings.born is None:
            raise InputError(
                "`nac_direction` is given without `born`",
                "without charges frequencies at Γ do not depend on the direction",
                "give the charges as well, or leave the direction out",
            )
    if settings.born is None:
        return
    if settings.exact:
        raise InputError(
            "`exact=True` and `born` are given together",
            "how much of the interaction of dipoles the exact matrices of a potential of finite range contain is not"
            " known, so that what a correction should add to them is not defined",
            "use one of the two: `born` with a stated `supercell`, or exact matrices without it",
        )
    read_correction(settings.born, atoms, settings.symprec)


def prepare(settings: PhononSettings, phonopy: Phonopy) -> None:
    """Switch the correction on: after the checks, which refuse it, and before bands and meshes."""
    from ...phonons.polar import set_nac

    if settings.born is not None:
        set_nac(phonopy, settings.born)


def compute(context: Context) -> PolarPart | None:
    """Frequencies at Gamma by direction; None without charges."""
    from ...phonons.polar import get_gamma_splitting, read_correction

    settings, phonopy = context.settings, context.phonopy
    if settings.born is None:
        return None
    if phonopy.nac_params is None:
        prepare(settings, phonopy)
    return PolarPart(
        file=str(settings.born),
        correction=read_correction(settings.born, phonopy.primitive, phonopy.symmetry.tolerance),
        splitting=get_gamma_splitting(phonopy, settings.nac_direction, path=settings.path),
        symbols=tuple(phonopy.primitive.symbols),
        supercell=tuple(tuple(int(n) for n in row) for row in phonopy.supercell_matrix),
        unit=settings.unit,
    )


@dataclass(frozen=True)
class PolarPart:
    """Charges as read, and what they do at Gamma; `unit` is the one of printed frequencies."""

    file: str
    correction: NonAnalyticCorrection
    splitting: GammaSplitting
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
                "born_file": self.file,
                "method": used.method,
                "supercell_matrix": [list(row) for row in self.supercell],
                "born_charges_e": used.charges.tolist(),
                "dielectric_tensor": used.dielectric.tolist(),
                "sum_rule_violation_e": used.sum_rule_violation,
                "charges_changed_by_e": used.charges_changed_by,
                "dielectric_changed_by": used.dielectric_changed_by,
                "gamma_without_thz": splitting.without_thz.tolist(),
                "gamma_directions": [
                    {"name": name, "direction": direction, "frequencies_thz": frequencies}
                    for name, direction, frequencies in zip(
                        splitting.names, splitting.directions.tolist(), splitting.frequencies_thz.tolist(), strict=True
                    )
                ],
            }
        }

    def describe(self, text: Report) -> None:
        """Charges, what was changed in them, and a row for each direction."""
        from ...phonons.polar import charges_by_element
        from ..words import frequencies_in_words, matrix_in_words

        used = self.correction
        text.group(f"polar crystal, charges of {self.file} ({FREQUENCY_UNITS[self.unit][1]})")
        by_element = charges_by_element(used, self.symbols)
        text.row(
            "Born charges (e)",
            "  ".join(
                f"{symbol} {low:+.3f}" + (f" to {high:+.3f}" if high - low > 5e-4 else "")
                for symbol, (low, high) in by_element.items()
            )
            + f"  (changed by {used.charges_changed_by:.1g} by symmetry, their sum was {used.sum_rule_violation:.1g})",
        )
        text.row("dielectric tensor", ", ".join(f"{x:.3f}" for x in used.dielectric.diagonal()) + " on its diagonal")
        matrix = matrix_in_words(self.supercell)
        text.row(
            "correction",
            f"{used.method.capitalize()}'s, on the supercell {matrix}: exact at Γ, interpolated to the nearest wave"
            " vectors that fit the supercell, and dependent on it in between",
        )
        text.row("at Γ without it", frequencies_in_words(self.splitting.without_thz.tolist(), self.unit))
        for name, frequencies in zip(self.splitting.names, self.splitting.frequencies_thz.tolist(), strict=True):
            text.row(f"at Γ, {name}", frequencies_in_words(frequencies, self.unit))

    def write(self, folder: Path) -> None:
        """Write nothing: there are no files of its own."""


SECTION = Section(check, compute, before_sampling=prepare)
