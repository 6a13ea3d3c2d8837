"""What studies at several volumes share: the crystal they start from, its volumes, what they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .crystal import find_crystal, find_supercell, with_plain_results
from .model_facts import describe_model, facts_of
from .output import write_summary
from .report import Report
from .study import Run, Study
from .summary_units import Summary
from .supercell_error import describe_supercell_error, supercell_error

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..phonons.volumes import VolumePoint
    from ..structures.relaxation import RelaxationReport
    from .crystal import Crystal
    from .settings import VolumeSettings

STRUCTURES_FILE = "volumes.extxyz"


@dataclass(frozen=True)
class Reference:
    """The crystal whose volume counts as one.

    Attributes:
        crystal: as read.
        atoms: relaxed.
        model: name of the potential.
        relaxation: what the relaxation did.
        matrix: (3, 3) supercell of every volume.
    """

    crystal: Crystal
    atoms: Atoms
    model: str
    relaxation: RelaxationReport
    matrix: np.ndarray

    @property
    def formula(self) -> str:
        """Chemical formula of one formula unit."""
        from ..structures.formulas import crystal_formula

        return crystal_formula(self.atoms)

    @property
    def formula_units(self) -> int:
        """How many formula units the primitive cell holds."""
        return int(self.atoms.symbols.formula.reduce()[1])


def prepare(
    atoms: Atoms, settings: VolumeSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal, primitive unless told otherwise.

    Raises:
        StructureError: not a crystal, or a layer with vacuum.
    """
    why_filled = "the volume of its cell is mostly vacuum, and nothing depends on that"
    # A layer is refused whatever the potential reaches.
    return find_crystal(atoms, settings, lambda: 0.0, name, why_filled)


def relaxed_reference(crystal: Crystal, run: Run[VolumeSettings]) -> Reference:
    """The crystal at the volume that counts as one, and the supercell of all volumes."""
    from ..structures.relaxation import relax

    with run.watch.section("relaxation"), run.watch.progress("relaxation") as progress:
        atoms, report = relax(
            crystal.atoms,
            run.calc,
            fix_volume=run.settings.keep_volume,
            symprec=run.settings.symprec,
            callback=lambda step, force, stress: progress(step, 0),
        )
    with run.watch.section("supercell"):
        matrix, _ = find_supercell(crystal, atoms, run)
    return Reference(crystal, with_plain_results(atoms), facts_of(run.calc, None)["model"], report, matrix)


def compute_volumes(reference: Reference, run: Run[VolumeSettings], ratios: Sequence[float]) -> tuple[VolumePoint, ...]:
    """Relaxation and force constants at each volume, in parts of that of the reference."""
    from ..phonons.volumes import phonons_at_volumes, points
    from ..structures import relaxation

    # Differences count, but forces in single precision have their noise.
    limits = relaxation if run.dtype == "float32" else points
    with run.watch.section("volumes"), run.watch.progress("volumes") as progress:
        computed = phonons_at_volumes(
            reference.atoms,
            run.calc,
            reference.matrix,
            ratios,
            symprec=run.settings.symprec,
            fmax=limits.FMAX,
            smax=limits.SMAX,
            progress=progress,
        )
    return tuple(replace(point, atoms=with_plain_results(point.atoms)) for point in computed)


def supercell_errors(calc: PhonaxCalculator, points: Sequence[VolumePoint], tolerance_thz: float) -> Summary:
    """The error of the supercell at the volume nearest to the reference."""
    return supercell_error(calc, min(points, key=lambda point: abs(point.ratio - 1)).phonopy, tolerance_thz)


@dataclass(frozen=True)
class VolumeStudy(Study):
    """Results of a study at several volumes.

    Attributes:
        reference: the crystal whose volume counts as one.
        points: all volumes, ascending, each relaxed, with its phonopy object.
        supercell: errors of interpolating from the supercell nearest to the reference volume, by their names.
    """

    settings: VolumeSettings
    reference: Reference
    points: tuple[VolumePoint, ...]
    supercell: Summary

    def shared_summary(self) -> Summary:
        """What all of them tell programs: built-in types only."""
        from .. import __version__

        reference = self.reference
        return {
            "version": __version__,
            **self.model,
            "dtype": self.dtype,
            "structure_file": self.origin.structure,
            "formula": reference.formula,
            "space_group": reference.crystal.space_group.international,
            "space_group_number": reference.crystal.space_group.number,
            "n_atoms_given": reference.crystal.n_atoms_given,
            "n_atoms_primitive": len(reference.atoms),
            "formula_units_per_cell": reference.formula_units,
            "supercell_matrix": reference.matrix.tolist(),
            **self.supercell,
            "kept_volume": self.settings.keep_volume,
            "volume": float(reference.atoms.cell.volume),
            "volume_change": reference.relaxation.volume_change,
            "volumes": [
                {
                    "ratio": point.ratio,
                    "volume": point.volume,
                    "energy": point.energy,
                    "max_force": point.relaxation.max_force,
                    "relaxation_steps": point.relaxation.n_steps,
                    "min_frequency_thz": point.frequencies.minimum_thz,
                    "max_frequency_thz": point.frequencies.maximum_thz,
                    "imaginary_modes": point.imaginary,
                    "imaginary_in_supercell_only": point.artefact,
                }
                for point in self.points
            ],
            "provenance": self.provenance,
        }

    def end_of_summary(self) -> Summary:
        """Entries at the end of summary.json."""
        return {"warnings": self.notes, "files": list(self.files), "timings_s": self.timings_s}

    def title(self) -> str:
        """The title of a picture: formula, space group and model."""
        from ..phonons import pictures

        space_group = self.reference.crystal.space_group.international
        return pictures.crystal_title(self.reference.formula, space_group, self.reference.model)


def begun_report(study: VolumeStudy, summary: Summary) -> Report:
    """Title, structure, supercell and volumes.

    Args:
        summary: of the study; "ratios_added" in it are volumes that nobody asked for.
    """
    reference = study.reference
    text = Report(f"{reference.formula}   {reference.crystal.space_group}   {summary['model']}, {summary['dtype']}")
    describe_model(text, summary)
    _describe(text, reference, study.points, summary)
    return text


def _describe(text: Report, reference: Reference, points: Sequence[VolumePoint], contents: Summary) -> None:
    from .words import matrix_in_words

    text.group("structure")
    n_atoms, n_given = len(reference.atoms), reference.crystal.n_atoms_given
    given = f"{n_atoms} atom{'s' * (n_atoms > 1)} as given"
    text.row("cell", f"reduced from {n_given} atoms to {n_atoms}" if n_given > n_atoms else given)
    report = reference.relaxation
    change = f"volume {100 * report.volume_change:+.2f} %" if report.volume_change else "volume kept"
    text.row("relaxation", f"{report.n_steps} steps, symmetry kept, {change}")
    text.row("reference volume", f"{reference.atoms.cell.volume:.4f} Å³")
    n_supercell = len(points[0].phonopy.supercell)
    several = len(points) > 1
    everywhere = ", at every volume" if several else ""
    text.row("supercell", f"{matrix_in_words(reference.matrix.tolist())}, {n_supercell} atoms{everywhere}")
    describe_supercell_error(text, contents, max(point.frequencies.maximum_thz for point in points))
    text.group("volumes (atoms and shape of the cell relaxed at each)" if several else "volume")
    for point in points:
        state = f"imaginary: {point.instability}" if point.imaginary else "stable"
        state += "; imaginary in this supercell only" if point.artefact else ""
        state += "; added" if point.ratio in contents.get("ratios_added", ()) else ""
        words = f"{point.energy:.6f} eV   up to {point.frequencies.maximum_thz:.3f} THz   {state}"
        text.row(point.name, words, doubt=point.imaginary)


def write_shared(folder: Path, points: Sequence[VolumePoint], summary: Summary) -> None:
    """The relaxed structures, one frame for each volume, and summary.json."""
    from ase.io import write

    frames = []
    for point in points:
        frame = with_plain_results(point.atoms)
        frame.info["volume_ratio"] = point.ratio
        frames.append(frame)
    write(folder / STRUCTURES_FILE, frames, format="extxyz")
    write_summary(summary, folder)
