"""How atoms move: mean square displacements, participation, densities of states along directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...base.units import FREQUENCY_UNITS
from ..options import Settings, flag, number, option
from ..section import Context, Section
from ..summary_units import Summary
from ..words import frequency, vector_in_words

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from phonopy.phonon.dos import ProjectedDos

    from ...phonons.motion.displacements import Participation, ThermalMotion
    from ..report import Report
    from ..settings import PhononSettings

MATRICES_FILE = "thermal_displacement_matrices.yaml"
PARTICIPATION_FILE = "participation_ratio.dat"
AXES_FILE = "projected_dos_xyz.dat"
OWN_FILES = (MATRICES_FILE, "thermal_displacements_*K.cif", PARTICIPATION_FILE, AXES_FILE, "projected_dos_along_*.dat")
_GROUP = "motion of the atoms"
TEMPERATURE = 300.0  # [K] where none is named


@dataclass(frozen=True)
class MotionSettings(Settings):
    """What is asked of how atoms move."""

    thermal_displacements: tuple[float, ...] | None = option(
        None,
        number,
        _GROUP,
        "mean square displacements at these temperatures, as a yaml file of phonopy's and one CIF for each"
        f" temperature (none named: {TEMPERATURE:g} K)",
        metavar="K",
        n_values="*",
    )
    participation_ratio: bool = flag(_GROUP, "which share of the atoms takes part in each mode of a mesh")
    pdos_directions: bool = flag(_GROUP, "density of states projected on each element and each Cartesian axis")
    pdos_along: tuple[tuple[float, float, float], ...] | None = option(
        None,
        number,
        _GROUP,
        "... and on this direction along the vectors of the primitive cell; may be given several times",
        metavar=("U", "V", "W"),
        n_values=3,
        repeated=True,
    )


def check(settings: PhononSettings, atoms: Atoms) -> None:
    """Refuse temperatures and directions that are none.

    Raises:
        InputError: naming them.
    """
    from ...phonons.motion.displacements import checked_direction, checked_temperatures

    if settings.thermal_displacements is not None:
        checked_temperatures(list(settings.thermal_displacements) or [TEMPERATURE])
    for direction in settings.pdos_along or []:
        checked_direction(list(direction))


def compute(context: Context) -> MotionPart | None:
    """The results of the section; None where nothing was asked for."""
    from ...phonons.motion.displacements import get_directional_densities, get_participation, get_thermal_motion

    settings, phonopy = context.settings, context.phonopy
    wanted = settings.thermal_displacements
    directions: list[tuple[float, float, float] | None] = [None] if settings.pdos_directions else []
    directions += settings.pdos_along or ()
    if wanted is None and not settings.participation_ratio and not directions:
        return None
    motion = None
    if wanted is not None and _extends_in_space(context):
        motion = get_thermal_motion(phonopy, list(dict.fromkeys(wanted)) or [TEMPERATURE])
    return MotionPart(
        symbols=tuple(phonopy.primitive.symbols),
        motion=motion,
        participation=get_participation(phonopy) if settings.participation_ratio else None,
        densities=tuple((axis, get_directional_densities(phonopy, axis)) for axis in directions),
        unit=settings.unit,
    )


def _extends_in_space(context: Context) -> bool:
    """Whether <u²> is finite; where it is not, a warning says so."""
    import warnings

    from ...base.errors import UnstableWarning

    if context.is_layer:
        warnings.warn(
            "Thermal displacements are left out: those of a free layer grow without limit with its size.",
            UnstableWarning,
            stacklevel=2,
        )
    return not context.is_layer


@dataclass(frozen=True)
class MotionPart:
    """Displacements, participation and densities; None and () for what was not asked for.

    Attributes:
        symbols: of the primitive cell's atoms.
        motion: mean square displacements.
        participation: ratios on a mesh.
        densities: (direction, density); the direction None stands for the three Cartesian axes.
        unit: of printed frequencies.
    """

    symbols: tuple[str, ...]
    motion: ThermalMotion | None = None
    participation: Participation | None = None
    densities: tuple[tuple[tuple[float, float, float] | None, ProjectedDos], ...] = field(default=())
    unit: str = "THz"

    def files(self) -> tuple[str, ...]:
        """Names of the files that `write` writes."""
        names = []
        if self.motion is not None:
            names += [MATRICES_FILE, *map(_cif_name, self.motion.temperatures)]
        if self.participation is not None:
            names.append(PARTICIPATION_FILE)
        return (*names, *(name for name, _, _ in self._named_densities()))

    def summary(self) -> Summary:
        """What the section adds to summary.json."""
        entries: Summary = {}
        if self.motion is not None:
            entries["thermal_displacements"] = {
                "temperatures_k": self.motion.temperatures.tolist(),
                "u_iso_angstrom2": self.motion.isotropic.tolist(),
                "matrices_angstrom2": self.motion.matrices.tolist(),
                "mesh": list(self.motion.mesh_numbers),
                "largest_share_extrapolated": self.motion.extrapolated,
                "fraction_of_modes_left_out": self.motion.fraction_left_out,
            }
        if self.participation is not None:
            q, mode = self.participation.lowest
            entries["participation_ratio"] = {
                "mean": self.participation.mean,
                "lowest": float(self.participation.ratios[q, mode]),
                "lowest_qpoint": self.participation.qpoints[q].tolist(),
                "lowest_mode": mode + 1,
                "lowest_frequency_thz": float(self.participation.frequencies_thz[q, mode]),
            }
        return entries

    def describe(self, text: Report) -> None:
        """Add the groups of the section to the report."""
        if self.motion is not None:
            text.group("thermal displacements U_iso (Å²), in the limit of a dense mesh")
            for temperature, row in zip(self.motion.temperatures, self.motion.isotropic, strict=True):
                text.row(f"{temperature:g} K", _by_element(self.symbols, row))
            share = 100 * self.motion.extrapolated
            mesh = " × ".join(map(str, self.motion.mesh_numbers))
            text.row("mesh", f"{mesh}; the limit adds up to {share:.1f} % to it")
            if self.motion.fraction_left_out > 0:
                text.row(
                    "left out", f"{100 * self.motion.fraction_left_out:.2f} % of the modes: U is too small", doubt=True
                )
        if self.participation is not None:
            q, mode = self.participation.lowest
            text.group("participation ratio (1: all atoms move alike; one over the atoms in the cell: one alone)")
            text.row("mean", f"{self.participation.mean:.3f}")
            where = vector_in_words(self.participation.qpoints[q].tolist())
            value = frequency(float(self.participation.frequencies_thz[q, mode]), self.unit)
            printed = FREQUENCY_UNITS[self.unit][1]
            text.row(
                "lowest",
                f"{self.participation.ratios[q, mode]:.3f}, mode {mode + 1} ({value} {printed}) at q = {where}",
            )

    def write(self, folder: Path) -> None:
        """Write the files that `files` names."""
        if self.motion is not None:
            self.motion.write_yaml(folder / MATRICES_FILE)
            for i, temperature in enumerate(self.motion.temperatures):
                self.motion.write_cif(folder / _cif_name(temperature), i)
        if self.participation is not None:
            self.participation.write(folder / PARTICIPATION_FILE)
        for name, direction, density in self._named_densities():
            (folder / name).write_text(_columns(self.symbols, direction, density), encoding="utf-8")

    def _named_densities(self) -> list[tuple[str, tuple[float, float, float] | None, ProjectedDos]]:
        named, count = [], 0
        for direction, density in self.densities:
            count += direction is not None
            named.append((AXES_FILE if direction is None else f"projected_dos_along_{count}.dat", direction, density))
        return named


def _cif_name(temperature: float) -> str:
    return f"thermal_displacements_{temperature:g}K.cif"


def _by_element(symbols: tuple[str, ...], values: np.ndarray) -> str:
    """ "Na 0.0287, Cl 0.0251"; a range where the atoms of an element differ."""
    words = []
    for symbol in dict.fromkeys(symbols):
        mine = [float(value) for value, other in zip(values, symbols, strict=True) if other == symbol]
        low, high = f"{min(mine):.5f}", f"{max(mine):.5f}"
        words.append(f"{symbol} {low}" + (f" to {high}" if low != high else ""))
    return ", ".join(words)


def _columns(symbols: tuple[str, ...], direction: tuple[float, float, float] | None, density: ProjectedDos) -> str:
    """A table: frequency [THz], then for each element its density [1/THz] along each axis, or the direction."""
    import numpy as np

    axes = ("x", "y", "z") if direction is None else ("along",)
    values = np.asarray(density.projected_dos).reshape(len(symbols), len(axes), -1)
    elements = list(dict.fromkeys(symbols))
    summed = [values[[symbol == element for symbol in symbols]].sum(axis=0) for element in elements]
    names = [f"{element}_{axis}" for element in elements for axis in axes]
    head = "#" if direction is None else f"# direction {vector_in_words(direction)} along the primitive vectors\n#"
    lines = [f"{head} frequency (THz)  " + "  ".join(f"{name:>12}" for name in names)]
    table = np.column_stack([density.frequency_points, *(row for element in summed for row in element)])
    lines += ["  ".join(f"{value:16.10f}" for value in row) for row in table]
    return "\n".join(lines) + "\n"


SECTION = Section(check, compute, own_files=OWN_FILES)
