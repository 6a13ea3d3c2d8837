"""What `ase-phonax phonons` found: as files, as JSON for programs, as a table for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from ..densities import IMAGINARY_THRESHOLD_THZ, FrequencyRange
from ..relaxation import RelaxationReport
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
    from .phonons import PhononOptions

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
class Crystal:
    """The structure as it enters: `atoms` to compute, reduced from `n_atoms_given` of the file."""

    atoms: Atoms
    n_atoms_given: int
    space_group: SpaceGroup
    had_constraints: bool


@dataclass(frozen=True)
class PhononResults:
    """Everything one run found; units as in phonopy (THz, eV/Å²) and in `RelaxationReport`."""

    options: PhononOptions
    crystal: Crystal
    atoms: Atoms
    model: str
    relaxation: RelaxationReport
    phonopy: Phonopy
    checks: dict[str, float]
    bands: BandStructure
    total_dos: TotalDos
    projected_dos: ProjectedDos
    mesh_numbers: tuple[int, ...]
    thermal: ThermalProperties
    frequencies: FrequencyRange
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

    def at_room_temperature(self) -> dict[str, float]:
        """Heat at 300 K, per mole of primitive cells."""
        found = self.thermal.thermal_properties
        assert found is not None, "thermal properties have been run"
        temperatures, *curves = found
        i = int(np.argmin(np.abs(temperatures - ROOM_TEMPERATURE)))
        names = ("free_energy_kJ_mol", "entropy_J_K_mol", "heat_capacity_J_K_mol")
        return {name: float(curve[i]) for name, curve in zip(names, curves, strict=True)}


def write_results(results: PhononResults, folder: Path) -> None:
    """Write all FILES into an existing folder."""
    phonopy = results.phonopy
    write(folder / "relaxed.extxyz", _with_plain_results(results.atoms), format="extxyz")
    phonopy.save(folder / "phonopy_params.yaml")
    write_force_constants_to_hdf5(
        np.asarray(phonopy.force_constants),
        filename=str(folder / "force_constants.hdf5"),
        p2s_map=phonopy.primitive.p2s_map,
        physical_unit="eV/angstrom^2",
    )
    results.bands.write_yaml(filename=folder / "band.yaml")
    results.total_dos.write(filename=folder / "total_dos.dat")
    results.projected_dos.write(filename=folder / "projected_dos.dat")
    results.thermal.write_yaml(filename=folder / "thermal_properties.yaml", volume=phonopy.primitive.volume)
    title = "    ".join(
        (
            figures.formula_in_mathtext(results.formula),
            figures.space_group_in_mathtext(results.space_group.international),
            figures.as_plain_text(results.model),
        )
    )
    figures.save_figure(figures.bands_and_dos(phonopy, title), folder / "bands")
    text = json.dumps(summary(results), indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def summary(results: PhononResults) -> dict[str, Any]:
    """The contents of summary.json: built-in types only."""
    phonopy, relaxation, frequencies = results.phonopy, results.relaxation, results.frequencies
    return {
        "version": __version__,
        "model": results.model,
        "dtype": results.options.dtype,
        "structure_file": results.options.structure,
        "formula": results.formula,
        "space_group": results.space_group.international,
        "space_group_number": results.space_group.number,
        "n_atoms_given": results.crystal.n_atoms_given,
        "n_atoms_primitive": len(phonopy.primitive),
        "cell": phonopy.primitive.cell.tolist(),
        "supercell_matrix": phonopy.supercell_matrix.tolist(),
        "n_atoms_supercell": len(phonopy.supercell),
        "relaxed": results.options.relax,
        "fixed_cell": results.options.fix_cell,
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
        "imaginary_modes": frequencies.imaginary,
        "imaginary_threshold_thz": IMAGINARY_THRESHOLD_THZ,
        "thermal_300K": results.at_room_temperature(),
        "thermal_fraction_of_modes_left_out": frequencies.fraction_left_out,
        "checks": results.checks,
        "band_path": _band_path(results),
        "mesh": list(results.mesh_numbers),
        "warnings": list(results.notes),
        "files": list(FILES),
        "timings_s": results.watch.rounded(),
    }


def table(results: PhononResults, output: Path) -> str:
    """The same for people."""
    text = Table(f"{results.formula}   {results.space_group}   {results.model}, {results.options.dtype}")
    _describe_structure(text, results)
    _describe_frequencies(text, results)
    text.group("checks (largest entry over the largest force constant)")
    checks = results.checks
    text.row("acoustic sum rule", f"{checks['acoustic_sum_rule']:.1e}   {noise_in_words(checks['acoustic_sum_rule'])}")
    text.row("Hermiticity", f"{checks['hermiticity']:.1e}   {noise_in_words(checks['hermiticity'])}")
    residual = checks["space_group_residual"]
    text.row("space group", f"{residual:.1e}   {symmetry_in_words(residual)}")
    error = checks["interpolation_error_thz"]
    text.row("supercell", f"{error:.1g} THz RMS against exact D(q)   {interpolation_in_words(error)}")
    _describe_heat(text, results)
    if results.notes:
        text.group("notes")
        for note in results.notes:
            text.paragraph(f"- {note}")
    times = results.watch.rounded()
    text.group("seconds")
    text.paragraph(", ".join(f"{name.replace('_', ' ')} {seconds:.1f}" for name, seconds in times.items()))
    text.group(f"results in {output}")
    text.paragraph(", ".join(FILES))
    return str(text)


def _describe_structure(text: Table, results: PhononResults) -> None:
    relaxation, crystal, options = results.relaxation, results.crystal, results.options
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
    if not options.relax:
        text.row("relaxation", "none, as asked")
    else:
        cell = "cell fixed" if options.fix_cell else f"volume {100 * relaxation.volume_change:+.2f} %"
        text.row("relaxation", f"{relaxation.n_steps} steps, symmetry kept, {cell}")
    residual = f"{relaxation.max_force:.1e} eV/Å, {relaxation.max_stress or 0.0:.1e} eV/Å³"
    if options.relax:
        residual += f" (before: {relaxation.initial_max_force:.1e}, {relaxation.initial_max_stress or 0.0:.1e})"
    text.row("largest force, stress", residual)
    matrix = matrix_in_words(results.phonopy.supercell_matrix.tolist())
    text.row("supercell", f"{matrix}, {len(results.phonopy.supercell)} atoms")


def _describe_frequencies(text: Table, results: PhononResults) -> None:
    found = results.frequencies
    text.group("frequencies (THz; imaginary as negative)")
    text.row("at Γ", frequencies_in_words(found.gamma_thz.tolist()))
    text.row("lowest", f"{frequency(found.minimum_thz)} at q = {vector_in_words(found.minimum_qpoint.tolist())}")
    text.row("highest", frequency(found.maximum_thz))
    text.row("band path", _band_path(results))
    threshold = f"{IMAGINARY_THRESHOLD_THZ:g} THz, acoustic modes at Γ left aside"
    if found.imaginary:
        text.row("stability", f"UNSTABLE: there are imaginary modes (beyond {threshold})")
    else:
        text.row("stability", f"no imaginary modes (beyond {threshold})")


def _describe_heat(text: Table, results: PhononResults) -> None:
    heat = results.at_room_temperature()
    text.group(f"heat at {ROOM_TEMPERATURE:.0f} K, per mole of cells of {len(results.phonopy.primitive)} atoms")
    text.row("free energy", f"{heat['free_energy_kJ_mol']:.3f} kJ/mol")
    text.row("entropy", f"{heat['entropy_J_K_mol']:.3f} J/K/mol")
    text.row("heat capacity", f"{heat['heat_capacity_J_K_mol']:.3f} J/K/mol")
    if results.frequencies.fraction_left_out > 0:
        share = 100 * results.frequencies.fraction_left_out
        text.row("left out", f"{share:.2f} % of the modes, being imaginary or zero: these numbers are incomplete")


def _band_path(results: PhononResults) -> str:
    return path_in_words(list(results.bands.labels or []), list(results.bands.path_connections))


def _with_plain_results(atoms: Atoms) -> Atoms:
    """A copy with energy, forces and stress attached, and nothing a writer might stumble over."""
    copy = atoms.copy()
    names = ("energy", "free_energy", "forces", "stress")
    copy.calc = SinglePointCalculator(copy, **{name: atoms.calc.get_property(name, atoms) for name in names})
    return copy
