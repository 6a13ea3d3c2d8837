"""Files for other programs: an animation for the phonon website, bands for ASE."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy
    from phonopy.phonon.band_structure import BandStructure

    from .tables import Table

WEBSITE_FILE = "phononwebsite.json"
ASE_FILE = "bands_ase.json"
PAGE = "https://henriquemiranda.github.io/phononwebsite/phonon.html"


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--phononwebsite` and `--ase-bands`."""
    group = parser.add_argument_group("files for other programs")
    group.add_argument(
        "--phononwebsite",
        action="store_true",
        help=f"write {WEBSITE_FILE}: every mode of the bands, to be watched on {PAGE} (default: no)",
    )
    group.add_argument(
        "--ase-bands",
        action="store_true",
        help=f"write {ASE_FILE} in eV, for `ase band-structure` and ase.io.jsonio (default: no)",
    )


def check_options(arguments: argparse.Namespace, atoms: Atoms) -> None:
    """Nothing can be wrong with two switches."""


def compute(arguments: argparse.Namespace, phonopy: Phonopy, calc: Any, **context: Any) -> InterchangeSection | None:
    """The contents of the files asked for, from the bands at hand; None where none was."""
    from ..phonons.formats import phonon_website, to_ase_bands
    from ..phonons.supercell.constants import crystal_atoms
    from ..phonons.supercell.patches import exact_matrices
    from ..structures.formulas import crystal_formula

    if not (arguments.phononwebsite or arguments.ase_bands):
        return None
    bands = _bands(arguments, phonopy)
    website = ase = None
    if arguments.phononwebsite:
        formula = crystal_formula(crystal_atoms(phonopy.primitive))
        with exact_matrices(phonopy, calc) if getattr(arguments, "exact", False) else nullcontext():
            website = phonon_website(phonopy, bands, formula)
    if arguments.ase_bands:
        ase = to_ase_bands(bands, phonopy.primitive.cell)
    return InterchangeSection(website, ase)


@dataclass(frozen=True)
class InterchangeSection:
    """What is to be written: the page's dictionary, ASE's band structure; None where not asked for."""

    website: dict[str, Any] | None
    ase_bands: Any | None

    def files(self) -> tuple[str, ...]:
        """Names written."""
        wanted = ((WEBSITE_FILE, self.website), (ASE_FILE, self.ase_bands))
        return tuple(name for name, content in wanted if content is not None)

    def summary(self) -> dict[str, Any]:
        """Nothing that other entries do not say."""
        return {}

    def describe(self, text: Table) -> None:
        """Where to look at the files."""
        text.group("files for other programs")
        if self.website is not None:
            n_modes = sum(len(row) for row in self.website["eigenvalues"])
            text.row(WEBSITE_FILE, f"{n_modes} modes; open it on {PAGE}")
        if self.ase_bands is not None:
            text.row(ASE_FILE, f"draw it with: ase band-structure {ASE_FILE}")

    def write(self, folder: Path) -> None:
        """Write them."""
        from ..phonons.formats import write_json

        if self.website is not None:
            write_json(self.website, folder / WEBSITE_FILE)
        if self.ase_bands is not None:
            self.ase_bands.write(folder / ASE_FILE)


def _bands(arguments: argparse.Namespace, phonopy: Phonopy) -> BandStructure:
    from ..phonons.bands.structure import get_band_structure

    if phonopy.band_structure is not None:
        return phonopy.band_structure
    return get_band_structure(phonopy, getattr(arguments, "path", None))
