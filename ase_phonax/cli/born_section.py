"""Polar crystals as `ase-phonax phonons` shows them: charges given, modes split at Gamma."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.units import FREQUENCY_UNITS

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy

    from ..phonons.polar import GammaSplitting, NonAnalyticCorrection
    from .tables import Table


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--born` and `--nac-direction`."""
    group = parser.add_argument_group("polar crystals")
    group.add_argument(
        "--born",
        metavar="BORN",
        type=Path,
        default=None,
        help="Born charges and dielectric tensor in phonopy's format: LO and TO modes split at Γ, in bands and"
        " densities of states (default: none, and they do not)",
    )
    group.add_argument(
        "--nac-direction",
        metavar=("QA", "QB", "QC"),
        nargs=3,
        type=float,
        action="append",
        default=None,
        help="with --born: frequencies at Γ approached along this direction, in reduced coordinates of the reciprocal"
        " primitive cell; may be given several times (default: the directions in which the band path leaves Γ)",
    )


def check_options(arguments: argparse.Namespace, atoms: Atoms) -> None:
    """Read the file against the primitive cell, and refuse what cannot be combined.

    Raises:
        InputError: a direction that is none, or without charges; exact matrices with charges; a bad file.
    """
    from ..base.errors import InputError
    from ..phonons.polar import checked_directions, read_correction

    if arguments.nac_direction is not None:
        checked_directions(arguments.nac_direction)
        if arguments.born is None:
            raise InputError(
                "--nac-direction is given without --born",
                "without charges frequencies at Γ do not depend on the direction",
                "give the charges as well, or leave the direction out",
            )
    if arguments.born is None:
        return
    if getattr(arguments, "exact", False):
        raise InputError(
            "--exact and --born are given together",
            "how much of the interaction of dipoles the exact matrices of a potential of finite range contain is not"
            " known, so that what a correction should add to them is not defined",
            "use one of the two: --born with a stated --supercell, or exact matrices without it",
        )
    read_correction(arguments.born, atoms, arguments.symprec)


def prepare(arguments: argparse.Namespace, phonopy: Phonopy) -> None:
    """Switch the correction on: after the checks, which refuse it, and before bands and meshes."""
    from ..phonons.polar import set_nac

    if arguments.born is not None:
        set_nac(phonopy, arguments.born)


def compute(arguments: argparse.Namespace, phonopy: Phonopy, calc: Any, **context: Any) -> BornSection | None:
    """Frequencies at Gamma by direction; None without charges."""
    from ..phonons.polar import get_gamma_splitting, read_correction

    if arguments.born is None:
        return None
    if phonopy.nac_params is None:
        prepare(arguments, phonopy)
    return BornSection(
        file=str(arguments.born),
        correction=read_correction(arguments.born, phonopy.primitive, phonopy.symmetry.tolerance),
        splitting=get_gamma_splitting(phonopy, arguments.nac_direction, path=getattr(arguments, "path", None)),
        symbols=tuple(phonopy.primitive.symbols),
        supercell=tuple(tuple(int(n) for n in row) for row in phonopy.supercell_matrix),
        unit=str(context.get("unit", "THz")),
    )


@dataclass(frozen=True)
class BornSection:
    """What was read and found; `unit` is the one of printed frequencies."""

    file: str
    correction: NonAnalyticCorrection
    splitting: GammaSplitting
    symbols: tuple[str, ...]
    supercell: tuple[tuple[int, ...], ...]
    unit: str = "THz"

    def files(self) -> tuple[str, ...]:
        """Nothing of its own: phonopy_params.yaml carries charges and method."""
        return ()

    def summary(self) -> dict[str, Any]:
        """Entries of summary.json."""
        used, found = self.correction, self.splitting
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
                "gamma_without_thz": found.without_thz.tolist(),
                "gamma_directions": [
                    {"name": name, "direction": direction, "frequencies_thz": frequencies}
                    for name, direction, frequencies in zip(
                        found.names, found.directions.tolist(), found.frequencies_thz.tolist(), strict=True
                    )
                ],
            }
        }

    def describe(self, text: Table) -> None:
        """Charges, what was changed in them, and a row for each direction."""
        from ..phonons.polar import charges_by_element
        from .tables import frequencies_in_words, matrix_in_words

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
        for name, found in zip(self.splitting.names, self.splitting.frequencies_thz.tolist(), strict=True):
            text.row(f"at Γ, {name}", frequencies_in_words(found, self.unit))

    def write(self, folder: Path) -> None:
        """Nothing: see `files`."""
