"""Symmetry of modes: always at Gamma, elsewhere where asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...base.units import FREQUENCY_UNITS
from ..options import Settings, coordinate, option
from ..section import Context, Section
from ..summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms

    from ...phonons.symmetry.irreps import ModeSet, QpointIrreps
    from ..report import Report
    from ..settings import PhononSettings

FILE = "irreps.yaml"


@dataclass(frozen=True)
class SymmetrySettings(Settings):
    """Wave vectors at which modes get labels."""

    irreps_q: tuple[tuple[float, float, float], ...] | None = option(
        None,
        coordinate,
        "symmetry of modes",
        "irreducible representations at this wave vector as well as at Γ, in reduced coordinates of the primitive"
        " cell; may be given several times (default: Γ only)",
        metavar=("QA", "QB", "QC"),
        n_values=3,
        repeated=True,
    )


def check(settings: PhononSettings, atoms: Atoms) -> None:
    """Refuse wave vectors that are none.

    Raises:
        InputError: not three finite numbers.
    """
    from ...phonons.symmetry.irreps import checked_qpoint

    for qpoint in settings.irreps_q or ():
        checked_qpoint(list(qpoint))


def compute(context: Context) -> IrrepsPart:
    """Irreducible representations at Gamma, then at each q-point asked for."""
    from ...phonons.calculators import DirectedCalculator
    from ...phonons.symmetry.irreps import find_irreps

    settings = context.settings
    qpoints = [(0.0, 0.0, 0.0), *(settings.irreps_q or ())]
    irreps = [find_irreps(context.phonopy, q, noise_thz=context.noise_thz) for q in dict.fromkeys(qpoints)]
    # In two dimensions they do coincide at Γ: there is nothing to add.
    split = isinstance(cast(object, context.calc), DirectedCalculator) or context.is_layer
    unsplit = not split and any(entry.infrared for entry in irreps[0].sets)
    return IrrepsPart(tuple(irreps), settings.unit, unsplit)


@dataclass(frozen=True)
class IrrepsPart:
    """Irreducible representations, those at Gamma first.

    Attributes:
        unit: of printed frequencies.
        unsplit: infrared modes at Gamma would split in an insulator, and do not, for want of charges.
    """

    irreps: tuple[QpointIrreps, ...]
    unit: str = "THz"
    unsplit: bool = False

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""
        return (FILE,)

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        return {
            "irreps": [
                {
                    "qpoint": entry.qpoint.tolist(),
                    "little_cogroup": entry.little_cogroup,
                    "splitting_thz": entry.splitting_thz,
                    "note": entry.note,
                    "modes": [
                        {
                            "modes": list(modes.modes),
                            "frequency_thz": modes.frequency_thz,
                            "label": modes.label,
                            "infrared": modes.infrared,
                            "raman": modes.raman,
                            "acoustic": modes.acoustic,
                        }
                        for modes in entry.sets
                    ],
                }
                for entry in self.irreps
            ]
        }

    def describe(self, text: Report) -> None:
        """One group: a row of symbols for each q-point."""
        from ..words import vector_in_words

        text.group(f"symmetry of modes ({FREQUENCY_UNITS[self.unit][1]}; degeneracy in parentheses)")
        for entry in self.irreps:
            at_gamma = not entry.qpoint.any()
            name = f"at Γ, {entry.little_cogroup}" if at_gamma else f"at q, {entry.little_cogroup}"
            where = "" if at_gamma else f"q = {vector_in_words(entry.qpoint.tolist())}:  "
            text.row(name, where + ";  ".join(self._in_words(modes) for modes in entry.sets))
            if entry.note:
                text.row("", f"without symbols: {entry.note}", doubt=True)
            if at_gamma and self.unsplit:
                text.row("", "without charges (`born`), longitudinal and transverse IR modes of an insulator coincide")

    def write(self, folder: Path) -> None:
        """Write irreps.yaml."""
        from ...phonons.symmetry.irreps import write_irreps

        write_irreps(self.irreps, folder / FILE)

    def _in_words(self, modes: ModeSet) -> str:
        """A set of modes in a row of the report, such as "T2g 15.212 (3) Raman"."""
        from ..words import frequency

        parts = [modes.label or "?", frequency(modes.frequency_thz, self.unit)]
        if modes.degeneracy > 1:
            parts.append(f"({modes.degeneracy})")
        return " ".join([*parts, modes.activity]).rstrip()


SECTION = Section(check, compute, own_files=(FILE,), needs_exact=True)
