"""What `ase-phonax phonons` found: as files, as JSON for programs, as a table for people."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from phonopy import Phonopy
from phonopy.file_IO import write_force_constants_to_hdf5
from phonopy.phonon.band_structure import BandStructure
from phonopy.phonon.dos import ProjectedDos, TotalDos
from phonopy.phonon.thermal_properties import ThermalProperties

from .. import __version__, figures
from ..band_paths import path_in_words
from ..crystals import SpaceGroup
from ..densities import IMAGINARY_THRESHOLD_THZ, FrequencyRange, MeshStep
from ..files import write_whole
from ..relaxation import RelaxationReport
from ..units import FREQUENCY_UNITS
from . import animation_section, displacements_section, follow_section, interchange_section, irreps_section
from .model_facts import COMPARE, describe_model, imitates_another
from .output import write_summary
from .progress import Stopwatch
from .tables import (
    Table,
    frequencies_in_words,
    frequency,
    interpolation_in_words,
    matrix_in_words,
    noise_in_words,
    symmetry_in_words,
    vector_in_words,
)

if TYPE_CHECKING:
    import argparse

    from ..supercells import SupercellChoice
    from .crystal import Crystal

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
# What sections may write: an earlier run with other options can be replaced.
MORE_FILES: tuple[str, ...] = (
    irreps_section.FILE,
    follow_section.MODES_FILE,
    follow_section.SCAN_FILE,
    follow_section.RELAXED_FILE,
    interchange_section.WEBSITE_FILE,
    interchange_section.ASE_FILE,
    *displacements_section.OWN_FILES,
    *animation_section.OWN_FILES,
)
ROOM_TEMPERATURE = 300.0  # [K]


def own_files() -> tuple[str, ...]:
    """Names, or patterns of names, that this command may have written."""
    return FILES + MORE_FILES


class Section(Protocol):
    """What one of `phonons.SECTIONS` found."""

    def files(self) -> tuple[str, ...]:
        """Names written."""

    def summary(self) -> dict[str, Any]:
        """Its share of summary.json: built-in types only."""

    def describe(self, text: Table) -> None:
        """Its groups of the table."""

    def write(self, folder: Path) -> None:
        """Write `files`."""


@dataclass(frozen=True)
class Sampling:
    """Bands, densities and heat.

    Attributes:
        exact_because: why the bands are drawn from exact matrices; "" where they are interpolated.
        convergence: the series of exact meshes; empty where the others are interpolated.
        exact_minimum: lowest exact frequency found [THz] and its q-point; None where nothing gave reason to
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
class PhononResults:
    """Everything one run found; units as in phonopy (THz, eV/Å²) and in `RelaxationReport`."""

    arguments: argparse.Namespace
    crystal: Crystal
    atoms: Atoms
    model: dict[str, str]
    relaxation: RelaxationReport
    choice: SupercellChoice | None
    phonopy: Phonopy
    checks: dict[str, float]
    sampling: Sampling
    sections: list[Section]
    watch: Stopwatch
    notes: list[str]

    @property
    def formula(self) -> str:
        """Reduced formula, metals first."""
        return self.atoms.get_chemical_formula("metal", empirical=True)

    @property
    def space_group(self) -> SpaceGroup:
        """That of the structure computed."""
        return self.relaxation.space_group_after or self.crystal.space_group

    def heat(self) -> tuple[float, dict[str, float]]:
        """The temperature nearest to 300 K [K], and heat there per mole of primitive cells."""
        found = self.sampling.thermal.thermal_properties
        assert found is not None, "thermal properties have been run"
        temperatures, *curves = found
        i = int(np.argmin(np.abs(temperatures - ROOM_TEMPERATURE)))
        names = ("free_energy_kJ_mol", "entropy_J_K_mol", "heat_capacity_J_K_mol")
        return float(temperatures[i]), {name: float(curve[i]) for name, curve in zip(names, curves, strict=True)}

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files written."""
        return FILES + tuple(name for section in self.sections for name in section.files())

    @property
    def tolerance_thz(self) -> float:
        """Interpolation error that is small enough."""
        return float(self.arguments.tolerance)


def write_results(results: PhononResults, folder: Path) -> None:
    """Write all files into an existing folder."""
    phonopy = results.phonopy
    write(folder / "relaxed.extxyz", _with_plain_results(results.atoms), format="extxyz")
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
    title = "    ".join(
        (
            figures.formula_in_mathtext(results.formula),
            figures.space_group_in_mathtext(results.space_group.international),
            figures.as_plain_text(results.model["model"]),
        )
    )
    figures.save_figure(figures.bands_and_dos(phonopy, title, results.arguments.unit), folder / "bands")
    for section in results.sections:
        section.write(folder)
    write_summary(summary(results), folder)


def summary(results: PhononResults) -> dict[str, Any]:
    """The contents of summary.json: built-in types only."""
    phonopy, relaxation, arguments = results.phonopy, results.relaxation, results.arguments
    sampling, frequencies, choice = results.sampling, results.sampling.frequencies, results.choice
    temperature, heat = results.heat()
    found = {
        "version": __version__,
        **results.model,
        "dtype": arguments.dtype,
        "structure_file": arguments.structure,
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
        "relaxed": not arguments.no_relax,
        "fixed_cell": arguments.fix_cell,
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
        "thermal": {"temperature_K": temperature, **heat},
        "thermal_fraction_of_modes_left_out": frequencies.fraction_left_out,
        "checks": results.checks,
        "band_path": _band_path(results),
        "bands_exact": sampling.bands_exact,
        "bands_exact_because": sampling.exact_because,
        "mesh": list(sampling.mesh_numbers),
        "mesh_exact": arguments.exact,
        "mesh_convergence": [vars(step) for step in sampling.convergence],
        "warnings": list(results.notes),
        "files": list(results.files),
        "timings_s": results.watch.rounded(),
    }
    for section in results.sections:
        found |= section.summary()
    return found


def table(results: PhononResults, output: Path) -> str:
    """The same for people."""
    text = Table(f"{results.formula}   {results.space_group}   {results.model['model']}, {results.arguments.dtype}")
    describe_model(text, results.model)
    _describe_structure(text, results)
    _describe_frequencies(text, results)
    text.group("checks (largest entry over the largest force constant)")
    checks = results.checks
    text.row("acoustic sum rule", f"{checks['acoustic_sum_rule']:.1e}   {noise_in_words(checks['acoustic_sum_rule'])}")
    text.row("Hermiticity", f"{checks['hermiticity']:.1e}   {noise_in_words(checks['hermiticity'])}")
    residual = checks["space_group_residual"]
    text.row("space group", f"{residual:.1e}   {symmetry_in_words(residual)}")
    error = checks["interpolation_error_thz"]
    highest = results.sampling.frequencies.maximum_thz
    words = interpolation_in_words(error, results.tolerance_thz, highest)
    worst = checks["interpolation_error_max_thz"]
    text.row("supercell", f"{error:.2g} THz RMS, {worst:.2g} at most, against exact D(q)   {words}")
    _describe_heat(text, results)
    for section in results.sections:
        section.describe(text)
    if results.notes:
        text.group("notes")
        for note in results.notes:
            text.paragraph(f"- {note}")
    times = results.watch.rounded()
    text.group("seconds")
    text.paragraph(", ".join(f"{name.replace('_', ' ')} {seconds:.1f}" for name, seconds in times.items()))
    text.group(f"results in {output}")
    text.paragraph(", ".join(results.files))
    return str(text)


def _describe_structure(text: Table, results: PhononResults) -> None:
    relaxation, crystal, arguments = results.relaxation, results.crystal, results.arguments
    n_atoms = len(results.phonopy.primitive)
    text.group("structure")
    if crystal.n_atoms_given > n_atoms:
        how = f"reduced from {crystal.n_atoms_given} atoms to the primitive {n_atoms}, orientation kept"
    elif crystal.space_group.n_primitive < n_atoms:
        how = f"{n_atoms} atoms as given; a primitive cell has {crystal.space_group.n_primitive}"
    else:
        how = f"{n_atoms} atom{'s' * (n_atoms > 1)} as given, primitive"
    text.row("cell", how)
    lengths = results.atoms.cell.cellpar()
    text.row("a b c, α β γ", "{:.4f} {:.4f} {:.4f} Å, {:.2f} {:.2f} {:.2f}°".format(*lengths))
    if crystal.had_constraints:
        text.row("constraints", "those of the file are dropped: every atom vibrates")
    if crystal.layer is not None:
        note = f": {crystal.layer.note}" if crystal.layer.note else ""
        text.row("layer", f"vacuum along cell vector {crystal.layer.axis + 1}, never repeated{note}")
    if arguments.no_relax:
        text.row("relaxation", "none, as asked")
    else:
        cell = "cell fixed" if arguments.fix_cell else f"volume {100 * relaxation.volume_change:+.2f} %"
        text.row("relaxation", f"{relaxation.n_steps} steps, symmetry kept, {cell}")
    residual = f"{relaxation.max_force:.1e} eV/Å, {relaxation.max_stress or 0.0:.1e} eV/Å³"
    if not arguments.no_relax:
        residual += f" (before: {relaxation.initial_max_force:.1e}, {relaxation.initial_max_stress or 0.0:.1e})"
    text.row("largest force, stress", residual)
    matrix = matrix_in_words(results.phonopy.supercell_matrix.tolist())
    text.row("supercell", f"{matrix}, {len(results.phonopy.supercell)} atoms{_choice_in_words(results)}")


def _choice_in_words(results: PhononResults) -> str:
    choice = results.choice
    if choice is None:
        return ", as asked"
    others = [f"{error:.2g} THz with {n}" for _, n, error in choice.tried if n < choice.n_atoms]
    tried = f" ({', '.join(others[-2:])})" if others else ""
    if choice.reached:
        return f", the smallest within {choice.tolerance_thz:g} THz RMS{tried}"
    return (
        f", the largest allowed; it misses the {choice.tolerance_thz:g} THz wanted{tried}: bands are drawn from exact"
        " D(q), densities and heat carry the error (--exact or --max-atoms)"
    )


def _describe_frequencies(text: Table, results: PhononResults) -> None:
    sampling, unit = results.sampling, results.arguments.unit
    found = sampling.frequencies
    printed = FREQUENCY_UNITS[unit][1]
    text.group(f"frequencies ({printed}; imaginary as negative)")
    text.row("at Γ", frequencies_in_words(found.gamma_thz.tolist(), unit))
    lowest = f"{frequency(found.minimum_thz, unit)} at q = {vector_in_words(found.minimum_qpoint.tolist())}"
    text.row("lowest", lowest)
    if sampling.unstable and sampling.exact_minimum is not None:
        exact, q = sampling.exact_minimum
        of_exact = f"{frequency(exact, unit)} at q = {vector_in_words(q.tolist())}"
        if of_exact != lowest:
            text.row("", f"that is interpolated; lowest exact one found: {of_exact}")
    text.row("highest", frequency(found.maximum_thz, unit))
    how = f"exact D(q), {sampling.exact_because}" if sampling.bands_exact else "interpolated from the supercell"
    text.row("band path", f"{_band_path(results)}   {how}")
    numbers = " × ".join(map(str, sampling.mesh_numbers))
    if sampling.convergence:
        change = sampling.convergence[-1].change(sampling.convergence[-2]) if len(sampling.convergence) > 1 else 0.0
        text.row("mesh", f"{numbers}, exact D(q); heat at 300 K changed by {100 * change:.2g} % from the last one")
    else:
        text.row("mesh", f"{numbers}, {'exact D(q)' if results.arguments.exact else 'interpolated'}")
    threshold = f"{FREQUENCY_UNITS[unit][0] * IMAGINARY_THRESHOLD_THZ:.2g} {printed}, acoustic modes at Γ left aside"
    if sampling.unstable:
        advice = f"; {COMPARE}" if imitates_another(results.model) else ""
        text.row("stability", f"UNSTABLE: there are imaginary modes (beyond {threshold}){advice}")
    elif sampling.interpolation_imaginary and sampling.exact_minimum is not None:
        exact, q = sampling.exact_minimum
        text.row(
            "stability",
            f"no imaginary modes: those below zero between the supercell's q-points are errors of interpolation; the"
            f" lowest exact frequency found is {frequency(exact, unit)}, at q = {vector_in_words(q.tolist())}",
        )
    else:
        text.row("stability", f"no imaginary modes (beyond {threshold})")


def _describe_heat(text: Table, results: PhononResults) -> None:
    temperature, heat = results.heat()
    text.group(f"heat at {temperature:g} K, per mole of cells of {_atoms_in_words(len(results.phonopy.primitive))}")
    text.row("free energy", f"{heat['free_energy_kJ_mol']:.3f} kJ/mol")
    text.row("entropy", f"{heat['entropy_J_K_mol']:.3f} J/K/mol")
    text.row("heat capacity", f"{heat['heat_capacity_J_K_mol']:.3f} J/K/mol")
    error = results.checks["interpolation_error_thz"]
    if error > results.tolerance_thz and not results.arguments.exact:
        text.row(
            "accuracy",
            f"frequencies of the mesh are interpolated with an error of {error:.2g} THz: --exact or a larger supercell",
        )
    if results.sampling.frequencies.fraction_left_out > 0:
        share = 100 * results.sampling.frequencies.fraction_left_out
        text.row("left out", f"{share:.3g} % of the modes, being imaginary or zero: these numbers are incomplete")


def _atoms_in_words(count: int) -> str:
    return f"{count} atom{'s' * (count > 1)}"


def _band_path(results: PhononResults) -> str:
    return path_in_words(list(results.sampling.bands.labels or []), list(results.sampling.bands.path_connections))


def _with_plain_results(atoms: Atoms) -> Atoms:
    """A copy with energy, forces and stress attached, and nothing a writer might stumble over."""
    copy = atoms.copy()
    names = ("energy", "free_energy", "forces", "stress")
    copy.calc = SinglePointCalculator(copy, **{name: atoms.calc.get_property(name, atoms) for name in names})
    return copy
