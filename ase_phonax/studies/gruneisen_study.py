"""Mode Grüneisen parameters: phonons of a crystal pressed and swollen a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import check_calculator
from . import volume_study
from .model_facts import model_facts
from .notes import collected_warnings
from .provenance import Origin
from .settings import GruneisenSettings
from .study import describe_end
from .summary_units import units_of
from .volume_study import VolumeStudy
from .watch import Watch

if TYPE_CHECKING:
    from ase import Atoms

    from ..phonons.volumes import Gruneisen
    from .crystal import Crystal
    from .report import Report

FILES = (
    "summary.json",
    "gruneisen.png",
    "gruneisen.pdf",
    "gruneisen.yaml",
    "gruneisen_mesh.yaml",
    volume_study.STRUCTURES_FILE,
)


def gruneisen_study(
    atoms: Atoms, calc: Any, settings: GruneisenSettings | None = None, watch: Watch | None = None
) -> GruneisenStudy:
    """All that `ase-phonax gruneisen` computes, in one call.

    The crystal is relaxed at three volumes around its own, and γ = -d ln ω / d ln V of every mode, without unit,
    follows from exact force constants at each; units of all numbers are in their names or under "units".

    Args:
        atoms: a crystal; not changed.
        calc: a `PhonaxCalculator`; several studies may share it, in threads as well.
        settings: those of `ase-phonax gruneisen`; the defaults unless given.
        watch: is told of sections and progress.

    Returns:
        Results as data, with `to_dict()`, `report()` and `write(folder)`; the calculator stays behind.

    Raises:
        InputError, StructureError, SupercellError: what cannot be computed.
        RelaxationError: the crystal does not come to rest.
    """
    check_calculator(calc, "get_dynamical_matrix")
    settings = GruneisenSettings.checked(settings)
    with collected_warnings(again=True) as notes:
        crystal = prepare(atoms, settings, lambda: float(calc.potential.cutoff))
        return compute(crystal, calc, settings, watch or Watch(), Origin(), notes)


def prepare(
    atoms: Atoms, settings: GruneisenSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal, and a path that its lattice has."""
    from ..phonons.bands.paths import named_path

    crystal = volume_study.prepare(atoms, settings, cutoff, name)
    if settings.path is not None:
        named_path(settings.path, crystal.atoms.cell[:])
    return crystal


def compute(
    crystal: Crystal, calc: Any, settings: GruneisenSettings, watch: Watch, origin: Origin, notes: list[str]
) -> GruneisenStudy:
    """What is asked of a crystal that was prepared."""
    from ..phonons.volumes import get_gruneisen

    reference = volume_study.relaxed_reference(crystal, calc, settings, watch)
    ratios = (1 - settings.strain, 1.0, 1 + settings.strain)
    dtype = origin.precision(calc)
    points = volume_study.compute_volumes(reference, calc, settings, ratios, dtype, watch)
    with watch.section("gruneisen"), watch.progress("Grüneisen parameters"):
        gruneisen = get_gruneisen(points, settings.path, mesh_length=settings.mesh_length)
    return GruneisenStudy(
        settings=settings,
        origin=origin,
        dtype=dtype,
        model=model_facts(calc.potential, origin.model),
        provenance=origin.provenance(),
        notes=notes,
        reference=reference,
        points=gruneisen.points,
        supercell=volume_study.supercell_errors(calc, gruneisen.points, settings.tolerance),
        gruneisen=gruneisen,
        timings_s=watch.rounded(),
    )


@dataclass(frozen=True)
class GruneisenStudy(VolumeStudy):
    """What `gruneisen_study` has found.

    Attributes:
        gruneisen: parameters of every mode along the path and on a mesh.
    """

    OWN_FILES = FILES

    settings: GruneisenSettings
    gruneisen: Gruneisen

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        return FILES

    def to_dict(self) -> dict[str, Any]:
        """The contents of summary.json: built-in types only."""
        from ..phonons.bands.paths import path_in_words

        gruneisen, temperature = self.gruneisen, self.settings.temperature
        low, high = gruneisen.range
        summary = {
            **self.shared_summary(),
            "strain": gruneisen.strain,
            "temperature_k": temperature,
            "gruneisen_average": gruneisen.average(temperature),
            "gruneisen_minimum": low,
            "gruneisen_maximum": high,
            "mesh": list(gruneisen.mesh_numbers),
            "band_path": path_in_words(list(gruneisen.labels), list(gruneisen.path_connections)),
            "left_out": "three acoustic modes at Γ, and modes at zero; of the average also imaginary ones",
            **self.end_of_summary(),
        }
        return summary | {"units": units_of(summary)}

    def report(self, folder: Path | None = None) -> Report:
        """The same for people."""
        summary = self.to_dict()
        text = volume_study.begun_report(self, summary)
        text.group("Grüneisen parameters γ = - d ln ω / d ln V")
        text.row(
            f"mean at {summary['temperature_k']:g} K", f"{summary['gruneisen_average']:.3f}, weighted by heat capacity"
        )
        text.row("range", f"{summary['gruneisen_minimum']:.3f} to {summary['gruneisen_maximum']:.3f}")
        text.row("mesh", " × ".join(map(str, summary["mesh"])))
        text.row("band path", summary["band_path"])
        text.row("left out", summary["left_out"])
        describe_end(text, self, folder)
        return text

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        from ..base.drawing import save_figure
        from ..phonons.volumes.pictures import draw_gruneisen

        gruneisen, settings = self.gruneisen, self.settings
        gruneisen.bands.write_yaml(filename=folder / "gruneisen.yaml")
        gruneisen.mesh.write_yaml(filename=folder / "gruneisen_mesh.yaml")
        figure = draw_gruneisen(gruneisen, settings.temperature, self.title(), settings.unit)
        save_figure(figure, folder / "gruneisen")
        volume_study.write_shared(folder, self.points, self.to_dict())


STUDY = GruneisenStudy
