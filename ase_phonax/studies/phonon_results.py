"""Phonons of a crystal as data, as files, and as JSON for programs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.io import write
from phonopy import Phonopy
from phonopy.file_IO import write_force_constants_to_hdf5
from phonopy.phonon.band_structure import BandStructure
from phonopy.phonon.dos import ProjectedDos, TotalDos
from phonopy.phonon.thermal_properties import ThermalProperties

from .. import __version__
from ..base import drawing
from ..base.files import write_whole
from ..phonons import pictures
from ..phonons.bands.paths import path_in_words
from ..phonons.sampling.heat import MeshStep
from ..phonons.sampling.meshes import IMAGINARY_THRESHOLD_THZ
from ..phonons.sampling.stability import FrequencyRange
from ..structures.formulas import crystal_formula
from ..structures.relaxation import RelaxationReport
from ..structures.space_groups import SpaceGroup
from .output import write_summary
from .sections import SECTIONS
from .sections.polar import PolarPart
from .settings import PhononSettings
from .study import Study
from .summary_units import Summary, units_of

if TYPE_CHECKING:
    from ..calculator import PhonaxCalculator
    from ..phonons.supercell.choice import SupercellChoice
    from .crystal import Crystal
    from .report import Report
    from .section import Part

FILES = (
    "summary.json",
    "bands.png",
    "bands.pdf",
    "band.yaml",
    "total_dos.dat",
    "projected_dos.dat",
    "thermal_properties.yaml",
    "phonopy_params.yaml",
    "force_constants.hdf5",
    "relaxed.extxyz",
)
ROOM_TEMPERATURE = 300.0  # [K]


@dataclass(frozen=True)
class Sampling:
    """Bands, densities and heat.

    Attributes:
        exact_because: why the bands are drawn from exact matrices; "" where they are interpolated.
        convergence: the series of exact meshes; empty where the others are interpolated.
        exact_minimum: lowest exact frequency met [THz] and its q-point; None where nothing gave reason to
            ask, or nothing is interpolated, or no exact matrices exist.
        noise_thz: largest acoustic frequency at Gamma, zero but for noise [THz].
        interpolation_imaginary: interpolated frequencies of the mesh or the path lie below zero.
    """

    bands: BandStructure
    exact_because: str
    total_dos: TotalDos
    projected_dos: ProjectedDos
    mesh_numbers: tuple[int, ...]
    convergence: list[MeshStep]
    thermal: ThermalProperties
    frequencies: FrequencyRange
    exact_minimum: tuple[float, np.ndarray] | None
    noise_thz: float
    interpolation_imaginary: bool

    @property
    def bands_exact(self) -> bool:
        """Whether bands are drawn from exact matrices."""
        return bool(self.exact_because)

    @property
    def unstable(self) -> bool:
        """Whether there are imaginary modes, by exact D(q) where that was asked."""
        if self.exact_minimum is None:
            return self.frequencies.imaginary
        return self.exact_minimum[0] < -IMAGINARY_THRESHOLD_THZ


@dataclass(frozen=True)
class PhononStudy(Study):
    """Results of `phonon_study`; units as in phonopy (THz, eV/Å²) and `RelaxationReport`.

    Attributes:
        crystal: as it entered.
        atoms: relaxed, with energy, forces and stress.
        choice: how the supercell was chosen; None where it was asked for.
        phonopy: with force constants, bands, densities of states and heat.
        checks: of the force constants; relative to the largest, and THz.
        worst_qpoint: (3,) where interpolation from the supercell is furthest from what it was compared with.
        against: what that is: "exact D(q)", or another supercell.
        sampling: bands, densities and heat.
        parts: results of the sections.
    """

    # What sections may write counts as well: an earlier run with other options can be replaced.
    OWN_FILES = (*FILES, *(name for section in SECTIONS for name in section.own_files))

    settings: PhononSettings
    crystal: Crystal
    atoms: Atoms
    relaxation: RelaxationReport
    choice: SupercellChoice | None
    phonopy: Phonopy
    checks: dict[str, float]
    worst_qpoint: np.ndarray
    against: str
    sampling: Sampling
    parts: tuple[Part, ...]

    @property
    def formula(self) -> str:
        """Chemical formula of one formula unit."""
        return crystal_formula(self.atoms)

    @property
    def space_group(self) -> SpaceGroup:
        """Space group of the structure computed."""
        return self.relaxation.space_group_after or self.crystal.space_group

    def heat(self) -> tuple[float, dict[str, float]]:
        """The temperature nearest to 300 K [K], and heat there per mole of cells."""
        properties = self.sampling.thermal.thermal_properties
        assert properties is not None, "thermal properties have been run"
        temperatures, *curves = properties
        i = int(np.argmin(np.abs(temperatures - ROOM_TEMPERATURE)))
        names = ("free_energy_kJ_mol", "entropy_J_K_mol", "heat_capacity_J_K_mol")
        return float(temperatures[i]), {name: float(curve[i]) for name, curve in zip(names, curves, strict=True)}

    @property
    def formula_units(self) -> int:
        """How many formula units the cell computed holds."""
        return int(self.atoms.symbols.formula.reduce()[1])

    @property
    def band_path(self) -> str:
        """Names of the special points along the bands, such as "Γ–X–U|K–Γ"."""
        return path_in_words(list(self.sampling.bands.labels or []), list(self.sampling.bands.path_connections))

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        return FILES + tuple(name for part in self.parts for name in part.files())

    def calculator(self, calc: PhonaxCalculator) -> PhonaxCalculator:
        """The calculator with the charges of this study, as exact matrices of `phonopy` need it; itself without any.

        Args:
            calc: the one that the study was made with.
        """
        part = self._charges
        return calc if part is None else part.calculator(calc, self.atoms)

    @property
    def _charges(self) -> PolarPart | None:
        return next((part for part in self.parts if isinstance(part, PolarPart)), None)

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only."""
        return _summary(self)

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        from .phonon_report import report

        return report(self, folder)

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        _write(self, folder)


def _write(results: PhononStudy, folder: Path) -> None:
    phonopy = results.phonopy
    write(folder / "relaxed.extxyz", results.atoms, format="extxyz")
    phonopy.save(folder / "phonopy_params.yaml")
    constants: Any = io.BytesIO()  # where a disk is full while HDF5 writes to it, its library ends the process
    write_force_constants_to_hdf5(
        np.asarray(phonopy.force_constants),
        filename=constants,
        p2s_map=phonopy.primitive.p2s_map,
        physical_unit="eV/angstrom^2",
    )
    write_whole(folder / "force_constants.hdf5", constants.getvalue())
    sampling = results.sampling
    sampling.bands.write_yaml(filename=folder / "band.yaml")
    sampling.total_dos.write(filename=folder / "total_dos.dat")
    sampling.projected_dos.write(filename=folder / "projected_dos.dat")
    sampling.thermal.write_yaml(filename=folder / "thermal_properties.yaml", volume=phonopy.primitive.volume)
    charges = results._charges
    model = results.model["model"]
    if charges is not None:
        model += f", charges of {Path(charges.charges_from).name}"
    title = pictures.crystal_title(results.formula, results.space_group.international, model)
    # Beside exact bands nobody would think that densities are of another kind.
    mixed = sampling.bands_exact and not results.settings.exact
    off_by = results.checks["interpolation_error_thz"] if mixed else None
    figure = pictures.bands_and_dos(phonopy, title, results.settings.unit, sampling.bands_exact, off_by)
    drawing.save_figure(figure, folder / "bands")
    for part in results.parts:
        part.write(folder)
    write_summary(results.to_dict(), folder)


def _summary(results: PhononStudy) -> Summary:
    phonopy, relaxation, settings = results.phonopy, results.relaxation, results.settings
    sampling, frequencies, choice = results.sampling, results.sampling.frequencies, results.choice
    temperature, heat = results.heat()
    summary: Summary = {
        "version": __version__,
        **results.model,
        "dtype": results.dtype,
        "structure_file": results.origin.structure,
        "formula": results.formula,
        "space_group": results.space_group.international,
        "space_group_number": results.space_group.number,
        "n_atoms_given": results.crystal.n_atoms_given,
        "n_atoms_primitive": len(phonopy.primitive),
        "vacuum_axis": None if results.crystal.layer is None else results.crystal.layer.axis,
        "cell": phonopy.primitive.cell.tolist(),
        "masses_amu": phonopy.primitive.masses.tolist(),
        "supercell_matrix": phonopy.supercell_matrix.tolist(),
        "n_atoms_supercell": len(phonopy.supercell),
        "supercell_tolerance_thz": None if choice is None else choice.tolerance_thz,
        "supercell_reached_tolerance": None if choice is None else choice.reached,
        "supercells_tried": []
        if choice is None
        else [{"matrix": m.tolist(), "n_atoms": n, "error_thz": e} for m, n, e in choice.tried],
        "relaxed": not settings.no_relax,
        "fixed_cell": settings.fix_cell,
        "energy": relaxation.energy,
        "max_force": relaxation.max_force,
        "max_stress": relaxation.max_stress,
        "unrelaxed_max_force": relaxation.initial_max_force,
        "unrelaxed_max_stress": relaxation.initial_max_stress,
        "relaxation_steps": relaxation.n_steps,
        "volume_change": relaxation.volume_change,
        "gamma_frequencies_thz": frequencies.gamma_thz.tolist(),
        "min_frequency_thz": frequencies.minimum_thz,
        "min_frequency_qpoint": frequencies.minimum_qpoint.tolist(),
        "max_frequency_thz": frequencies.maximum_thz,
        "imaginary_modes": sampling.unstable,
        "interpolation_has_imaginary_modes": sampling.interpolation_imaginary,
        "exact_minimum_thz": None if sampling.exact_minimum is None else sampling.exact_minimum[0],
        "imaginary_threshold_thz": IMAGINARY_THRESHOLD_THZ,
        "thermal": {
            "temperature_K": temperature,
            **heat,  # per mole of cells, as in phonopy's files
            "per_formula_unit": {name: value / results.formula_units for name, value in heat.items()},
        },
        "formula_units_per_cell": results.formula_units,
        "thermal_fraction_of_modes_left_out": frequencies.fraction_left_out,
        "checks": results.checks,
        "interpolation_error_max_qpoint": results.worst_qpoint.tolist(),
        "interpolation_error_against": results.against,
        "band_path": results.band_path,
        "bands_exact": sampling.bands_exact,
        "bands_exact_because": sampling.exact_because,
        "mesh": list(sampling.mesh_numbers),
        "mesh_exact": settings.exact,
        "mesh_convergence": [vars(step) for step in sampling.convergence],
        "warnings": list(results.notes),
        "files": list(results.files),
        "timings_s": results.timings_s,
    }
    for part in results.parts:
        summary |= part.summary()
    return summary | {"units": units_of(summary), "provenance": results.provenance}
