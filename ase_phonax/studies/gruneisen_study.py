"""Mode Grüneisen parameters: phonons of a crystal pressed and swollen a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import volume_study
from .crystal import refuse_large_mesh
from .settings import GruneisenSettings
from .study import Run, describe_end, run_study
from .summary_units import Summary, units_of
from .volume_study import VolumeStudy

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..phonons.volumes import Gruneisen
    from .crystal import Crystal
    from .report import Report
    from .watch import Watch

FILES = (
    "summary.json",
    "gruneisen.png",
    "gruneisen.pdf",
    "gruneisen.yaml",
    "gruneisen_mesh.yaml",
    volume_study.STRUCTURES_FILE,
)


def gruneisen_study(
    atoms: Atoms, calc: PhonaxCalculator, settings: GruneisenSettings | None = None, watch: Watch | None = None
) -> GruneisenStudy:
    """All that `ase-phonax gruneisen` computes, in one call.

    The crystal is relaxed, and γ = -d ln ω / d ln V of every mode, without unit, follows from exact derivatives of its
    force constants by strain, or from those of two volumes (`finite`); units of all numbers are in their names or under
    "units".

    Args:
        atoms: a crystal; not changed.
        calc: a `PhonaxCalculator`, which several studies may share, in threads as well; or any other ASE calculator,
            by displacements and differences of volumes.
        settings: those of `ase-phonax gruneisen`; the defaults unless given.
        watch: is told of sections and progress.

    Returns:
        Results as data, with `to_dict()`, `report()` and `write(folder)`; the calculator stays behind.

    Raises:
        InputError, StructureError, SupercellError: what cannot be computed.
        RelaxationError: the crystal does not come to rest.
    """
    from ..phonons.finite_differences import crystal_calculator

    return run_study(prepare, compute, atoms, crystal_calculator(calc), GruneisenSettings.checked(settings), watch)


def prepare(
    atoms: Atoms, settings: GruneisenSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal; a path that its lattice lacks and a mesh that fits no memory are refused."""
    from ..phonons.bands.paths import named_path

    crystal = volume_study.prepare(atoms, settings, cutoff, name)
    if settings.path is not None:
        named_path(settings.path, crystal.atoms.cell[:])
    refuse_large_mesh(crystal, settings.mesh_length)
    return crystal


def compute(crystal: Crystal, run: Run[GruneisenSettings]) -> GruneisenStudy:
    """What is asked of a crystal that was prepared."""
    from ..phonons.calculators import knows_matrices
    from ..phonons.volumes import get_exact_gruneisen, get_gruneisen

    settings = run.settings
    finite = settings.finite or settings.keep_volume or not knows_matrices(run.calc)
    reference = volume_study.relaxed_reference(crystal, run)
    ratios = (1 - settings.strain, 1.0, 1 + settings.strain) if finite else (1.0,)
    points = volume_study.compute_volumes(reference, run, ratios)
    with run.watch.section("gruneisen"), run.watch.progress("Grüneisen parameters") as progress:
        if finite:
            gruneisen = get_gruneisen(points, settings.path, mesh_length=settings.mesh_length)
        else:
            gruneisen = get_exact_gruneisen(
                points[0], run.calc, settings.path, mesh_length=settings.mesh_length, progress=progress
            )
    supercell = volume_study.supercell_errors(run.calc, gruneisen.points, settings.tolerance)
    return GruneisenStudy(
        **run.facts(), reference=reference, points=gruneisen.points, supercell=supercell, gruneisen=gruneisen
    )


@dataclass(frozen=True)
class GruneisenStudy(VolumeStudy):
    """Results of `gruneisen_study`.

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

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only."""
        from ..phonons.bands.paths import path_in_words

        gruneisen, temperature = self.gruneisen, self.settings.temperature
        low, high = gruneisen.range
        summary = {
            **self.shared_summary(),
            "exact": gruneisen.exact,
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
        if gruneisen.strained is not None:
            summary["thermal_expansion_tensor_per_k"] = gruneisen.strained.expansion([temperature])[0].tolist()
        return summary | {"units": units_of(summary)}

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        summary = self.to_dict()
        text = volume_study.begun_report(self, summary)
        text.group("Grüneisen parameters γ = - d ln ω / d ln V")
        text.row(
            f"mean at {summary['temperature_k']:g} K", f"{summary['gruneisen_average']:.3f}, weighted by heat capacity"
        )
        text.row(
            "from", "exact dD/dε" if self.gruneisen.exact else f"two volumes, ±{100 * self.gruneisen.strain:.2g} %"
        )
        text.row("range", f"{summary['gruneisen_minimum']:.3f} to {summary['gruneisen_maximum']:.3f}")
        text.row("mesh", " × ".join(map(str, summary["mesh"])))
        text.row("band path", summary["band_path"])
        text.row("left out", summary["left_out"])
        if self.gruneisen.strained is not None:
            alpha = 1e6 * self.gruneisen.strained.expansion([self.settings.temperature])[0]
            text.group(f"thermal expansion at {self.settings.temperature:g} K (1e-6/K), heat over stiffness")
            axes = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
            text.columns(
                ["xx", "yy", "zz", "yz", "xz", "xy"], [[f"{round(alpha[i, j], 2) + 0.0:.2f}" for i, j in axes]]
            )
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
