"""Settings of the studies of crystals: every default, help text and check of an option stands here or in its section.

Bases are written last first, since a dataclass takes the fields of its last base first; that is the order of the help.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..base.errors import InputError
from ..base.units import FREQUENCY_UNITS
from ..phonons.defaults import (
    EQUATIONS,
    HIGHEST_PERCENT,
    LOWEST_PERCENT,
    MAX_ATOMS,
    MESH_LENGTH,
    N_VOLUMES,
    STRAIN,
    T_MAX,
    T_STEP,
    TOLERANCE_THZ,
    VOLUME_MESH_LENGTH,
)
from .options import (
    Settings,
    flag,
    integer,
    mesh_number,
    number,
    option,
    positive,
    positive_integer,
    text,
)
from .sections import SectionSettings

SYMPREC = 1e-3  # [Å] files round coordinates to about this; the relaxation then makes the symmetry exact
MAX_TEMPERATURES = 10_000

_STRUCTURE, _SUPERCELL = "structure", "supercell"
_SAMPLING = "bands, densities of states and heat"
_GRUNEISEN, _VOLUMES, _THERMODYNAMICS = "Grüneisen parameters", "volumes", "thermodynamics"
_PATH_HELP = "special points of ASE for the lattice, such as GXWLG or GX,KG (default: the standard path by seekpath)"
_UNIT_HELP = "of frequencies printed and drawn; files of phonopy stay in THz (default: %(default)s)"


@dataclass(frozen=True)
class CellSettings(Settings):
    """Which cell is computed."""

    keep_cell: bool = flag(_STRUCTURE, "keep the cell as it is (default: reduce it to a primitive cell)")
    symprec: float = option(
        SYMPREC,
        positive,
        _STRUCTURE,
        "positions nearer than this count as equal when the symmetry is found (default: %(default)g)",
        metavar="Å",
    )


@dataclass(frozen=True)
class RelaxationSettings(Settings):
    """How far a crystal is relaxed."""

    no_relax: bool = flag(_STRUCTURE, "take the structure as it is; forces are reported")
    fix_cell: bool = flag(_STRUCTURE, "relax the atoms, not the cell")


@dataclass(frozen=True)
class ReferenceSettings(Settings):
    """Which volume counts as one."""

    keep_volume: bool = flag(
        _STRUCTURE, "the volume of the file is the one that counts (default: relax it); atoms and shape relax anyway"
    )


@dataclass(frozen=True)
class SupercellSettings(Settings):
    """How the supercell is found."""

    supercell: tuple[int, ...] | None = option(
        None,
        integer,
        _SUPERCELL,
        "repeats along the three vectors of the primitive cell, or the nine integers of a matrix, row by row,"
        " in phonopy's sense (columns count cell vectors)",
        metavar="N",
        n_values="+",
        either=_SUPERCELL,
    )
    min_length: float | None = option(
        None,
        positive,
        _SUPERCELL,
        "fewest repeats that bring opposite faces this far apart",
        metavar="Å",
        either=_SUPERCELL,
    )
    tolerance: float = option(
        TOLERANCE_THZ,
        positive,
        _SUPERCELL,
        "otherwise: the smallest supercell whose frequencies differ by no more than this (RMS) from the exact ones"
        " at wave vectors in between (default: %(default)g)",
        metavar="THz",
        either=_SUPERCELL,
    )
    max_atoms: int = option(
        MAX_ATOMS,
        positive_integer,
        _SUPERCELL,
        "... of at most this many atoms; if none meets the tolerance, the largest (default: %(default)d)",
        metavar="N",
    )


@dataclass(frozen=True)
class SamplingSettings(Settings):
    """Where frequencies are asked for, and what is made of them."""

    path: str | None = option(None, text, _SAMPLING, _PATH_HELP, metavar="POINTS")
    exact: bool = flag(
        _SAMPLING,
        "exact D(q) at every wave vector of the path and the mesh instead of interpolation from the supercell",
        either="exact",
    )
    no_exact: bool = flag(
        _SAMPLING,
        "bands interpolated from the supercell even where it misses the tolerance (default: exact ones there)",
        either="exact",
    )
    mesh: tuple[int, int, int] | None = option(
        None,
        mesh_number,
        _SAMPLING,
        "q-points along the three reciprocal vectors, for the total density of states and heat; Γ is one of them",
        metavar=("NA", "NB", "NC"),
        n_values=3,
        either="mesh",
    )
    mesh_length: float | None = option(
        None,
        positive,
        _SAMPLING,
        f"the same by density: length times |b|/2π along each vector (default: {MESH_LENGTH:g}; of exact D(q), a"
        " series of meshes until heat at 300 K changes by less than 0.1 %%)",
        metavar="Å",
        either="mesh",
    )
    temperatures: tuple[float, float, float] = option(
        (0.0, 1000.0, 10.0),
        number,
        _SAMPLING,
        f"of thermal properties [K] (default: 0 {T_MAX:g} {T_STEP:g})",
        metavar=("FROM", "TO", "STEP"),
        n_values=3,
    )
    unit: str = option("THz", text, _SAMPLING, _UNIT_HELP, choices=tuple(FREQUENCY_UNITS))

    @property
    def temperatures_k(self) -> list[float]:
        """The series of temperatures [K]."""
        first, last, step = self.temperatures
        return [first + i * step for i in range(int((last - first) / step + 1e-9) + 1)]


@dataclass(frozen=True)
class PhononSettings(
    SectionSettings,
    SamplingSettings,
    SupercellSettings,
    RelaxationSettings,
    CellSettings,
):
    """Everything that `phonon_study` can be told; names and values are those of `ase-phonax phonons --help`."""

    impose_rotations: bool = flag(
        _SUPERCELL,
        "constants changed by as little as makes them invariant under rotations: the bending branch of a layer is then"
        " quadratic in any supercell; not with charges",
    )

    def _check(self) -> None:
        first, last, step = self.temperatures
        count = (last - first) / step if step else float("inf")
        if not (first >= 0 and 0 <= count <= MAX_TEMPERATURES):
            raise InputError(
                f"the temperatures {first:g} to {last:g} K in steps of {step:g} K are no series",
                f"they start at 0 K or above, ascend, and are at most {MAX_TEMPERATURES}",
                "write them like `temperatures=(0, 1000, 10)`",
            )


@dataclass(frozen=True)
class VolumeSettings(SupercellSettings, ReferenceSettings, CellSettings):
    """What studies at several volumes share."""


@dataclass(frozen=True)
class GruneisenSettings(VolumeSettings):
    """Everything that `gruneisen_study` can be told; names and values are those of `ase-phonax gruneisen --help`."""

    finite: bool = flag(
        _GRUNEISEN,
        "from the difference of two volumes, both relaxed (default: exact derivatives of D(q) by strain; where the"
        " volume is kept, and the crystal is not at rest, differences in any case)",
    )
    strain: float = option(
        STRAIN,
        positive,
        _GRUNEISEN,
        "of differences: relative change of the volume to both sides (default: %(default)g)",
        metavar="X",
    )
    temperature: float = option(
        300.0, positive, _GRUNEISEN, "at which heat capacities weight the average (default: %(default)g)", metavar="K"
    )
    path: str | None = option(None, text, _GRUNEISEN, _PATH_HELP, metavar="POINTS")
    mesh_length: float = option(
        VOLUME_MESH_LENGTH,
        positive,
        _GRUNEISEN,
        "q-points along each reciprocal vector b: this times |b| / 2π (default: %(default)g)",
        metavar="Å",
    )
    unit: str = option("THz", text, _GRUNEISEN, _UNIT_HELP, choices=tuple(FREQUENCY_UNITS))

    def _check(self) -> None:
        from ..phonons.volumes.gruneisen import LARGEST_STRAIN

        if self.strain > LARGEST_STRAIN:
            raise InputError(
                f"the strain {self.strain:g} changes the volume by {100 * self.strain:g} %",
                f"a derivative over more than {100 * LARGEST_STRAIN:g} % is no derivative any more",
                "give a small one, such as 0.005 for 0.5 %",
            )


@dataclass(frozen=True)
class QuasiHarmonicSettings(VolumeSettings):
    """Everything that `quasi_harmonic_study` can be told; names and values are those of `ase-phonax qha --help`."""

    range: tuple[float, float] = option(
        (LOWEST_PERCENT, HIGHEST_PERCENT),
        number,
        _VOLUMES,
        "change of the volume in percent; heat swells crystals, so more above than below"
        f" (default: {LOWEST_PERCENT:g} {HIGHEST_PERCENT:g})",
        metavar=("LOW", "HIGH"),
        n_values=2,
    )
    n_volumes: int = option(
        N_VOLUMES, integer, _VOLUMES, "volumes in that range, five or more (default: %(default)d)", metavar="N"
    )
    max_temperature: float = option(
        T_MAX, positive, _THERMODYNAMICS, "from 0 to this (default: %(default)g)", metavar="K"
    )
    temperature_step: float = option(T_STEP, positive, _THERMODYNAMICS, "(default: %(default)g)", metavar="K")
    pressure: float = option(0.0, number, _THERMODYNAMICS, "(default: 0)", metavar="GPa")
    eos: str = option(
        EQUATIONS[0], text, _THERMODYNAMICS, "equation of state (default: %(default)s)", choices=EQUATIONS
    )
    mesh_length: float = option(
        VOLUME_MESH_LENGTH,
        positive,
        _THERMODYNAMICS,
        "q-points along each reciprocal vector b: about this times |b| / 2π (default: %(default)g)",
        metavar="Å",
    )

    def _check(self) -> None:
        from math import isfinite

        from ..phonons.volumes.quasi_harmonic import MIN_VOLUMES, check_temperatures

        low, high = self.range
        if not -50 < low < high < 100:
            raise InputError(
                f"the range of volumes {low:g} % to {high:g} % is none, or one no crystal stands",
                "free energies are fitted over it",
                "give two numbers in ascending order, such as -4 8",
            )
        if not MIN_VOLUMES <= self.n_volumes <= 100:
            raise InputError(
                f"{self.n_volumes} volumes were asked for",
                f"phonopy fits entropy and heat capacity over volume with polynomials that take {MIN_VOLUMES},"
                " and each costs a relaxation and force constants",
                f"give between {MIN_VOLUMES} and 100; seven are a good number",
            )
        if not isfinite(self.pressure):
            raise InputError(
                f"the pressure {self.pressure} is not a number", "it enters as pV", "give it in GPa, such as 5"
            )
        check_temperatures(self.max_temperature, self.temperature_step)


def check_supercell(settings: Settings) -> None:
    """Refuse a stated supercell that is none, before there is a crystal.

    Raises:
        SupercellError: it is none.
    """
    from ..structures.supercells import as_supercell_matrix

    stated = getattr(settings, "supercell", None)
    if stated is not None:
        as_supercell_matrix(list(stated))
