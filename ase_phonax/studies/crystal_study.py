"""What studies of one relaxed crystal share: the crystal itself, told to programs and to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ase import units

from .model_facts import describe_model
from .report import Report
from .study import Study
from .summary_units import Summary, units_of

if TYPE_CHECKING:
    from ase import Atoms

    from ..structures.relaxation import RelaxationReport
    from .crystal import Crystal
    from .options import Settings


_AT_REST_GPA = 0.1  # stresses that change no frequency by what anybody could measure


@dataclass(frozen=True)
class CrystalStudy(Study):
    """Results of a study of one crystal at rest.

    Attributes:
        settings: what was asked for.
        crystal: as read.
        atoms: relaxed, in whose axes tensors are.
        relaxation: what the relaxation did.
    """

    settings: Settings
    crystal: Crystal
    atoms: Atoms
    relaxation: RelaxationReport

    @property
    def formula(self) -> str:
        """Of a formula unit."""
        from ..structures.formulas import crystal_formula

        return crystal_formula(self.atoms)

    @property
    def title(self) -> str:
        """Of a picture: formula, space group and model."""
        from ..phonons.pictures import crystal_title

        return crystal_title(self.formula, self.crystal.space_group.international, self.model["model"])

    def summary_with(self, own: Summary) -> Summary:
        """The contents of summary.json around what is a study's own: built-in types only."""
        from .. import __version__

        summary: Summary = {
            "version": __version__,
            **self.model,
            "dtype": self.dtype,
            "structure_file": self.origin.structure,
            "formula": self.formula,
            "space_group": self.crystal.space_group.international,
            "space_group_number": self.crystal.space_group.number,
            "n_atoms_given": self.crystal.n_atoms_given,
            "n_atoms": len(self.atoms),
            "volume": float(self.atoms.get_volume()),
            "volume_change": self.relaxation.volume_change,
            "relaxation_steps": self.relaxation.n_steps,
            "max_force": self.relaxation.max_force,
            "max_stress": self.relaxation.max_stress,
            **own,
            "warnings": self.notes,
            "files": list(self.files),
            "timings_s": self.timings_s,
            "provenance": self.provenance,
        }
        return summary | {"units": units_of(summary)}

    def begun_report(self) -> Report:
        """Title, model and how the crystal came to rest; what follows belongs to the same group."""
        text = Report(f"{self.formula}   {self.crystal.space_group}   {self.model['model']}, {self.dtype}")
        describe_model(text, self.model)
        text.group("structure")
        report = self.relaxation
        change = f"volume {100 * report.volume_change:+.2f} %" if report.volume_change else "volume kept"
        as_it_was = getattr(self.settings, "no_relax", False)
        text.row("relaxation", "none, as asked" if as_it_was else f"{report.n_steps} steps, symmetry kept, {change}")
        stress = (report.max_stress or 0.0) / units.GPa
        if stress > _AT_REST_GPA:
            text.row("stress", f"{stress:.2g} GPa are left: what follows is that of a crystal under it", doubt=True)
        return text
