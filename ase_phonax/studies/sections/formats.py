"""Files for other programs: an animation for the phonon website, bands for ASE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options import Settings, flag
from ..section import Context, Section
from ..summary_units import Summary

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy
    from phonopy.phonon.band_structure import BandStructure

    from ..report import Report
    from ..settings import PhononSettings

WEBSITE_FILE = "phononwebsite.json"
ASE_FILE = "bands_ase.json"
_GROUP = "files for other programs"
PAGE = "https://henriquemiranda.github.io/phononwebsite/phonon.html"


@dataclass(frozen=True)
class FormatSettings(Settings):
    """Which files for other programs are written."""

    phononwebsite: bool = flag(
        _GROUP, f"write {WEBSITE_FILE}: every mode of the bands, to be watched on {PAGE} (default: no)"
    )
    ase_bands: bool = flag(_GROUP, f"write {ASE_FILE} in eV, for `ase band-structure` and ase.io.jsonio (default: no)")


def check(settings: PhononSettings, atoms: Atoms) -> None:
    """Nothing can be wrong with two switches."""


def compute(context: Context) -> FormatsPart | None:
    """The contents of the files asked for, from the bands at hand; None where none was."""
    from ...phonons.formats import phonon_website, to_ase_bands
    from ...phonons.supercell.constants import crystal_atoms
    from ...structures.formulas import crystal_formula

    settings, phonopy = context.settings, context.phonopy
    if not (settings.phononwebsite or settings.ase_bands):
        return None
    bands = _bands(settings, phonopy)
    website = ase = None
    if settings.phononwebsite:
        website = phonon_website(phonopy, bands, crystal_formula(crystal_atoms(phonopy.primitive)))
    if settings.ase_bands:
        ase = to_ase_bands(bands, phonopy.primitive.cell)
    return FormatsPart(website, ase)


@dataclass(frozen=True)
class FormatsPart:
    """What is to be written: the page's dictionary, ASE's band structure; None where not asked for."""

    website: Summary | None
    ase_bands: Any  # its `write` comes from a decorator that type checkers do not see through

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""
        wanted = ((WEBSITE_FILE, self.website), (ASE_FILE, self.ase_bands))
        return tuple(name for name, content in wanted if content is not None)

    def summary(self) -> Summary:
        """Nothing that other entries do not say."""
        return {}

    def describe(self, text: Report) -> None:
        """Where to look at the files."""
        text.group("files for other programs")
        if self.website is not None:
            n_modes = sum(len(row) for row in self.website["eigenvalues"])
            text.row(WEBSITE_FILE, f"{n_modes} modes; open it on {PAGE}")
        if self.ase_bands is not None:
            text.row(ASE_FILE, f"draw it with: ase band-structure {ASE_FILE}")

    def write(self, folder: Path) -> None:
        """Write the files that `files` names."""
        from ...phonons.formats import write_json

        if self.website is not None:
            write_json(self.website, folder / WEBSITE_FILE)
        if self.ase_bands is not None:
            self.ase_bands.write(folder / ASE_FILE)


def _bands(settings: PhononSettings, phonopy: Phonopy) -> BandStructure:
    from ...phonons.bands.structure import get_band_structure

    if phonopy.band_structure is not None:
        return phonopy.band_structure
    return get_band_structure(phonopy, settings.path)


SECTION = Section(check, compute, own_files=(WEBSITE_FILE, ASE_FILE))
