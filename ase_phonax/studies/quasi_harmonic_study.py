"""Thermal expansion and its kin in the quasi-harmonic approximation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import PhonaxError, RelaxationError
from ..phonons.volumes import get_quasi_harmonic, quasi_harmonic
from ..phonons.volumes.reliability import expansion_errors
from ..phonons.volumes.room import MOST_ADDED, ratios_wanted
from . import quasi_harmonic_report, volume_study
from .crystal import refuse_large_mesh
from .notes import heard_warnings
from .settings import QuasiHarmonicSettings
from .study import Run, describe_end, run_study
from .summary_units import Summary, units_of
from .volume_study import VolumeStudy

if TYPE_CHECKING:
    from ase import Atoms

    from ..calculator import PhonaxCalculator
    from ..phonons.volumes import QuasiHarmonic, VolumePoint
    from .crystal import Crystal
    from .report import Report
    from .watch import Watch

FILES = ("summary.json", "qha.png", "qha.pdf", volume_study.STRUCTURES_FILE)


def quasi_harmonic_study(
    atoms: Atoms, calc: PhonaxCalculator, settings: QuasiHarmonicSettings | None = None, watch: Watch | None = None
) -> QuasiHarmonicStudy:
    """All that `ase-phonax qha` computes, in one call.

    The crystal is relaxed at several volumes, and a fit of its free energies [eV] at each temperature [K] gives volume
    [Å³], expansion [1/K], bulk modulus [GPa] and heat capacity, judged by the points; units of all are under "units".

    Args:
        atoms: a crystal; not changed.
        calc: a `PhonaxCalculator`, which several studies may share, in threads as well; or any other ASE calculator,
            by displacements.
        settings: those of `ase-phonax qha`; the defaults unless given.
        watch: is told of sections and progress.

    Returns:
        Results as data, with `to_dict()`, `report()` and `write(folder)`; the calculator stays behind.

    Raises:
        InputError, StructureError, SupercellError: what cannot be computed.
        RelaxationError: the crystal does not come to rest.
    """
    from ..phonons.finite_differences import crystal_calculator

    return run_study(prepare, compute, atoms, crystal_calculator(calc), QuasiHarmonicSettings.checked(settings), watch)


def prepare(
    atoms: Atoms, settings: QuasiHarmonicSettings, cutoff: Callable[[], float], name: str = "the structure"
) -> Crystal:
    """The crystal; a mesh that fits no memory is refused."""
    crystal = volume_study.prepare(atoms, settings, cutoff, name)
    refuse_large_mesh(crystal, settings.mesh_length)
    return crystal


def compute(crystal: Crystal, run: Run[QuasiHarmonicSettings]) -> QuasiHarmonicStudy:
    """What is asked of a crystal that was prepared."""
    reference = volume_study.relaxed_reference(crystal, run)

    def at(ratios: list[float]) -> tuple[VolumePoint, ...]:
        return volume_study.compute_volumes(reference, run, ratios)

    points, added, expansion = _with_room(run.settings, at, run.watch)
    supercell = volume_study.supercell_errors(run.calc, points, run.settings.tolerance)
    return QuasiHarmonicStudy(
        **run.facts(),
        reference=reference,
        points=points,
        supercell=supercell,
        ratios_added=tuple(added),
        expansion=expansion,
    )


def _ratios(settings: QuasiHarmonicSettings) -> list[float]:
    """Volumes asked for over that of the crystal."""
    from ..phonons.volumes.quasi_harmonic import ratios_within

    return list(ratios_within(*settings.range, settings.n_volumes))


def _with_room(
    settings: QuasiHarmonicSettings, at: Callable[[list[float]], tuple[VolumePoint, ...]], watch: Watch
) -> tuple[tuple[VolumePoint, ...], list[float], QuasiHarmonic]:
    """The volumes, ratios added where the minimum nears their end, not more than `MOST_ADDED`, and the results.

    Volumes far out spoil the fit at temperatures that do not need them: added ones stay where results go further.
    """
    points = at(_ratios(settings))
    added: list[float] = []
    best = _minimised(settings, points, watch)
    while len(added) < MOST_ADDED:
        wanted = ratios_wanted(points, settings.max_temperature, settings.pressure, settings.mesh_length)
        if not wanted:
            break
        try:
            more = at(wanted)
        except RelaxationError as error:
            warnings.warn(f"No volumes are added to those asked for: {error.what}.", stacklevel=2)
            break
        tried = _minimised(settings, (*points, *more), watch)
        if tried.reach <= best.reach:
            named = " and ".join(point.name for point in more)
            warnings.warn(f"Volumes {named} were added, and left again: results go no further with them.", stacklevel=2)
            break
        best, points, added = tried, (*points, *more), [*added, *wanted]
    return tuple(sorted(points, key=lambda point: point.volume)), sorted(added), best.result_or_raise()


@dataclass(frozen=True)
class _Attempt:
    """Results from one choice of volumes, or why there are none; what was warned of is said for the last choice."""

    expansion: QuasiHarmonic | None
    error: PhonaxError | None
    said: list[Warning]

    @property
    def reach(self) -> tuple[float, int]:
        """The more the better: highest temperature of the results [K], and, negative, how many near the end."""
        if self.expansion is None:
            return -1.0, 0
        near_the_end = sum("end" in verdict.doubts for verdict in self.expansion.verdicts)
        return float(self.expansion.result.temperatures[-1]), -near_the_end

    def result_or_raise(self) -> QuasiHarmonic:
        for warning in self.said:
            warnings.warn(warning, stacklevel=2)
        if self.expansion is None:
            assert self.error is not None, "an attempt ends in results or in an error"
            raise self.error
        return self.expansion


def _minimised(settings: QuasiHarmonicSettings, points: tuple[VolumePoint, ...], watch: Watch) -> _Attempt:
    with watch.section("qha"), watch.progress("free energies"), heard_warnings() as said:
        try:
            expansion = get_quasi_harmonic(
                points,
                t_max=settings.max_temperature,
                t_step=settings.temperature_step,
                pressure_gpa=settings.pressure,
                eos=settings.eos,
                mesh_length=settings.mesh_length,
            )
        except PhonaxError as error:
            return _Attempt(None, error, said)
    return _Attempt(expansion, None, said)


@dataclass(frozen=True)
class QuasiHarmonicStudy(VolumeStudy):
    """Results of `quasi_harmonic_study`.

    Attributes:
        ratios_added: volumes, over that of the reference, that nobody asked for.
        expansion: the curves, with what is to be doubted in them.
    """

    OWN_FILES = (*FILES, *quasi_harmonic.FILES)

    settings: QuasiHarmonicSettings
    ratios_added: tuple[float, ...]
    expansion: QuasiHarmonic

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `write` writes."""
        return (*FILES, *self.expansion.files)

    def to_dict(self) -> Summary:
        """The contents of summary.json: built-in types only."""
        summary = {
            **self.shared_summary(),
            **quasi_harmonic_report.summary(self.expansion),
            "ratios_added": list(self.ratios_added),
            "expansion_errors": expansion_errors(self.model["model"]),
            **self.end_of_summary(),
        }
        return summary | {"units": units_of(summary)}

    def report(self, folder: Path | None = None) -> Report:
        """The results as a table for people."""
        summary = self.to_dict()
        text = volume_study.begun_report(self, summary)
        quasi_harmonic_report.describe(text, self.expansion, summary)
        describe_end(text, self, folder)
        return text

    def write_into(self, folder: Path) -> None:
        """Write all files into an existing folder."""
        from ..base.drawing import save_figure
        from ..phonons.volumes.pictures import draw_quasi_harmonic

        quasi_harmonic.write_quasi_harmonic(self.expansion, folder)
        save_figure(draw_quasi_harmonic(self.expansion, self.title()), folder / "qha")
        volume_study.write_shared(folder, (*self.expansion.points, *self.expansion.left_out), self.to_dict())


STUDY = QuasiHarmonicStudy
